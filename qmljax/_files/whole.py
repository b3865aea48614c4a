"""A file that is whole or not there: it is written under another name, flushed to the disk, and renamed.

Whenever the process dies, what carries the name is the old file or the new one. The other name is random and made for
this writer alone, so threads, processes and containers that share a folder do not meet; the writer holds a lock on it,
by which the next one that writes into the folder knows the remains of the dead. The standard library alone is imported,
so that the benchmarks can run this file by itself.
"""

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module elsewhere

PREFIX, SUFFIX = ".qmljax-", ".part"  # of the other name; that of the file may be as long as the system allows
# Seconds since a writer's last sign of life after which its remains are cleared away: if its lock is free, or where
# there are no locks.
UNLOCKED, UNKNOWN = 60.0, 86400.0
# What says that a file system has no such thing as the flushing or the locking of this file.
LACKING = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK}


def replace(path: str | os.PathLike[str], content: bytes) -> None:
    """Puts `content` in the place of the file at `path`, all at once.

    A symbolic link is followed: it stays, and what it points to is replaced. The file keeps its mode, and its owner and
    group where that is allowed; a new one has those of any new file.

    Raises:
        FileNotFoundError: There is no such folder.
        IsADirectoryError: `path` is a folder.
        OSError: `path` cannot be written. What was there before is unchanged.
    """
    name = os.fsdecode(path)
    target = os.path.realpath(name)
    folder = os.path.dirname(target)
    with _naming(name, folder):
        old = _status(target)
        _check(name, target, old)
        _clear(folder)
        with _temporary(folder, old) as (temporary, descriptor):
            with open(descriptor, "wb", closefd=False) as file:
                file.write(content)
            flush(descriptor)
            if fcntl is None:
                os.close(descriptor)  # Windows renames no open file
            os.replace(temporary, target)
        flush_folder(folder)


def locked(descriptor: int, wait: bool = False) -> bool | None:
    """Takes the lock of an open file, and says whether that went well; None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in LACKING:
            raise
        return None
    return True


@contextlib.contextmanager
def _naming(name: str, folder: str) -> Iterator[None]:
    """Errors name the file that was asked for, and the way out; never the hidden one."""
    try:
        yield
    except OSError as error:
        if error.filename == name:
            raise
        if isinstance(error, FileNotFoundError) and not os.path.isdir(folder):
            text = f"There is no folder {folder!r} to write into. Make it first: os.makedirs({folder!r})"
        elif isinstance(error, PermissionError) or error.errno == errno.EROFS:
            text = f"The folder {folder!r} must be one that may be written into ({error.strerror}). Give another one"
        else:
            text = f"It could not be written ({error.strerror or error}), and what was there before is unchanged"
        raise type(error)(error.errno, text, name) from error


def _status(target: str) -> os.stat_result | None:
    try:
        return os.lstat(target)
    except FileNotFoundError:
        return None


def _check(name: str, target: str, old: os.stat_result | None) -> None:
    """Refuses what is there and is no file to replace: a device, say, would be gone."""
    if old is None:
        return
    if stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(errno.EISDIR, "It is a folder. Give the name of a file in it", name)
    if stat.S_ISLNK(old.st_mode):  # what no path leads out of
        raise OSError(errno.ELOOP, "It is a link that leads to itself. Give another name", name)
    if not stat.S_ISREG(old.st_mode):
        raise OSError(errno.EINVAL, "It is a device, pipe or socket, and no file. Give another name", name)
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "The file may not be written. Give another name, or change its mode", name)


@contextlib.contextmanager
def _temporary(folder: str, old: os.stat_result | None) -> Iterator[tuple[str, int]]:
    """A new file in the folder, locked, with the mode of the old one; afterwards it is gone, unless it was renamed."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    temporary = os.path.join(folder, PREFIX + secrets.token_hex(16) + SUFFIX)
    descriptor = os.open(temporary, flags, 0o666 if old is None else 0o600)
    try:
        locked(descriptor)
        if old is not None and hasattr(os, "fchown"):
            _make_like(descriptor, old)
        yield temporary, descriptor
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _make_like(descriptor: int, old: os.stat_result) -> None:
    """Gives a file the owner, the group and the mode of another; a group that cannot be kept is allowed nothing."""
    mode, new = stat.S_IMODE(old.st_mode) & 0o777, os.fstat(descriptor)
    if new.st_gid != old.st_gid:
        try:
            os.fchown(descriptor, -1, old.st_gid)
        except OSError:
            mode &= ~0o070
    if new.st_uid != old.st_uid:
        with contextlib.suppress(OSError):
            os.fchown(descriptor, old.st_uid, -1)
    os.fchmod(descriptor, mode)


def flush(descriptor: int) -> None:
    """Waits until an open file is on the disk."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in LACKING:
            raise


def flush_folder(folder: str) -> None:
    """The name, too, has to reach the disk."""
    if hasattr(os, "O_DIRECTORY"):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except PermissionError:  # a folder whose names may be changed but not read
            return
        try:
            flush(descriptor)
        finally:
            os.close(descriptor)


def _clear(folder: str) -> None:
    """Removes what writers that died have left in the folder."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIX):
                with contextlib.suppress(OSError):
                    _clear_one(entry)


def _clear_one(entry: "os.DirEntry[str]") -> None:
    status = entry.stat(follow_symlinks=False)
    age = time.time() - status.st_mtime
    if age < UNLOCKED or not stat.S_ISREG(status.st_mode):
        return
    descriptor = os.open(entry.path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        dead = locked(descriptor)
    finally:
        if fcntl is None:
            os.close(descriptor)
    try:
        if dead or (dead is None and age > UNKNOWN):
            os.unlink(entry.path)
    finally:
        if fcntl is not None:
            os.close(descriptor)

"""Files that are whole or not there. Oracles: the arrays that were written, and faults put into the file by hand."""

import builtins
import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from qmljax import _files
from qmljax._files import arrays as arrays_room
from qmljax._files import whole

RNG = np.random.default_rng(0)
DTYPES = ["float32", "float64", "float16", "bfloat16", "complex64", "complex128", "int32", "int64", "uint32", "bool"]
SHAPES = [(), (1,), (3,), (2, 3), (0,), (2, 0, 3)]


def written(path: Path, **arrays: Any) -> Path:
    _files.write(path, "model", {"name": "a"}, arrays or {"w": np.arange(5.0)})
    return path


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_come_back_to_the_bit(dtype, tmp_path):
    arrays = {str(s): (RNG.normal(size=s) * 3).astype(jnp.dtype(dtype)) for s in SHAPES}
    arrays["transposed"] = (RNG.normal(size=(3, 4)) * 3).astype(jnp.dtype(dtype)).T
    header, back = _files.read(written(tmp_path / "f", **arrays), "model")
    assert header == {"name": "a"} and back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype and back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()


def test_values_that_are_not_finite_come_back(tmp_path):
    array = np.array([np.nan, np.inf, -np.inf, -0.0])
    assert _files.read(written(tmp_path / "f", a=array), "model")[1]["a"].tobytes() == array.tobytes()


def test_a_header_of_any_json(tmp_path):
    header = {"text": "é\n'", "none": None, "list": [1, [2.5, "x"]], "map": {"a": True}}
    _files.write(tmp_path / "f", "model", header, {})
    assert _files.read(tmp_path / "f", "model") == (header, {})


def test_any_program_can_read_the_arrays(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    back = safetensors.numpy.load_file(written(tmp_path / "f", a=array))
    np.testing.assert_array_equal(back["a"], array)


def test_a_truncated_file_is_refused(tmp_path):
    content = written(tmp_path / "f").read_bytes()
    for length in range(len(content)):
        (tmp_path / "f").write_bytes(content[:length])
        with pytest.raises(ValueError, match="'.*f' is truncated, or no file of qmljax"):
            _files.read(tmp_path / "f", "model")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04\x95" * 9, b"PK\x03\x04" * 20, b"\xff" * 64, b"{}" * 40])
def test_a_foreign_file_is_refused(content, tmp_path):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(ValueError, match="is truncated, or no file of qmljax"):
        _files.read(tmp_path / "f", "model")


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_a_safetensors_file_of_others_is_refused(metadata, tmp_path):
    safetensors.numpy.save_file({"a": np.zeros(3)}, tmp_path / "f", metadata)
    with pytest.raises(ValueError, match="is a safetensors file, but was not written by qmljax"):
        _files.read(tmp_path / "f", "model")


def test_a_damaged_file_is_refused(tmp_path):
    """Whichever byte is another: also where it would make another number of a weight, or another name of it."""
    content = written(tmp_path / "f", weights=np.arange(5.0)).read_bytes()
    for k in range(len(content)):
        (tmp_path / "f").write_bytes(content[:k] + bytes([content[k] ^ 1]) + content[k + 1 :])
        try:
            header, arrays = _files.read(tmp_path / "f", "model")
        except ValueError:
            continue
        assert header == {"name": "a"} and arrays["weights"].tolist() == [0, 1, 2, 3, 4], content[k - 5 : k + 5]


def test_another_kind_or_a_later_version_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds a model, not a checkpoint"):
        _files.read(written(tmp_path / "f"), "checkpoint")
    about = json.dumps({"shapes": {}, "header": {}})
    metadata = {"format": "qmljax", "version": "2", "kind": "model", "about": about}
    safetensors.numpy.save_file({}, tmp_path / "f", metadata)
    with pytest.raises(ValueError, match="has version 2 of the format, but this qmljax reads up to version 1"):
        _files.read(tmp_path / "f", "model")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        _files.read(tmp_path / "f", "model")
    with pytest.raises(FileNotFoundError, match="There is no file .*It is a folder"):
        _files.read(tmp_path, "model")


def test_any_byte_order_and_layout(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    arrays = {"big": array.astype(">f8"), "columns": np.asfortranarray(array), "steps": np.arange(12.0)[::2]}
    back = _files.read(written(tmp_path / "f", **arrays), "model")[1]
    for name, given in arrays.items():
        np.testing.assert_array_equal(back[name], given)
        assert back[name].dtype == np.float64 and back[name].flags.writeable


@pytest.mark.parametrize("array", [np.array([None]), np.array(["a"]), np.array([b"a"]), np.datetime64("2020")])
def test_arrays_of_no_numbers_are_not_written(array, tmp_path):
    with pytest.raises(TypeError, match="must be arrays of numbers, but 'w' has dtype"):
        written(tmp_path / "f", w=array)
    assert not names(tmp_path)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"w": ["float64", 10**9]}, "has 40 bytes, which are not those of float64"),
        ({"w": ["float64", 5], "z": ["float64", 10**9]}, "'z' has 0 bytes, which are not those"),
        ({"w": ["float64", 5], "z": ["float64", 0, 10**30]}, "cannot have the shape"),
        ({"w": ["float64", -1]}, "cannot have the shape"),
        ({"w": ["float64", *[1] * 40]}, "cannot have the shape"),
        ({"w": ["float64", 2.5]}, "must be {shapes"),
        ({"w": ["float64", True]}, "must be {shapes"),
        ({"w": ["object", 5]}, "cannot have the shape .* and the dtype 'object'"),
        ({"w": ["(2,)f8", 5]}, "and the dtype"),
        ({"w": ["bool", 40]}, "of truth values holds others"),
        ({"w": []}, "must be {shapes"),
        ({}, "holds an array 'w' that it does not list"),
        ([], "must be {shapes"),
    ],
)
def test_a_shape_that_its_bytes_do_not_have_is_refused(about, message, tmp_path):
    """With a right checksum: nothing is taken in memory for what is not there."""
    text = json.dumps({"shapes": about, "header": {}})
    bits = {"w": np.arange(5.0)}
    metadata = {"format": "qmljax", "version": "1", "kind": "model", "about": text}
    metadata["sha256"] = arrays_room._checksum(text, {"w": bits["w"].tobytes()})
    safetensors.numpy.save_file(bits, tmp_path / "f", metadata)
    with pytest.raises(ValueError, match=f"f' is damaged, or was not written by qmljax: .*{message}"):
        _files.read(tmp_path / "f", "model")


@pytest.mark.parametrize("version", ["", "x", "-1", "0", "1.0", "9" * 5000, "\u0661"])
def test_a_version_that_is_none(version, tmp_path):
    metadata = {"format": "qmljax", "version": version, "kind": "model", "about": "{}"}
    safetensors.numpy.save_file({}, tmp_path / "f", metadata)
    with pytest.raises(ValueError, match="damaged: its version is"):
        _files.read(tmp_path / "f", "model")


@pytest.mark.parametrize("text", ["", "[" * 10**5, '{"a": 1}', "nul", "9" * 5000])
def test_text_that_is_no_header(text, tmp_path):
    metadata = {"format": "qmljax", "version": "1", "kind": "model", "about": text}
    safetensors.numpy.save_file({}, tmp_path / "f", metadata | {"sha256": arrays_room._checksum(text, {})})
    with pytest.raises(ValueError, match="is damaged, or was not written by qmljax"):
        _files.read(tmp_path / "f", "model")


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (int, [0, -1, 10**30], [True, 1.0, "1", None]),
        (bool, [True], [1, None]),
        ((float, None), [1.5, None], [1, "a"]),
        ([int], [[], [1, 2]], [[True], {}, "a", [[1]]]),
        ([int, str], [[1, "a"]], [[1], ["a", 1], [1, "a", 2]]),
        ([str, ..., int], [["a"], ["a", 1, 2]], [[], [1], ["a", "b"]]),
        ({"a": int, "b?": str}, [{"a": 1}, {"a": 1, "b": "x"}], [{}, {"a": 1, "b": 2}, {"a": 1, "c": 2}, []]),
        ({"a": int, ...: str}, [{"a": 1}, {"a": 1, "c": "x"}], [{"c": "x"}, {"a": 1, "c": 2}]),
        ({str: int}, [{}, {"a": 1}], [{"a": "x"}, []]),
        ("word", ["word"], ["other", 1]),
        (object, [1, True, None, {}], []),
    ],
)
def test_schemas(schema, good, bad):
    for value in good:
        _files.check(value, schema, "it")
    for value in bad:
        with pytest.raises(ValueError, match="it must be .*, but is"):
            _files.check(value, schema, "it")


def test_while_reading_all_errors_are_one(tmp_path):
    class PanicException(BaseException):
        """As Rust calls it."""

    for error in (KeyError("a"), MemoryError(), RecursionError(), OverflowError("b"), PanicException("c"), OSError()):
        with pytest.raises(ValueError, match="'name' is damaged, or was not written by qmljax"), _files.reading("name"):
            raise error
    for other in (KeyboardInterrupt, ImportError):
        with pytest.raises(other), _files.reading("name"):
            raise other


def raising(error: BaseException) -> Any:
    def function(*_: Any) -> None:
        raise error

    return function


@pytest.mark.parametrize("name", ["replace", "fsync"])
@pytest.mark.parametrize("error", [OSError("No space left on device"), KeyboardInterrupt()])
def test_a_broken_off_write_leaves_the_old_file(name, error, monkeypatch, tmp_path):
    content = written(tmp_path / "f").read_bytes()
    monkeypatch.setattr(os, name, raising(error))
    with pytest.raises(type(error)):
        written(tmp_path / "f", w=np.ones(99))
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["f"] and (tmp_path / "f").read_bytes() == content


def test_what_carries_the_name_is_complete_and_on_the_disk(monkeypatch, tmp_path):
    """At the moment of renaming, the new file has all its bytes and was flushed; the folder is flushed after."""
    events, real_replace, real_sync = [], os.replace, os.fsync

    def replace(source: Any, target: Any) -> None:
        events.append(("replace", Path(source).read_bytes(), Path(target).exists()))
        real_replace(source, target)

    def fsync(descriptor: int) -> None:
        events.append(("fsync", os.fstat(descriptor).st_ino))
        real_sync(descriptor)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "fsync", fsync)
    _files.replace(tmp_path / "f", b"content")
    inode, folder = (tmp_path / "f").stat().st_ino, tmp_path.stat().st_ino
    assert events == [("fsync", inode), ("replace", b"content", False), ("fsync", folder)]


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_writers_and_readers_of_one_file_do_not_meet(tmp_path):
    """Two threads write 100 files each while others read: no error, and never half a file."""
    path, errors = written(tmp_path / "f", w=np.zeros(1000)), []

    def write(number: float) -> None:
        try:
            for _ in range(100):
                written(path, w=np.full(1000, number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(k + 1.0,)) for k in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        array = _files.read(path, "model")[1]["w"]
        assert len(array) == 1000 and (array == array[0]).all()
    assert not errors and names(tmp_path) == ["f"]


def test_processes_of_one_number_do_not_meet(monkeypatch, tmp_path):
    """As containers that share a folder: the other writer is in the midst of it."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    real, inside = os.replace, []

    def meanwhile(source: Any, target: Any) -> None:
        if not inside:
            inside.append(source)
            _files.replace(tmp_path / "f", b"the other")
            assert os.path.exists(source)
        real(source, target)

    monkeypatch.setattr(os, "replace", meanwhile)
    _files.replace(tmp_path / "f", b"one")
    assert (tmp_path / "f").read_bytes() == b"one" and names(tmp_path) == ["f"]


KILLED = """
import os, sys
sys.path.insert(0, {package!r})
import whole
whole.os.fsync = lambda descriptor: (print("writing", flush=True), sys.stdin.read())
whole.replace({path!r}, b"never whole")
"""


def test_a_killed_writer_leaves_nothing_for_long(monkeypatch, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    script = KILLED.format(package=str(Path(whole.__file__).parent), path=str(path))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as process:
        assert process.stdout.readline() == b"writing\n"
        (part,) = (p for p in tmp_path.iterdir() if p != path)
        os.utime(part, (0, 0))
        _files.replace(path, b"new")
        assert part.exists()  # it lives, however slow it is
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == b"new" and part.exists()
    os.utime(part)
    _files.replace(tmp_path / "g", b"")
    assert part.exists()  # of a moment ago
    os.utime(part, (time.time() - 61,) * 2)
    _files.replace(tmp_path / "g", b"")
    assert names(tmp_path) == ["f", "g"]


def test_where_there_are_no_locks_remains_are_cleared_by_age(monkeypatch, tmp_path):
    monkeypatch.setattr(whole, "fcntl", None)
    part = tmp_path / f"{whole.PREFIX}0{whole.SUFFIX}"
    for age, stays in ((3600, True), (90000, False)):
        part.write_bytes(b"")
        os.utime(part, (time.time() - age,) * 2)
        _files.replace(tmp_path / "f", b"content")
        assert part.exists() == stays and (tmp_path / "f").read_bytes() == b"content"


def test_a_planted_link_has_no_victim(monkeypatch, tmp_path):
    """Where the hidden name is known before, a link there is not written through."""
    victim, folder = tmp_path / "victim", tmp_path / "shared"
    victim.write_bytes(b"precious")
    folder.mkdir()
    monkeypatch.setattr(whole.secrets, "token_hex", lambda size: "known")
    (folder / f"{whole.PREFIX}known{whole.SUFFIX}").symlink_to(victim)
    with pytest.raises(FileExistsError, match="f'"):
        _files.replace(folder / "f", b"content")
    monkeypatch.undo()
    os.utime(folder / f"{whole.PREFIX}known{whole.SUFFIX}", (0, 0), follow_symlinks=False)
    _files.replace(folder / "f", b"content")
    assert victim.read_bytes() == b"precious"


def test_a_hidden_name_is_never_used_twice(monkeypatch, tmp_path):
    seen, real = [], os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: (seen.append(source), real(source, target)))
    for _ in range(20):
        _files.replace(tmp_path / "f", b"")
    assert len(set(seen)) == 20


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o755])
def test_a_file_keeps_its_mode(mode, tmp_path):
    path = tmp_path / "f"
    path.touch()
    path.chmod(mode)
    _files.replace(path, b"content")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_of_a_new_file(mask, tmp_path):
    before = os.umask(mask)
    try:
        _files.replace(tmp_path / "f", b"content")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o666 & ~mask


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_a_file_keeps_its_owner(monkeypatch, tmp_path):
    path = tmp_path / "f"
    path.touch(0o660)
    path.chmod(0o660)
    os.chown(path, 12345, 54321)
    _files.replace(path, b"content")
    assert (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (12345, 54321, 0o660)
    monkeypatch.setattr(os, "fchown", raising(PermissionError(1, "not allowed")))
    _files.replace(path, b"content")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600  # another group may not read what was for the old one


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_followed(exists, tmp_path):
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    if exists:
        (folder / "f").write_bytes(b"old")
    link.symlink_to(Path("folder") / "f")
    _files.replace(link, b"new")
    assert link.is_symlink() and (folder / "f").read_bytes() == b"new"
    assert names(tmp_path) == ["folder", "link"] and names(folder) == ["f"]


def test_a_long_name(tmp_path):
    _files.replace(tmp_path / ("n" * 255), b"content")
    assert names(tmp_path) == ["n" * 255]


def test_what_cannot_be_written_is_named_with_the_way_out(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    cases = {
        "missing/f": (FileNotFoundError, r"no folder '.*missing' to write into. Make it first: os.makedirs"),
        ".": (IsADirectoryError, "It is a folder. Give the name of a file in it"),
        "loop": (OSError, "It is a link that leads to itself"),
        "pipe": (OSError, "It is a device, pipe or socket, and no file"),
    }
    for name, (error, message) in cases.items():
        with pytest.raises(error, match=message) as caught:
            _files.replace(tmp_path / name, b"content")
        assert caught.value.filename == str(tmp_path / name)
    assert names(tmp_path) == ["loop", "pipe"]
    with pytest.raises(OSError, match="It is a device"):
        _files.replace("/dev/null", b"content")


@pytest.mark.parametrize(
    ("function", "code", "error", "message"),
    [
        ("open", errno.EACCES, PermissionError, "must be one that may be written into .*Give another one"),
        ("open", errno.EROFS, OSError, "must be one that may be written into .*Give another one"),
        ("fsync", errno.ENOSPC, OSError, "could not be written .*what was there before is unchanged"),
        ("replace", errno.EIO, OSError, "could not be written .*what was there before is unchanged"),
    ],
)
def test_an_error_names_the_file_and_not_the_hidden_one(function, code, error, message, monkeypatch, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, function, raising(OSError(code, os.strerror(code), "/hidden")))
    with pytest.raises(error, match=message) as caught:
        _files.replace(path, b"content")
    monkeypatch.undo()
    assert caught.value.filename == str(path) and caught.value.errno == code
    assert "hidden" not in str(caught.value) and whole.PREFIX not in str(caught.value)
    assert names(tmp_path) == ["f"] and path.read_bytes() == b"old"


def test_a_file_that_may_not_be_written_is_left_alone(monkeypatch, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write all
    with pytest.raises(PermissionError, match="The file may not be written"):
        _files.replace(path, b"content")
    assert path.read_bytes() == b"old"


def test_a_file_system_without_flushing_is_written_to(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "fsync", raising(OSError(errno.EINVAL, "Invalid argument")))
    _files.replace(tmp_path / "f", b"content")
    assert (tmp_path / "f").read_bytes() == b"content"


def test_relative_names(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    _files.replace("f", b"content")
    assert Path("f").read_bytes() == b"content"


def test_without_safetensors(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.startswith("safetensors"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'qmljax\[files\]'"):
        written(tmp_path / "f")
    assert not list(tmp_path.iterdir())

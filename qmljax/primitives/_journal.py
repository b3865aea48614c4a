"""The journal: what has been asked and answered, as lines of JSON in a file that only grows.

The first line says what the file is, and of which run; every other is a record that ends in its checksum. A line is
written in one piece while the file is locked, and is on the disk before the run goes on. So the only line that can be
torn is the last, of a process that was killed: it is cut off. All else that is no record was put there by somebody
else, and is refused.
"""

import base64
import datetime
import hashlib
import json
import math
import os
import pathlib
import stat
import threading
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from qmljax._files.checks import check
from qmljax._files.whole import flush, flush_folder, locked

VERSION = 1
# How a journal begins; the rest of the line is of the run that began it.
HEADER = json.dumps({"format": "qmljax", "kind": "journal", "version": VERSION}).encode()[:-1] + b", "
ARRAY = {"shape": [int], "float64": str}
RECORDS = (  # an announcement, a submission, a failure, an answer
    {"chunk": str, "tag": str},
    {"chunk": str, "job": str},
    {"chunk": str, "failed": str},
    {"chunk": str, "job": str, "values": ARRAY, "stds": ARRAY},
)


class Answer(NamedTuple):
    """What a chunk of rows gave: arrays (rows, outputs) of values and of their standard errors."""

    values: np.ndarray
    stds: np.ndarray


class Journal:
    """A file of questions and answers; or, without a path, nothing.

    A question that is asked for the n-th time in one process is the n-th of its kind in the file: a run that is started
    again gets the same answers in the same order, and a run that asks twice gets two measurements.

    Raises:
        ValueError: The file is no journal, or a line was changed since it was written.
    """

    def __init__(self, path: str | os.PathLike[str] | None):
        self.path = None if path is None else pathlib.Path(path)
        self.jobs: dict[str, str] = {}
        self.answers: dict[str, Answer] = {}
        self.announced: set[str] = set()
        self.counts: dict[str, int] = {}
        self._lock = threading.Lock()
        if self.path is not None and self.path.exists():
            _check_kind(self.path, self.path.stat().st_mode)
            for record, answer in _records(self.path, self.path.read_bytes()):
                self._learn(record, answer)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def _learn(self, record: dict[str, Any], answer: Answer | None) -> None:
        key = record["chunk"]
        if answer is not None:
            self.answers[key] = answer
        elif "job" in record:
            self.jobs[key] = record["job"]
        elif "failed" in record:
            self.jobs.pop(key, None)
            self.announced.discard(key)
        else:
            self.announced.add(key)

    def key(self, digest: str) -> str:
        """The name of this question: its digest, and how many like it came before."""
        with self._lock:
            self.counts[digest] = self.counts.get(digest, 0) + 1
            return f"{digest}:{self.counts[digest]}"

    def answer(self, key: str) -> Answer | None:
        """What is written down for a question."""
        return self.answers.get(key)

    def write(self, key: str, answer: Answer | None = None, **record: str) -> None:
        """Appends a record, which is on the disk when this returns.

        Raises:
            ValueError: The file is no journal, or no longer one.
            OSError: It cannot be written. It holds what it held before.
        """
        if self.path is None:
            return
        packed = {} if answer is None else {name: _pack(array) for name, array in answer._asdict().items()}
        body = {"chunk": key, **record, **packed}
        with self._lock:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                _append(self.path, _line(body))
            except OSError as error:
                text = f"The journal could not be written ({error.strerror or error}): make room, or give another file"
                raise type(error)(error.errno, text, str(self.path)) from error
            self._learn(body, answer)


def _append(path: pathlib.Path, line: bytes) -> None:
    """Puts a line at the end of the journal, after whole lines alone; if that fails, nothing has changed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
    with open(descriptor, "rb+", buffering=0) as file:
        _check_kind(path, os.fstat(descriptor).st_mode)
        locked(descriptor, wait=True)  # closing the file unlocks it
        end = _end(path, file)
        if end is None:  # what is there is not even a whole first line
            end, line = 0, _first_line() + line
        file.truncate(end)
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[file.write(rest) :]
            flush(descriptor)
        except BaseException:
            file.truncate(end)
            raise
    if line.startswith(HEADER):
        flush_folder(str(path.parent))


def _first_line() -> bytes:
    """What the file is, and of which run: its name, and when it began."""
    run = {"run": uuid.uuid4().hex, "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
    return HEADER + json.dumps(run).encode()[1:] + b"\n"


def _end(path: pathlib.Path, file: Any) -> int | None:
    """Where the last whole line ends, in the open journal; None if it has no first line yet."""
    file.seek(0)
    head = file.read(len(HEADER))
    if head != HEADER:
        if HEADER.startswith(head):
            return None
        raise ValueError(_foreign(path, head))
    end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - 4096)
        file.seek(begin)
        cut = file.read(end - begin).rfind(b"\n")
        if cut >= 0:
            return int(begin + cut + 1)
        end = begin
    return None


def _check_kind(path: pathlib.Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise ValueError(f"`journal` must be a file, but {str(path)!r} is a folder, a device or a pipe. Give a file.")


def _records(path: pathlib.Path, content: bytes) -> Iterator[tuple[dict[str, Any], Answer | None]]:
    """The records of a journal, without a torn last line, which a process left that was killed."""
    if content and not content.startswith(HEADER) and not HEADER.startswith(content):
        raise ValueError(_foreign(path, content))
    for number, line in enumerate(content.split(b"\n")[1:-1], start=2):
        try:
            yield _read(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"Line {number} of the journal {str(path)!r} is not as it was written: {error}. Take another copy, or "
                "remove the line: what it held is then asked again."
            ) from error


def _foreign(path: pathlib.Path, content: bytes) -> str:
    line = content.partition(b"\n")[0]
    try:
        about = json.loads(line)
        version = about["version"] if about["format"] == "qmljax" and about["kind"] == "journal" else 0
    except (ValueError, TypeError, LookupError, RecursionError):
        version = 0
    if isinstance(version, int) and version > VERSION:
        return (
            f"The journal {str(path)!r} has version {version} of the format, but this qmljax reads up to version "
            f"{VERSION}. Use a newer qmljax, or give a new file."
        )
    return (
        f"`journal` must be a file that a PrimitiveBackend began, or a new one, but {str(path)!r} begins with "
        f"{line[:40]!r}. Give another file: nothing was written to this one."
    )


def _line(record: dict[str, Any]) -> bytes:
    body = json.dumps(record).encode()
    return body[:-1] + _seal(body) + b"\n"


def _seal(body: bytes) -> bytes:
    """The end of a line in place of the last brace of its record."""
    return b', "sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'"}'


def _read(line: bytes) -> tuple[dict[str, Any], Answer | None]:
    """The record of a line, and the answer in it."""
    body = line[: -len(_seal(b""))] + b"}"
    if body[:-1] + _seal(body) != line:
        raise ValueError("its checksum is not that of what it holds")
    record = json.loads(body)
    check(record, RECORDS, "a record")
    return record, Answer(_unpack(record["values"]), _unpack(record["stds"])) if "values" in record else None


def _pack(array: np.ndarray) -> dict[str, Any]:
    return {"shape": list(array.shape), "float64": base64.b64encode(np.asarray(array, "<f8").tobytes()).decode()}


def _unpack(packed: dict[str, Any]) -> np.ndarray:
    content = base64.b64decode(packed["float64"], validate=True)
    if min(packed["shape"], default=0) < 0 or len(content) != 8 * math.prod(packed["shape"]):
        raise ValueError(f"it has {len(content)} bytes of numbers for an array of shape {packed['shape']}")
    return np.frombuffer(content, "<f8").astype(float).reshape(packed["shape"])

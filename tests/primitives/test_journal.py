"""Journals of jobs. Oracle: the records that were written, and faults put into the file by hand."""

import base64
import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorEstimator

from qmljax.primitives import PrimitiveBackend, _journal
from qmljax.primitives._journal import Answer, Journal

VALUES = np.array([[0.1, np.nan, 1e-300], [17.5, -0.0, np.inf]])


def begun(path: Path, count: int = 3) -> Journal:
    """A journal of some answers."""
    journal = Journal(path)
    for k in range(count):
        journal.write(journal.key("q"), Answer(VALUES + k, VALUES), job=f"job{k}")
    return journal


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def sealed(record: Any) -> bytes:
    """A line with a right checksum: that of the record's text, at its end."""
    text = json.dumps(record)
    return f'{text[:-1]}, "sha256": "{hashlib.sha256(text.encode()).hexdigest()}"}}\n'.encode()


def test_the_journal_is_plain_and_keeps_repetitions_apart(tmp_path):
    path = tmp_path / "new" / "journal"
    journal, other = Journal(path), Journal(path)
    keys = [journal.key("q"), journal.key("q"), journal.key("r")]
    for k, key in enumerate(keys):
        journal.write(key, Answer(VALUES + k, VALUES), job="j")
    head, *records = [json.loads(line) for line in lines(path)]
    of_run = {"run": head["run"], "began": head["began"]}  # see below
    assert head == {"format": "qmljax", "kind": "journal", "version": 1} | of_run
    assert [record["chunk"] for record in records] == ["q:1", "q:2", "r:1"]
    packed = np.frombuffer(base64.b64decode(records[1]["values"]["float64"])).reshape(records[1]["values"]["shape"])
    np.testing.assert_array_equal(packed, VALUES + 1)
    assert other.answer("q:1") is None
    for k, key in enumerate([(again := Journal(path)).key("q"), again.key("q")]):
        assert again.answer(key).values.tobytes() == (VALUES + k).tobytes()
        assert again.answer(key).stds.tobytes() == VALUES.tobytes()


def test_what_was_submitted_is_known_again(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.write("a:1", tag="t")
    journal.write("b:1", job="j")
    journal.write("c:1", tag="t")
    journal.write("c:1", job="j")
    journal.write("c:1", failed="j")
    for known in (journal, Journal(tmp_path / "journal")):
        assert (known.jobs, known.announced, known.answers) == ({"b:1": "j"}, {"a:1"}, {})


@pytest.mark.parametrize(
    "content",
    [b"a diary\nof mine\n", b"{}\n", b"\x00" * 40, b'{"chunk": "q:1", "job": "j"}\n', b"x", b"\n", b"[" * 99],
)
def test_a_file_of_others_is_refused_and_kept(content, tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="`journal` must be a file that a PrimitiveBackend began.*thesis.txt"):
        Journal(path)
    path.unlink()
    journal = Journal(path)  # and where it has come there meanwhile
    path.write_bytes(content)
    with pytest.raises(ValueError, match="`journal` must be a file that a PrimitiveBackend began"):
        journal.write("q:1", job="j")
    assert path.read_bytes() == content


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(ValueError, match="`journal` must be a file, but .* is a folder, a device or a pipe"):
            Journal(path)


def test_a_later_version_is_refused(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(b'{"format": "qmljax", "kind": "journal", "version": 2}\n')
    with pytest.raises(ValueError, match="has version 2 of the format, but this qmljax reads up to version 1"):
        Journal(path)


@pytest.mark.parametrize("torn", [b"", b"{", b'{"chunk": "q:4", "values": {"shape": [2, 1], "flo', b"\x00" * 9000])
@pytest.mark.parametrize("count", [0, 2])
def test_a_torn_last_line_is_cut_off(torn, count, tmp_path):
    """It was nobody's answer yet: the process that wrote it died. What follows begins a line."""
    path = tmp_path / "journal"
    begun(path, 1 + count)
    whole = lines(path)
    path.write_bytes(b"".join(whole) + torn)
    journal = Journal(path)
    assert len(journal.answers) == 1 + count
    assert path.read_bytes().endswith(torn)  # reading changes nothing: somebody may be writing it
    journal.write("r:1", job="j")
    assert lines(path)[:-1] == whole and len(Journal(path).answers) == 1 + count and Journal(path).jobs == {"r:1": "j"}


@pytest.mark.parametrize("length", range(54))
def test_a_torn_first_line_begins_anew(length, tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(_journal.HEADER[:length])
    Journal(path).write("q:1", job="j")
    assert lines(path)[0].startswith(_journal.HEADER) and Journal(path).jobs == {"q:1": "j"}


def test_an_edited_value_is_seen(tmp_path):
    """Whichever byte of a record is another."""
    path = tmp_path / "journal"
    begun(path, 3)
    content = path.read_bytes()
    begin, end = len(lines(path)[0]) + len(lines(path)[1]), len(content) - len(lines(path)[3])
    for k in range(begin, end - 1):
        path.write_bytes(content[:k] + bytes([content[k] ^ 1]) + content[k + 1 :])
        with pytest.raises(ValueError, match="Line 3 of the journal .* is not as it was written: its checksum"):
            Journal(path)


ARRAY = {"shape": [1, 1], "float64": base64.b64encode(np.ones(1).tobytes()).decode()}


@pytest.mark.parametrize(
    "record",
    [
        [],
        1,
        {},
        {"chunk": "q:1"},
        {"chunk": 1, "job": "j"},
        {"chunk": "q:1", "job": 3},
        {"chunk": "q:1", "job": None},
        {"chunk": "q:1", "job": "j", "values": ARRAY},
        {"chunk": "q:1", "job": "j", "values": ARRAY, "stds": 3},
        {"chunk": "q:1", "job": "j", "values": ARRAY, "stds": ARRAY | {"shape": [10**9]}},
        {"chunk": "q:1", "job": "j", "values": ARRAY, "stds": ARRAY | {"shape": [-1]}},
        {"chunk": "q:1", "job": "j", "values": ARRAY, "stds": ARRAY | {"shape": [-1, -1]}},
        {"chunk": "q:1", "job": "j", "values": ARRAY, "stds": ARRAY | {"shape": "11"}},
        {"chunk": "q:1", "job": "j", "values": ARRAY, "stds": ARRAY | {"float64": "é"}},
        {"chunk": "q:1", "job": "j", "values": ARRAY, "stds": ARRAY | {"float64": "AAAA"}},
        {"chunk": "q:1", "tag": "t", "more": 1},
    ],
)
def test_a_malformed_record_is_refused_with_its_line(record, tmp_path):
    path = tmp_path / "journal"
    begun(path, 1)
    path.write_bytes(path.read_bytes() + sealed(record) + sealed({"chunk": "q:9", "job": "j"}))
    with pytest.raises(ValueError, match="Line 3 of the journal '.*journal' is not as it was written"):
        Journal(path)


@pytest.mark.parametrize("line", [b"\n", b"{\n", b"hello\n", b"\xff\xfe\n", b'{"chunk": "q:9", "job": "j"}\n'])
def test_a_line_of_others_is_refused(line, tmp_path):
    path = tmp_path / "journal"
    begun(path, 1)
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(ValueError, match="Line 3 of the journal .*: its checksum .*or remove the line"):
        Journal(path)


def test_writers_in_threads_keep_lines_whole(tmp_path):
    path = tmp_path / "journal"
    shared = Journal(path)

    def write(k: int) -> None:
        journal = shared if k % 2 else Journal(path)
        for n in range(20):
            journal.write(f"{k}:{n}", Answer(VALUES, VALUES), job="j" * 5000)

    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Journal(path).answers.keys() == {f"{k}:{n}" for k in range(4) for n in range(20)}
    assert len(lines(path)) == 81 and not path.read_bytes().count(_journal.HEADER) > 1


WRITER = """
import sys
from qmljax.primitives._journal import Journal
sys.stdin.readline()
journal = Journal(sys.argv[1])
for n in range(100):
    journal.write(f"{sys.argv[2]}:{n}", job="j" * 9000)
"""


def test_writers_in_processes_keep_lines_whole(tmp_path):
    path = tmp_path / "journal"
    command = [sys.executable, "-c", WRITER, str(path)]
    processes = [subprocess.Popen([*command, str(k)], stdin=subprocess.PIPE) for k in range(2)]
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.close()
    assert [process.wait(120) for process in processes] == [0, 0]
    assert Journal(path).jobs.keys() == {f"{k}:{n}" for k in range(2) for n in range(100)}


def test_a_line_is_on_the_disk_when_it_is_written(monkeypatch, tmp_path):
    flushed, real = [], os.fsync

    def fsync(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "journal"
    begun(path, 2)
    file, sizes = path.stat().st_ino, np.cumsum([len(line) for line in lines(path)])
    assert [size for inode, size in flushed if inode == file] == sizes[1:].tolist()
    assert tmp_path.stat().st_ino in {inode for inode, _ in flushed}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_write_that_fails_leaves_whole_lines_and_names_the_file(code, monkeypatch, tmp_path):
    path = tmp_path / "journal"
    journal = begun(path, 1)
    content = path.read_bytes()

    def fsync(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="The journal could not be written .*make room, or give another file") as caught:
        journal.write("r:1", job="j")
    monkeypatch.undo()
    assert (caught.value.errno, caught.value.filename) == (code, str(path))
    assert path.read_bytes() == content and "r:1" not in journal.jobs


def test_a_journal_behind_a_link_keeps_its_mode(tmp_path):
    path, link = tmp_path / "journal", tmp_path / "link"
    begun(path, 1)
    path.chmod(0o600)
    link.symlink_to(path)
    Journal(link).write("r:1", job="j")
    assert link.is_symlink() and Journal(path).jobs == {"r:1": "j"} and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_first_line_says_of_which_run(tmp_path):
    """Each file is of a run of its own; a line that was torn before its end is written anew."""
    for name in ("a", "b"):
        Journal(tmp_path / name).write("q:1", job="j")
    first = [json.loads(lines(tmp_path / name)[0]) for name in ("a", "b")]
    assert [about["kind"] for about in first] == ["journal", "journal"] and first[0]["run"] != first[1]["run"]
    assert len(first[0]["run"]) == 32 and first[0]["began"].endswith("+00:00")
    torn = tmp_path / "torn"
    torn.write_bytes(lines(tmp_path / "a")[0][:-9])
    Journal(torn).write("q:1", job="j")
    assert len(lines(torn)) == 2 and Journal(torn).jobs == {"q:1": "j"}


@pytest.mark.parametrize(
    "values",
    [np.zeros((4, 1)), np.full((3, 1), np.nan), np.zeros((1, 1)), np.zeros(()), np.zeros((3, 2))],
    ids=lambda v: str(v.shape),
)
def test_answers_that_are_none_to_what_is_asked(values, tmp_path):
    """With a right checksum."""
    path = tmp_path / "journal"
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("t"), 0)

    def ask():
        f = PrimitiveBackend(StatevectorEstimator(), journal=path).expectation(circuit, ["Z"])
        return f(np.array([[0.1], [0.2], [0.3]]))

    ask()
    (key,) = _journal.Journal(path).answers
    path.unlink()
    _journal.Journal(path).write(key, _journal.Answer(values, np.zeros_like(values)), job="x")
    with pytest.raises(ValueError, match=r"must hold finite numbers of shape \(3, 1\) for what is asked"):
        ask()

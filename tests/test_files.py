"""Files that are whole or not there. Oracles: the arrays that were written, and faults put into the file by hand."""

import builtins
import json
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from qmljax import _files

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

"""Checkpoints of a training: what its steps work on and what was seen so far, in a file that resumes it to the bit."""

import hashlib
import os
import pathlib
import time
import warnings
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from qmljax import _files
from qmljax._training.leaves import Run, as_numpy, like
from qmljax._training.places import Places
from qmljax._training.stops import Standing
from qmljax._training.watch import Watch

WRITING = 0.05  # the share of the time that may go into checkpoints


class Checkpoint:
    """A file that holds a run: what a step works on, and what was seen so far."""

    KIND = "checkpoint"

    def __init__(
        self, path: str | os.PathLike, run: Run, watch: Watch, settings: tuple[Any, ...], places: Places
    ) -> None:
        self.path, self.run, self.watch, self.places = pathlib.Path(path), run, watch, places
        self.failing = False
        self.fingerprint = _digest((run, settings))
        self.next = 0.0  # when to write again

    def load(self, history: np.ndarray) -> tuple[Run, int, tuple[Run, int]]:
        """The run in the file, its step, and the run and the step one visit before; else the new run.

        The losses go into `history`.
        """
        if not self._exists():
            self._start(history[..., :0])
            return self.run, 0, (self.run, 0)
        header, arrays = _files.read(self.path, self.KIND)
        with _files.reading(self.path):
            _files.check(header, {"fingerprint": str, "stopped": (str, None)}, "its header")
            done = arrays["history"].shape[-1]
        if header["fingerprint"] != self.fingerprint:
            raise ValueError(
                f"The checkpoint {str(self.path)!r} was written by a run with other data, weights, key or options. "
                "Delete it to start anew, or give another name."
            )
        if done > history.shape[-1]:
            raise ValueError(
                f"The checkpoint {str(self.path)!r} is at step {done}, but `steps` is {history.shape[-1]}. Give as "
                "many steps or more."
            )
        with _files.reading(self.path):
            return self._resumed(header, arrays, history[..., :done])

    def _resumed(self, header: dict[str, Any], arrays: dict[str, np.ndarray], history: np.ndarray) -> Any:
        """What `load` returns, of arrays that may come from anyone."""
        run, earlier, best = _unflatten((self.run, self.run, self.run[0]), arrays)
        watch = self.watch
        members = watch.standing.alive.shape
        shapes = {name: members for name in ("best", "best_at", "alive", "stopped_at")} | {
            "history": history.shape,
            "since": (),
        }
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"its array {name!r} must have shape {shape}, but has shape {arrays[name].shape}")
        history[...] = arrays["history"]
        watch.visits, watch.stopped = arrays["visits"].tolist(), header["stopped"]
        if watch.evaluate is not None:
            watch.validation = list(np.moveaxis(arrays["validation"], -1, 0))
        watch.best, watch.best_at = arrays["best"], arrays["best_at"]
        watch.standing = Standing(arrays["alive"], arrays["stopped_at"])
        watch.best_weights = best if watch.visits else None
        return run, history.shape[-1], (earlier, int(arrays["since"]))

    def _start(self, history: np.ndarray) -> None:
        """Writes the file before the first step: what cannot be written should fail now."""
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                f"`checkpoint` must be a file in a folder that exists, but there is no folder {str(self.path.parent)!r}"
                f" for {self.path.name!r}. Make it first, with pathlib.Path.mkdir, or give another name."
            )
        if (error := self._write(self.run, (self.run, 0), history)) is not None:
            raise type(error)(
                error.errno,
                f"`checkpoint` must be a file that can be written, but is not: {error.strerror}. Give another name",
                str(self.path),
            ) from error

    def save(self, run: Run, earlier: tuple[Run, int], history: np.ndarray, now: bool = False) -> None:
        """Writes the file, unless it was written a moment ago; that it cannot be written is only a warning."""
        begun = time.monotonic()
        if self.places.agree(begun < self.next and not now):
            return
        error = self._write(run, earlier, history)
        if error is not None:
            if not self.failing or now:
                warnings.warn(
                    f"The checkpoint {str(self.path)!r} could not be written at step {history.shape[-1]}: "
                    f"{error.strerror or error}. Training goes on, and the file is what it was before. Make room for "
                    "it: it is tried again.",
                    RuntimeWarning,
                    stacklevel=4,
                )
        self.failing = error is not None
        end = time.monotonic()
        self.next = end + (end - begun) / WRITING

    def _exists(self) -> bool:
        """Whether there is a file, which all processes see."""
        there = self.path.exists()
        if self.places.spans and len(set(multihost_utils.process_allgather(np.array(there)).ravel().tolist())) > 1:
            raise ValueError(
                f"`checkpoint` must be a file that all processes see, but only some see {str(self.path)!r}. Give one "
                "on a file system that they share."
            )
        return there

    def _write(self, run: Run, earlier: tuple[Run, int], history: np.ndarray) -> OSError | None:
        """Writes the file, as the first of all processes; returns the error if it cannot be written."""
        watch = self.watch
        best = run[0] if watch.best_weights is None else watch.best_weights
        arrays = _flatten((run, earlier[0], best)) | {"history": history, "visits": np.array(watch.visits, int)}
        arrays |= {"best": watch.best, "best_at": watch.best_at, "since": np.array(earlier[1])}
        arrays |= watch.standing._asdict()
        if (validation := watch.validations()) is not None:
            arrays["validation"] = validation
        final = watch.stopped if watch.stopped in ("patience", "convergence", "nan") else None
        fault: OSError | None = None
        if not self.places.spans or jax.process_index() == 0:
            try:
                _files.write(self.path, self.KIND, {"fingerprint": self.fingerprint, "stopped": final}, arrays)
            except OSError as error:
                fault = error
        if self.places.agree(fault is not None) and fault is None:
            fault = OSError(None, "the first process could not write it")
        return fault


def _flatten(tree: Any) -> dict[str, np.ndarray]:
    """The leaves by number."""
    return {str(k): as_numpy(leaf) for k, leaf in enumerate(jax.tree.leaves(tree))}


def _unflatten(example: Any, arrays: dict[str, np.ndarray]) -> Any:
    leaves, tree = jax.tree.flatten(example)
    for k, leaf in enumerate(leaves):
        if arrays[str(k)].shape != (shape := as_numpy(leaf).shape):
            raise ValueError(f"its array {k} must have shape {shape}, but has shape {arrays[str(k)].shape}")
    return jax.tree.unflatten(tree, [like(arrays[str(k)], leaf) for k, leaf in enumerate(leaves)])


def _digest(tree: Any) -> str:
    leaves, structure = jax.tree.flatten(tree)
    digest = hashlib.sha256(str(structure).encode())
    for leaf in leaves:
        if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
            digest.update(_digest_of_processes(leaf))
            continue
        array = np.ascontiguousarray(as_numpy(leaf))
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def _digest_of_processes(array: jax.Array) -> bytes:
    """The same on all processes, each of which reads what it holds."""
    own = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    for shard in sorted(array.addressable_shards, key=lambda shard: shard.device.id):
        own.update(f"{shard.index}".encode() + np.asarray(shard.data).tobytes())
    return multihost_utils.process_allgather(np.frombuffer(own.digest(), np.uint8)).tobytes()

"""What one of two processes does, each with four devices: fit_in_two_processes.py address processes rank folder."""

import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import qmljax as qj
from qmljax._training.leaves import as_numpy


def main(address: str, processes: int, rank: int, folder: Path) -> dict[str, Any]:
    """What is found, the same by all processes."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, processes, rank)
    from tests._training.test_places import model, points, squares  # which asks for the devices

    found: dict[str, Any] = {}
    w, x, y = points("f")
    for kind in ("Auto", "Explicit"):
        mesh = jax.make_mesh((2, 4), ("a", "b"), axis_types=(getattr(AxisType, kind),) * 2)

        def spread(array: np.ndarray, *axes: Any, mesh: Any = mesh) -> Any:
            """An array over both processes, each of which makes its own part."""
            return jax.make_array_from_callback(
                array.shape, NamedSharding(mesh, PartitionSpec(*axes)), lambda index: array[index]
            )

        data = spread(x, ("a", "b")), spread(y, ("a", "b"))
        about: dict[str, Any] = {"optimizer": optax.adam(0.1)}
        batches = about | {"batch_size": 8, "key": jax.random.key(0)}
        full = qj.fit(squares, w, data, steps=5, validation=data, patience=9, **about)
        members = qj.fit(squares, spread(np.stack([w, 2 * w]), "a"), (spread(x, "b"), y), steps=5, **about)
        file = folder / kind
        qj.fit(squares, w, data, steps=3, checkpoint=file, **batches)
        resumed = qj.fit(squares, w, data, steps=5, checkpoint=file, **batches)
        unbroken = qj.fit(squares, w, data, steps=5, **batches)
        found[kind] = {
            "values": as_numpy(model()(w, data[0]))[:, 0].tolist(),
            "full": np.asarray(full.weights).tolist(),
            "ensemble": as_numpy(members.weights).tolist(),
            "resumed": np.asarray(resumed.weights).tolist(),
            "unbroken": np.asarray(unbroken.weights).tolist(),
            "steps": [len(full.history), int(full.stopped_at)],
        }
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))))

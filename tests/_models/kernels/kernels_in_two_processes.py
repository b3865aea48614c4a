"""A kernel matrix over two processes; `test_kernels_on_devices.py` runs it, with the arguments of `run_processes`."""

import sys

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from qiskit.circuit.library import zz_feature_map

import qmljax as qj
from qmljax.circuits import raw_feature_vector


def check(got: jax.Array, expected: jax.Array) -> None:
    for part in got.addressable_shards:
        np.testing.assert_allclose(part.data, np.asarray(expected)[part.index], rtol=0, atol=1e-4)


def main(address: str, processes: str, rank: str) -> None:
    jax.distributed.initialize(address, int(processes), int(rank))
    points = np.random.default_rng(0).uniform(0.1, 1, (24, 2)).astype(np.float32)
    labels = np.where(points[:, 0] > 0.5, 1, -1).astype(np.float32)
    by_rows = NamedSharding(jax.make_mesh((8,), ("i",)), PartitionSpec("i"))
    x, y = (jax.make_array_from_callback(a.shape, by_rows, a.__getitem__) for a in (points, labels))
    for kernel in (qj.fidelity_kernel(zz_feature_map(2)), qj.fidelity_kernel(raw_feature_vector(2))):  # of amplitudes
        gram, alone = kernel(x), kernel(points)
        check(gram, alone)
        check(kernel(x, points[:3]), kernel(points, points[:3]))
        for loss in (qj.gram.svc_loss, qj.gram.kernel_alignment):
            check(loss(gram, y), loss(alone, labels))
    print("all as on one device")


if __name__ == "__main__":
    main(*sys.argv[1:])

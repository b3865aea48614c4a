"""Any permutation of amplitudes over devices, by two exchanges between three permutations within devices.

An exchange is of equal parts: each device sends as much to each. What a permutation has to send need not be equal, but
over a third device in between it is (a Clos network, which is rearrangeable: D. Slepian, 1952). Which amplitude goes by
which device is a colouring of the edges of a bipartite graph, found by splitting it in halves along Euler's cycles.
"""

import numpy as np


def three_permutations(image: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Permutations within devices, (devices, 2**m) each: where the amplitude at each place of a device goes.

    Args:
        image: Where the amplitude at each place of all devices goes, (devices * 2**m,).
        m: The bits of a place within a device. Between two of the permutations the bits of the device's number are
            swapped with the highest of these.
    """
    devices = len(image) >> m
    k = devices.bit_length() - 1
    part = 1 << m - k
    source = np.arange(len(image)) >> m
    middle = _colours(source, image >> m, devices)
    first = np.empty_like(image)
    # By the first exchange an amplitude comes from chunk `middle` of its device to chunk `source` of device `middle`.
    slot = _ranks(source * devices + middle, len(image))
    first = (middle * part + slot).reshape(devices, -1)
    second = np.empty((devices, 1 << m), np.int64)
    last = np.empty((devices, 1 << m), np.int64)
    # By the second one, from chunk `target` of device `middle` to chunk `middle` of device `target`.
    target = image >> m
    again = _ranks(middle * devices + target, len(image))
    second[middle, source * part + slot] = target * part + again
    last[target, middle * part + again] = image & (1 << m) - 1
    return first, second, last


def _ranks(keys: np.ndarray, count: int) -> np.ndarray:
    """How many elements before each have the same key."""
    order = np.argsort(keys, kind="stable")
    starts = np.searchsorted(keys[order], keys[order])
    ranks = np.empty(count, np.int64)
    ranks[order] = np.arange(count) - starts
    return ranks


def _colours(source: np.ndarray, target: np.ndarray, devices: int) -> np.ndarray:
    """A device in between for each amplitude, so that each sends equal parts to all of them, and they to all others."""
    pairs = source * devices + target
    counts = [np.bincount(pairs, minlength=devices**2).reshape(devices, devices)]
    while len(counts) < devices:
        counts = [half for count in counts for half in _halves(count)]
    rank = _ranks(pairs, len(pairs))
    ends = np.cumsum(np.stack(counts).reshape(devices, -1), axis=0)  # (colours, pairs)
    return (rank[None] >= ends[:, pairs]).sum(axis=0)


def _halves(count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges (from, to), as many at each node, an even number, as two such graphs of half as many at each node."""
    first = count // 2
    odd = count % 2  # at each node an even number of these: they are cycles, whose edges alternate
    for start in range(len(count)):
        row = start
        while odd[row].any():  # by an edge of one half to a column, by one of the other to the next row
            column = int(np.argmax(odd[row]))
            odd[row, column] = 0
            first[row, column] += 1
            row = int(np.argmax(odd[:, column]))
            odd[row, column] = 0
    return first, count - first

"""The conventions, and how a layer acts. Oracle: Kronecker products in numpy, qubit n - 1 the first factor."""

import functools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import pytest

from qmljax._engine import state as states

pytestmark = pytest.mark.usefixtures("x64")
TURN = np.array([[0.0, -1.0], [1.0, 0.0]])


def kron(factors: list[np.ndarray]) -> np.ndarray:
    """Little endian: the factor of qubit 0 is the last."""
    return functools.reduce(np.kron, reversed(factors))


def on_qubit(matrix: np.ndarray, q: int, n: int) -> np.ndarray:
    return kron([matrix if k == q else np.eye(2) for k in range(n)])


def ry(a: float) -> np.ndarray:
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


def rotate(a: np.ndarray, state: np.ndarray, qubits: Sequence[int] | None = None) -> np.ndarray:
    a = jnp.asarray(a)
    return np.asarray(states.rotate(jnp.cos(a), jnp.sin(a), jnp.asarray(state), qubits or range(len(a))))


def close(x, y) -> None:
    np.testing.assert_allclose(x, y, rtol=0, atol=1e-12)


def test_bit_q_of_an_index_is_qubit_q():
    n = 3
    for q in range(n):
        a = np.zeros(n)
        a[q] = np.pi / 2  # RY(pi)|0> = |1>
        state = rotate(a, np.eye(1, 1 << n))
        close(state[0], np.eye(1 << n)[1 << q])


def test_complex_amplitudes_and_probabilities():
    state = np.random.default_rng(0).normal(size=(2, 4, 3))
    close(states.to_complex(state), state[0] + 1j * state[1])
    close(states.to_complex(state[:1]), state[0])
    close(states.square(state), abs(state[0] + 1j * state[1]) ** 2)
    close(states.square(state[:1]), state[0] ** 2)


@pytest.mark.parametrize("n", range(1, 31))
def test_blocks_cover_the_qubits(n):
    widths = states.block_widths(n)
    assert sum(widths) == n and max(widths) - min(widths) <= 1 and max(widths) <= 7
    assert len(widths) == (1 if n <= 7 else 2 if n <= 12 else -(-n // 5))


@pytest.mark.parametrize("single", [0, 12])  # by matrices, and elementwise
@pytest.mark.parametrize("n, components", [(1, 2), (7, 2), (8, 1), (8, 2)])  # one block up to 7 qubits, two above
def test_rotate_shared_and_per_sample_is_the_kronecker_product(n, components, single, monkeypatch):
    monkeypatch.setattr(states, "SINGLE", single)
    rng = np.random.default_rng(n)
    a, state = rng.normal(size=n), rng.normal(size=(components, 1 << n, 9))
    expected = np.einsum("ij,cjb->cib", kron([ry(x) for x in a]), state, optimize=True)
    close(rotate(a, state[..., 0]), expected[..., 0])
    for batch in (3, 9):  # below and above ELEMENTWISE
        each = np.repeat(a[:, None], batch, 1)
        close(rotate(a[:, None], state[..., :batch]), expected[..., :batch])
        close(rotate(each, state[..., :batch]), expected[..., :batch])


def test_rotate_in_three_blocks():  # 13 qubits: a product state stays one
    n = 13
    rng = np.random.default_rng(0)
    before, a = rng.normal(size=(2, n))
    state = functools.reduce(np.kron, [ry(x)[:, :1] for x in before[::-1]])[None, :, 0]
    expected = functools.reduce(np.kron, [ry(x)[:, :1] for x in (before + a)[::-1]])[None, :, 0]
    close(rotate(a, state), expected)
    batch = np.stack([state, -state, 2 * state], -1)
    close(rotate(a[:, None], batch), np.stack([expected, -expected, 2 * expected], -1))


@pytest.mark.parametrize("qubits", [(3,), (0, 1, 5), (1, 2, 3, 4, 6, 8, 9, 11, 12)])  # elementwise twice, matrices
def test_rotate_some_of_13_qubits(qubits):
    rng = np.random.default_rng(0)
    left, state = rng.normal(size=(2, 2, 1 << 13))
    a = rng.normal(size=len(qubits))

    def act(matrix: np.ndarray, q: int, state: np.ndarray) -> np.ndarray:
        split = state.reshape(2, 1 << (12 - q), 2, 1 << q)
        return np.einsum("ij,cajb->caib", matrix, split).reshape(state.shape)

    expected = state
    for angle, q in zip(a, qubits, strict=True):
        expected = act(ry(angle), q, expected)
    close(rotate(a, state, qubits), expected)
    moments = [np.sum(left * act(TURN, q, state)) for q in qubits]
    np.testing.assert_allclose(states.rotate_moments(left, state, (), qubits), moments, rtol=0, atol=1e-10)


@pytest.mark.parametrize("together", [0, 1 << 20])  # qubit by qubit, and all at once
@pytest.mark.parametrize("n, components", [(1, 2), (3, 1), (8, 2)])
def test_generators_of_rotations(n, components, together, monkeypatch):
    monkeypatch.setattr(states, "_TOGETHER", together)
    rng = np.random.default_rng(n)
    a, (left, state) = rng.normal(size=(n, 3)), rng.normal(size=(2, components, 1 << n, 3))
    images = np.stack([np.einsum("ij,cjb->cib", on_qubit(TURN, q, n), state) for q in range(n)])
    close(states.rotate_generate(a, state, range(n)), np.einsum("qb,qcib->cib", a, images))
    moments = np.einsum("cib,qcib->qb", left, images)
    close(states.rotate_moments(left, state, (3,), range(n)), moments)
    close(states.rotate_moments(left, state, (1,), range(n)), moments.sum(axis=1, keepdims=True))
    close(states.rotate_moments(left[..., 0], state[..., 0], (), range(n)), moments[:, 0])


@pytest.mark.parametrize("batch", [(), (3,), (1,)])
@pytest.mark.parametrize("factored", [False, True])
def test_phases(factored, batch):
    n, K = 5, 4
    rng = np.random.default_rng(1)
    low, high = rng.normal(size=(K, 1 << n)), None
    c = low
    if factored:
        low, high = rng.normal(size=(3, 4)), rng.normal(size=(K, 3, 8))
        c = np.array([[high[k, :, z >> 2] @ low[:, z & 3] for z in range(1 << n)] for k in range(K)])
    a, (left, state) = rng.normal(size=(K, *batch)), rng.normal(size=(2, 2, 1 << n, *(3,) * len(batch)))
    phi = np.tensordot(c.T, a, 1)
    both = [x[0] + 1j * x[1] for x in (left, state)]
    close(states.to_complex(states.shift_phases(a, state, low, high)), np.exp(1j * phi) * both[1])
    close(states.to_complex(states.phases_generate(a, state, low, high)), 1j * phi * both[1])
    moments = np.tensordot(c, (both[0].conj() * 1j * both[1]).real, 1)  # Re <left, i c_k state>
    if batch == (1,):
        moments = moments.sum(axis=1, keepdims=True)
    close(states.phases_moments(left, state, batch, low, high), moments)
    weight = rng.normal(size=(1 << n, *batch))
    close(states.weigh(weight, low, high), np.tensordot(c, weight, 1))


@pytest.mark.parametrize("dtype, rounding", [(np.float32, 1.2e-7), (np.float64, 4e-16)])
def test_cosine_and_sine(dtype, rounding):
    x = np.random.default_rng(3).uniform(-1000, 1000, 100_000).astype(dtype)
    cos, sin = (np.asarray(y, np.longdouble) for y in states.cos_sin(jnp.asarray(x)))
    exact = x.astype(np.longdouble)
    np.testing.assert_allclose((cos, sin), (np.cos(exact), np.sin(exact)), rtol=0, atol=rounding)
    cos, sin = (np.asarray(y, float) for y in states.cos_sin(jnp.asarray([1e5, 1e9, 1e20, -1e30], dtype)))
    np.testing.assert_allclose(cos**2 + sin**2, 1.0, rtol=0, atol=4 * rounding)  # whatever the angle, a rotation
    assert np.isnan(states.cos_sin(jnp.asarray([np.nan, np.inf, -np.inf], dtype))).all()
    assert [y.item() for y in states.cos_sin(jnp.zeros(1, dtype))] == [1.0, 0.0]


@pytest.mark.parametrize("batch", [(), (3,)])
def test_permutations_diagonals_and_matrices(batch):
    n = 4
    rng = np.random.default_rng(2)
    state = jnp.asarray(rng.normal(size=(2, 1 << n, *batch)))
    psi = np.asarray(state[0]) + 1j * np.asarray(state[1])
    high, low = np.array([0, 12, 4, 8]), np.array([1, 0, 3, 2])
    source = np.array([high[y >> 2] ^ low[y & 3] for y in range(1 << n)])
    close(states.permute(state, high, low), state[:, source])
    diagonal = np.exp(1j * rng.normal(size=1 << n))
    both = np.stack([diagonal.real, diagonal.imag])
    column = diagonal.reshape(-1, *(1,) * len(batch))
    close(states.to_complex(states.multiply(state, both)), column * psi)
    close(states.to_complex(states.multiply(state, both[0])), column.real * psi)
    matrix = rng.normal(size=(8, 8)) + 1j * rng.normal(size=(8, 8))  # on qubits 1, 2, 3
    dense = np.kron(matrix, np.eye(2))
    close(states.to_complex(states.transform(state, states.join_complex(matrix))), np.tensordot(dense, psi, 1))
    close(states.transform(state[:1], matrix.real)[0], np.tensordot(dense.real, state[0], 1))

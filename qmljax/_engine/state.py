"""The conventions of a state, and how a layer acts on one.

**Bit order** is Qiskit's, little endian: bit q of a basis index z is qubit q.

**A state is a real array of shape (C, 2**n, *batch)**. `C` = 2 holds real and imaginary parts; `C` = 1 is a real state,
which real circuits keep. Real and imaginary part stand apart because the product layers are real matrices, which act on
both alike, and because XLA multiplies real matrices up to three times faster than complex ones. The batch comes last:
then a permutation moves contiguous rows, and rotations with an angle per sample are elementwise over it.

**Angles of a layer** have shape (K, *batch), each batch dimension being that of the state or 1. If all are 1 the layer
is shared by the batch, and matrix products do it.

A layer is exp(sum_k a_k G_k) with commuting, real antisymmetric generators G_k: the RY layer has
G_q = [[0, -1], [1, 0]] on qubit q, the phase layer G_k = i c_k(z), which is [[0, -c_k], [c_k, 0]] on (Re, Im). For each
of the two kinds there are three functions here:

- `apply(a, state)`: exp(sum_k a_k G_k) state,
- `generate(a, state)`: sum_k a_k G_k state, the derivative of `apply`,
- `moments(left, state)`: ``<left, G_k state>`` for every k, its transpose with respect to the angles.
"""

import functools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

PRECISION = lax.Precision.HIGHEST  # a GPU may otherwise round float32 products to TF32
ELEMENTWISE = 8  # batches of at least this size are rotated elementwise ...
SINGLE = 12  # ... and so are states of at most so many qubits
FEW = 6  # of so many qubits a matrix is small


def to_complex(state: Array) -> Array:
    """(C, 2**n, *batch) -> complex amplitudes of shape (2**n, *batch)."""
    return lax.complex(state[0], state[1] if len(state) == 2 else jnp.zeros_like(state[0]))


def complexify(state: Array, real: bool) -> Array:
    """The state with an imaginary part, unless all levels are real."""
    return state if real or len(state) == 2 else jnp.concatenate([state, jnp.zeros_like(state)])


def square(state: Array) -> Array:
    """(C, 2**n, *batch) -> probabilities of shape (2**n, *batch)."""
    return real_product(state, state)


@jax.custom_jvp
def real_product(left: Array, right: Array) -> Array:
    """The real part of conj(left) right, for each amplitude: (2**n, *batch)."""
    products = [x * y for x, y in zip(left, right, strict=True)]  # XLA's sum over the first axis takes far longer
    return products[0] if len(products) == 1 else products[0] + products[1]


@real_product.defjvp
def _real_product_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (left, right), (dleft, dright) = primals, tangents
    # A sum all the same, since its transpose spreads a value where that of a part would pad it with zeros.
    return real_product(left, right), jnp.sum(dleft * right + left * dright, axis=0)


# The product layer: RY(2 a_k) on each of some qubits, which ascend.


def block_widths(n: int) -> list[int]:
    """How many neighbouring qubits share a matrix, from the highest: one block to 7 qubits, two to 12, then about 5."""
    count = 1 if n <= 7 else 2 if n <= 12 else -(-n // 5)
    return [n // count + (k < n % count) for k in range(count)]


def rotate(cos: Array, sin: Array, state: Array, qubits: Sequence[int], devices: int = 1) -> Array:
    """Rotates by angles (K, *batch) with these cosines and sines.

    Elementwise, two qubits at a time; many qubits of single large states by matrix products on blocks of qubits. The
    batch may lie on several `devices`.
    """
    n = state.shape[1].bit_length() - 1
    batch = np.broadcast_shapes(cos.shape[1:], state.shape[2:])
    pairs = _pairs(qubits)
    if n <= SINGLE or not 0 < math.prod(batch) < ELEMENTWISE * devices or len(pairs) < len(block_widths(n)):
        for k, count in pairs:
            state = _rotate_pair(cos[k : k + count], sin[k : k + count], qubits[k], state)
        return state
    if math.prod(batch) > 1:
        spread = [jnp.broadcast_to(x, (*x.shape[: x.ndim - len(batch)], *batch)) for x in (cos, sin, state)]
        if devices > 1:  # each device has its own
            member: Callable = functools.partial(rotate, qubits=qubits)
            for _ in batch:
                member = jax.vmap(member, -1, -1)
            return member(*spread)
        cos, sin, flat = (x.reshape(*x.shape[: x.ndim - len(batch)], -1) for x in spread)
        members = [rotate(cos[:, k], sin[:, k], flat[:, :, k], qubits) for k in range(flat.shape[-1])]
        return jnp.stack(members, axis=-1).reshape(*state.shape[:2], *batch)
    shape = state.shape
    # The lowest block, which is last, moves to the front; in the end all have.
    for block, _ in reversed(_blocks(n)):
        matrix = _kron({q: (cos[k], sin[k]) for k, q in enumerate(qubits)}, block, state.dtype)
        each = jnp.broadcast_to(matrix, (shape[0], *matrix.shape))
        rows = state.reshape(shape[0], -1, len(matrix))
        state = lax.dot_general(each, rows, (((2,), (2,)), ((0,), (0,))), precision=PRECISION)  # (C, size, rest)
    return state.reshape(shape)


def _pairs(qubits: Sequence[int]) -> list[tuple[int, int]]:
    """Cuts the qubits into pairs of neighbours and single ones: (position of the first, how many)."""
    pairs, k = [], 0
    while k < len(qubits):
        count = 2 if k + 1 < len(qubits) and qubits[k + 1] == qubits[k] + 1 else 1
        pairs.append((k, count))
        k += count
    return pairs


def _rotate_pair(cos: Array, sin: Array, q: int, state: Array) -> Array:
    """The rotations of the qubits q and q + 1, or of q alone when `cos` has one element, as one sum of products."""
    parts, join = _split(state, q, len(cos))
    size = len(parts)
    # An entry of the matrix of both is a product of one of each. Each product is written once: tracing takes time.
    each = [(c, s, -s) for c, s in zip(cos, sin, strict=True)]
    products: dict[tuple[int, ...], Array] = {(k,): value for k, value in enumerate(each[0])}
    if len(each) == 2:
        products = {(*kinds, k): value * other for kinds, value in products.items() for k, other in enumerate(each[1])}

    def entry(row: int, column: int) -> Array:
        bits = [(row >> k & 1, column >> k & 1) for k in range(len(cos))]
        return products[tuple(0 if i == j else 1 if i else 2 for i, j in bits)][None, None, None]

    new = [sum(entry(i, j) * parts[j] for j in range(1, size)) + entry(i, 0) * parts[0] for i in range(size)]
    return join(new)


def rotate_generate(a: Array, state: Array, qubits: Sequence[int]) -> Array:
    if a.ndim > 1 and math.prod(state.shape[2:]) == 1 < math.prod(a.shape[1:]):  # one state: a product of matrices
        z = np.arange(state.shape[1])
        flips = np.stack([z ^ 1 << q for q in qubits], axis=1)
        signs = np.stack([np.where(z >> q & 1, 1, -1) for q in qubits], axis=1).astype(state.dtype)
        each = state.reshape(state.shape[:2]).at[:, flips].get(mode="promise_in_bounds") * signs[None]
        return jnp.tensordot(each, a, 1, precision=PRECISION)
    pairs = []
    for first, count in _pairs(qubits):
        parts, join = _split(state, qubits[first], count)
        terms = []
        for i in range(len(parts)):
            ones = [a[first + k][None, None, None] * parts[i ^ 1 << k] for k in range(count)]
            terms.append(functools.reduce(operator.add, (x if i >> k & 1 else -x for k, x in enumerate(ones))))
        pairs.append(join(terms))
    return functools.reduce(operator.add, pairs)


def rotate_moments(left: Array, state: Array, batch: Sequence[int], qubits: Sequence[int]) -> Array:
    n = state.shape[1].bit_length() - 1
    if not all(size == 1 for size in batch) or len(_pairs(qubits)) < len(block_widths(n)):
        together = len(qubits) if len(qubits) * left.size <= _TOGETHER else 1
        parts = [_moments_of(left, state, qubits[k : k + together]) for k in range(0, len(qubits), together)]
        return _sum_to(jnp.concatenate(parts), batch)
    moments = []
    for block, (rows, size, right) in reversed(_blocks(n)):
        if chosen := [k for k, q in enumerate(block) if q in qubits]:
            outer = _outer(left, state, rows, size, right)  # (size, size): sum over all else of left_i state_j
            generators = np.asarray(_generators(len(block))[chosen], outer.dtype)
            moments.append(jnp.tensordot(generators, outer.reshape(-1), 1, precision=PRECISION))
    return jnp.concatenate(moments).reshape(len(qubits), *batch)


def turn_back(
    cos: Array, sin: Array, left: Array, state: Array, qubits: Sequence[int]
) -> tuple[Array, Array, Array] | None:
    """The inverse of `rotate` on two single states, and their moments (K,), with the least memory; None if it cannot.

    What a block is turned by changes no moment of another one. So both are taken where the block stands last, for which
    `rotate_moments` would have to make copies; or, of the highest qubits alone, first.
    """
    shape, n = state.shape, state.shape[1].bit_length() - 1
    many = n > SINGLE and len(_pairs(qubits)) >= len(block_widths(n))
    highest = range(n - len(qubits), n)
    few = len(qubits) <= FEW and tuple(qubits) == tuple(highest)
    if math.prod(shape[2:]) * math.prod(cos.shape[1:]) > 1 or not many and not few:
        return None
    last, moments, pair = int(many), [], [left, state]
    for block in [block for block, _ in reversed(_blocks(n))] if many else [highest]:
        matrix = _kron({q: (cos[k], -sin[k]) for k, q in enumerate(qubits)}, block, state.dtype)
        size = len(matrix)
        pair = [x.reshape(shape[0], -1, size) if many else x.reshape(shape[0], size, -1) for x in pair]
        if chosen := [k for k, q in enumerate(block) if q in qubits]:
            over = ((1, 1) if many else (2, 2), (0, 0))
            outer = _dot(pair[0], pair[1], over).sum(axis=0)
            generators = np.asarray(_generators(len(block))[chosen], outer.dtype)
            moments.append(jnp.tensordot(generators, outer.reshape(-1), 1, precision=PRECISION))
        each = jnp.broadcast_to(matrix, (shape[0], *matrix.shape))
        pair = [_dot(each, x, ((2, 1 + last), (0, 0))) for x in pair]
    left, state = (x.reshape(shape) for x in pair)
    return left, state, jnp.concatenate(moments)


def _dot(left: Array, right: Array, axes: tuple[tuple[int, int], tuple[int, int]]) -> Array:
    """A product of matrices, the first two axes summed over, the others those of the batch."""
    (a, b), (c, d) = axes
    return lax.dot_general(left, right, (((a,), (b,)), ((c,), (d,))), precision=PRECISION)


@functools.lru_cache
def _generators(width: int) -> np.ndarray:
    """The generators of the rotations of `width` qubits as flat matrices, (width, 4**width)."""
    z = np.arange(1 << width)
    matrices = np.zeros((width, len(z), len(z)))
    for q in range(width):
        matrices[q, z, z ^ 1 << q] = np.where(z >> q & 1, 1.0, -1.0)
    return matrices.reshape(width, -1)


def _blocks(n: int) -> list[tuple[range, tuple[int, int, int]]]:
    """For each block, from the highest: its qubits, and the shape (left, size, right) that 2**n has around it."""
    result, top = [], n
    for width in block_widths(n):
        result.append((range(top - width, top), (1 << (n - top), 1 << width, 1 << (top - width))))
        top -= width
    return result


def _kron(angles: Mapping[int, tuple[Array, Array]], block: range, dtype: Any) -> Array:
    """The Kronecker product of the 2x2 rotations of the qubits in `block`, the highest first, by cosines and sines."""
    matrix: Array = jnp.ones((1, 1), dtype)
    for q in block:
        size = 2 * len(matrix)
        if q in angles:
            c, s = (x.reshape(()) for x in angles[q])
            small: Any = jnp.stack([jnp.stack([c, -s]), jnp.stack([s, c])])
        else:
            small = np.eye(2, dtype=dtype)
        matrix = (small[:, None, :, None] * matrix[None, :, None, :]).reshape(size, size)
    return matrix


def _outer(left: Array, state: Array, rows: int, size: int, right: int) -> Array:
    rows *= len(state)
    columns = state.size // (rows * size)
    shape = (rows, size, columns)
    if columns == 1:
        return jnp.einsum("ai,aj->ij", left.reshape(rows, size), state.reshape(rows, size), precision=PRECISION)
    return jnp.einsum("aib,ajb->aij", left.reshape(shape), state.reshape(shape), precision=PRECISION).sum(axis=0)


def _split(state: Array, q: int, count: int) -> tuple[list[Array], Callable[[list[Array]], Array]]:
    """The parts (C, left, right, *batch) of a state by the values of `count` qubits from q on, and what joins such."""
    size = 1 << count
    split = state.reshape(len(state), state.shape[1] // (size << q), size, 1 << q, *state.shape[2:])

    def join(parts: list[Array]) -> Array:
        both = jnp.stack(parts, axis=2)
        return both.reshape(len(state), state.shape[1], *both.shape[4:])

    return [split[:, :, k] for k in range(size)], join


_TOGETHER = 1 << 20  # products of amplitudes that are summed as one array: fewer operations for small states


def _moments_of(left: Array, state: Array, qubits: Sequence[int]) -> Array:
    """``<left, G_q state>`` for some qubits and each element of the batch."""
    products = []
    for q in qubits:
        (left_zero, left_one), _ = _split(left, q, 1)
        (zero, one), _ = _split(state, q, 1)
        product = left_one * zero - left_zero * one
        products.append(product.reshape(math.prod(product.shape[:3]), *product.shape[3:]))
    stacked = jnp.stack(products, axis=1)  # (C * 2**(n-1), qubits, *batch)
    return jnp.tensordot(jnp.ones(len(stacked), stacked.dtype), stacked, 1, precision=PRECISION)


def _sum_to(values: Array, batch: Sequence[int]) -> Array:
    """Sums trailing dimensions that are 1 in `batch`."""
    offset = values.ndim - len(batch)
    axes = tuple(offset + k for k, size in enumerate(batch) if size == 1 and values.shape[offset + k] != 1)
    return jnp.sum(values, axis=axes, keepdims=True) if axes else values


# The phase layer: exp(i sum_k a_k c_k(z)), with c_k as `basis.Tables`.


def shift_phases(a: Array, state: Array, low: Array, high: Array | None = None) -> Array:
    # The barrier keeps XLA from computing sine and cosine anew in each place that uses them.
    cos, sin = lax.optimization_barrier(cos_sin(_phase_function(a, low, high)))
    real, imag = state[0], state[1]
    return jnp.stack([cos * real - sin * imag, sin * real + cos * imag])


# Coefficients of S. L. Moshier's Cephes library: pi / 2 in three parts, then sine and cosine on [-pi/4, pi/4].
_CEPHES = {
    4: (
        (1.5703125, 4.837512969970703125e-4, 7.549789954891882e-8),
        (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1),
        (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2),
    ),
    8: (
        (1.57079625129699707031, 7.54978941586159635335e-8, 5.39030285815811905290e-15),
        (
            *(1.58962301576546568060e-10, -2.50507477628578072866e-8, 2.75573136213857245213e-6),
            *(-1.98412698295895385996e-4, 8.33333333332211858878e-3, -1.66666666666666307295e-1),
        ),
        (
            *(-1.13585365213876817300e-11, 2.08757008419747316778e-9, -2.75573141792967388112e-7),
            *(2.48015872888517045348e-5, -1.38888888888730564116e-3, 4.16666666666665929218e-2),
        ),
    ),
}


def cos_sin(x: Array) -> tuple[Array, Array]:
    """Cosine and sine, to a rounding error or two for ``|x|`` below some thousands.

    XLA's own functions, right for arguments of any size, take up to 20 times longer on a CPU.
    """
    parts, sine, cosine = _CEPHES[x.dtype.itemsize]
    k = jnp.round(x * np.asarray(2 / np.pi, x.dtype))
    r = x
    for part in parts:
        r = r - k * np.asarray(part, x.dtype)
    r = jnp.clip(r, -0.8, 0.8)  # far beyond those thousands the angle is lost, but the state keeps its norm
    square = r * r

    def polynomial(coefficients: tuple[float, ...]) -> Array:
        value = jnp.full_like(square, coefficients[0])
        for c in coefficients[1:]:
            value = value * square + np.asarray(c, x.dtype)
        return value

    sin = r + r * square * polynomial(sine)
    cos = 1 - square / 2 + square * square * polynomial(cosine)
    quadrant = k.astype(np.int32) & 3
    odd = quadrant & 1 == 1
    sin, cos = jnp.where(odd, cos, sin), jnp.where(odd, sin, cos)
    return jnp.where((quadrant == 1) | (quadrant == 2), -cos, cos), jnp.where(quadrant >= 2, -sin, sin)


def phases_generate(a: Array, state: Array, low: Array, high: Array | None = None) -> Array:
    phi = _phase_function(a, low, high)
    return jnp.stack([-phi * state[1], phi * state[0]])


def phases_moments(left: Array, state: Array, batch: Sequence[int], low: Array, high: Array | None = None) -> Array:
    weight = _sum_to(left[1] * state[0] - left[0] * state[1], batch)
    return weigh(weight, low, high)


def _phase_function(a: Array, low: Array, high: Array | None) -> Array:
    """sum_k a_k c_k(z) of shape (2**n, *batch)."""
    if high is None:
        return jnp.tensordot(low, a, ((0,), (0,)), precision=PRECISION)
    partial = jnp.tensordot(high, a, ((0,), (0,)), precision=PRECISION)  # (R, 2**h, *batch)
    phi = jnp.einsum("rh...,rl->hl...", partial, low, precision=PRECISION)
    return phi.reshape(high.shape[2] * low.shape[1], *a.shape[1:])


def weigh(weight: Array, low: Array, high: Array | None = None) -> Array:
    """sum_z c_k(z) weight(z): (2**n, *batch) -> (K, *batch)."""
    if high is None:
        return jnp.tensordot(low, weight, 1, precision=PRECISION)
    split = weight.reshape(high.shape[2], low.shape[1], *weight.shape[1:])
    partial = jnp.einsum("rl,hl...->rh...", low, split, precision=PRECISION)
    return jnp.tensordot(high, partial, 2, precision=PRECISION)


# What has no angles: permutations, constant diagonals, constant matrices.


def permute(state: Array, high: Array, low: Array) -> Array:
    """new[y] = state[high[y >> l] ^ low[y & (2**l - 1)]]."""
    source = (high[:, None] ^ low[None, :]).reshape(-1)
    # Component by component: XLA puts the gathered axis first, and would transpose a state that has one before it. The
    # barrier keeps it from computing what is gathered, such as phases, in the order of the gather.
    state = lax.optimization_barrier(state)
    options = {"mode": "promise_in_bounds", "unique_indices": True, "wrap_negative_indices": False}
    return jnp.stack([part.at[source].get(**options) for part in state])


def multiply(state: Array, diagonal: Array) -> Array:
    """A constant diagonal, of shape (2**n,) if real and (2, 2**n) if complex."""
    spread = diagonal.reshape(*diagonal.shape, *(1,) * (state.ndim - 2))
    if diagonal.ndim == 1:
        return state * spread[None]
    cos, sin = spread[0], spread[1]
    return jnp.stack([cos * state[0] - sin * state[1], sin * state[0] + cos * state[1]])


def transform(state: Array, matrix: Array) -> Array:
    """A constant matrix on the highest qubits, of shape (C K, C K), acting on (Re, Im) stacked when C = 2."""
    rows = state.reshape(len(matrix), -1, *state.shape[2:])
    return jnp.tensordot(matrix, rows, 1, precision=PRECISION).reshape(state.shape)


def join_complex(matrix: np.ndarray) -> np.ndarray:
    """A complex matrix as the real one that does the same to (Re, Im) stacked."""
    return np.block([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])

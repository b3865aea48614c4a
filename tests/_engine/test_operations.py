"""The primitives. Oracle: the generators as dense numpy matrices, and scipy's expm of their sums.

The generators of a layer commute, so its derivatives are closed forms too: d/da_k exp(sum a G) S = G_k exp(sum a G) S.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jax.test_util import check_grads

from qmljax._engine import operations

pytestmark = pytest.mark.usefixtures("x64")
N = 3  # qubits
SIZE = 1 << N
TURN = np.array([[0.0, -1.0], [1.0, 0.0]])


class Layer(NamedTuple):
    """A parametric layer and its generators, dense: (K, C * 2**n, C * 2**n)."""

    kind: operations.Kind
    tables: tuple[np.ndarray, ...]
    generators: np.ndarray
    components: int = 2

    def apply(self, a, state):
        return operations.run(self.kind, state, self.turns(a) or self.tables, a)

    def turns(self, a):
        return (jnp.cos(a), jnp.sin(a)) if isinstance(self.kind, operations.Rotations) else ()


def rotations(components: int, qubits: tuple[int, ...] = tuple(range(N))) -> Layer:
    factors = [[TURN if q == k else np.eye(2) for q in reversed(range(N))] for k in qubits]
    generators = [np.kron(np.eye(components), functools.reduce(np.kron, f)) for f in factors]
    return Layer(operations.Rotations(qubits), (), np.stack(generators), components)


def phases(*tables: np.ndarray) -> Layer:
    low, high = tables if len(tables) == 2 else (*tables, None)
    values = low if high is None else np.einsum("krh,rl->khl", high, low).reshape(len(high), SIZE)
    return Layer("phases", tables, np.stack([np.kron(TURN, np.diag(c)) for c in values]))


rng = np.random.default_rng(7)
LAYERS = {
    "rotations of a real state": rotations(1),
    "rotations of a complex state": rotations(2),
    "rotations of two qubits": rotations(2, (0, 2)),
    "phases": phases(rng.normal(size=(4, SIZE))),
    "factored phases": phases(rng.normal(size=(2, 2)), rng.normal(size=(5, 2, 4))),
}
BATCHES = [  # of the angles, of the state
    ((), ()),
    ((1,), (4,)),
    ((1,), (9,)),
    ((4,), (1,)),
    ((4,), (4,)),
    ((2, 1), (1, 3)),
    ((1, 1, 2), (3, 2, 1)),
]
every_layer = pytest.mark.parametrize("layer", list(LAYERS.values())[1:], ids=list(LAYERS)[1:])


def arguments(layer: Layer, batch_a: tuple = (), batch_s: tuple = (), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(len(layer.generators), *batch_a))
    return a, rng.normal(size=(layer.components, SIZE, *batch_s))


class Oracle(NamedTuple):
    """The layer at one set of arguments, and the derivatives of L = sum(w * layer(a, state)), by dense matrices."""

    value: np.ndarray
    gradient: tuple[np.ndarray, np.ndarray]
    hessian_aa: np.ndarray  # (*a.shape, *a.shape)
    hessian_as: np.ndarray  # (*a.shape, *state.shape)


def oracle(layer: Layer, a: np.ndarray, state: np.ndarray, w: np.ndarray) -> Oracle:
    G = layer.generators
    value, da, ds = np.zeros_like(w), np.zeros_like(a), np.zeros_like(state)
    daa, das = np.zeros(a.shape * 2), np.zeros(a.shape + state.shape)
    places = [np.arange(math.prod(x.shape[k:])).reshape(x.shape[k:]) for x, k in ((a, 1), (state, 2))]
    in_a, in_s = (np.broadcast_to(p, w.shape[2:]) for p in places)
    for b in np.ndindex(w.shape[2:]):
        i = np.unravel_index(in_a[b], a.shape[1:]) if a.ndim > 1 else ()
        j = np.unravel_index(in_s[b], state.shape[2:]) if state.ndim > 2 else ()
        E = scipy.linalg.expm(np.tensordot(a[:, *i], G, 1))
        out, wb = E @ state[:, :, *j].reshape(-1), w[:, :, *b].reshape(-1)
        value[:, :, *b] = out.reshape(-1, SIZE)
        da[:, *i] += G @ out @ wb
        ds[:, :, *j] += (E.T @ wb).reshape(-1, SIZE)
        daa[:, *i, :, *i] += np.einsum("x,kxy,lyz,z->kl", wb, G, G, out)
        das[:, *i, :, :, *j] += (wb @ (G @ E)).reshape(len(G), -1, SIZE)
    return Oracle(value, (da, ds), daa, das)


def close(x, y) -> None:
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-11), x, y)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("batches", BATCHES, ids=str)
def test_value_gradient_and_hessian_are_those_of_the_exponential(layer, batches):
    a, state = arguments(layer, *batches)
    w = np.random.default_rng(1).normal(size=(*state.shape[:2], *np.broadcast_shapes(*batches)))

    def loss(a, state):
        return jnp.sum(w * layer.apply(a, state))

    @jax.jit
    def results(a, state):
        return layer.apply(a, state), jax.grad(loss, (0, 1))(a, state), jax.hessian(loss, (0, 1))(a, state)

    value, gradient, ((aa, a_s), (sa, ss)) = results(a, state)
    expected = oracle(layer, a, state, w)
    close((value, gradient), (expected.value, expected.gradient))
    close((aa, a_s), (expected.hessian_aa, expected.hessian_as))
    close(np.moveaxis(sa, range(state.ndim), range(a.ndim, a.ndim + state.ndim)), expected.hessian_as)
    assert not np.asarray(ss).any()  # linear in the state


@every_layer
def test_all_orders_of_modes_give_the_hessian(layer):
    a, state = arguments(layer)
    w = np.random.default_rng(1).normal(size=state.shape)

    @jax.jit
    def hessians(*args):
        modes = [(jax.jacfwd, jax.jacfwd), (jax.jacrev, jax.jacrev), (jax.jacfwd, jax.jacrev)]
        return [
            outer(inner(lambda a, s: jnp.sum(w * layer.apply(a, s)), (0, 1)), (0, 1))(*args) for inner, outer in modes
        ]

    expected = oracle(layer, a, state, w)
    for hessian in hessians(a, state):
        close(hessian[0], (expected.hessian_aa, expected.hessian_as))


@every_layer
def test_derivatives_of_a_nonlinear_loss(layer):
    """Each order against central differences of the order before; the third differentiates moments twice."""
    a, state = arguments(layer, (2,), (1,))
    x, unravel = jax.flatten_util.ravel_pytree((a, state))
    v, w = np.random.default_rng(9).normal(size=(2, x.size))

    def loss(x):
        return jnp.mean(jnp.sin(layer.apply(*unravel(x))) ** 2)

    def curvature(x):
        return w @ jax.jvp(jax.grad(loss), (x,), (w,))[1]

    @jax.jit
    def orders(x):
        first, second = jax.grad(loss)(x), jax.hessian(loss)(x)
        third = jax.grad(curvature)(x), jax.jvp(jax.hessian(loss), (x,), (v,))[1]
        return loss(x), first, second, *third

    h = 1e-5
    difference = jax.tree.map(lambda up, down: (up - down) / (2 * h), orders(x + h * v), orders(x - h * v))
    _, first, second, third, along = orders(x)
    for derivative, expected in zip((first @ v, second @ v, along), difference[:3], strict=True):
        np.testing.assert_allclose(derivative, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(third @ v, w @ along @ w, rtol=0, atol=1e-12)  # reverse mode and forward mode


@every_layer
@pytest.mark.parametrize("batches", [*BATCHES[:3], ((4,), (4,))], ids=str)
def test_undo_and_moments(layer, batches):
    a, state = arguments(layer, *batches)
    _, left = arguments(layer, *batches, seed=1)
    back = operations.undo(layer.kind, layer.apply(a, state), layer.turns(a) or layer.tables, a)
    close(back, np.broadcast_to(state, back.shape))
    images = np.tensordot(layer.generators, state.reshape(-1, *batches[1]), 1)
    expected = np.einsum("z...,kz...->k...", left.reshape(-1, *batches[1]), images)
    if batches[0] == (1,):
        expected = expected.sum(axis=1, keepdims=True)
    close(operations.moments(layer.kind, left, state, layer.tables, a.shape[1:]), expected)


@every_layer
def test_check_grads(layer):
    check_grads(jax.jit(layer.apply), arguments(layer, (1,), (2,)), order=2, modes=("fwd", "rev"))


@every_layer
@pytest.mark.parametrize("axes", [(0, None), (None, 1), (-1, 0)], ids=str)
def test_vmap_equals_the_loop(layer, axes):
    B = 3
    a, state = arguments(layer, (2,), (1,))
    rng = np.random.default_rng(2)
    a = a if axes[0] is None else np.moveaxis(rng.normal(size=(B, *a.shape)), 0, axes[0])
    state = state if axes[1] is None else np.moveaxis(rng.normal(size=(B, *state.shape)), 0, axes[1])
    w = rng.normal(size=(layer.components, SIZE, 2))

    def loss(a, state):
        return jnp.sum(w * layer.apply(a, state) ** 2)

    def everything(a, state):  # the value, vjp, jvp, and jvp of vjp
        gradient = jax.grad(loss, (0, 1))
        return layer.apply(a, state), *jax.jvp(gradient, (a, state), (jnp.cos(a), jnp.sin(state)))

    def element(x, axis, k):
        return x if axis is None else np.take(x, k, axis)

    one = jax.jit(everything)
    loop = [one(element(a, axes[0], k), element(state, axes[1], k)) for k in range(B)]
    close(jax.jit(jax.vmap(everything, axes))(a, state), jax.tree.map(lambda *x: np.stack(x), *loop))

    def total(a, state):
        return jnp.sum(jax.vmap(loss, axes)(a, state))

    gradients = [out[1] for out in loop]
    for k, gradient in enumerate(jax.grad(total, (0, 1))(a, state)):
        each = [g[k] for g in gradients]
        close(gradient, sum(each) if axes[k] is None else np.stack(each, axes[k]))


@every_layer
def test_vmap_of_vmap_and_an_empty_batch(layer):
    a, state = arguments(layer, (2, 5), (3,), seed=3)
    both = jax.vmap(jax.vmap(layer.apply, (None, -1), -1), (-1, None), -1)  # (C, SIZE, 3, 5) over (2,) x ()
    state1 = state[:, :, None]  # (C, SIZE, 1, 3)
    out = jax.vmap(jax.vmap(layer.apply, (None, -1)), (-1, None))(a, state1)
    assert out.shape == (5, 3, *state.shape[:2], 2) and both(a, state1).shape == (*state.shape[:2], 2, 3, 5)
    expected = oracle(layer, a[:, :, None, :], state[:, :, None, :, None], np.zeros((*state.shape[:2], 2, 3, 5))).value
    close(both(a, state1), expected)
    for axes in ((0, None), (None, 0), (0, 0)):
        empty = [np.zeros((0, *x.shape)) if d == 0 else x for x, d in zip(arguments(layer), axes, strict=True)]

        def loss(a, state):
            return jnp.sum(layer.apply(a, state))

        assert jax.vmap(layer.apply, axes)(*empty).shape == (0, *state.shape[:2])
        assert [len(g) for g in jax.vmap(jax.grad(loss, (0, 1)), axes)(*empty)] == [0, 0]


@every_layer
def test_inside_scan(layer):
    depth = 4
    angles = np.random.default_rng(4).normal(size=(depth, len(layer.generators), 1))
    _, state = arguments(layer, (), (2,))

    def deep(angles, state):
        return jax.lax.scan(lambda s, a: (layer.apply(a, s), None), state, angles)[0]

    expected = oracle(layer, angles.sum(axis=0), state, np.ones_like(state))  # the layers commute
    close(jax.jit(deep)(angles, state), expected.value)
    gradient = jax.jit(jax.grad(lambda a, s: jnp.sum(deep(a, s)), (0, 1)))
    close(gradient(angles, state), (np.stack([expected.gradient[0]] * depth), expected.gradient[1]))
    batch = np.stack([angles, -angles])
    close(jax.vmap(gradient, (0, None))(batch, state)[1][1], gradient(-angles, state)[1])


@every_layer
def test_backpropagation_keeps_one_state_a_layer(layer):
    depth = 5
    a, state = arguments(layer, (2,), (2,))

    def deep(a, state):
        for k in range(depth):
            state = layer.apply(a * (k + 1.0), state)
        return state

    _, pullback = jax.vjp(deep, a, state)
    kept = [x for x in jax.tree.leaves(pullback) if x.shape == state.shape]
    assert len({id(x) for x in kept}) <= depth


def test_float32_stays_float32():
    a, state, low = (np.ones(shape, np.float32) for shape in ((N,), (2, SIZE), (N, SIZE)))
    assert operations.run(operations.Rotations((0, 1, 2)), state, (np.cos(a), np.sin(a)), a).dtype == np.float32
    assert operations.run("phases", state, (low,), a).dtype == np.float32


# What has no angles.


def affine_tables(image: np.ndarray) -> list[np.ndarray]:
    """The two half tables of an affine map, from all its values."""
    low = 1 << N // 2
    return [image[::low].astype(np.int32), (image[:low] ^ image[0]).astype(np.int32)]


def affine_image() -> np.ndarray:
    """X on qubit 2, then CX from 2 to 0, then CX from 0 to 1."""
    z = np.arange(SIZE) ^ 4
    z = z ^ (z >> 2 & 1)
    return z ^ (z & 1) << 1


def full_tables(image: np.ndarray) -> list[np.ndarray]:
    return [np.zeros(1, np.int32), image.astype(np.int32)]


class Constant(NamedTuple):
    """A layer without angles, and its dense matrix on a state of C components."""

    kind: operations.Kind
    tables: tuple[np.ndarray, ...]
    matrix: np.ndarray
    components: int = 2

    def apply(self, state):
        return operations.run(self.kind, state, self.tables)


def constants() -> dict[str, Constant]:
    rng = np.random.default_rng(5)
    result, two = {}, np.eye(2)
    for name, image, tables in (
        ("permutation", rng.permutation(SIZE), full_tables),
        ("affine permutation", affine_image(), affine_tables),
    ):
        source = np.argsort(image)
        matrix = np.eye(SIZE)[source]  # column z has its 1 in row image[z]
        result[name] = Constant("permute", (*tables(source), *tables(image)), np.kron(two, matrix))
    angles = rng.normal(size=SIZE)
    both = np.stack([np.cos(angles), np.sin(angles)])
    result["real diagonal"] = Constant("multiply", (angles,), np.kron(two, np.diag(angles)))
    turned = np.kron(two, np.diag(both[0])) + np.kron(TURN, np.diag(both[1]))
    result["complex diagonal"] = Constant("multiply", (both,), turned)
    for name, C in (("matrix of a real state", 1), ("matrix", 2)):
        small = rng.normal(size=(C * 4, C * 4))  # on the 2 highest qubits of 3
        result[name] = Constant("transform", (small,), np.kron(small, two), C)
    return result


every_constant = pytest.mark.parametrize("layer", constants().values(), ids=constants())


@every_constant
@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_constant_layers_are_their_matrices(layer, batch):
    rng = np.random.default_rng(6)
    state, w = rng.normal(size=(2, layer.components, SIZE, *batch))
    flat = [x.reshape(layer.components * SIZE, -1) for x in (state, w)]

    @jax.jit
    def results(state, w):
        value, pullback = jax.vjp(layer.apply, state)
        (back,) = pullback(w)
        again = jax.vjp(lambda w: pullback(w)[0], w)[1](state)[0]  # the transpose of the transpose
        undone = operations.undo(layer.kind, w, layer.tables)
        return value, back, undone, again, jax.jvp(layer.apply, (w,), (state,))[1]

    value, back, undone, again, tangent = results(state, w)
    expected = (layer.matrix @ flat[0]).reshape(state.shape)
    close((value, again, tangent), (expected,) * 3)
    close((back, undone), ((layer.matrix.T @ flat[1]).reshape(state.shape),) * 2)


@every_constant
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_vmap_of_constant_layers(layer, axis):
    states = np.random.default_rng(6).normal(size=(3, layer.components, SIZE, 2))
    expected = np.stack([(layer.matrix @ s.reshape(-1, 2)).reshape(s.shape) for s in states])
    moved = np.moveaxis(states, 0, axis)
    close(jax.vmap(layer.apply, axis)(moved), expected)
    close(jax.vmap(layer.apply, axis, axis)(moved), np.moveaxis(expected, 0, axis))

    def loss(s):
        return jnp.sum(layer.apply(s) ** 2)

    expected = np.stack([(2 * layer.matrix.T @ layer.matrix @ s.reshape(-1, 2)).reshape(s.shape) for s in states])
    close(jax.vmap(jax.grad(loss), axis)(moved), expected)
    close(jax.grad(lambda m: jnp.sum(jax.vmap(loss, axis)(m)))(moved), np.moveaxis(expected, 0, axis))


def test_batched_tables():  # nothing in qmljax batches them, but a user's vmap over a scan may
    rng = np.random.default_rng(8)
    images = [rng.permutation(SIZE) for _ in range(3)]
    state = rng.normal(size=(1, SIZE))
    source, target = (
        [np.stack(t) for t in zip(*(full_tables(x) for x in xs), strict=True)]
        for xs in ([np.argsort(i) for i in images], images)
    )
    out = jax.vmap(lambda s, *t: operations.run("permute", s, t), (None, 0, 0, 0, 0))(state, *source, *target)
    close(out, np.stack([state[:, np.argsort(image)] for image in images]))


def test_permutations_have_no_scatter_and_gather_once():
    image = affine_image()
    source, target = affine_tables(np.argsort(image)), affine_tables(image)

    def loss(state):
        return jnp.sum(operations.run("permute", state, (*source, *target)) ** 3)

    batch = np.ones((4, 1, SIZE))
    for function, argument in (
        (jax.grad(loss), batch[0]),
        (jax.vmap(jax.grad(loss)), batch),
        (jax.grad(lambda b: jnp.sum(jax.vmap(loss)(b))), batch),
        (jax.hessian(loss), batch[0]),
    ):
        text = jax.jit(function).lower(argument).as_text()
        assert "gather" in text and "scatter" not in text


def test_primitives_are_few():  # a gradient through a layer costs one apply forward, one back, and one moments
    layer = LAYERS["rotations of a real state"]
    a, state = arguments(layer)
    text = str(jax.make_jaxpr(jax.grad(lambda a, s: jnp.sum(layer.apply(a, s) ** 2), (0, 1)))(a, state))
    assert [text.count(f"qmljax_{name}") for name in ("apply", "generate", "moments")] == [2, 0, 1]


def test_eager_calls_compile_once():
    layer = LAYERS["rotations of a real state"]
    a, state = arguments(layer)
    layer.apply(a, state)
    size = operations._apply.impl._cache_size()
    layer.apply(a, state)
    assert operations._apply.impl._cache_size() == size > 0

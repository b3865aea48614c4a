"""Kernels of points on several devices, and what is done with their matrices. Oracle: dense matrices of two qubits.

The file runs itself in a process with eight virtual devices.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import zz_feature_map

import qmljax as qj
from qmljax.analysis import collectives
from tests.devices import run_processes, run_with_devices

rng = np.random.default_rng(0)
X, Y, W = rng.uniform(-1, 1, (24, 2)), rng.uniform(-1, 1, (8, 2)), np.array([0.7])
X[20] = X[5]  # equal points on two devices
C, D = rng.normal(size=(24, 24)), rng.normal(size=(24, 8))
KINDS = [AxisType.Auto, AxisType.Explicit]
A, B, V = Parameter("a"), Parameter("b"), Parameter("v")


def circuit() -> QuantumCircuit:
    """Its local fidelities depend on which of two points is undone."""
    circuit = QuantumCircuit(2)
    circuit.ry(A, 0), circuit.rz(V * A, 0), circuit.ry(B, 1), circuit.cx(0, 1), circuit.ry(A, 1)
    return circuit


KERNELS = {
    "fidelity": qj.fidelity_kernel(circuit(), weights=[V]),
    "tiles": qj.fidelity_kernel(circuit(), weights=[V], memory=2 * 8 * 64),  # of two points
    "local": qj.fidelity_kernel(circuit(), weights=[V], local=True),
    "projected": qj.projected_kernel(circuit(), weights=[V], gamma=0.5),
    "linear": qj.projected_kernel(circuit(), weights=[V], gamma=None),
}


def ry(angle):
    c, s = jnp.cos(angle / 2), jnp.sin(angle / 2)
    return jnp.stack([jnp.stack([c, -s]), jnp.stack([s, c])]).astype(complex)


def unitary(point, w):
    """The matrix of `circuit`, the amplitudes in Qiskit's order."""
    turn = jnp.diag(jnp.exp(1j * w[0] * point[0] / 2 * np.array([-1, 1]))) @ ry(point[0])
    cx = np.eye(4)[[0, 3, 2, 1]]
    return jnp.kron(ry(point[0]), np.eye(2)) @ cx @ jnp.kron(ry(point[1]), turn)


def projections(x, w):
    states = jax.vmap(lambda p: unitary(p, w)[:, 0])(x)
    pauli = [np.array(m, complex) for m in ([[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]])]
    each = [np.kron(np.eye(2), m) for m in pauli] + [np.kron(m, np.eye(2)) for m in pauli]
    return jnp.stack([jnp.einsum("ni,ij,nj->n", states.conj(), m, states).real for m in each], axis=1)


def dense(name, x, y, w):
    """The kernel matrix of x and y, or of x with itself."""
    columns = x if y is None else y
    left, right = (jax.vmap(lambda p: unitary(p, w))(points) for points in (x, columns))
    after = jnp.einsum("mji,nj->nmi", right.conj(), left[:, :, 0])  # y undone on the state of x
    p = after.real**2 + after.imag**2
    if name in ("fidelity", "tiles"):
        return p[..., 0]
    if name == "local":
        gram = p[..., 0] + (p[..., 1] + p[..., 2]) / 2
        return gram if y is not None else jnp.triu(gram) + jnp.triu(gram, 1).T
    left, right = projections(x, w), projections(columns, w)
    if name == "linear":
        return left @ right.T
    return jnp.exp(-0.5 * ((left[:, None] - right[None]) ** 2).sum(axis=-1))


def mesh_of(kind, shape=(8,), names=("i",)):
    return Mesh(np.array(jax.devices()[: np.prod(shape)]).reshape(shape), names, axis_types=(kind,) * len(shape))


def put(array, mesh, *axes):
    return jax.device_put(array, NamedSharding(mesh, P(*axes)))


def close(got, expected, atol=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(np.asarray(a), b, rtol=0, atol=atol), got, expected)


def check_gram(gram, expected, unit=True):
    close(gram, expected)
    gram = np.asarray(gram)
    assert (gram == gram.T).all() and (not unit or (np.diag(gram) == 1).all())


def lies_like(array, mesh, *axes):
    assert array.sharding.is_equivalent_to(NamedSharding(mesh, P(*axes)), array.ndim), array.sharding


if jax.device_count() < 8:

    def test_in_a_process_with_eight_devices():
        run_with_devices(__file__, 8)

    def test_in_two_processes_with_four_devices_each():
        for printed in run_processes(str(Path(__file__).with_name("kernels_in_two_processes.py")), 2, 4):
            assert "all as on one device" in printed

else:
    pytestmark = pytest.mark.usefixtures("x64", "standard_promotion")

    # Each kernel on one kind of mesh: `kind` makes no difference to what is inside of a device.
    @pytest.mark.parametrize(("name", "kind"), list(zip(KERNELS, KINDS * 3, strict=False)))
    def test_values(name, kind):
        kernel, mesh = KERNELS[name], mesh_of(kind)
        x = put(X, mesh, "i")
        gram = jax.jit(kernel)(x, weights=W)
        check_gram(gram, dense(name, X, None, W), unit=name != "linear")
        lies_like(gram, mesh, "i")

    @pytest.mark.parametrize(("name", "kind"), [("tiles", AxisType.Explicit), ("projected", AxisType.Auto)])
    def test_values_at_other_points(name, kind):
        """Rows of x against all of y, wherever that lies; columns, if y alone lies on devices; pairs; single points."""
        kernel, mesh = KERNELS[name], mesh_of(kind)

        @jax.jit
        def traced(x, y):
            both = kernel(x, Y, weights=W), kernel(x, y, weights=W), kernel(Y, x, weights=W)
            return both, kernel.pairs(x, X[::-1], weights=W), kernel(X[3], x, weights=W)

        (far, near, turned), pairs, row = traced(put(X, mesh, "i"), put(Y, mesh, "i"))
        close((far, near, turned), (dense(name, X, Y, W), dense(name, X, Y, W), dense(name, Y, X, W)))
        close((pairs, row), (np.diag(dense(name, X, X[::-1], W)), dense(name, X[3:4], X, W)[0]))
        for each in (far, near, pairs):
            lies_like(each, mesh, "i")
        lies_like(turned, mesh, None, "i")

    @pytest.mark.parametrize(("name", "kind"), list(zip(["tiles", "local", "projected"], KINDS * 2, strict=False)))
    def test_derivatives(name, kind):
        mesh = mesh_of(kind)
        loss = lambda x, w, c: jnp.sum(KERNELS[name](x, weights=w) * c)  # noqa: E731
        expected = lambda x, w, c: jnp.sum(dense(name, x, None, w) * c)  # noqa: E731
        got = jax.jit(jax.grad(loss, (0, 1)))(put(X, mesh, "i"), W, put(C, mesh, "i"))
        close(got, jax.grad(expected, (0, 1))(X, W, C), atol=1e-11)
        lies_like(got[0], mesh, "i")

    def test_derivatives_at_other_points():
        """Of x, of y, of the weights, and of these again."""
        mesh = mesh_of(AxisType.Explicit)
        loss = lambda x, y, w, d: jnp.sum(KERNELS["fidelity"](x, y, weights=w) * d)  # noqa: E731
        expected = lambda x, y, w, d: jnp.sum(dense("fidelity", x, y, w) * d)  # noqa: E731
        given = put(X, mesh, "i"), put(Y, mesh, "i"), W, put(D, mesh, "i")
        of = lambda f: jax.jit(lambda *args: (jax.grad(f, (0, 1, 2))(*args), jax.hessian(f, 2)(*args)))  # noqa: E731
        close(of(loss)(*given), of(expected)(X, Y, W, D), atol=1e-11)

    @pytest.mark.parametrize(("name", "check"), [("tiles", True), ("projected", False)])
    def test_inside_of_shard_map(name, check):
        """There, rows are rows: of x with itself, those of one device."""
        mesh = mesh_of(AxisType.Auto)

        def share(x, w):
            return jax.lax.psum(jnp.sum(KERNELS[name](x, weights=w) ** 2), "i")

        def expected(x, w):
            return sum(jnp.sum(dense(name, x[k : k + 3], None, w) ** 2) for k in range(0, 24, 3))

        total = jax.shard_map(share, mesh=mesh, in_specs=(P("i"), P()), out_specs=P(), check_vma=check)
        got = jax.jit(jax.value_and_grad(total, (0, 1)))(put(X, mesh, "i"), jnp.asarray(W))
        close(got, jax.value_and_grad(expected, (0, 1))(X, W), atol=1e-11)

    @pytest.mark.parametrize("kind", KINDS)
    def test_axes_of_a_mesh(kind):
        """Rows over one of two axes, or both in either order; over three devices; with a mesh that is set."""
        kernel = KERNELS["linear"]
        expected = dense("linear", X, None, W)
        mesh = mesh_of(kind, (4, 2), ("i", "j"))
        for axes in ("j", ("j", "i")):
            gram = kernel(put(X, mesh, axes), weights=W)
            check_gram(gram, expected, unit=False)
            lies_like(gram, mesh, axes)
        both = kernel(put(X, mesh, "i"), put(Y, mesh, "j"), weights=W)
        close(both, dense("linear", X, Y, W))
        lies_like(both, mesh, "i", "j")
        check_gram(kernel(put(X[:9], mesh_of(kind, (3,)), "i"), weights=W), expected[:9, :9], unit=False)
        with jax.set_mesh(mesh):
            check_gram(KERNELS["fidelity"](X[:5], weights=W), dense("fidelity", X[:5], None, W))  # numbers on no mesh
            gradient = jax.grad(lambda x, c: jnp.sum(kernel(x, weights=W) * c))(put(X, mesh, "i"), put(C, mesh, "i"))
            close(gradient, jax.grad(lambda x: jnp.sum(dense("linear", x, None, W) * C))(X), atol=1e-11)

    def test_rows_that_do_not_divide():
        """As a batch may have while JAX traces: all devices compute them, or those along some axes."""
        mesh = mesh_of(AxisType.Auto, (4, 2), ("i", "j"))
        kernel, x = KERNELS["linear"], put(X, mesh, ("i", "j"))
        for size in (5, 12):
            gram = jax.jit(lambda x, size=size: kernel(x[:size], weights=W))(x)
            check_gram(gram, dense("linear", X[:size], None, W), unit=False)

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_is_sent(kind):
        """20,480 points, 8 qubits: each device has 200 MiB of rows; points are sent, and half of the matrix."""
        x = jax.ShapeDtypeStruct((20480, 8), np.float32, sharding=NamedSharding(mesh_of(kind), P("i")))
        program = jax.jit(qj.fidelity_kernel(zz_feature_map(8, reps=1))).lower(x).compile()
        memory = program.memory_analysis()
        assert memory.output_size_in_bytes == 200 << 20 and memory.temp_size_in_bytes <= 160 << 20
        block = 4 * 2560**2
        assert collectives(program) == {"all-gather": 4 * 20480 * 8, "collective-permute": 3 * block + block // 2}

    @pytest.mark.parametrize("kind", KINDS)
    def test_projections_are_sent(kind):
        mesh = mesh_of(kind)
        x = put(X, mesh, "i")
        got = KERNELS["projected"].projections(x, weights=W)
        close(got, projections(X, W))
        lies_like(got, mesh, "i")
        program = jax.jit(lambda x: KERNELS["projected"](x, Y, weights=W)).lower(x).compile()
        assert collectives(program) == {}  # x is compared where it lies
        program = jax.jit(lambda x, y: KERNELS["projected"](x, y, weights=W)).lower(x, put(Y, mesh, "i")).compile()
        assert collectives(program) == {"all-gather": 8 * 8 * (6 + 2)}

    @pytest.mark.parametrize("kind", KINDS)
    def test_backends(kind):
        """Shots are drawn where the probabilities lie; a backend that measures is given numbers."""
        mesh = mesh_of(kind)
        x = put(X, mesh, "i")
        shots = qj.fidelity_kernel(circuit(), weights=[V], backend=qj.Shots(10_000, jax.random.key(0)))
        gram = shots(x, weights=W)
        lies_like(gram, mesh, "i")
        assert (np.asarray(gram) == np.asarray(gram).T).all()
        close(gram, dense("fidelity", X, None, W), atol=0.03)

        class Device:
            def fidelity(self, circuit):
                return lambda x, y: np.cos(np.asarray(x) - np.asarray(y)).prod(axis=-1)

            def expectation(self, circuit, observables):
                return lambda params: np.stack([np.cos(np.asarray(params)).sum(axis=-1)] * len(observables), axis=-1)

        fidelity = qj.fidelity_kernel(circuit(), weights=[V], backend=Device())
        projected = qj.projected_kernel(circuit(), weights=[V], backend=Device())
        for kernel in (fidelity, projected):
            close((kernel(x, weights=W), kernel.pairs(x, Y[:1].repeat(24, 0), weights=W)),
                  (kernel(X, weights=W), kernel.pairs(X, Y[:1].repeat(24, 0), weights=W)))  # fmt: skip

    LABELS = np.where(X[:, 0] > 0, 1.0, -1.0)
    NUMBERS = {
        "kernel_alignment": lambda gram, y: qj.gram.kernel_alignment(gram, y),
        "concentration": lambda gram, y: qj.gram.concentration(gram)[1],
        "svc_loss": lambda gram, y: qj.gram.svc_loss(gram, y),
        "squared_loss": lambda gram, y: qj.gram.squared_loss(gram, y),
    }

    @pytest.mark.parametrize("kind", KINDS)
    def test_matrices(kind):
        """Each function of a matrix on one device and on eight: values, and gradients by rows."""
        mesh = mesh_of(kind)
        alone = np.asarray(dense("fidelity", X, None, W))
        gram, labels = put(alone, mesh, "i"), put(LABELS, mesh, "i")
        every = jax.jit(lambda gram, y: {k: jax.value_and_grad(f)(gram, y) for k, f in NUMBERS.items()})
        close(every(gram, labels), every(alone, LABELS), atol=1e-5)
        close(qj.gram.svc_loss(gram, labels), qj.gram.svc_loss(alone, LABELS), atol=1e-5)  # outside of `jit`
        close(qj.gram.kernel_alignment(gram, labels), qj.gram.kernel_alignment(alone, LABELS))

        @jax.jit
        def decomposed(gram, y):
            changed = qj.gram.centre(gram), qj.gram.clip(gram), qj.gram.shift(gram)
            return changed, qj.gram.spectrum(gram), qj.gram.model_complexity(gram, y, ridge=0.1)

        close(decomposed(gram, labels), decomposed(alone, LABELS), atol=1e-9)

    @pytest.mark.parametrize("kind", KINDS)
    def test_nystroem(kind):
        mesh = mesh_of(kind)
        kernel = lambda x, y: KERNELS["fidelity"](x, y, weights=W)  # noqa: E731
        features = qj.gram.nystroem(kernel, put(X, mesh, "i"), put(Y, mesh, "i"))
        lies_like(features, mesh, "i")
        columns, few = dense("fidelity", X, Y, W), dense("fidelity", Y, Y, W)
        features = np.asarray(features)
        close(features @ features.T, columns @ np.linalg.pinv(few, hermitian=True, rtol=1e-12) @ columns.T, atol=1e-6)

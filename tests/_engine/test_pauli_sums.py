"""Long sums of Pauli strings. Oracle: dense matrices, by Qiskit's `SparsePauliOp.to_matrix`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp, Statevector

import qmljax as qj
from qmljax._circuit.observables import observable
from qmljax._engine import pauli_sums
from qmljax._engine.expectations import FEW, expectations

pytestmark = pytest.mark.usefixtures("x64")


def random_sum(n: int, terms: int, seed: int = 0) -> SparsePauliOp:
    rng = np.random.default_rng(seed)
    return SparsePauliOp(["".join(rng.choice(list("IXYZ"), n)) for _ in range(terms)], rng.normal(size=terms))


def random_state(n: int, components: int, batch: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(components, 1 << n, *batch))


def exact(operators: list[SparsePauliOp], state: np.ndarray) -> np.ndarray:
    psi = state[0] + (1j * state[1] if len(state) == 2 else 0)
    return np.stack([np.einsum("i...,ij,j...->...", psi.conj(), o.to_matrix(), psi).real for o in operators])


@pytest.mark.parametrize("components", [1, 2])
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("chunk", [1 << 18, 100])
def test_values_are_those_of_matrices(components, batch, chunk, monkeypatch):
    """Also by a loop, whose last round is padded; several observables, one of a string alone, one of none."""
    monkeypatch.setattr(pauli_sums, "CHUNK", chunk)
    operators = [random_sum(4, 60), SparsePauliOp("XYZI", 0.5), random_sum(4, 40, 2), SparsePauliOp("IIII", 2.0)]
    read = tuple(observable(o, 4) for o in operators)
    assert len(np.unique(pauli_sums.pauli_sums(read).x)) == 16 < FEW + 1
    state = random_state(4, components, batch)
    got = jax.jit(lambda s: pauli_sums.values(pauli_sums.pauli_sums(read), s, 4))(state)
    np.testing.assert_allclose(got, exact(operators, state), rtol=0, atol=1e-11)


def test_the_state_in_which_no_x_mask_repeats():
    """An entry for each string, and for few masks many strings in one."""
    for labels, shape in ((["XX", "YI", "IZ"], (3, 1)), (["ZZ", "ZI", "IZ", "II"], (1, 4))):
        read = (observable(SparsePauliOp(labels, range(1, len(labels) + 1)), 2),)
        sums = pauli_sums.pauli_sums(read)
        assert sums.coefficients.shape == shape
        state = random_state(2, 2, ())
        got = pauli_sums.values(sums, jnp.asarray(state), 1)
        np.testing.assert_allclose(
            got, exact([SparsePauliOp(labels, range(1, len(labels) + 1))], state), rtol=0, atol=1e-12
        )


def test_projectors_are_no_strings():
    assert pauli_sums.pauli_sums((observable("0X", 2),)) is None


@pytest.mark.parametrize("chunk", [1 << 18, 100])
def test_derivatives_of_the_first_and_second_order(chunk, monkeypatch):
    """Of a quadratic form: 2 H psi, and 2 H; forward, and backward."""
    monkeypatch.setattr(pauli_sums, "CHUNK", chunk)
    operator = random_sum(5, 80)
    read = (observable(operator, 5),)
    assert len(np.unique(pauli_sums.pauli_sums(read).x)) > FEW
    matrix = operator.to_matrix()
    form = np.block([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])
    state = random_state(5, 2, ())
    value = lambda flat: expectations(read, flat.reshape(2, 32))[0]  # noqa: E731
    flat = jnp.asarray(state.reshape(-1))
    np.testing.assert_allclose(jax.grad(value)(flat), 2 * form @ state.reshape(-1), rtol=0, atol=1e-11)
    np.testing.assert_allclose(jax.jacfwd(value)(flat), 2 * form @ state.reshape(-1), rtol=0, atol=1e-11)
    for hessian in (jax.jacfwd(jax.grad(value)), jax.jacrev(jax.grad(value))):
        np.testing.assert_allclose(hessian(flat), 2 * form, rtol=0, atol=1e-11)


def test_a_model_of_a_long_observable_in_both_precisions():
    circuit, operator = efficient_su2(6, reps=1), random_sum(6, 300)
    params = np.random.default_rng(3).uniform(-1, 1, (2, circuit.num_parameters))
    expected = [Statevector(circuit.assign_parameters(row)).expectation_value(operator).real for row in params]
    f = qj.expectation(circuit, operator)
    np.testing.assert_allclose(f(params), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(f(params.astype(np.float32)), expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(jax.vmap(f)(params), expected, rtol=0, atol=1e-10)


def test_a_program_does_not_grow_with_the_strings():
    """The first call of a gradient takes about as long for a thousand strings as for a hundred."""

    def equations(terms: int) -> int:
        f = qj.expectation(efficient_su2(8, reps=1), random_sum(8, terms))
        return len(str(jax.make_jaxpr(jax.grad(lambda p: f._trace(p)))(jnp.zeros(32))).splitlines())

    assert equations(100) == equations(200)
    assert equations(2000) <= equations(1500)

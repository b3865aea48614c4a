"""A model's batch by parts. Oracle: the same model with memory for all, and the memory that XLA says it takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit.circuit.library import real_amplitudes, zz_feature_map

import qmljax as qj

MIB = 1 << 20


def model(memory: int, build=qj.estimator_qnn, n: int = 4):
    feature_map = zz_feature_map(n, reps=1)
    return build(feature_map.compose(real_amplitudes(n, reps=1)), inputs=feature_map.parameters, memory=memory)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("build", [qj.estimator_qnn, qj.sampler_qnn])
@pytest.mark.parametrize("batch", [(7,), (2, 5), ()], ids=str)
def test_parts_change_nothing(build, batch):
    whole, parts = model(1 << 29, build), model(2000, build)  # a state of 4 qubits takes 256 bytes
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=whole.num_weights), rng.normal(size=(*batch, 4))
    assert parts(w, x).shape == whole(w, x).shape
    np.testing.assert_allclose(parts(w, x), whole(w, x), rtol=0, atol=1e-13)
    loss = lambda m: lambda w, x: jnp.sum(jnp.sin(m(w, x)))  # noqa: E731
    for a, b in zip(*(jax.grad(loss(m), (0, 1))(w, x) for m in (whole, parts)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    ws = np.stack([w, w + 1])
    a, b = (jax.vmap(m, (0, None))(ws, x) for m in (whole, parts))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def temporary(f, *args) -> int:
    return jax.jit(f).lower(*args).compile().memory_analysis().temp_size_in_bytes


def test_the_memory_of_a_call_and_of_a_gradient_is_bounded():
    """1000 states of 10 qubits take 8 MiB, and a gradient several times as much."""
    parts, whole = model(MIB, n=10), model(1 << 29, n=10)
    w, x = jnp.zeros(parts.num_weights), jnp.zeros((1000, 10))
    slope = lambda m: jax.grad(lambda w: jnp.sum(m(w, x)))  # noqa: E731
    assert temporary(parts, w, x) < 3 * MIB < 8 * MIB < temporary(whole, w, x)
    assert temporary(slope(parts), w) < 5 * MIB < 16 * MIB < temporary(slope(whole), w)


def test_what_fits_is_computed_at_once():
    def loops(memory: int) -> int:
        m = model(memory)
        return str(jax.make_jaxpr(m._trace)(jnp.zeros(m.num_weights), jnp.zeros((64, 4)))).count("scan[")

    assert [loops(memory) for memory in (1 << 29, 64 * 128, 64 * 128 - 1)] == [0, 0, 1]  # 64 states take 8 KiB

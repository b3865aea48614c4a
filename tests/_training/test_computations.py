"""What is compiled is found by what it computes. Oracles: steps of gradient descent written out, and counts."""

import functools
import gc
import types
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import real_amplitudes

import qmljax as qj
from qmljax._training import computations
from qmljax._training.compiled_loop import take_steps
from qmljax._training.computations import trace
from qmljax._training.minimize import _evaluated

START = np.float32([1.0, -2.0])


def compiled() -> int:
    return take_steps._cache_size()


def after_a_step(loss: Any, rate: float = 0.1, optimizer: Any = None) -> np.ndarray:
    optimizer = optax.sgd(rate) if optimizer is None else optimizer
    return np.asarray(qj.fit(loss, START, (), optimizer=optimizer, steps=1).weights)


def test_a_loss_that_reads_something_new_is_not_stale():
    """An attribute, a cell, also of what `jax.jit` wraps: of lam * sum(w**2), sgd(0.1) gives w * (1 - 0.2 * lam)."""

    class Ridge:
        def __init__(self) -> None:
            self.lam = 1.0

        def loss(self, w: jax.Array) -> jax.Array:
            return self.lam * jnp.sum(w**2)

        @functools.partial(jax.jit, static_argnums=0)
        def compiled_loss(self, w: jax.Array) -> jax.Array:
            return self.lam * jnp.sum(w**2)

    ridge, box = Ridge(), types.SimpleNamespace(lam=1.0)
    outer = jax.jit(lambda w: box.lam * jnp.sum(w**2))
    losses = [ridge.loss, ridge.compiled_loss, lambda w: box.lam * jnp.sum(w**2), outer, functools.partial(outer)]
    for lam in (1.0, 2.0, 0.0, -1.0):
        ridge.lam = box.lam = lam
        for loss in losses:
            np.testing.assert_allclose(after_a_step(loss), START * np.float32(1 - 0.2 * lam), rtol=1e-6)


def test_a_model_that_is_built_anew_is_the_one_that_is_trained():
    """The notebook: the loss object stays, the model that it reads is another one. <Z> of RY(w) is cos w."""
    box = types.SimpleNamespace()
    loss = lambda w: box.energy(w)  # noqa: E731
    w, circuit = ParameterVector("w", 2), QuantumCircuit(2)
    circuit.ry(w[0], 0)
    circuit.ry(w[1], 1)
    for label, qubit in (("ZI", 1), ("IZ", 0), ("ZI", 1)):
        box.energy = qj.expectation(circuit, label)
        expected = START.copy()
        expected[qubit] += 0.1 * np.sin(START[qubit])
        np.testing.assert_allclose(after_a_step(loss), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "optimizer", [optax.sgd, optax.adam, lambda rate: optax.chain(optax.clip(1.0), optax.adamw(rate))]
)
def test_equal_losses_and_optimizers_made_anew_compile_once(optimizer):
    def train(lam: float, rate: float, data: np.ndarray) -> np.ndarray:
        shift = jnp.asarray(data)
        return after_a_step(lambda w: jnp.sum((w - shift) ** 4) + lam * jnp.sum(w**2), optimizer=optimizer(rate))

    train(0.3, 0.1, START)
    before = compiled()
    for lam, rate in zip((0.0, 0.5, 1.0, 2.0, 0.3), (0.01, 0.5, 1.0, 0.1, 0.2), strict=True):
        gradient = 4 * np.float32(-lam) ** 3 + 2 * np.float32(lam) * START
        with jax.numpy_dtype_promotion("standard"):
            updates, _ = optimizer(rate).update(gradient, optimizer(rate).init(START), START)
        np.testing.assert_allclose(train(lam, rate, START + np.float32(lam)), START + updates, rtol=1e-4, atol=1e-5)
    assert compiled() == before


def test_what_differs_is_told_apart():
    """Not only by structure: numbers inside of loops and calls, tables, zeros by their sign, types, axes."""
    table = np.arange(2)
    functions = [
        lambda w: w**2,
        lambda w: w**3,
        lambda w: jnp.sqrt(w),
        lambda w: w.astype(jnp.float16).astype(jnp.float32) ** 2,
        lambda w: w[::-1] ** 2,
        lambda w: jax.lax.fori_loop(0, 3, lambda _, v: v * 0.5, w),
        lambda w: jax.lax.fori_loop(0, 3, lambda _, v: v * 0.25, w),
        lambda w: jax.lax.fori_loop(0, 4, lambda _, v: v * 0.25, w),
        lambda w: jnp.arctan2(w, 0.0),
        lambda w: jnp.arctan2(w, -0.0),
        lambda w: jax.jit(lambda v: v[table])(w),
        lambda w: jax.jit(lambda v: v[table[::-1]])(w),
    ]
    made = [trace(f, START).program for f in functions]
    assert len(set(made)) == len(functions)
    assert [trace(f, START).program for f in functions] == made
    assert trace(functions[0], START[:1]).program != made[0] != trace(functions[0], jnp.arange(2)).program


@pytest.mark.parametrize("f", [jax.nn.relu, lambda w: jnp.logaddexp(w, 0.3), lambda w: jnp.sum(w) * jnp.max(w) + 0.5])
def test_a_program_computes_what_the_function_does(f):
    made = trace(f, START)
    np.testing.assert_array_equal(made.program(made.lifted, START)[0], f(jnp.asarray(START)))
    assert trace(lambda w: f(w), START).program is made.program


def test_closures_and_their_data_are_let_go():
    class Data:
        """What a closure holds."""

    def train() -> weakref.ref:
        held = Data()
        held.x = jnp.arange(2.0)
        loss = lambda w: jnp.sum((w - held.x) ** 2) + jnp.sum(jax.nn.relu(w))  # noqa: E731
        qj.fit(loss, START, (), optimizer=optax.adam(0.1), steps=2, callback=lambda *_: held)
        return weakref.ref(held)

    alive = train()
    gc.collect()
    assert alive() is None


def test_no_more_programs_are_remembered_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(computations, "ROOM", 4)
    made = {trace(lambda w, k=k: w ** (k + 2), START).program for k in range(12)}
    assert len(made) == 12 and len(computations._computations) <= 4
    np.testing.assert_allclose(after_a_step(lambda w: jnp.sum(w**2)), START * np.float32(0.8), rtol=1e-6)


def test_random_numbers_follow_the_setting_of_now():
    draw = lambda w: w + jax.random.normal(jax.random.key(0), (5,))  # noqa: E731
    results = []
    for setting in (True, False, True):
        with jax.threefry_partitionable(setting):
            made = trace(draw, np.zeros(5, "float32"))
            results.append(np.asarray(jax.jit(lambda w, m=made: m.program(m.lifted, w))(jnp.zeros(5))[0]))
            np.testing.assert_allclose(results[-1], draw(jnp.zeros(5)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(results[0], results[2])
    assert not np.allclose(results[0], results[1])


def test_minimisers_of_scipy_are_not_stale_and_compile_once():
    box = types.SimpleNamespace(at=1.0)
    loss = lambda w: jnp.sum((w - box.at) ** 2)  # noqa: E731
    qj.fit(loss, START, (), optimizer="L-BFGS-B", steps=9)
    before = _evaluated._cache_size()
    box.at = 3.0
    np.testing.assert_allclose(qj.fit(loss, START, (), optimizer="L-BFGS-B", steps=9).weights, 3, rtol=1e-3)
    assert _evaluated._cache_size() == before


def test_validation_is_not_stale():
    box = types.SimpleNamespace(lam=1.0)
    loss = lambda w, x: box.lam * jnp.mean(x) + 0 * jnp.sum(w)  # noqa: E731
    for lam in (1.0, 5.0):
        box.lam = lam
        data = (np.ones(3, "float32"),)
        result = qj.fit(loss, START, data, optimizer=optax.sgd(0.1), steps=1, validation=data)
        np.testing.assert_allclose(result.validation, lam)


def test_a_qnn_made_anew_compiles_nothing():
    def train() -> None:
        energy = qj.expectation(real_amplitudes(2, reps=1), "ZZ")
        qj.fit(lambda w: energy(w), np.ones(4, "float32"), (), optimizer=optax.adam(0.1), steps=2)

    train()
    before = compiled()
    train()
    assert compiled() == before

"""One state over 8 virtual devices: amplitudes, values and derivatives, what is sent, what is refused.

Oracles: Qiskit's `Statevector`; for derivatives, and for models, one device, whose own are checked elsewhere. All is
computed once, in a process that has 8 devices (`tests/on_devices.py`).
"""

import copy
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

import qmljax as qj
from qmljax._engine import gf2
from qmljax._engine.shards.routes import three_permutations
from tests.devices import environment, run_processes

TESTS = Path(__file__).parents[1]
BUILDERS = "expectation probabilities sample statevector fidelity estimator_qnn sampler_qnn".split()


@pytest.fixture(scope="module")
def found():
    """By name: errors, numbers and sentences."""
    command = [sys.executable, "-W", "error::FutureWarning", str(TESTS / "on_devices.py")]
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent), *sys.path])
    env = environment(8) | {"PYTHONPATH": paths}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_all_agree_with_one_device(found):
    errors = {name: value for name, value in found.items() if isinstance(value, float)}
    numbers = {name for name in errors if name.startswith(("real:", "complex:", "chi squared"))}
    assert len(errors) - len(numbers) > 35
    assert {name: value for name, value in errors.items() if name not in numbers and not value < 1e-12} == {}
    flags = {name: value for name, value in found.items() if isinstance(value, bool)}
    assert len(flags) > 10 and all(flags.values()), flags


def test_outcomes_have_their_frequencies(found):
    """252 degrees of freedom: a standard deviation of 0.09."""
    assert 0.6 < found["chi squared of outcomes"] < 1.4


@pytest.mark.parametrize("name", ["real", "complex"])
def test_what_is_sent_and_kept(found, name):
    """For each level at most two exchanges; for a gradient three times as much, one sum, and at most 8 local states."""
    assert found[f"{name}: exchanges of a level"] <= 2
    assert found[f"{name}: states that a level sends"] <= 2
    assert found[f"{name}: a gradient sends"] <= 3
    assert found[f"{name}: kinds of what is sent"] == ["all-reduce", "all-to-all"]
    assert found[f"{name}: bytes of sums"] <= 16
    assert found[f"{name}: local states of memory"] <= 8
    assert len(found[f"{name}: memory"]) == 2 and max(found[f"{name}: memory"]) <= 8.5  # with tables, at 16 qubits
    assert found["real: local states of memory of a batch"] <= 8


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("three devices", "ValueError: `mesh` must have 2.*k devices .* have 3. Make a mesh of 2"),
        ("too few qubits", "ValueError: `mesh` has 8 devices .* 6 qubits or more, but `circuit` has 4. Leave out"),
        ("no such axis", "ValueError: `state` must name axes of `mesh`, .* of 'q', but is 'x'"),
        ("a large matrix", "ValueError: .* holds 3 of the 6 qubits .* a matrix on 4 of them. Use fewer devices"),
        ("a batch that does not divide", "ValueError: .* over the 4 devices .* has 6 rows. Pass 8"),
        *[
            (f"a channel in {name}", "ValueError: `mesh` has .* the channel `kraus`.*leave out `mesh`")
            for name in BUILDERS
        ],
        ("a backend", "ValueError: `mesh` and `backend` are both given.*Leave out `backend`"),
    ],
)
def test_refusals(found, name, said):
    assert re.match(said, found[name]), found[name]


def test_two_processes_hold_one_state():
    """4 devices each, on loopback."""
    for printed in run_processes(str(TESTS / "two_processes.py"), 2, 4):
        errors = json.loads(printed.splitlines()[-1])
        assert len(errors) == 3 and all(abs(error) < 1e-5 for error in errors.values()), errors


def test_a_mesh_of_one_device():
    mesh = jax.make_mesh((1,), ("q",), axis_types=(jax.sharding.AxisType.Auto,))
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("t"), 0)
    circuit.cx(0, 1)
    f = qj.expectation(circuit, ["ZI", "XX"], mesh=mesh)
    t = np.float32(0.3)
    np.testing.assert_allclose(f([t]), [np.cos(t), np.sin(t)], atol=1e-6)
    np.testing.assert_allclose(jax.jacrev(f)(np.array([t]))[:, 0], [-np.sin(t), np.cos(t)], atol=1e-6)


def test_a_model_over_a_mesh_is_saved_without_it_and_copied_with_it(tmp_path):
    mesh = jax.make_mesh((1,), ("q",), axis_types=(jax.sharding.AxisType.Auto,))
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("t"), 0)
    for build in (qj.estimator_qnn, qj.sampler_qnn):
        model = build(circuit, inputs=[], mesh=mesh)
        qj.save(tmp_path / "model", model, np.ones(1))
        again, weights = qj.load(tmp_path / "model")
        assert again == build(circuit, inputs=[]) and weights == 1
        assert copy.deepcopy(model) == copy.copy(model) == model
        with pytest.raises(TypeError, match=r"over a `mesh` cannot be pickled.*Pickle the circuit.*qmljax\.save"):
            pickle.dumps(model)


# Plans, in plain NumPy.


@pytest.mark.parametrize("seed", range(30))
def test_matrices_factor_into_triangles_and_a_swap(seed):
    rng = np.random.default_rng(seed)
    k, m = int(rng.integers(1, 4)), int(rng.integers(3, 6))
    matrix = np.eye(k + m, dtype=np.int64)
    for _ in range(int(rng.integers(0, 20))):
        a, b = rng.permutation(k + m)[:2]
        matrix[a] ^= matrix[b]
    first, r, second = gf2.triangles(matrix, m)
    swap = gf2.swaps(k + m, [(m - r + j, m + j) for j in range(r)])
    assert (second @ swap @ first % 2 == matrix).all()
    assert not first[m:, :m].any() and not second[m:, :m].any()
    assert r == gf2.rank(matrix[m:, :m])
    assert (gf2.inverse(matrix) @ matrix % 2 == np.eye(k + m)).all()


@pytest.mark.parametrize("seed", range(12))
def test_any_permutation_goes_by_two_exchanges(seed):
    rng = np.random.default_rng(seed)
    k, m = 1 + seed % 3, 3 + seed % 2
    z = np.arange(1 << k + m)
    image = [rng.permutation(len(z)), z, z ^ (z & 1) << k + m - 1, z[::-1]][seed % 4]
    state = z.reshape(1 << k, 1 << m)
    for j, places in enumerate(three_permutations(image, m)):
        if j:
            state = state.reshape(1 << k, 1 << k, -1).swapaxes(0, 1).reshape(1 << k, -1)
        moved = np.empty_like(state)
        np.put_along_axis(moved, places, state, axis=1)
        state = moved
    assert (np.sort(state.reshape(-1)) == z).all() and (image[state.reshape(-1)] == z).all()

"""Training on data that lie on devices. Oracles: training on one device; counts; the text of compiled programs.

The file runs itself in a process with eight virtual devices, and a script in two processes with four each.
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from qiskit.circuit.library import real_amplitudes, zz_feature_map

import qmljax as qj
from qmljax._training import fit as loop
from qmljax._training.compiled_loop import take_steps
from qmljax.analysis import collectives
from tests.devices import run_processes, run_with_devices

N, QUBITS = 32, 2
FEATURES, ANSATZ = zz_feature_map(QUBITS, 1), real_amplitudes(QUBITS, reps=1)


def model() -> Any:
    return qj.estimator_qnn(FEATURES.compose(ANSATZ), inputs=FEATURES.parameters, weights=ANSATZ.parameters)


def points(dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, and data of two classes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, QUBITS)).astype(dtype)
    return rng.normal(size=4).astype(dtype), x, np.sign(x[:, 0])


def squares(w: Any, x: Any, y: Any) -> Any:
    return jnp.mean((model()(w, x)[:, 0] - y) ** 2)


if jax.device_count() < 8:

    def test_in_a_process_with_eight_devices():
        run_with_devices(__file__, 8)

    def test_two_processes(tmp_path):
        """Both get what one process does, and resume from one file."""
        first, second = run_processes(str(Path(__file__).with_name("fit_in_two_processes.py")), 2, 4, str(tmp_path))
        found = [json.loads(out.splitlines()[-1]) for out in (first, second)]
        assert found[0] == found[1]
        w, x, y = points("f")
        alone = qj.fit(squares, w, (x, y), optimizer=optax.adam(0.1), steps=5)
        for kind in ("Auto", "Explicit"):
            np.testing.assert_allclose(found[0][kind]["full"], alone.weights, rtol=0, atol=1e-5)
            np.testing.assert_allclose(found[0][kind]["values"], model()(w, x)[:, 0], rtol=0, atol=1e-5)
            members = [qj.fit(squares, k * w, (x, y), optimizer=optax.adam(0.1), steps=5).weights for k in (1, 2)]
            np.testing.assert_allclose(found[0][kind]["ensemble"], members, rtol=0, atol=1e-5)
            assert found[0][kind]["resumed"] == found[0][kind]["unbroken"]
            assert found[0][kind]["steps"] == [5, 5]

else:

    def mesh_of(kind: str) -> Any:
        return jax.make_mesh((2, 4), ("a", "b"), axis_types=(getattr(AxisType, kind),) * 2)

    def place(mesh: Any, array: Any, *axes: Any) -> Any:
        return jax.device_put(array, NamedSharding(mesh, PartitionSpec(*axes)))

    BOTH = ("a", "b")
    TYPES = pytest.mark.parametrize("types", ["Auto", "Explicit"])

    @pytest.fixture(autouse=True)
    def promotion(standard_promotion: None) -> None:
        """Adam's bias correction and sums over devices promote."""

    @TYPES
    @pytest.mark.parametrize("is_set", [True, False])
    def test_as_on_one_device(x64, types, is_set):
        mesh, (w, x, y) = mesh_of(types), points("d")
        about: dict[str, Any] = {"optimizer": optax.adam(0.1), "steps": 5}
        alone = qj.fit(squares, w, (x, y), validation=(x[:8], y[:8]), patience=5, **about)
        before = jax.sharding.get_abstract_mesh()
        with jax.set_mesh(mesh) if is_set else jax.sharding.use_abstract_mesh(before):
            for data in [(place(mesh, x, BOTH), place(mesh, y, BOTH)), (place(mesh, x, "b"), y)]:
                held = place(mesh, x[:8], "b"), y[:8]
                got = qj.fit(squares, w, data, validation=held, patience=5, **about)
                np.testing.assert_allclose(got.weights, alone.weights, rtol=0, atol=1e-12)
                np.testing.assert_allclose(got.history, alone.history, rtol=0, atol=1e-12)
                np.testing.assert_allclose(got.validation, alone.validation, rtol=0, atol=1e-12)
                assert got.weights.sharding.is_fully_replicated
            assert jax.sharding.get_abstract_mesh() == (before if not is_set else mesh.abstract_mesh)

    @TYPES
    def test_ensembles(x64, types):
        """Members on one axis of the mesh and samples on the other, all members' data or their own."""
        mesh, (w, x, y) = mesh_of(types), points("d")
        w = np.stack([w, 2 * w])
        about: dict[str, Any] = {"optimizer": optax.adam(0.1), "steps": 5}
        alone = qj.fit(squares, w, (x, y), **about)
        got = qj.fit(squares, place(mesh, w, "a"), (place(mesh, x, "b"), y), **about)
        np.testing.assert_allclose(got.weights, alone.weights, rtol=0, atol=1e-12)
        np.testing.assert_allclose(got.history, alone.history, rtol=0, atol=1e-12)
        assert got.weights.sharding.spec[0] == "a"
        own = place(mesh, np.stack([x, x]), "a", "b"), np.stack([y, y])
        got = qj.fit(squares, w, own, own_data=True, **about)
        np.testing.assert_allclose(got.weights, alone.weights, rtol=0, atol=1e-12)

    @TYPES
    def test_mini_batches(types):
        """A batch has as many samples of each share, in an order of its own, and an epoch has each sample once."""
        mesh, size = mesh_of(types), 16
        which = place(mesh, np.arange(N), BOTH)

        def mean(w: Any, which: Any) -> Any:
            """Of it, a gradient step of the size of the batch takes 1 off the weight of each sample."""
            return jnp.mean(jnp.sum((which[:, None] == jnp.arange(N)[None]) * w[None], axis=1))

        about: dict[str, Any] = {"optimizer": optax.sgd(float(size)), "batch_size": size}
        orders = []
        for seed in range(3):
            key = jax.random.key(seed)
            one = qj.fit(mean, np.zeros(N, "f"), (which,), steps=1, key=key, **about).weights
            seen = -np.asarray(one).reshape(8, N // 8)
            assert set(seen.ravel()) == {0, 1} and (seen.sum(axis=1) == size // 8).all()
            orders.append(seen)
            whole = qj.fit(mean, np.zeros(N, "f"), (which,), steps=4, key=key, **about).weights
            np.testing.assert_array_equal(whole, np.full(N, -2))
        assert any((seen != seen[0]).any() for seen in orders)
        assert (orders[0] != orders[1]).any()

    @pytest.mark.parametrize("batches", ["epochs", "replacement"])
    @pytest.mark.parametrize(
        ("types", "lie"),
        [("Auto", "samples"), ("Auto", "both"), ("Explicit", "both"), ("Explicit", "own data"), ("Auto", "members")],
    )
    def test_batches_of_members(types, batches, lie):
        """Each member draws its own, as many samples of each share, and what it is taught is what it drew."""
        mesh, size, members = mesh_of(types), 16, 2
        which = np.arange(N)
        start = np.zeros((members, N), "f")
        shares = {"samples": 8, "both": 4, "own data": 4, "members": 1}[lie]
        own = lie in ("own data", "members")
        if lie == "both":
            start = place(mesh, start, "a")
        data = {
            "samples": lambda: place(mesh, which, BOTH),
            "both": lambda: place(mesh, which, "b"),
            "own data": lambda: place(mesh, np.stack([which, which[::-1]]), "a", "b"),
            "members": lambda: place(mesh, np.stack([which, which[::-1]]), "a"),
        }[lie]()

        def mean(w: Any, which: Any) -> Any:
            return jnp.mean(jnp.sum((which[:, None] == jnp.arange(N)[None]) * w[None], axis=1))

        about: dict[str, Any] = {"optimizer": optax.sgd(float(size)), "batch_size": size, "batches": batches}
        about |= {"key": jax.random.split(jax.random.key(5), members), "own_data": own, "ensemble": True}
        counts = []
        for steps in (1, 4):
            weights = qj.fit(mean, start, (data,), steps=steps, **about).weights
            counts.append(-np.asarray(weights).astype(int))
            assert (counts[-1].reshape(members, shares, -1).sum(axis=-1) == steps * size // shares).all()
        assert (counts[0][0] != counts[0][1][:: -1 if own else 1]).any()
        if batches == "epochs":
            assert set(counts[0].ravel()) == {0, 1} and (counts[1] == 2).all()
        else:
            assert counts[1].max() > 2

    @TYPES
    def test_a_resumed_run(types, tmp_path):
        mesh, (w, x, y) = mesh_of(types), points("f")
        data = place(mesh, x, BOTH), place(mesh, y, BOTH)
        about: dict[str, Any] = {"optimizer": optax.adam(0.1), "batch_size": 8, "key": jax.random.key(0)}
        qj.fit(squares, w, data, steps=3, checkpoint=tmp_path / "run", **about)
        resumed = qj.fit(squares, w, data, steps=6, checkpoint=tmp_path / "run", **about)
        unbroken = qj.fit(squares, w, data, steps=6, **about)
        np.testing.assert_array_equal(resumed.weights, unbroken.weights)

    @TYPES
    @pytest.mark.parametrize(("size", "batches"), [(None, "epochs"), (16, "epochs"), (16, "replacement")])
    def test_what_is_sent(types, size, batches, monkeypatch):
        """Of a step: the gradient and the loss."""
        mesh, (w, x, y), programs = mesh_of(types), points("f"), []

        def spy(run: Any, **about: Any) -> Any:
            programs.append(take_steps.lower(run, **about).compile())
            return original(run, **about)

        original = loop.run_steps
        monkeypatch.setattr(loop, "run_steps", spy)
        data, key = (place(mesh, x, BOTH), place(mesh, y, BOTH)), jax.random.key(0)
        qj.fit(squares, w, data, optimizer=optax.adam(0.1), steps=1, batch_size=size, batches=batches, key=key)
        sent = _of_a_step(programs[0])
        assert sent.keys() == {"all-reduce"}
        assert sent["all-reduce"] <= 4 * (len(w) + 2)

    def _of_a_step(program: Any) -> dict[str, int]:
        """The number of steps is an argument: of the loop over them, one round counts."""
        once = ', "known_trip_count":{"n":"1"}'
        lines = program.as_text().splitlines()
        return collectives("\n".join(x + once if " while(" in x and "trip_count" not in x else x for x in lines))

    def test_layers_of_flax():
        """A network with a quantum layer learns from data on devices as from those of one."""
        nnx = pytest.importorskip("flax.nnx")
        from qmljax.flax import QuantumLayer

        _, x, y = points("f")

        def trained(data: tuple[Any, Any]) -> Any:
            network = nnx.Sequential(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), QuantumLayer(model(), rngs=nnx.Rngs(1)))
            optimizer = nnx.Optimizer(network, optax.adam(0.1), wrt=nnx.Param)

            @nnx.jit
            def step(network: Any, optimizer: Any, x: Any, y: Any) -> Any:
                loss, slopes = nnx.value_and_grad(lambda net: jnp.mean((net(x)[:, 0] - y) ** 2))(network)
                optimizer.update(network, slopes)
                return loss

            return [float(step(network, optimizer, *data)) for _ in range(3)]

        mesh = mesh_of("Auto")
        np.testing.assert_allclose(
            trained((place(mesh, x, BOTH), place(mesh, y, BOTH))), trained((x, y)), rtol=0, atol=1e-5
        )

    def test_batches_that_are_given():
        mesh, (w, x, y) = mesh_of("Auto"), points("f")
        with pytest.raises(ValueError, match="each of which draws from its own, but is an array of int64 of shape"):
            qj.fit(
                squares, w, (place(mesh, x, BOTH), y), optimizer=optax.adam(0.1), steps=1, batches=np.zeros((1, 8), int)
            )

    @pytest.mark.parametrize(("size", "way_out"), [(12, "Give 8 or 16"), (4, "Give 8, or")])
    def test_batches_that_do_not_divide(size, way_out):
        mesh, (w, x, y) = mesh_of("Auto"), points("f")
        with pytest.raises(ValueError, match=rf"`batch_size` must be a multiple of 8.*is {size}\. {way_out}"):
            qj.fit(
                squares,
                w,
                (place(mesh, x, BOTH), y),
                optimizer=optax.adam(0.1),
                steps=1,
                batch_size=size,
                key=jax.random.key(0),
            )

"""Wrong arguments of every public function are refused by built-in exceptions that name them and say what came."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from matplotlib.figure import Figure
from qiskit import QuantumCircuit, QuantumRegister
from wrong_calls import CIRCUIT, FEATURE_MAP, FEATURES, KEY, MODEL, POINTS, Call, cases, check_refusals, public

import qmljax as qj
from qmljax import analysis, circuits, datasets, gram, inference, losses, noise, plots

GRAM = np.eye(3, dtype=np.float32)
RHO = np.eye(4, dtype=np.float32) / 4
KERNEL = qj.fidelity_kernel(FEATURE_MAP)
Y, CLASSES = np.ones(3), np.array([0, 1, 1])
QNN = {"circuit": CIRCUIT, "inputs": FEATURES}
DATA: dict[str, Any] = {"samples": 4, "seed": 0}
MANIFOLD = DATA | {"num_features": 3}


def _loss(w: Any, x: Any) -> Any:
    return jnp.mean((x - w) ** 2)


AX, BALL = Figure().add_subplot(), Figure().add_subplot(projection="3d")
NETWORK = QuantumCircuit(QuantumRegister(1, "A"))
STATE = {"state": "mesh axes or none"}
NOISE = noise.NoiseModel({"rx": noise.depolarizing(0.1)})
FIT = {"loss": _loss, "weights": np.float32(1.0), "data": (POINTS,), "steps": 2}
OF_FIT = {
    **{"weights": "weights", "key": "key or none", "ensemble": "flag or none", "own_data": "flag or none"},
    **{"convergence": "count or none", "validation": "data or none", "opt_state": "", "checkpoint": "path or none"},
}
GRID = {
    "build": lambda: (lambda key: jnp.float32(0), _loss, _loss),
    **{"grid": {"learning_rate": [0.1]}, "data": (POINTS,), "steps": 2, "key": KEY, "folds": 2},
}
OF_GRID = {
    **{"build": "function", "grid": "", "folds": "", "prepare": "function or none", "file": "path or none"},
    **{"optimizer": "function", "repeats": "count", "at_once": "count or none"},
}
SGD = FIT | {"optimizer": optax.sgd(0.1)}
BFGS = FIT | {"optimizer": "L-BFGS-B"}
CALLS = {
    "qj.statevector": Call(qj.statevector, {"circuit": CIRCUIT}, STATE),
    "qj.unitary": Call(qj.unitary, {"circuit": CIRCUIT}),
    "qj.probabilities": Call(qj.probabilities, {"circuit": CIRCUIT}, STATE),
    "qj.expectation": Call(qj.expectation, {"circuit": CIRCUIT, "observables": "ZZ"}, STATE),
    "qj.sample": Call(qj.sample, {"circuit": CIRCUIT, "shots": 2}, STATE),
    "qj.metric_tensor": Call(qj.metric_tensor, {"circuit": CIRCUIT}),
    "qj.geometric_tensor": Call(qj.geometric_tensor, {"circuit": CIRCUIT}),
    "qj.term_variances": Call(
        qj.term_variances, {"circuit": CIRCUIT, "observable": "ZZ"}, {"observable": "observables"}
    ),
    "qj.grid_search": Call(qj.grid_search, GRID, OF_GRID),
    "qj.shadow": Call(qj.shadow, {"circuit": CIRCUIT, "shots": 2}, STATE),
    "a shadow's call": Call(qj.shadow(FEATURE_MAP, 2), {"params": np.ones(2), "key": KEY}),
    "a shadow's expectation": Call(
        qj.shadow(FEATURE_MAP, 2)(np.ones(2), KEY).expectation, {"observables": "ZZ"}, {"groups": "few"}
    ),
    "qj.counts": Call(qj.counts, {"outcomes": [0, 1], "num_bits": 1}, {"outcomes": "outcomes", "num_bits": "count"}),
    "qj.fidelity": Call(qj.fidelity, {"circuit_a": CIRCUIT, "circuit_b": CIRCUIT}, STATE),
    "qj.parse": Call(qj.parse, {"circuit": CIRCUIT}, {"evolution": "choice"}),
    "qj.estimator_qnn": Call(qj.estimator_qnn, QNN, STATE | {"observables": "observables or none"}),
    "qj.sampler_qnn": Call(qj.sampler_qnn, QNN, STATE | {"output_shape": ""}),
    "qj.sampler_qnn, interpreted": Call(
        qj.sampler_qnn,
        QNN | {"interpret": lambda k: k % 2, "output_shape": 2},
        STATE | {"output_shape": "count or none"},
    ),
    "qj.fidelity_kernel": Call(qj.fidelity_kernel, {"feature_map": FEATURE_MAP}, {"evaluate_duplicates": "choice"}),
    "qj.projected_kernel": Call(
        qj.projected_kernel,
        {"feature_map": FEATURE_MAP},
        {"gamma": "not negative or none", "observables": ""},
    ),
    "qj.Shots": Call(qj.Shots, {"shots": 2, "key": KEY}, {"gradient": "choice"}),
    "qj.density_matrix": Call(qj.density_matrix, {"circuit": CIRCUIT}),
    "noise.depolarizing": Call(noise.depolarizing, {"p": 0.1}),
    "noise.pauli": Call(noise.pauli, {"probabilities": {"X": 0.1}}, {"probabilities": "strings"}),
    "noise.bit_flip": Call(noise.bit_flip, {"p": 0.1}),
    "noise.phase_flip": Call(noise.phase_flip, {"p": 0.1}),
    "noise.amplitude_damping": Call(noise.amplitude_damping, {"gamma": 0.1}),
    "noise.phase_damping": Call(noise.phase_damping, {"lam": 0.1}),
    "noise.thermal_relaxation": Call(
        noise.thermal_relaxation,
        {"t1": 1.0, "t2": 1.0, "time": 0.1},
        {"t1": "", "t2": "", "time": "not negative"},
    ),
    "noise.kraus": Call(noise.kraus, {"matrices": [np.eye(2)]}, {"matrices": "matrices"}),
    "noise.NoiseModel": Call(
        noise.NoiseModel, {"gates": {"x": noise.bit_flip(0.1)}}, {"gates": "channels", "idle": "", "dt": ""}
    ),
    "noise.Simulator": Call(
        noise.Simulator,
        {"noise_model": NOISE, "method": "trajectories", "key": KEY},
        {"noise_model": "noise model", "method": "choice", "trajectories": "count"},
    ),
    "a simulator's expectation": Call(
        noise.Simulator(NOISE).expectation, {"circuit": CIRCUIT, "observables": "ZZ"}, {"with_std": ""}
    ),
    "a simulator's probabilities": Call(noise.Simulator(NOISE).probabilities, {"circuit": CIRCUIT}, {"with_std": ""}),
    "a simulator's sample": Call(noise.Simulator(NOISE).sample, {"circuit": CIRCUIT, "shots": 3}),
    "a noisy function's call": Call(noise.Simulator(NOISE).expectation(CIRCUIT, "ZZ"), {"params": np.ones(4)}),
    "qj.fit": Call(qj.fit, SGD, OF_FIT | {"min_delta": "", "tol": "", "bounds": "", "options": ""}),
    "qj.fit, patient": Call(
        qj.fit,
        SGD | {"patience": 1},
        OF_FIT | {"min_delta": "not negative", **dict.fromkeys(("tol", "bounds", "options"), "")},
    ),
    "qj.fit, SciPy": Call(
        qj.fit,
        BFGS,
        OF_FIT | {"min_delta": "", "tol": "positive or none", "bounds": "bounds", "options": "mapping"},
    ),
    "qj.natural_gradient": Call(qj.natural_gradient, {"metric": qj.metric_tensor(CIRCUIT)}, {"blocks": "blocks"}),
    "qj.spsa": Call(qj.spsa, {"key": KEY}),
    "qj.qnspsa": Call(qj.qnspsa, {"fidelity": qj.fidelity(CIRCUIT, CIRCUIT), "key": KEY}, {"damping": "positive"}),
    "qj.rotosolve": Call(qj.rotosolve, {"function": qj.expectation(CIRCUIT, "ZZ")}),
    "qj.save": Call(qj.save, {"path": "x", "model": MODEL, "weights": np.ones(2)}, {"model": "model", "weights": ""}),
    "qj.load": Call(qj.load, {"path": "no such file"}, {"backend": ""}),
    "a function's call": Call(qj.expectation(CIRCUIT, "ZZ"), {"params": np.ones(4)}),
    "a sample's call": Call(qj.sample(FEATURE_MAP, 2), {"params": np.ones(2), "key": KEY}),
    "a model's call": Call(MODEL, {"weights": np.ones(2), "x": np.ones(2)}, {"weights": "params"}),
    "a kernel's call": Call(KERNEL, {"x": POINTS}, {"x": "points", "y": "", "weights": ""}),
    "gram.kernel_alignment": Call(gram.kernel_alignment, {"gram": GRAM, "y": Y}),
    "gram.centre": Call(gram.centre, {"gram": GRAM}),
    "gram.svc_loss": Call(gram.svc_loss, {"gram": GRAM, "y": CLASSES}),
    "gram.svr_loss": Call(gram.svr_loss, {"gram": GRAM, "y": Y}),
    "gram.squared_loss": Call(gram.squared_loss, {"gram": GRAM, "y": Y}, {"ridge": "positive"}),
    "gram.huber_loss": Call(gram.huber_loss, {"gram": GRAM, "y": Y}, {"delta": "positive", "ridge": "positive"}),
    "gram.absolute_loss": Call(gram.absolute_loss, {"gram": GRAM, "y": Y}, {"ridge": "positive"}),
    "gram.clip": Call(gram.clip, {"gram": GRAM}),
    "gram.shift": Call(gram.shift, {"gram": GRAM}),
    "gram.shrink": Call(gram.shrink, {"gram": GRAM, "amount": 0.1}, {"amount": "not negative"}),
    "gram.nearest_correlation": Call(gram.nearest_correlation, {"gram": GRAM}, {"steps": "count"}),
    "gram.spectrum": Call(gram.spectrum, {"gram": GRAM}),
    "gram.concentration": Call(gram.concentration, {"gram": GRAM}),
    "gram.geometric_difference": Call(gram.geometric_difference, {"classical": GRAM, "quantum": GRAM}),
    "gram.engineered_labels": Call(gram.engineered_labels, {"classical": GRAM, "quantum": GRAM}),
    "gram.model_complexity": Call(gram.model_complexity, {"gram": GRAM, "y": Y}),
    "gram.nystroem": Call(
        gram.nystroem,
        {"kernel": KERNEL, "x": POINTS, "landmarks": POINTS},
        {"x": "points", "landmarks": "points", "cutoff": "not negative or none"},
    ),
    "gram.approximation_error": Call(
        gram.approximation_error,
        {"kernel": KERNEL, "x": POINTS, "features": np.ones((3, 2), np.float32), "key": KEY},
        {"x": "points", "features": "matrix"},
    ),
    "analysis.collectives": Call(analysis.collectives, {"compiled": "ENTRY %main (x: f32[]) -> f32[] {\n}"}),
    "analysis.purity": Call(analysis.purity, {"rho": RHO}),
    "analysis.entropy": Call(analysis.entropy, {"rho": RHO}),
    "analysis.mutual_information": Call(
        analysis.mutual_information, {"rho": RHO, "qubits": [0]}, {"qubits": "part of qubits"}
    ),
    "analysis.meyer_wallach": Call(analysis.meyer_wallach, {"state": np.ones(4) / 2}),
    "analysis.stabilizer_entropy": Call(analysis.stabilizer_entropy, {"state": np.ones(4) / 2}),
    "analysis.expressibility": Call(
        analysis.expressibility, {"circuit": CIRCUIT, "key": KEY, "samples": 3, "bins": 2}, {"bins": "count"}
    ),
    "analysis.entangling_capability": Call(
        analysis.entangling_capability, {"circuit": CIRCUIT, "key": KEY, "samples": 3}
    ),
    "analysis.gradient_variance": Call(
        analysis.gradient_variance,
        {"function": jnp.sum, "num_weights": 2, "key": KEY, "samples": 3},
        {"num_weights": "count"},
    ),
    "analysis.fourier_coefficients": Call(
        analysis.fourier_coefficients, {"function": jnp.cos, "degree": 2}, {"degree": "degree"}
    ),
    "analysis.fisher_information": Call(
        analysis.fisher_information,
        {"model": MODEL, "weights": np.ones(2, np.float32), "x": POINTS},
        {"model": "model", "weights": "points", "x": "points"},
    ),
    "analysis.effective_dimension": Call(
        analysis.effective_dimension,
        {"model": MODEL, "weights": POINTS, "x": POINTS, "n": 100},
        {"model": "model", "weights": "points", "x": "points", "n": "data sizes"},
    ),
    "analysis.lie_algebra_dimension": Call(analysis.lie_algebra_dimension, {"circuit": CIRCUIT}),
    "analysis.landscape": Call(
        analysis.landscape,
        {"loss": jnp.sum, "weights": np.ones(2, np.float32), "directions": np.eye(2), "steps": 3},
        {"weights": "centre", "directions": "directions", "steps": "displacements"},
    ),
    "inference.QBayesian": Call(
        inference.QBayesian,
        {"circuit": NETWORK},
        {
            "limit": "steps",
            "threshold": "positive share",
            "sampler": "object or none",
            "pass_manager": "object or none",
        },
    ),
    "a network's samples": Call(
        inference.QBayesian(NETWORK).rejection_sampling,
        {"evidence": {"A": 0}},
        {"evidence": "evidence", "format_res": "flag"},
    ),
    "a network's inference": Call(
        inference.QBayesian(NETWORK).inference,
        {"query": {"A": 0}, "evidence": {}},
        {"query": "query", "evidence": "evidence or none"},
    ),
    "plots.training_curve": Call(
        plots.training_curve, {"history": np.ones(3), "ax": AX}, {"history": "history", "label": ""}
    ),
    "plots.gram_matrix": Call(plots.gram_matrix, {"gram": GRAM, "ax": AX}, {"gram": "image", "y": "labels of points"}),
    "plots.decision_regions": Call(
        plots.decision_regions,
        {"predict": lambda x: x[:, 0], "x": POINTS, "ax": AX, "points": 2},
        {"predict": "function", "x": "plane", "y": "labels of points", "points": "count"},
    ),
    "plots.fourier_spectrum": Call(
        plots.fourier_spectrum, {"coefficients": np.ones(3), "ax": AX}, {"coefficients": "spectrum", "label": ""}
    ),
    "plots.landscape": Call(
        plots.landscape, {"values": np.ones(3), "ax": AX}, {"values": "history", "steps": "grid", "limits": "limits"}
    ),
    "plots.bloch_ball": Call(
        plots.bloch_ball, {"states": np.eye(2), "ax": BALL}, {"states": "states of a qubit", "colors": ""}
    ),
    "circuits.angle_embedding": Call(circuits.angle_embedding, {"n": 2}),
    "circuits.iqp_embedding": Call(circuits.iqp_embedding, {"n": 2, "repeats": 1}),
    "circuits.qaoa_embedding": Call(
        circuits.qaoa_embedding, {"n": 2, "layers": 1}, {"num_features": "count or none", "local_field": "choice"}
    ),
    "circuits.data_reuploading": Call(circuits.data_reuploading, {"n": 2, "layers": 1}),
    "circuits.hamiltonian_feature_map": Call(
        circuits.hamiltonian_feature_map, {"n": 2, "trotter_steps": 1}, {"trotter_steps": "count"}
    ),
    "circuits.strongly_entangling_layers": Call(
        circuits.strongly_entangling_layers, {"n": 2, "layers": 1}, {"entangler": "choice"}
    ),
    "circuits.basic_entangler_layers": Call(circuits.basic_entangler_layers, {"n": 2, "layers": 1}),
    "circuits.brickwork": Call(circuits.brickwork, {"n": 2, "layers": 1}),
    "circuits.matrix_product": Call(circuits.matrix_product, {"n": 2}),
    "circuits.tree_tensor_network": Call(circuits.tree_tensor_network, {"n": 2}),
    "circuits.mera": Call(circuits.mera, {"n": 2}),
    "circuits.qcnn": Call(circuits.qcnn, {"n": 2}),
    "circuits.raw_feature_vector": Call(circuits.raw_feature_vector, {"num_features": 4}, {"name": "name"}),
    "losses.cross_entropy": Call(
        losses.cross_entropy,
        {"probabilities": np.full((3, 2), 0.5, np.float32), "labels": CLASSES},
        {"probabilities": "matrix", "labels": "classes"},
    ),
    "losses.class_states": Call(losses.class_states, {"classes": 2}, {"classes": "count"}),
    "losses.weighted_fidelity": Call(
        losses.weighted_fidelity,
        {"fidelities": np.ones((3, 2), np.float32), "labels": CLASSES, "overlaps": np.eye(2, dtype=np.float32)},
        {"fidelities": "points", "labels": "classes", "overlaps": "points", "class_weights": "numbers"},
    ),
    "datasets.ad_hoc": Call(datasets.ad_hoc, DATA, {"gap": "not negative"}),
    "datasets.hidden_manifold": Call(datasets.hidden_manifold, MANIFOLD, {"manifold_dimension": "count"}),
    "datasets.hyperplanes": Call(datasets.hyperplanes, MANIFOLD, {"num_hyperplanes": "count", "dimension": "count"}),
    "datasets.two_curves": Call(datasets.two_curves, MANIFOLD, {"degree": "steps", "offset": "finite"}),
    "datasets.bowles_linearly_separable": Call(datasets.bowles_linearly_separable, {"num_features": 2}),
    "datasets.bowles_hidden_manifold": Call(
        datasets.bowles_hidden_manifold, {"num_features": 2}, {"manifold_dimension": "count"}
    ),
    "datasets.bowles_two_curves": Call(
        datasets.bowles_two_curves, {"num_features": 2, "samples": 4}, {"degree": "steps", "offset": "finite"}
    ),
    "datasets.bars_and_stripes": Call(datasets.bars_and_stripes, DATA, {"height": "count", "width": "count"}),
    "datasets.phases_of_matter": Call(
        datasets.phases_of_matter, DATA | {"num_qubits": 3}, {"model": "choice", "largest": "positive"}
    ),
    "datasets.entanglement_concentration": Call(
        datasets.entanglement_concentration, DATA, {"low": "not negative", "high": "not negative"}
    ),
    "datasets.concentratable_entanglement": Call(
        datasets.concentratable_entanglement, {"psi": np.array([1.0, 0, 0, 0])}, {"psi": "amplitudes"}
    ),
}
HOMES = {
    "qj": qj,
    "analysis": analysis,
    "gram": gram,
    "inference": inference,
    "losses": losses,
    "datasets": datasets,
    "circuits": circuits,
    "noise": noise,
    "plots": plots,
}
# Names that are no functions of a user's arguments: types, and what functions return.
TYPES = {
    "qj.Backend",
    "qj.Kernel",
    "qj.Model",
    "qj.Program",
    "qj.FitResult",
    "qj.Shadow",
    "circuits.AmplitudeEncoding",
    "noise.Channel",
    "noise.Idle",
}


def test_every_public_function_is_in_the_table():
    assert public(HOMES) - TYPES - {"qj.kernel_alignment"} <= set(CALLS)


@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize("name", CALLS)
def test_the_valid_call_is_valid(name, tmp_path):
    call = CALLS[name]
    given = {k: tmp_path / "file" if k == "path" else v for k, v in call.valid.items()}
    if name != "qj.load":
        call.function(**given)


@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize(("name", "argument"), cases(CALLS))
def test_a_wrong_argument_is_refused_by_name(name, argument, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where `save` writes what it should refuse
    check_refusals(CALLS[name], argument)

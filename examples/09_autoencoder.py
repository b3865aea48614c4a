"""A quantum autoencoder packs 64 pixels into three qubits, taught by a swap test.

Images of the digits 0 and 1 are the amplitudes of six qubits. The encoder has to leave three of them, the trash, in
|000>, so that the other three hold the image. A swap test compares the trash with three fresh qubits: its last qubit
reads 1 with probability (1 - F) / 2, where F is the probability that the trash is |000>; the mean of that is the loss.
Whenever the trash is measured as |000>, the inverse encoder restores an image, whose fidelity to the original is F
again. No encoder keeps more of the training images than their eight principal directions do. Digits that the encoder
has never seen do not fit.
"""

import _arguments
import _figures
import jax
import matplotlib
import numpy as np
import optax
from matplotlib.figure import Figure
from qiskit import QuantumCircuit
from qiskit.circuit.library import real_amplitudes
from sklearn.datasets import load_digits

import qmljax as qj

FIGURE = _arguments.figure(__file__)
LATENT, TRASH, REPS, STEPS = 3, 3, 20, 1000
QUBITS = LATENT + TRASH  # 2**6 = 8 * 8 pixels
TRAIN = 240


def images():
    """Digits of norm 1, of shape (N, 64): 0 and 1 to train on, 0 and 1 to test with, all others."""
    x, y = load_digits(return_X_y=True)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    seen = np.random.default_rng(0).permutation(x[y < 2])
    return seen[:TRAIN], seen[TRAIN:], x[y >= 2]


def swap_test(encoder):
    """The model whose output is the probability of 1; the trash are the last of the encoder's qubits."""
    pixels = qj.circuits.raw_feature_vector(2**QUBITS)
    circuit = QuantumCircuit(QUBITS + TRASH + 1)
    circuit.compose(pixels, range(QUBITS), inplace=True)
    circuit.compose(encoder, range(QUBITS), inplace=True)
    last = QUBITS + TRASH
    circuit.h(last)
    for k in range(TRASH):
        circuit.cswap(last, LATENT + k, QUBITS + k)
    circuit.h(last)
    return qj.estimator_qnn(circuit, "1" + "I" * last, inputs=pixels.parameters)


def train(model, x, x_test):
    """The weights, and the stages of the training: (step, fidelity in training, fidelity in the test)."""
    stages = []

    def loss(weights, x):
        return model(weights, x).mean()

    def record(step, weights, _):
        stages.append((step, 1 - 2 * loss(weights, x), 1 - 2 * loss(weights, x_test)))

    start = np.random.default_rng(0).uniform(-0.1, 0.1, model.num_weights).astype(np.float32)
    adam, key = optax.adam(optax.cosine_decay_schedule(0.05, STEPS)), jax.random.key(0)
    options = dict(steps=STEPS, batch_size=32, key=key, callback=record, progress=True)
    result = qj.fit(loss, start, (x,), optimizer=adam, **options)
    return result.weights, stages


def restored(encoder, weights, x):
    """The images (N, 64) that the inverse encoder makes of three qubits, when the trash was measured as |000>."""
    apply = qj.unitary(encoder)(weights).real
    latent = (x @ apply.T)[:, : 2**LATENT]  # the trash are the high bits of the index
    latent = latent / np.linalg.norm(latent, axis=1, keepdims=True)
    return latent @ apply[: 2**LATENT]


def draw(stages, bound, pairs, groups):
    matplotlib.rcParams.update({"font.size": 12, "legend.frameon": False})
    figure = Figure(figsize=(15, 4.2), dpi=110, layout="constrained")
    left, middle, right = figure.subfigures(1, 3, width_ratios=[1, 1.75, 1])

    training = left.subplots()
    steps, fidelity, test_fidelity = zip(*stages, strict=True)
    training.axhline(bound, color="#999999", linestyle=":", linewidth=2, label="bound, training images")
    training.plot(steps, fidelity, color="black", linewidth=2, label="training images")
    training.plot(steps, test_fidelity, color="#E69F00", linestyle="--", linewidth=2, label="test images")
    training.set(title="Training by the swap test", xlabel="step", ylabel="mean fidelity F", ylim=(0.6, 1))
    training.legend(loc="lower right")

    rows = middle.subplots(2, len(pairs))
    for column, (image, copy, fidelity) in zip(rows.T, pairs, strict=True):
        for panel, picture in zip(column, (image, copy), strict=True):
            panel.imshow(np.abs(picture).reshape(8, 8), cmap="cividis", vmin=0, vmax=0.35)
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        column[1].set_xlabel(f"F = {fidelity:.2f}")
    rows[0, 0].set_ylabel("original")
    rows[1, 0].set_ylabel("restored")
    middle.suptitle("64 pixels from three qubits (right: never seen)", fontsize=14)

    unseen = right.subplots()
    bins = np.linspace(0, 1, 41)
    for (name, values), color in zip(groups.items(), ("#0072B2", "#D55E00"), strict=True):
        unseen.hist(values, bins, density=True, color=color, alpha=0.6, label=name)
    unseen.set(title="What fits, and what does not", xlabel="fidelity F", ylabel="density", xlim=(0.3, 1))
    unseen.legend(loc="upper left")
    _figures.keep(figure, FIGURE)


def main():
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    x, x_test, others = images()
    bound = np.linalg.eigvalsh(x.T @ x / len(x))[-(2**LATENT) :].sum()
    encoder = real_amplitudes(QUBITS, reps=REPS, entanglement="linear")
    model = swap_test(encoder)
    weights, stages = train(model, x, x_test)

    def fidelities(x):
        return 1 - 2 * np.asarray(model(weights, x))[:, 0]

    print(f"An encoder of {model.num_weights} weights keeps {LATENT} of {QUBITS} qubits. Mean fidelity:")
    print(f"  training images of 0 and 1  {fidelities(x).mean():.3f}, of any encoder at most {bound:.3f}")
    print(f"  test images of 0 and 1      {fidelities(x_test).mean():.3f}")
    print(f"  other digits, never seen    {fidelities(others).mean():.3f}")
    shown = np.concatenate([x_test[1:3], others[1:3]])
    copies = restored(encoder, weights, shown)
    overlaps = np.sum(shown * copies, axis=1) ** 2
    print(f"Swap test and restored images agree within {np.abs(overlaps - fidelities(shown)).max():.0e}.")
    draw(
        stages,
        bound,
        list(zip(shown, copies, overlaps, strict=True)),
        {"test, 0 and 1": fidelities(x_test), "digits 2 to 9": fidelities(others)},
    )
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()

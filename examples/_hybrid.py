"""What the hybrid networks of examples 13 (Flax) and 14 (PyTorch) share: images, model, weights, batches, figure.

The network, for `QUBITS[classes]` qubits: an image (1, 8, 8) -> convolution 3 x 3 to 8 channels, without padding
(8, 6, 6) -> ReLU -> maximum over 2 x 2 (8, 3, 3) -> flattened, channels first (72,) -> linear -> pi / 2 * tanh, angles
(qubits,) -> the quantum model -> linear (classes,), logits. The loss is the mean cross-entropy of a batch, the
optimiser Adam with `LEARNING_RATE` and otherwise its defaults, which are the same in optax and in PyTorch.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import _figures
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import real_amplitudes
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import qmljax as qj

SEED = 7
DIGITS = {2: (4, 9), 10: tuple(range(10))}  # which digits, by the number of classes
QUBITS = {2: 4, 10: 8}
STEPS = {2: 200, 10: 800}
BATCH, LEARNING_RATE = 64, 0.01
CHANNELS, FEATURES = 8, 72


class Images(NamedTuple):
    """Images (N, 1, 8, 8) in [0, 1], channels first as PyTorch has them, in float32, and labels (N,) from 0 on."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def images(classes: int) -> Images:
    """scikit-learn's digits, a quarter of them to test with. For Flax, channels last: `np.moveaxis(x, 1, -1)`."""
    x, labels = load_digits(return_X_y=True)
    chosen = np.isin(labels, DIGITS[classes])
    x = (x[chosen] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    y = np.searchsorted(DIGITS[classes], labels[chosen])
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=SEED, stratify=y)
    return Images(x_train, y_train, x_test, y_test)


def quantum_model(classes: int):
    """`model(weights, x)`: angles (..., qubits) -> <Z> of each qubit. The angles enter twice: data re-uploading."""
    qubits = QUBITS[classes]
    x, circuit = ParameterVector("x", qubits), QuantumCircuit(qubits)
    for layer in range(2):
        for qubit in range(qubits):
            circuit.ry(x[qubit], qubit)
        circuit.compose(real_amplitudes(qubits, "circular", reps=1, parameter_prefix=f"w{layer}"), inplace=True)
    z_on_each = ["Z".ljust(qubit + 1, "I").rjust(qubits, "I") for qubit in range(qubits)]
    return qj.estimator_qnn(circuit, z_on_each, inputs=x)


def start(rng: np.random.Generator, classes: int) -> dict[str, np.ndarray]:
    """The weights to start from, float32, in the shapes and under the names of PyTorch's `state_dict`.

    Flax has the same weights transposed: a kernel of `nnx.Linear` is `weight.T`, that of `nnx.Conv` is
    `weight.transpose(2, 3, 1, 0)`; biases and the weights of the quantum layer are as they are. Channels last, its
    activations take `jnp.moveaxis(h, -1, -3)` before they are flattened.
    """
    model = quantum_model(classes)

    def uniform(fan_in: int, *shape: int) -> np.ndarray:
        return rng.uniform(-(fan_in**-0.5), fan_in**-0.5, shape).astype(np.float32)

    return {
        "convolution.weight": uniform(9, CHANNELS, 1, 3, 3),
        "convolution.bias": uniform(9, CHANNELS),
        "to_angles.weight": uniform(FEATURES, model.num_inputs, FEATURES),
        "to_angles.bias": uniform(FEATURES, model.num_inputs),
        "quantum.weight": uniform(4, model.num_weights),
        "to_logits.weight": uniform(model.num_inputs, classes, *model.output_shape),
        "to_logits.bias": uniform(model.num_inputs, classes),
    }


def batches(rng: np.random.Generator, samples: int, steps: int) -> Iterator[np.ndarray]:
    """The indices (BATCH,) of each step: epoch after epoch in a new random order, without the rest that fills none."""
    per_epoch = samples // BATCH
    for step in range(steps):
        if step % per_epoch == 0:
            order = rng.permutation(samples)
        yield order[step % per_epoch * BATCH :][:BATCH]


class Run(NamedTuple):
    """What the training of a network gave: the losses of all steps, and its logits (N, classes) on the test images."""

    classes: int
    losses: Sequence[float]
    logits: np.ndarray


def draw(runs: Sequence[Run], figure: Path) -> None:
    """The losses of all runs, what the last one confuses, and its six worst mistakes."""
    matplotlib.rcParams.update({"axes.titlesize": 12, "legend.frameon": False})
    canvas = Figure(figsize=(12, 3.8), dpi=110, layout="constrained")
    left, middle, right = canvas.subfigures(1, 3, width_ratios=(1, 1, 0.9))
    losses, confusion = left.subplots(), middle.subplots()

    for run, color in zip(runs, ("#999999", "black"), strict=False):
        window = np.ones(10) / 10
        losses.plot(np.convolve(run.losses, window, "valid"), color=color, label=f"{run.classes} classes")
    losses.set(title="Training", xlabel="step", ylabel="cross-entropy (mean of 10 batches)", yscale="log")
    losses.spines[["top", "right"]].set_visible(False)
    losses.legend()

    run = runs[-1]
    data = images(run.classes)
    guess, count = run.logits.argmax(axis=1), np.zeros((run.classes, run.classes), int)
    np.add.at(count, (data.y_test, guess), 1)
    shown = np.where(np.eye(run.classes), np.nan, count)
    confusion.imshow(shown, cmap="Oranges", vmin=0, vmax=max(3, np.nanmax(shown)))
    for (row, column), number in np.ndenumerate(count):
        if number:
            confusion.text(column, row, number, ha="center", va="center", fontsize=9)
    ticks = range(run.classes)
    confusion.set_xticks(ticks, DIGITS[run.classes])
    confusion.set_yticks(ticks, DIGITS[run.classes])
    confusion.tick_params(length=0)
    right_share = np.mean(guess == data.y_test)
    confusion.set(title=f"Test images: {right_share:.1%} right", xlabel="the network says", ylabel="digit")

    margin = run.logits[np.arange(len(guess)), data.y_test] - run.logits.max(axis=1)  # 0 where it is right
    right.suptitle("The worst mistakes", fontsize=12)
    for panel, worst in zip(right.subplots(2, 3).flat, np.argsort(margin), strict=False):
        digit, said = DIGITS[run.classes][data.y_test[worst]], DIGITS[run.classes][guess[worst]]
        panel.imshow(data.x_test[worst, 0], cmap="gray_r")
        panel.set_title(f"{digit}, taken for {said}", fontsize=9)
        panel.axis("off")

    _figures.keep(canvas, figure)

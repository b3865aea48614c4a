"""Weights travel from PyTorch to Flax and back, in a safetensors file.

A quantum layer and the linear layers around it are trained for a while in PyTorch, saved, read in Flax, trained there
and sent back. The networks agree on every image each time. The weights of a quantum layer are the same vector in both;
those of a linear layer are transposed, which is all there is to convert.
"""

import os
import tempfile
from pathlib import Path

import _arguments
import _figures
import _hybrid
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import safetensors.numpy
import safetensors.torch
import torch
from flax import nnx
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from qmljax.flax import QuantumLayer
from qmljax.torch import TorchConnector

FIGURE = _arguments.figure(__file__)
CLASSES, STEPS = 10, 200  # steps of each of the three trainings
PIXELS, QUBITS = 64, _hybrid.QUBITS[CLASSES]


class InTorch(torch.nn.Module):
    """Pixels (..., 64) -> logits (..., 10)."""

    def __init__(self, model):
        super().__init__()
        self.to_angles = torch.nn.Linear(PIXELS, QUBITS)
        self.quantum = TorchConnector(model)
        self.to_logits = torch.nn.Linear(QUBITS, CLASSES)

    def forward(self, x):
        return self.to_logits(self.quantum(torch.pi / 2 * torch.tanh(self.to_angles(x))))


class InFlax(nnx.Module):
    """The same network."""

    def __init__(self, model, rngs):
        self.to_angles = nnx.Linear(PIXELS, QUBITS, rngs=rngs)
        self.quantum = QuantumLayer(model, rngs=rngs)
        self.to_logits = nnx.Linear(QUBITS, CLASSES, rngs=rngs)

    def __call__(self, x):
        return self.to_logits(self.quantum(jnp.pi / 2 * jnp.tanh(self.to_angles(x))))


def from_flax(network):
    """The weights under PyTorch's names and in its shapes."""
    weights = {"quantum.weight": network.quantum.weights[...]}
    for name in ("to_angles", "to_logits"):
        layer = getattr(network, name)
        weights |= {f"{name}.weight": layer.kernel[...].T, f"{name}.bias": layer.bias[...]}
    return {name: np.ascontiguousarray(w) for name, w in weights.items()}


def into_flax(network, weights):
    network.quantum.weights[...] = jnp.asarray(weights["quantum.weight"])
    for name in ("to_angles", "to_logits"):
        layer = getattr(network, name)
        layer.kernel[...] = jnp.asarray(weights[f"{name}.weight"]).T
        layer.bias[...] = jnp.asarray(weights[f"{name}.bias"])


def train_torch(network, x, y, rng):
    adam, losses = torch.optim.Adam(network.parameters(), _hybrid.LEARNING_RATE), []
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    for batch in tqdm(_hybrid.batches(rng, len(x), STEPS), total=STEPS, desc="PyTorch"):
        loss = torch.nn.functional.cross_entropy(network(x[batch]), y[batch])
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return losses


def train_flax(network, x, y, rng):
    definition, weights = nnx.split(network)
    adam, losses = optax.adam(_hybrid.LEARNING_RATE), []
    state = adam.init(weights)

    def loss(weights, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(nnx.merge(definition, weights)(x), y).mean()

    @jax.jit
    def step(weights, state, x, y):
        value, gradient = jax.value_and_grad(loss)(weights, x, y)
        updates, state = adam.update(gradient, state)
        return optax.apply_updates(weights, updates), state, value

    for batch in tqdm(_hybrid.batches(rng, len(x), STEPS), total=STEPS, desc="Flax"):
        weights, state, value = step(weights, state, x[batch], y[batch])
        losses.append(float(value))
    nnx.update(network, weights)
    return losses


def draw(parts):
    matplotlib.rcParams.update({"axes.titlesize": 12, "legend.frameon": False})
    figure = Figure(figsize=(7, 3.6), dpi=110, layout="constrained")
    panel, begun = figure.subplots(), 0
    for (name, losses), color in zip(parts, ("#D55E00", "#0072B2", "#E69F00"), strict=True):
        panel.semilogy(range(begun, begun + len(losses)), losses, color=color, lw=1)
        panel.text(begun + len(losses) / 2, 2.6, name, color=color, ha="center")
        begun += len(losses)
    panel.set(title="One network, trained in two libraries", xlabel="step", ylabel="cross-entropy", ylim=(None, 4))
    panel.spines[["top", "right"]].set_visible(False)
    _figures.keep(figure, FIGURE)


def main():
    torch.set_num_threads(1)  # on tensors as small as these, threads only wait for one another
    torch.manual_seed(_hybrid.SEED)
    rng, data = np.random.default_rng(_hybrid.SEED), _hybrid.images(CLASSES)
    x, x_test = (images.reshape(len(images), PIXELS) for images in (data.x_train, data.x_test))
    model = _hybrid.quantum_model(CLASSES)
    in_torch, in_flax = InTorch(model), InFlax(model, nnx.Rngs(0))
    rows, parts = [], []

    def look(after):
        logits = in_torch(torch.from_numpy(x_test)).detach().numpy(), np.asarray(in_flax(x_test))
        difference = np.abs(logits[0] - logits[1]).max()
        rows.append((after, difference, *(np.mean(z.argmax(axis=1) == data.y_test) for z in logits)))

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.safetensors"
        parts.append(("PyTorch", train_torch(in_torch, x, data.y_train, rng)))
        look("training in PyTorch")
        safetensors.torch.save_file(in_torch.state_dict(), file)
        into_flax(in_flax, safetensors.numpy.load_file(file))
        look("PyTorch -> Flax")

        parts.append(("Flax", train_flax(in_flax, x, data.y_train, rng)))
        look("training in Flax")
        safetensors.numpy.save_file(from_flax(in_flax), file)
        in_torch.load_state_dict(safetensors.torch.load_file(file))
        look("Flax -> PyTorch")

    parts.append(("PyTorch", train_torch(in_torch, x, data.y_train, rng)))
    look("training in PyTorch")

    print(f"\n{'after':<24}{'logits differ by':>18}{'PyTorch right':>16}{'Flax right':>14}")
    for after, difference, torch_right, flax_right in rows:
        print(f"{after:<24}{difference:>18.1e}{torch_right:>16.1%}{flax_right:>14.1%}")
    draw(parts)
    print(f"The figure is {os.path.relpath(FIGURE)}.")


if __name__ == "__main__":
    main()

"""A hybrid network in Flax on real images: a convolution, a quantum layer and two linear ones learn to read digits.

The quantum layer is a module like its neighbours, and one optimiser trains them together. First two digits that are
easily confused, on 4 qubits, then all ten, on 8. Example 14 is the same in PyTorch: from the same weights and with the
same batches it reaches the same accuracy.
"""

import time

import _arguments
import jax
import jax.numpy as jnp
import numpy as np
import optax
from _hybrid import CHANNELS, DIGITS, FEATURES, LEARNING_RATE, SEED, STEPS, Run, batches, draw, images, quantum_model
from _hybrid import start as start_weights
from flax import nnx
from tqdm import tqdm

from qmljax.flax import QuantumLayer

FIGURE = _arguments.figure(__file__)


class Network(nnx.Module):
    """Images (N, 8, 8, 1) to logits (N, classes)."""

    def __init__(self, classes, *, rngs):
        model = quantum_model(classes)
        self.convolution = nnx.Conv(1, CHANNELS, (3, 3), padding="VALID", rngs=rngs)
        self.to_angles = nnx.Linear(FEATURES, model.num_inputs, rngs=rngs)
        self.quantum = QuantumLayer(model, rngs=rngs)
        self.to_logits = nnx.Linear(*model.output_shape, classes, rngs=rngs)

    def __call__(self, x):
        h = nnx.max_pool(nnx.relu(self.convolution(x)), (2, 2), strides=(2, 2))
        h = jnp.moveaxis(h, -1, -3).reshape(len(x), FEATURES)  # flattened as PyTorch does, channels first
        return self.to_logits(self.quantum(jnp.pi / 2 * jnp.tanh(self.to_angles(h))))


def load(network, weights):
    """Takes over the weights that a PyTorch network starts from too: its matrices are transposed."""
    for name, weight in weights.items():
        layer, kind = name.split(".")
        layer = getattr(network, layer)
        if kind == "bias":
            layer.bias[...] = weight
        elif isinstance(layer, QuantumLayer):
            layer.weights[...] = weight
        else:
            layer.kernel[...] = weight.T if weight.ndim == 2 else weight.transpose(2, 3, 1, 0)


def cross_entropy(network, x, y):
    return optax.softmax_cross_entropy_with_integer_labels(network(x), y).mean()


def train(classes):
    data = images(classes)
    x_train, x_test = (jnp.moveaxis(x, 1, -1) for x in (data.x_train, data.x_test))
    y_train = jnp.asarray(data.y_train)
    rng = np.random.default_rng(SEED)
    network = Network(classes, rngs=nnx.Rngs(SEED))
    load(network, start_weights(rng, classes))
    optimizer = nnx.Optimizer(network, optax.adam(LEARNING_RATE), wrt=nnx.Param)
    print(
        f"Digits {', '.join(map(str, DIGITS[classes]))}: {len(x_train)} images to train on, {len(x_test)} to test with"
    )
    print(network.quantum)

    # Split once, so that a step is one call of a function of arrays: small networks feel what `nnx.jit` does besides.
    graph, state = nnx.split((network, optimizer))

    @jax.jit
    def step(state, chosen):
        network, optimizer = nnx.merge(graph, state)
        loss, gradient = nnx.value_and_grad(cross_entropy)(network, x_train[chosen], y_train[chosen])
        optimizer.update(network, gradient)
        return nnx.state((network, optimizer)), loss

    losses, begin = [], time.perf_counter()
    order = batches(rng, len(x_train), STEPS[classes])
    for chosen in tqdm(order, desc=f"{classes} classes", total=STEPS[classes], unit="step"):
        state, loss = step(state, chosen)
        losses.append(loss)
    losses = np.array(jax.block_until_ready(losses))
    seconds = time.perf_counter() - begin

    network, _ = nnx.merge(graph, state)
    scores = {}
    for name, x, y in (("train", x_train, data.y_train), ("test", x_test, data.y_test)):
        logits = np.asarray(network(x))
        scores[name] = np.mean(logits.argmax(axis=1) == y)
    print(
        f"{classes} classes: loss {losses[0]:.3f} -> {losses[-10:].mean():.3f}, {scores['train']:.1%} right on the "
        f"training images, {scores['test']:.1%} on the test images; {STEPS[classes]} steps in {seconds:.1f} s\n"
    )
    return Run(classes, losses, logits)


def main():
    draw([train(classes) for classes in DIGITS], FIGURE)
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()

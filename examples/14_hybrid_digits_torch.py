"""A convolutional network with a quantum layer learns to read digits, in PyTorch.

The images are scikit-learn's 8 x 8 scans: first 4 against 9, on 4 qubits, then all ten digits, on 8. The quantum layer
stands between two linear ones and is trained with them, by PyTorch's optimiser, through its weights and its inputs.
`13_hybrid_digits_flax.py` trains the same network from the same weights in Flax.
"""

import os
import time

import _arguments
import _hybrid
import numpy as np
import torch
from tqdm.auto import tqdm

from qmljax.torch import TorchConnector

FIGURE = _arguments.figure(__file__)


class Hybrid(torch.nn.Module):
    """Images (N, 1, 8, 8) -> logits (N, classes)."""

    def __init__(self, classes):
        super().__init__()
        qubits = _hybrid.QUBITS[classes]
        self.convolution = torch.nn.Conv2d(1, _hybrid.CHANNELS, 3)
        self.to_angles = torch.nn.Linear(_hybrid.FEATURES, qubits)
        self.quantum = TorchConnector(_hybrid.quantum_model(classes))
        self.to_logits = torch.nn.Linear(qubits, classes)

    def forward(self, x):
        h = torch.nn.functional.max_pool2d(torch.relu(self.convolution(x)), 2)
        angles = torch.pi / 2 * torch.tanh(self.to_angles(h.flatten(1)))
        return self.to_logits(self.quantum(angles))


def train(classes):
    """The network after training, and the losses of all steps."""
    rng = np.random.default_rng(_hybrid.SEED)
    network = Hybrid(classes)
    network.load_state_dict({name: torch.from_numpy(w) for name, w in _hybrid.start(rng, classes).items()})
    data = _hybrid.images(classes)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    adam, losses = torch.optim.Adam(network.parameters(), _hybrid.LEARNING_RATE), []
    steps = _hybrid.STEPS[classes]
    for batch in tqdm(_hybrid.batches(rng, len(x), steps), total=steps, desc=f"{classes} classes"):
        loss = torch.nn.functional.cross_entropy(network(x[batch]), y[batch])
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return network, losses


def main():
    torch.set_num_threads(1)  # on tensors as small as these, threads only wait for one another
    runs, rows = [], []
    for classes in (2, 10):
        begun = time.perf_counter()
        network, losses = train(classes)
        seconds = time.perf_counter() - begun
        data = _hybrid.images(classes)
        with torch.no_grad():
            seen, unseen = (network(torch.from_numpy(x)).numpy() for x in (data.x_train, data.x_test))
        scores = [np.mean(z.argmax(axis=1) == y) for z, y in ((seen, data.y_train), (unseen, data.y_test))]
        runs.append(_hybrid.Run(classes, losses, unseen))
        rows.append((f"{classes} classes, {_hybrid.QUBITS[classes]} qubits", losses[-1], *scores, seconds))

    print(f"\n{'network':<22}{'last loss':>12}{'train accuracy':>16}{'test accuracy':>16}{'seconds':>10}")
    for name, loss, seen, unseen, seconds in rows:
        print(f"{name:<22}{loss:>12.4f}{seen:>16.1%}{unseen:>16.1%}{seconds:>10.1f}")
    _hybrid.draw(runs, FIGURE)
    print(f"The figure is {os.path.relpath(FIGURE)}.")


if __name__ == "__main__":
    main()

"""A quantum generator learns a distribution from a classical discriminator: a GAN in PyTorch.

The generator is a circuit on 6 qubits with 84 weights and without inputs. Its 64 outcomes are the points of an 8 x 8
grid, 3 qubits for each axis, and their probabilities are to be those of a correlated Gaussian. The discriminator, a
small classical network, says of points of the grid which of the two they came from; each is trained against the other.
"""

import os
import time

import _arguments
import _figures
import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from tqdm.auto import tqdm

import qmljax as qj
from qmljax.torch import TorchConnector

FIGURE = _arguments.figure(__file__)
SEED, STEPS, QUBITS, SIDE = 3, 2000, 6, 8
EVERY = 20  # steps between two looks


def grid():
    """The points (64, 2) of the grid on [-2, 2] x [-2, 2]: outcome z is the point (z % 8, z // 8)."""
    ticks = np.linspace(-2, 2, SIDE)
    y, x = np.meshgrid(ticks, ticks, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def gaussian(points):
    """The probabilities (64,) to learn: mean (0, 0.3), unit variances, correlation 0.6; cut off and normalised."""
    inverse = np.linalg.inv([[1, 0.6], [0.6, 1]])
    centred = points - [0, 0.3]
    p = np.exp(-0.5 * np.einsum("ni,ij,nj->n", centred, inverse, centred))
    return p / p.sum()


def generator():
    """`generator()`: the probabilities (64,) of the outcomes, starting near the uniform distribution."""
    circuit = QuantumCircuit(QUBITS)
    circuit.h(range(QUBITS))
    circuit.compose(efficient_su2(QUBITS, reps=6), inplace=True)
    model = qj.sampler_qnn(circuit, inputs=[])
    return TorchConnector(model, 0.1 * torch.randn(model.num_weights))


def discriminator():
    """Points (..., 2) -> logits (..., 1) of "this one is real"."""
    layers = [torch.nn.Linear(2, 64), torch.nn.LeakyReLU(0.2), torch.nn.Linear(64, 64), torch.nn.LeakyReLU(0.2)]
    return torch.nn.Sequential(*layers, torch.nn.Linear(64, 1))


def relative_entropy(p, q):
    return float((p * torch.log(p / q.clamp_min(1e-12))).sum())


def train(points, target):
    """The generator's distributions at the start and in the end, and (step, relative entropy, losses of both)."""
    make, judge = generator(), discriminator()
    start = make().detach()
    betas = (0.0, 0.99)  # without momentum, the two do not chase each other in circles
    make_adam = torch.optim.Adam(make.parameters(), 0.005, betas)
    judge_adam = torch.optim.Adam(judge.parameters(), 0.01, betas)
    looks = []
    for step in tqdm(range(STEPS + 1), desc="GAN"):
        real, fake = (torch.nn.functional.softplus(sign * judge(points)[:, 0]) for sign in (-1, 1))
        p = make()
        judge_loss = (target @ real + p.detach() @ fake) / 2  # exact means over both distributions, not over samples
        judge_adam.zero_grad()
        judge_loss.backward()
        judge_adam.step()

        make_loss = p @ torch.nn.functional.softplus(-judge(points)[:, 0])
        make_adam.zero_grad()
        make_loss.backward()
        if step % EVERY == 0:
            looks.append((step, relative_entropy(target, p.detach()), judge_loss.item(), make_loss.item()))
        make_adam.step()
    return start, p.detach(), looks


def draw(target, p, looks):
    matplotlib.rcParams.update({"axes.titlesize": 12, "legend.frameon": False})
    figure = Figure(figsize=(13, 3.6), dpi=110, layout="constrained")
    left, middle, first, second = figure.subplots(1, 4, width_ratios=(1.2, 1.2, 1, 1))
    steps, entropies, judge_losses, make_losses = zip(*looks, strict=True)
    left.semilogy(steps, entropies, color="black")
    left.set(title="Relative entropy to the target", xlabel="step", ylabel="nats")
    middle.plot(steps, make_losses, color="#D55E00", label="generator")
    middle.plot(steps, judge_losses, color="#0072B2", label="discriminator")
    middle.axhline(np.log(2), color="black", lw=0.8, ls="--", label="log 2: no better than by chance")
    middle.set(title="Losses", xlabel="step")
    middle.legend(fontsize=8)
    for panel in (left, middle):
        panel.spines[["top", "right"]].set_visible(False)
    for panel, q, title in ((first, target, "Target"), (second, p, "Generator")):
        image = panel.imshow(q.reshape(SIDE, SIDE), origin="lower", extent=(-2, 2, -2, 2), vmin=0, vmax=target.max())
        panel.set_title(title)
    figure.colorbar(image, ax=(first, second), shrink=0.8, label="probability")
    _figures.keep(figure, FIGURE)


def main():
    torch.set_num_threads(1)  # on tensors as small as these, threads only wait for one another
    torch.manual_seed(SEED)
    points = grid()
    target = torch.tensor(gaussian(points), dtype=torch.float32)
    begun = time.perf_counter()
    start, p, looks = train(torch.tensor(points, dtype=torch.float32), target)
    seconds = time.perf_counter() - begun
    uniform = torch.full_like(target, 1 / len(target))
    print(f"\n{'distribution':<24}{'relative entropy':>16}{'total variation':>18}")
    for name, q in (("uniform", uniform), ("generator at the start", start), ("trained generator", p)):
        print(f"{name:<24}{relative_entropy(target, q):>16.4f}{(target - q).abs().sum() / 2:>18.4f}")
    print(f"\n{STEPS} steps of generator and discriminator in {seconds:.1f} s.")
    draw(target.numpy(), p.numpy(), looks)
    print(f"The figure is {os.path.relpath(FIGURE)}.")


if __name__ == "__main__":
    main()

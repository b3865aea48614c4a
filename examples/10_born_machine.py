"""A quantum circuit learns to draw from a distribution: a Born machine by moments, a quantum GAN by a rival.

Measuring six qubits draws a number from 0 to 63. Two copies of one circuit see 2,000 numbers drawn from a discretised
Gaussian, and nothing else. The Born machine minimises the maximum mean discrepancy (MMD), a distance of two
distributions in a kernel. The generative adversarial network (GAN) trains the circuit against a rival, a small network
that has to tell true numbers from generated ones; its step is plain JAX and optax. The circuit enters both losses by
its exact probabilities. Eight starts are trained at once. The 2,000 numbers are the yardstick: no perfect Gaussian
either.
"""

import functools

import _arguments
import _figures
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
from matplotlib.figure import Figure
from qiskit import QuantumCircuit
from qiskit.circuit.library import real_amplitudes
from tqdm.auto import tqdm

import qmljax as qj

FIGURE = _arguments.figure(__file__)
COLORS = {"Born machine, MMD": "#0072B2", "GAN": "#D55E00"}
QUBITS, SAMPLES, STARTS, STEPS, BATCH, HIDDEN = 6, 2_000, 8, 2_000, 256, 32
CHUNK = STEPS // 100  # steps for one look at the progress
NUMBERS = np.arange(2**QUBITS)


def gaussian():
    """The probabilities of the numbers."""
    p = np.exp(-0.5 * ((NUMBERS - 26) / 8) ** 2)
    return p / p.sum()


def total_variation(p, q):
    return np.abs(p - q).sum(axis=-1) / 2


def relative_entropy(p, q):
    """Of p to q, in nats."""
    return np.sum(p * np.log(np.maximum(p, 1e-12) / q), axis=-1)


def generator():
    """Uniform at weights of zero: the Hadamard gates come first."""
    circuit = QuantumCircuit(QUBITS)
    circuit.h(range(QUBITS))
    return qj.probabilities(circuit.compose(real_amplitudes(QUBITS, reps=4, entanglement="linear")))


def kernel():
    """The matrix (64, 64) of the MMD: Gaussians of three widths, for details and for the whole."""
    squares = (NUMBERS[:, None] - NUMBERS) ** 2
    return sum(np.exp(-squares / (2 * width**2)) for width in (1, 4, 16)) / 3


def train_by_mmd(generate, start, samples, key):
    """The weights of all starts at a hundred stages of the training, of shape (stages, STARTS, weights)."""
    matrix = kernel().astype(np.float32)
    stages = []

    def loss(weights, x):  # the squared MMD to the numbers x, but for a term without weights
        p = generate(weights)
        return p @ matrix @ p - 2 * (matrix @ p)[x].mean()

    adam = optax.adam(optax.cosine_decay_schedule(0.05, STEPS))
    options = dict(steps=STEPS, batch_size=BATCH, key=key, ensemble=True, progress=True)
    qj.fit(loss, start, (samples,), optimizer=adam, callback=lambda _, w, __: stages.append(w), **options)
    return jnp.stack(stages)


def discriminator(key):
    """The weights of a network with one hidden layer."""
    into, out = jax.random.normal(key, (2, 2**QUBITS, HIDDEN))
    return {"in": into, "bias": jnp.zeros(HIDDEN), "out": out[0] / HIDDEN**0.5}


def logits(network):
    """For each of the numbers, that it is a true one; a row of network["in"] is what the network sees of a number."""
    return jax.nn.leaky_relu(network["in"] + network["bias"]) @ network["out"]


def train_by_rival(generate, start, samples, key):
    """As `train_by_mmd`, and the losses of the circuit and of its rival, of shape (STARTS, STEPS) each."""
    optimizers = optax.adam(optax.cosine_decay_schedule(0.01, STEPS), b1=0.7), optax.adam(0.01, b1=0.7)

    def unmask(network, p, x):
        said = logits(network)
        return jax.nn.softplus(-said)[x].mean() + p @ jax.nn.softplus(said)

    def deceive(weights, network):
        return generate(weights) @ jax.nn.softplus(-logits(network))

    def step(run, key):
        (weights, network), (state, rival) = run
        x = jax.random.choice(key, samples, (BATCH,))
        unmasked, gradient = jax.value_and_grad(unmask)(network, generate(weights), x)
        updates, rival = optimizers[1].update(gradient, rival)
        network = optax.apply_updates(network, updates)
        deceived, gradient = jax.value_and_grad(deceive)(weights, network)
        updates, state = optimizers[0].update(gradient, state)
        return ((optax.apply_updates(weights, updates), network), (state, rival)), (deceived, unmasked)

    own = jax.random.split(key, (STEPS + 1, len(start)))  # keys of each step and start
    players = start, jax.vmap(discriminator)(own[-1])
    run = players, tuple(jax.vmap(o.init)(player) for o, player in zip(optimizers, players, strict=True))
    advance = jax.jit(functools.partial(jax.lax.scan, jax.vmap(step)))
    stages, losses = [], []
    for chunk in tqdm(range(0, STEPS, CHUNK), unit_scale=CHUNK, unit="step"):
        run, values = advance(run, own[chunk : chunk + CHUNK])
        stages.append(run[0][0])
        losses.append(values)
    return jnp.stack(stages), [np.concatenate(values).T for values in zip(*losses, strict=True)]


def median_start(p, target):
    """Of distributions (STARTS, 64) the one whose relative entropy is the median."""
    return p[np.argsort(relative_entropy(p, target))[len(p) // 2]]


def draw(target, empirical, learned, losses):
    """`learned` has the distributions (stages, STARTS, 64) of both machines."""
    matplotlib.rcParams.update({"font.size": 12, "legend.frameon": False})
    figure = Figure(figsize=(14, 4.8), dpi=110, layout="constrained")
    grid = figure.add_gridspec(2, 3, width_ratios=[1.4, 1, 1])
    numbers, entropy = figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[:, 1])
    steps = CHUNK * np.arange(1, 1 + STEPS // CHUNK)
    numbers.bar(NUMBERS, empirical, 1, color="#CCCCCC", label=f"{SAMPLES:,} true numbers")
    numbers.plot(NUMBERS, target, color="black", linewidth=1.5, label="Gaussian")
    floor = relative_entropy(empirical, target)
    entropy.axhline(floor, color="black", linestyle=":", linewidth=2, label="the true numbers")
    for (name, p), marker in zip(learned.items(), "os", strict=True):
        numbers.plot(NUMBERS, median_start(p[-1], target), marker, markersize=5, color=COLORS[name], label=name)
        entropy.semilogy(steps, relative_entropy(p, target), color=COLORS[name], alpha=0.4, linewidth=1)
        entropy.semilogy(steps, np.median(relative_entropy(p, target), axis=1), color=COLORS[name], linewidth=2.5)
    numbers.set(title="What was learned", xlabel="number", ylabel="probability", xlim=(-1, 64), ylim=(0, 0.085))
    numbers.legend(loc="upper right")
    entropy.set(title="Relative entropy to the Gaussian", xlabel="step", ylabel="nats")
    entropy.legend(loc="upper right")

    born, rivals = figure.add_subplot(grid[0, 2]), figure.add_subplot(grid[1, 2])
    difference = learned["Born machine, MMD"] - empirical
    born.semilogy(steps, np.sum(difference @ kernel() * difference, axis=-1), color=COLORS["Born machine, MMD"], lw=1)
    born.set(title="Loss of the Born machine", ylabel="squared MMD")
    for values, balance, color, name in zip(
        losses, (1, 2), (COLORS["GAN"], "black"), ("circuit", "rival"), strict=True
    ):
        means = values.reshape(STARTS, -1, CHUNK).mean(axis=-1)
        rivals.plot(steps, means.T, color=color, alpha=0.6, linewidth=1)
        rivals.axhline(balance * np.log(2), color="#999999", linestyle=":", linewidth=2)
        rivals.text(STEPS, means[:, -1].mean() - 0.04, name, color=color, ha="right", va="top")
    rivals.text(STEPS, 1.06, "dotted: balance", color="#666666", ha="right", va="center")
    rivals.set(title="Losses of the GAN", xlabel="step", ylabel="cross-entropy", ylim=(0.4, 1.5))
    _figures.keep(figure, FIGURE)


def main():
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    target = gaussian()
    rng = np.random.default_rng(0)
    samples = rng.choice(NUMBERS, SAMPLES, p=target)
    empirical = np.bincount(samples, minlength=len(NUMBERS)) / SAMPLES
    generate = generator()
    start = rng.uniform(-0.1, 0.1, (STARTS, generate.program.num_parameters)).astype(np.float32)
    by_mmd, by_rival = jax.random.split(jax.random.key(0))
    weights = train_by_mmd(generate, start, samples, by_mmd)
    rival_weights, losses = train_by_rival(generate, start, samples, by_rival)
    learned = dict(zip(COLORS, (np.asarray(generate(w), float) for w in (weights, rival_weights)), strict=True))

    print(f"To the Gaussian, median of {STARTS} starts   relative entropy   total variation")
    trained = {name: p[-1] for name, p in learned.items()}
    before = np.asarray(generate(start), float)
    for name, p in {"untrained": before, "the true numbers": empirical, **trained}.items():
        entropy, variation = np.median(relative_entropy(p, target)), np.median(total_variation(p, target))
        print(f"{name:37} {entropy:18.4f} {variation:17.4f}")
    draw(target, empirical, learned, losses)
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()

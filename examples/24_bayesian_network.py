"""Was it a burglar? Inference on a network of five variables, exactly and by shots.

Burglars and earthquakes set off an alarm, and then John and Mary call, or they do not. A circuit of five qubits holds
the joint distribution; `QBayesian` conditions it. That both call is rare. Shots without the evidence are of no use, so
that a device learns little from few of them; amplitude amplification makes the evidence frequent first (Low, Yoder and
Chuang, 2014).
"""

from itertools import product

import _arguments
import _figures
import jax
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from qiskit import QuantumCircuit, QuantumRegister

import qmljax as qj

FIGURE = _arguments.figure(__file__)
NETWORK = {  # a variable: those it depends on, and its probability for their values, the first changing fastest
    "burglary": ((), [0.02]),
    "earthquake": ((), [0.03]),
    "alarm": (("burglary", "earthquake"), [0.005, 0.9, 0.3, 0.95]),
    "John": (("alarm",), [0.05, 0.9]),
    "Mary": (("alarm",), [0.01, 0.7]),
}
EVIDENCE = [{"John": 1}, {"Mary": 1}, {"John": 1, "Mary": 1}, {"John": 1, "Mary": 1, "earthquake": 1}]
SHOTS, REPEATS = (30, 100, 300, 1000), 20


def circuit():
    """A qubit for each variable, turned by an angle that depends on its parents."""
    registers = {name: QuantumRegister(1, name) for name in NETWORK}
    network = QuantumCircuit(*registers.values())
    for name, (parents, table) in NETWORK.items():
        for state, p in enumerate(table):
            turn = QuantumCircuit(1)
            turn.ry(2 * np.arcsin(np.sqrt(p)), 0)
            gate = turn.to_gate()
            wires = [registers[parent][0] for parent in parents]
            network.append(gate.control(len(wires), ctrl_state=state) if wires else gate, [*wires, registers[name][0]])
    return network


def by_hand(query, evidence):
    """The same by a sum over all cases."""
    total = {True: 0.0, False: 0.0}
    for values in product((0, 1), repeat=len(NETWORK)):
        case = dict(zip(NETWORK, values, strict=True))
        p = 1.0
        for name, (parents, table) in NETWORK.items():
            q = table[sum(case[parent] << k for k, parent in enumerate(parents))]
            p *= q if case[name] else 1 - q
        if all(case[name] == value for name, value in evidence.items()):
            total[all(case[name] == value for name, value in query.items())] += p
    return total[True] / sum(total.values())


def plain(network, query, evidence, shots, key):
    """The share of the query among those shots that show the evidence, without amplification; NaN if none does."""
    outcomes = np.asarray(qj.sample(network, shots)(np.zeros(0, np.float32), key))
    places = {name: k for k, name in enumerate(NETWORK)}
    shows = lambda values: np.all([(outcomes >> places[n] & 1) == v for n, v in values.items()], axis=0)  # noqa: E731
    return np.mean(shows(query)[shows(evidence)]) if shows(evidence).any() else np.nan


def errors(network, query, evidence):
    """Of each number of shots: the errors of plain rejection, where it has an answer, of amplification; and answers."""
    exact = by_hand(query, evidence)
    without, amplified, answered = [], [], []
    for shots in SHOTS:
        keys = jax.random.split(jax.random.key(shots), REPEATS)
        found = np.array([plain(network, query, evidence, shots, key) for key in keys])
        devices = [qj.inference.QBayesian(network, limit=3, sampler=qj.Shots(shots, key)) for key in keys]
        others = np.array([device.inference(query, evidence) for device in devices])
        without.append(np.sqrt(np.nanmean((found - exact) ** 2)))
        amplified.append(np.sqrt(np.mean((others - exact) ** 2)))
        answered.append(1 - np.isnan(found).mean())
    return np.array(without), np.array(amplified), answered


def draw(answers, without, amplified):
    matplotlib.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    names = [", ".join(evidence).replace("earthquake", "quake") for evidence in answers]
    for k, (cause, color) in enumerate((("burglary", "#D55E00"), ("earthquake", "#0072B2"), ("alarm", "#009E73"))):
        heights = [values[cause] for values in answers.values()]
        left.bar(np.arange(len(names)) + 0.27 * (k - 1), heights, width=0.25, color=color, label=cause)
    left.set_xticks(range(len(names)), names)
    left.set(title="What each piece of evidence tells", xlabel="known to be true", ylabel="probability", ylim=(0, 1.25))
    left.set_yticks(np.linspace(0, 1, 6))
    left.legend(ncols=3, loc="upper left")
    right.loglog(SHOTS, without, "o-", color="#999999", label="plain rejection")
    right.loglog(SHOTS, amplified, "s-", color="#D55E00", label="amplified first")
    right.set(title="P(burglary | John, Mary)", xlabel="shots", ylabel="root mean square error")
    right.legend()
    _figures.keep(figure, FIGURE, dpi=140)


def main():
    network = circuit()
    bayes, answers = qj.inference.QBayesian(network), {}
    print(f"{'known':32}{'burglary':>10}{'earthquake':>12}{'alarm':>8}   by hand, burglary")
    for evidence in [{}, *EVIDENCE]:
        bayes.rejection_sampling(evidence)
        values = {cause: bayes.inference({cause: 1}) for cause in ("burglary", "earthquake", "alarm")}
        exact = by_hand({"burglary": 1}, evidence)
        print(f"{', '.join(evidence) or 'nothing':32}{values['burglary']:10.4f}{values['earthquake']:12.4f}", end="")
        print(f"{values['alarm']:8.4f}   {exact:.4f}")
        if evidence:
            answers[tuple(evidence)] = values
    query, evidence = {"burglary": 1}, {"John": 1, "Mary": 1}
    without, amplified, answered = errors(network, query, evidence)
    print(f"\n{'shots':>6}{'error, plain':>14}{'has an answer':>15}{'error, amplified':>18}")
    for shots, plain_error, share, error in zip(SHOTS, without, answered, amplified, strict=True):
        print(f"{shots:6}{plain_error:14.3f}{share:15.0%}{error:18.3f}")
    draw(answers, without, amplified)
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()

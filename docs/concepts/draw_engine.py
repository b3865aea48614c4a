"""Draws the pictures of `engine.md`: python docs/concepts/draw_engine.py writes engine_*.svg beside this file.

What they show of circuits is read off qmljax: `levels` asks the scheduler where a gate goes, `matrices` and `state`
compute what they draw.
"""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from qiskit import QuantumCircuit
from qiskit.circuit.library import real_amplitudes, zz_feature_map

import qmljax as qj
from qmljax._engine.layers import Scheduler, schedule

PHASE, MOVE, TURN, GREY, DARK = "#E69F00", "#56B4E9", "#009E73", "#EFEFEF", "#222222"
HERE = Path(__file__).parent


def circuit() -> QuantumCircuit:
    """The circuit of the pictures: 23 gates, 3 levels."""
    return zz_feature_map(3, reps=1).compose(real_amplitudes(3, reps=1))


def gates_by_level(whole: QuantumCircuit) -> list[tuple[str, tuple[int, ...], int, str]]:
    """Of each gate: its name, its qubits, its level, and the colour of the layer that takes it."""
    scheduler, found, done = Scheduler(whole.num_qubits), [], 0
    prefix = whole.copy_empty_like()
    for instruction in whole.data:
        prefix.append(instruction)
        qubits = tuple(whole.find_bit(q).index for q in instruction.qubits)
        ops = qj.parse(prefix).ops
        for op in ops[done:]:
            scheduler.add(op)
        turns = any(op.kind == "ry" for op in ops[done:])
        moves = any(op.kind in ("flip", "permutation") for op in ops[done:])
        level = max(scheduler.front[q] for q in qubits) // 3
        found.append((instruction.name, qubits, level, TURN if turns else MOVE if moves else PHASE))
        done = len(ops)
    return found


def panel(width: float, height: float) -> tuple[Figure, Any]:
    """A figure whose axes are inches without a frame."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def box(axes: Any, x: float, y: float, w: float, h: float, text: str, color: str, size: float = 10) -> None:
    """A rounded box with a text."""
    axes.add_patch(FancyBboxPatch((x, y), w, h, boxstyle="round,pad=0,rounding_size=0.08", fc=color, ec="none"))
    axes.text(x + w / 2, y + h / 2, text, ha="center", va="center", size=size, color=DARK, linespacing=1.3)


def arrow(axes: Any, start: tuple[float, float], end: tuple[float, float], color: str = DARK, bend: float = 0) -> None:
    """An arrow, which may be bent."""
    style = {"arrowstyle": "-|>", "mutation_scale": 10, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, color=color, lw=1.2, connectionstyle=f"arc3,rad={bend}", **style))


def pipeline() -> Figure:
    """What a circuit becomes, and what each stage knows."""
    figure, axes = panel(9.6, 2.3)
    stages = [
        ("QuantumCircuit", "Qiskit's gates", GREY),
        ("Program", "7 kinds of\noperations,\nexpressions of\nparameters", GREY),
        ("levels", "phases and a\npermutation,\nthen RY's", GREY),
        ("state", "an array\n(C, 2**n, *batch)", "#D9EFE6"),
        ("values", "probabilities,\nexpectations,\nfidelities", "#D9EFE6"),
        ("models", "QNNs, kernels,\nlayers, fit", "#D9EFE6"),
    ]
    for k, (name, what, color) in enumerate(stages):
        x = 0.15 + 1.6 * k
        box(axes, x, 0.75, 1.3, 1.35, "", color)
        axes.text(x + 0.65, 1.88, name, ha="center", va="center", size=9.5, weight="bold", color=DARK)
        axes.text(x + 0.65, 1.27, what, ha="center", va="center", size=9, color=DARK, linespacing=1.3)
        if k:
            arrow(axes, (x - 0.27, 1.4), (x - 0.03, 1.4))
    axes.plot((0.15, 4.65), (0.55, 0.55), color="#888888", lw=1)
    axes.text(2.4, 0.32, "Python, once: exact, static, hashable", ha="center", va="center", size=9.5, color=DARK)
    axes.plot((4.95, 9.45), (0.55, 0.55), color=TURN, lw=1)
    text = "JAX, at each call: arrays, compiled, differentiable"
    axes.text(7.2, 0.32, text, ha="center", va="center", size=9.5, color=DARK)
    return figure


def levels() -> Figure:
    """The gates of a circuit in the colours of the layers that take them, and the levels that these are."""
    whole = circuit()
    gates = gates_by_level(whole)
    count, n = 1 + max(level for *_, level, _ in gates), whole.num_qubits
    columns, free, first = [], [0] * n, [0] * (count + 1)
    for level in range(count):
        first[level] = max(free)
        free = [first[level]] * n
        for k, (_, qubits, of, _) in enumerate(gates):
            if of == level:
                span = range(min(qubits), max(qubits) + 1)
                column = max(free[q] for q in span)
                columns.append((k, column))
                for q in span:
                    free[q] = column + 1
    first[count] = max(free)
    step, left, rows = 0.5, 0.55, [2.9, 2.2, 1.5]
    figure, axes = panel(left + step * first[count] + 0.25, 3.75)
    for level in range(count):
        x = left + step * first[level] + 0.02
        width = step * (first[level + 1] - first[level]) - 0.04
        axes.add_patch(Rectangle((x, 1.1), width, 2.2, fc="#F5F5F5", ec="none"))
        axes.text(x + width / 2, 3.48, f"level {level + 1}", ha="center", va="center", size=10, color=DARK)
    for q, y in enumerate(rows):
        axes.plot((left - 0.05, left + step * first[count] + 0.1), (y, y), color="#999999", lw=1, zorder=1)
        axes.text(left - 0.15, y, f"q{q}", ha="right", va="center", size=10, color=DARK)
    names = {"h": "H", "p": "P", "ry": "RY"}
    for k, column in columns:
        name, qubits, _, color = gates[k]
        x = left + step * (column + 0.5)
        if name == "cx":
            control, target = (rows[q] for q in qubits)
            axes.plot((x, x), (control, target), color=color, lw=2, zorder=2)
            axes.plot(x, control, "o", color=color, ms=7, zorder=3)
            axes.plot(x, target, "o", color="white", mec=color, mew=2, ms=13, zorder=3)
            axes.plot(x, target, "+", color=color, mew=2, ms=12, zorder=4)
        else:
            y = rows[qubits[0]]
            axes.add_patch(Rectangle((x - 0.19, y - 0.19), 0.38, 0.38, fc=color, ec="none", zorder=3))
            axes.text(x, y, names[name], ha="center", va="center", size=9, color=DARK, zorder=4)
    legend = [
        (PHASE, f"phases: {sum(c == PHASE for *_, c in gates)} gates"),
        (MOVE, f"permutations: {sum(c == MOVE for *_, c in gates)} gates"),
        (TURN, f"RY, and what is an RY between phases: {sum(c == TURN for *_, c in gates)} gates"),
    ]
    x = left
    for color, text in legend:
        axes.add_patch(Rectangle((x, 0.75), 0.16, 0.16, fc=color, ec="none"))
        axes.text(x + 0.24, 0.83, text, ha="left", va="center", size=9.5, color=DARK)
        x += 0.55 + 0.078 * len(text)
    for level, text in enumerate(summaries(whole)):
        middle = left + step * (first[level] + first[level + 1]) / 2
        axes.text(middle, 0.32, text, ha="center", va="center", size=9, color=DARK, linespacing=1.3)
    return figure


def summaries(whole: QuantumCircuit) -> list[str]:
    """What is left to do in each level, in words."""
    found = []
    for level in schedule(qj.parse(whole)).levels:
        parts = [f"{len(level.phases.slots)} phases"] if level.phases else []
        parts += ["1 permutation"] if level.permutation else []
        turns = sum(map(bool, level.rotations or ()))
        parts += [f"{turns} RY"] if turns else []
        found.append(",\n".join(parts) if len(parts) > 2 else ", ".join(parts))
    return found


def matrices() -> Figure:
    """The two kinds of layers as matrices of three qubits, and the unitary matrix of the whole circuit."""
    phases, moves, turns = (QuantumCircuit(3) for _ in range(3))
    for k, pair in enumerate([(0,), (1,), (2,), (0, 1), (1, 2)]):
        phases.rzz(0.5 + 0.4 * k, *pair) if len(pair) > 1 else phases.rz(0.4 + 0.5 * k, *pair)
    moves.cx(0, 1), moves.cx(1, 2)
    for q in range(3):
        turns.ry(0.7 + 0.5 * q, q)
    whole = circuit()
    figure = Figure(figsize=(9.6, 2.75), layout="constrained")
    titles = "phases", "permutation", "RY on each qubit", "the circuit: all levels"
    for axes, title, one in zip(figure.subplots(1, 4), titles, (phases, moves, turns, whole), strict=True):
        matrix = np.asarray(qj.unitary(one)(np.linspace(0.3, 1.5, one.num_parameters)))
        shade = np.abs(matrix)
        hue = (np.angle(matrix) / (2 * np.pi)) % 1
        color = matplotlib.colors.hsv_to_rgb(np.stack([hue, 0.75 * shade / shade.max(), np.ones_like(shade)], axis=-1))
        axes.imshow(color)
        axes.set_xticks(range(8), [f"{z:03b}" for z in range(8)], size=6.5, rotation=90)
        axes.set_yticks(range(8), [f"{z:03b}" for z in range(8)], size=6.5)
        axes.set_title(title, size=10)
        axes.tick_params(length=0)
    return figure


def state() -> Figure:
    """How a state lies in memory, and which bit is which qubit."""
    figure, axes = panel(8.4, 3.1)
    amplitudes = np.asarray(qj.statevector(circuit())(np.linspace(0.3, 1.5, 9) + np.arange(5)[:, None] / 3))  # (5, 8)
    for part, (name, values) in enumerate([("real parts", amplitudes.real.T), ("imaginary parts", amplitudes.imag.T)]):
        left = 1.9 + 3.1 * part
        axes.text(left + 1.25, 2.88, name, ha="center", va="center", size=10, color=DARK)
        for z in range(8):
            for b in range(5):
                shade = matplotlib.colormaps["RdBu"](0.5 + 0.6 * values[z, b])
                corner = (left + 0.5 * b, 2.45 - 0.28 * z)
                axes.add_patch(Rectangle(corner, 0.47, 0.25, fc=shade, ec="none"))
        axes.text(left + 1.25, 0.22, "batch: 5 rows of parameters", ha="center", va="center", size=9, color=DARK)
    for z in range(8):
        axes.text(
            1.75, 2.57 - 0.28 * z, f"{z} = {z:03b}", ha="right", va="center", size=9, family="monospace", color=DARK
        )
    axes.text(1.75, 2.88, "index: its last\nbit is qubit 0", ha="right", va="center", size=9, color=DARK)
    axes.text(7.55, 1.6, "C = 2\n(1 if real)", ha="left", va="center", size=9, color=DARK, linespacing=1.3)
    return figure


def backward() -> Figure:
    """The two ways back: keep the state of each level, or undo the levels one by one."""
    figure, axes = panel(8.8, 3.4)
    titles = (
        "what fits into memory=: each level's state is kept",
        "what does not: levels are undone (the adjoint method)",
    )
    for row, (title, kept) in enumerate(zip(titles, (True, False), strict=True)):
        y = 2.2 - 1.65 * row
        axes.text(0.2, y + 0.92, title, ha="left", va="center", size=10, color=DARK)
        for k in range(6):
            x = 0.2 + 1.5 * k
            name = "value" if k == 5 else f"$\\psi_{k}$"
            color = "#D9EFE6" if k == 5 else TURN if kept or k == 4 else GREY
            box(axes, x, y, 0.9, 0.55, name, color, 11)
            if k < 5:
                arrow(axes, (x + 0.93, y + 0.37), (x + 1.47, y + 0.37))
                arrow(axes, (x + 1.47, y + 0.17), (x + 0.93, y + 0.17), "#D55E00")
        if not kept:
            for k in range(4):
                x = 0.2 + 1.5 * k
                axes.text(x + 1.2, y - 0.02, "undo", ha="center", va="top", size=8.5, color="#D55E00")
    axes.text(
        0.2, 0.18, "black: the value; red: the gradient; green: states in memory", size=9, va="center", color=DARK
    )
    return figure


PICTURES = {"pipeline": pipeline, "levels": levels, "matrices": matrices, "state": state, "backward": backward}


def main() -> None:
    """Writes all pictures."""
    matplotlib.rcParams.update({"svg.hashsalt": "qmljax", "font.family": "DejaVu Sans"})
    for name, draw in PICTURES.items():
        draw().savefig(HERE / f"engine_{name}.svg", facecolor="white", metadata={"Date": None})


if __name__ == "__main__":
    main()

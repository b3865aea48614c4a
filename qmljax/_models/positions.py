"""Which of a circuit's parameters are inputs, and which are weights.

A parameter is named by itself, a `Parameter`, or by its name; a vector, a `ParameterVector` or its name, stands for all
its elements.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from qmljax._circuit.program import Program


def split(
    program: Program, inputs: Sequence[Any], weights: Sequence[Any] | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The positions of inputs and weights in the circuit's parameters, each of which must be one of the two."""
    place = {name: k for k, name in enumerate(program.parameters)}
    ins = positions(inputs, "inputs", place)
    ws = tuple(k for k in place.values() if k not in ins) if weights is None else positions(weights, "weights", place)
    if both := set(ins) & set(ws):
        listed = ", ".join(program.parameters[k] for k in sorted(both))
        raise ValueError(f"A parameter must be an input or a weight, but {listed} is named as both.")
    if missing := set(place.values()) - set(ins) - set(ws):
        listed = ", ".join(program.parameters[k] for k in sorted(missing))
        raise ValueError(
            f"Every parameter must be an input or a weight, but {listed} is neither. Add it to one of them."
        )
    return ins, ws


def features_and_weights(
    program: Program, weights: Sequence[Any], inputs: Sequence[Any] | None = None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The positions of a feature map's features, and of its weights. Default: what is no weight is a feature."""
    if inputs is not None:
        return split(program, inputs, weights)
    place = {name: k for k, name in enumerate(program.parameters)}
    trained = positions(weights, "weights", place)
    return tuple(k for k in place.values() if k not in trained), trained


def positions(parameters: Any, what: str, place: dict[str, int]) -> tuple[int, ...]:
    """The positions of parameters, given as `Parameter` or `ParameterVector` objects or names."""
    if isinstance(parameters, set | frozenset) and len(parameters) > 1:
        raise TypeError(f"`{what}` must be in order, but is a set, which has none. Pass a list.")
    if isinstance(parameters, str) or not isinstance(parameters, Iterable):
        parameters = [parameters]
    names = [name for p in parameters for name in _elements(p, place)]
    if unknown := [name for name in names if name not in place]:
        raise ValueError(
            f"`{what}` names {str(unknown[0])!r}, which is no parameter of the circuit. It has {list(place)}."
        )
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"`{what}` names {twice!r} more than once. Each parameter has one place.")
    return tuple(place[name] for name in names)


def _elements(parameter: Any, place: dict[str, int]) -> list[Any]:
    """The names that a parameter, a vector, or the name of one stands for."""
    if not isinstance(parameter, str):
        vector = hasattr(parameter, "name") and isinstance(parameter, Iterable)
        return [getattr(p, "name", str(p)) for p in (parameter if vector else [parameter])]
    if parameter not in place:
        start = f"{parameter}["
        if found := [name for name in place if name.startswith(start) and name[len(start) : -1].isdecimal()]:
            return sorted(found, key=lambda name: int(name[len(start) : -1]))
    return [parameter]

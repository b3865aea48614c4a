"""What is compiled is keyed by what it computes: a traced function as a value that is equal to an equal one.

A function is traced whenever it is given, which takes milliseconds, so that nothing that it reads is stale: a global,
an attribute, a model that was built anew. What it closes over, arrays and the numbers in its formulas, is lifted out of
the trace and comes back as arguments. What is left is the form of the computation, by which what is compiled is found.
"""

import functools
import hashlib
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend import core

from qmljax._forgetting import forget, when_forgetting
from qmljax._meshes import set_for_all
from qmljax._training.leaves import as_numpy, is_key

ROOM = 256  # programs that are remembered; when there are more, all that was compiled is forgotten
NUMBERS = 256  # formulas with more numbers than these are not written by hand: there they stay constants

# A number that enters these is worth as much to the compiler as an argument; by a constant it may divide by a product,
# and take powers apart.
OF_NUMBERS = {"add", "sub", "mul", "max", "min"}
# Rules for derivatives, functions that each trace makes anew; what is traced here is not differentiated any more.
RULES = {"jvp_jaxpr_fun", "fwd_jaxpr_thunk", "bwd"}
COMPILED = type(jax.jit(lambda: None))
CONTEXT = ("compute_type", "threefry_partitionable", "xla_metadata")  # settings of when it was traced


class Computation:
    """A traced function without what it closes over; equal to another one if both compute the same."""

    def __init__(self, closed: core.ClosedJaxpr) -> None:
        self.closed, self.key = closed, _Walk().closed(closed)
        self._hash = hash(self.key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Computation) and self._hash == other._hash and self.key == other.key)

    def __call__(self, lifted: tuple[Array, ...], *args: Any) -> list[Any]:
        """The leaves of what the function returns for arguments; `lifted` is what it closed over."""
        return core.jaxpr_as_fun(self.closed)(*lifted, *jax.tree.leaves(args))


class Traced(NamedTuple):
    """A function, traced at arguments of certain shapes."""

    program: Computation
    lifted: tuple[Array, ...]  # what it closed over, with which the program is called
    shape: Any  # of what it returns


def trace(function: Callable, *args: Any) -> Traced:
    """A function as a program, and the arrays and numbers that it closes over.

    Args:
        function: ``function(*args)``.
        *args: Pytrees of arrays, or of their shapes.
    """
    with set_for_all(args):
        closed, shape = jax.make_jaxpr(fresh(function), return_shape=True)(*args)
    jaxpr, consts = closed.jaxpr, dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    if any(isinstance(c, jax.core.Tracer) for c in consts.values()):
        raise TypeError(
            "`loss` and `optimizer` hold values that are being traced: call `fit` outside of `jax.jit`, `jax.grad` and "
            "`jax.vmap`. For several trainings at once give weights with a leading dimension, an ensemble."
        )
    tables = {_digest(c) for c in _tables(jaxpr)}
    stay = {v: c for v, c in consts.items() if not isinstance(c, jax.Array) and _digest(c) in tables}
    arrays = {v: jnp.asarray(c) for v, c in consts.items() if v not in stay}
    equations, numbers = _without_numbers(jaxpr)
    inputs = [*numbers, *arrays, *jaxpr.invars]
    jaxpr = jaxpr.replace(eqns=equations, constvars=list(stay), invars=inputs)
    program = _known(Computation(core.ClosedJaxpr(jaxpr, list(stay.values()))))
    return Traced(program, (*numbers.values(), *arrays.values()), shape)


def fresh(function: Callable) -> Callable:
    """The function as one that JAX has not traced yet, not even by `jax.jit` around it, which may remember the past."""
    inner = _uncompiled(function)
    return lambda *args: inner(*args)


def _uncompiled(function: Callable) -> Callable:
    if isinstance(function, COMPILED):
        return _uncompiled(function.__wrapped__)  # type: ignore[attr-defined]  # JAX's stub lacks it
    if isinstance(function, types.MethodType) and isinstance(function.__func__, COMPILED):
        return functools.partial(_uncompiled(function.__func__), function.__self__)
    if isinstance(function, functools.partial):
        return functools.partial(_uncompiled(function.func), *function.args, **function.keywords)
    return function


_lock = threading.Lock()
_computations: dict[Computation, Computation] = {}
when_forgetting(_computations.clear)  # what they call is compiled by itself, too, and kept with them


def _known(program: Computation) -> Computation:
    """The first one of all that are equal: those that run are compared by identity."""
    with _lock:
        if program not in _computations and len(_computations) >= ROOM:
            forget()
        return _computations.setdefault(program, program)


def _tables(jaxpr: Any) -> Iterator[Any]:
    """The constants of what a function calls, such as a model; its gradient has the same, outside of a call."""
    for equation in jaxpr.eqns:
        for part in _parts(equation.params):
            if isinstance(part, core.ClosedJaxpr):
                yield from part.consts
            yield from _tables(part.jaxpr if isinstance(part, core.ClosedJaxpr) else part)


def _parts(params: Any) -> Iterator[Any]:
    """The jaxprs among the parameters of an equation."""
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, core.ClosedJaxpr | core.Jaxpr):
                yield part


def _without_numbers(jaxpr: Any) -> tuple[list[Any], dict[Any, Array]]:
    """The equations with variables in the place of floating point numbers, and the values of these."""
    places: list[tuple[int, int, Any]] = [
        (k, n, atom)
        for k, equation in enumerate(jaxpr.eqns)
        if equation.primitive.name in OF_NUMBERS
        for n, atom in enumerate(equation.invars)
        if isinstance(atom, core.Literal) and _is_number(atom.aval)
    ]
    if not 0 < len(places) <= NUMBERS:
        return list(jaxpr.eqns), {}
    values = [jnp.asarray(np.asarray(number.val, number.aval.dtype)) for _, _, number in places]
    new = jax.make_jaxpr(lambda *numbers: numbers)(*values).jaxpr.invars
    inputs = [list(equation.invars) for equation in jaxpr.eqns]
    for (k, n, _), variable in zip(places, new, strict=True):
        inputs[k][n] = variable
    equations = [e.replace(invars=own) for e, own in zip(jaxpr.eqns, inputs, strict=True)]
    return equations, dict(zip(new, values, strict=True))


def _is_number(aval: Any) -> bool:
    return aval.shape == () and not aval.weak_type and jnp.issubdtype(aval.dtype, jnp.floating)


class _Same:
    """An object that is equal to itself alone. It is held, so that its identity is not given to another one."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


class _Walk:
    """Jaxprs as nested tuples, which are equal if they compute the same: variables are numbered as they come."""

    def __init__(self) -> None:
        self.seen: dict[int, Any] = {}  # keys of jaxprs, which may be called often; they live as long as the outer one

    def closed(self, closed: Any) -> Any:
        return self.jaxpr(closed.jaxpr), tuple(_digest(c) for c in closed.consts)

    def jaxpr(self, jaxpr: Any) -> Any:
        if id(jaxpr) not in self.seen:
            self.seen[id(jaxpr)] = self._new(jaxpr)
        return self.seen[id(jaxpr)]

    def _new(self, jaxpr: Any) -> Any:
        numbers: dict[Any, int] = {}

        def bound(variables: Any) -> Any:
            for v in variables:
                numbers[v] = len(numbers)
            return tuple(v.aval for v in variables)

        def read(atoms: Any) -> Any:
            return tuple((_digest(a.val), a.aval) if isinstance(a, core.Literal) else numbers[a] for a in atoms)

        key: list[Any] = [bound(jaxpr.constvars), bound(jaxpr.invars)]
        for e in jaxpr.eqns:
            params = tuple((k, self.value(v)) for k, v in sorted(e.params.items()) if k not in RULES)
            context = tuple(self.value(getattr(e.ctx, name, None)) for name in CONTEXT)
            key.append((e.primitive, read(e.invars), params, context, bound(e.outvars)))
        return (*key, read(jaxpr.outvars))

    def value(self, value: Any) -> Any:
        """A parameter: by value where it has one, else by identity."""
        match value:
            case core.ClosedJaxpr():
                return self.closed(value)
            case core.Jaxpr():
                return self.jaxpr(value)
            case tuple() | list():
                return type(value), tuple(self.value(v) for v in value)
            case dict():
                return dict, tuple((self.value(k), self.value(v)) for k, v in value.items())
            case float() | complex() | np.generic() | np.ndarray() | jax.Array():
                return type(value), _digest(value)
            case functools.partial():
                return functools.partial, self.value((value.func, value.args, value.keywords))
        try:
            hash(value)
        except TypeError:
            return _Same(value)
        return type(value), value


def _digest(array: Any) -> Any:
    """An array or a number by its bits: 0.0 is not -0.0, and NaN is NaN."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return _Same(array)
    bits, kind = np.ascontiguousarray(as_numpy(array)), str(array.dtype) if is_key(array) else ""
    return kind, bits.dtype.name, np.shape(array), hashlib.sha256(bits.tobytes()).digest()

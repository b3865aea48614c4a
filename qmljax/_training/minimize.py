"""SciPy's minimisers on a loss of any pytree of weights, with the exact gradient."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from qmljax._training.watch import Watch

# The methods of `scipy.optimize.minimize` but those that need a Hessian: whether they take a gradient, and what limits
# their evaluations, which must not end the run before its iterations do. (COBYLA's `maxiter` does that.)
METHODS = {
    "Nelder-Mead": (False, "maxfev"),
    "Powell": (False, "maxfev"),
    "CG": (True, None),
    "BFGS": (True, None),
    "L-BFGS-B": (True, "maxfun"),
    "TNC": (True, "maxfun"),
    "COBYLA": (False, "maxiter"),
    "COBYQA": (False, "maxfev"),
    "SLSQP": (True, None),
    "trust-constr": (True, None),
}


class _Stop(Exception):
    """Ends a run of SciPy from within."""


def minimize(
    loss: Callable[..., Array], weights: Any, data: tuple[Array, ...], method: str, steps: int, watch: Watch
) -> tuple[Any, list[float], Any]:
    """At most `steps` iterations: the weights, the loss before each iteration, and SciPy's `OptimizeResult`.

    Args:
        loss: ``loss(weights, *data) -> ()``.
        weights: A pytree of arrays.
        data: Arrays.
        method: One of `METHODS`, in any case.
        steps: The most iterations.
        watch: Its ``look(weights, history, since, alive)`` and ``call(weights, history)`` are called after every
            iteration, and its ``stopped`` says whether to stop.
    """
    name = {name.lower(): name for name in METHODS}.get(method.lower())
    if name is None:
        raise ValueError(f"`optimizer` names no minimiser: {method!r}. SciPy has {', '.join(METHODS)}.")
    try:
        import scipy.optimize as scipy_optimize
    except ImportError as error:
        raise ImportError(f"The minimiser {name!r} needs SciPy: pip install scipy.") from error

    start, restore = ravel_pytree(weights)
    gradient, evaluations = METHODS[name]
    seen: dict[bytes, float] = {}  # losses by point, since the last iteration
    history: list[float] = []  # the losses of the iterates, the first one included
    reached = np.asarray(start, np.float64)

    def of(x: np.ndarray) -> Any:
        return restore(jnp.asarray(x, start.dtype))

    def function(x: np.ndarray) -> Any:
        out = _value_and_gradient(of(x), data, loss) if gradient else (_value(of(x), data, loss), None)
        value = float(out[0])
        slope = np.asarray(ravel_pytree(out[1])[0], np.float64) if gradient else np.zeros(0)
        seen[x.tobytes()] = value
        if not history:
            history.append(value)
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            history.append(value)
            watch.alive, watch.stopped = np.array(False), "nan"
            raise _Stop
        return (value, slope) if gradient else value

    def iterated(x: np.ndarray, *_: Any) -> None:
        nonlocal reached
        x = np.array(x, np.float64)
        value = seen[x.tobytes()] if x.tobytes() in seen else float(_value(of(x), data, loss))
        seen.clear()
        reached = x
        history.append(value)
        losses = np.array(history[:-1])
        watch.look(of(x), losses, len(losses) - 1, watch.alive)
        watch.call(of(x), losses)
        if watch.stopped is not None or len(history) > steps:
            raise _Stop

    report = None
    if steps and len(reached):
        # `iterated` ends the run; some methods would stop one iteration short of `maxiter`.
        options = {} if name == "TNC" else {"maxiter": steps + 1}
        options |= {evaluations: 1000 * steps * (len(reached) + 1)} if evaluations else {}
        try:
            report = scipy_optimize.minimize(
                function, reached, jac=gradient or None, method=name, callback=iterated, options=options
            )
            reached = np.asarray(report.x, np.float64)
            watch.stopped = "minimizer"
        except _Stop:
            pass
        except KeyboardInterrupt:
            watch.stopped = "interrupt"
    if report is None:
        report = scipy_optimize.OptimizeResult(x=reached, nit=max(len(history) - 1, 0), success=False)
    return of(reached), history[: max(len(history) - 1, 0)], report


@functools.partial(jax.jit, static_argnames="loss")
def _value(weights: Any, data: tuple[Array, ...], loss: Callable) -> Array:
    return loss(weights, *data)


@functools.partial(jax.jit, static_argnames="loss")
def _value_and_gradient(weights: Any, data: tuple[Array, ...], loss: Callable) -> tuple[Array, Any]:
    return jax.value_and_grad(loss)(weights, *data)

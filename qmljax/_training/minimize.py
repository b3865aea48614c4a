"""SciPy's minimisers on a loss of any pytree of weights, with the exact gradient."""

import functools
from collections.abc import Callable
from typing import Any, Protocol

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


class Report(Protocol):
    """What a minimiser of SciPy says of its run, its `OptimizeResult`."""

    x: np.ndarray
    nit: int
    success: bool


class _Stop(Exception):
    """Ends a run of SciPy from within."""


def minimize(
    loss: Callable[..., Array], weights: Any, data: tuple[Array, ...], method: str, steps: int, watch: Watch
) -> tuple[Any, list[float], Report]:
    """At most `steps` iterations: the weights, the loss before each iteration, and SciPy's report.

    Args:
        loss: ``loss(weights, *data) -> ()``.
        weights: A pytree of arrays.
        data: Arrays.
        method: One of `METHODS`, in any case.
        steps: The most iterations.
        watch: What looks at the run after every iteration, and says whether to stop.
    """
    name = {name.lower(): name for name in METHODS}.get(method.lower())
    if name is None:
        raise ValueError(f"`optimizer` names no minimiser: {method!r}. SciPy has {', '.join(METHODS)}.")
    try:
        import scipy.optimize as scipy_optimize
    except ImportError as error:
        raise ImportError(f"The minimiser {name!r} needs SciPy: pip install scipy.") from error

    gradient, evaluations = METHODS[name]
    run = _Run(loss, weights, data, gradient, steps, watch)
    report: Report | None = None
    if steps and len(run.reached):
        # `iterated` ends the run; some methods would stop one iteration short of `maxiter`.
        options = {} if name == "TNC" else {"maxiter": steps + 1}
        options |= {evaluations: 1000 * steps * (len(run.reached) + 1)} if evaluations else {}
        about = {"method": name, "callback": run.iterated, "options": options}
        try:
            report = scipy_optimize.minimize(run.function, run.reached, jac=gradient or None, **about)
            run.reached = np.asarray(report.x, np.float64)
            watch.stopped = "minimizer"
        except _Stop:
            pass
        except KeyboardInterrupt:
            watch.stopped = "interrupt"
    done = max(len(run.history) - 1, 0)
    if report is None:
        report = scipy_optimize.OptimizeResult(x=run.reached, nit=done, success=False)
    return run.weights(run.reached), run.history[:done], report


class _Run:
    """What SciPy calls: the loss at a point, and after each iteration."""

    def __init__(
        self,
        loss: Callable[..., Array],
        weights: Any,
        data: tuple[Array, ...],
        gradient: bool,
        steps: int,
        watch: Watch,
    ):
        self.loss, self.data, self.gradient, self.steps, self.watch = loss, data, gradient, steps, watch
        start, self._restore = ravel_pytree(weights)
        self._dtype = start.dtype
        self.reached = np.asarray(start, np.float64)
        self.history: list[float] = []  # the losses of the iterates, the first one included
        self._seen: dict[bytes, float] = {}  # losses by point, since the last iteration

    def weights(self, x: np.ndarray) -> Any:
        """A point as weights."""
        return self._restore(jnp.asarray(x, self._dtype))

    def function(self, x: np.ndarray) -> Any:
        """The loss at a point, with its gradient where the method takes one."""
        of = self.weights(x)
        if self.gradient:
            out, by_weights = _value_and_gradient(of, self.data, self.loss)
            slope = np.asarray(ravel_pytree(by_weights)[0], np.float64)
        else:
            out, slope = _value(of, self.data, self.loss), np.zeros(0)
        value = float(out)
        self._seen[x.tobytes()] = value
        if not self.history:
            self.history.append(value)
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            self.history.append(value)
            self.watch.alive, self.watch.stopped = np.array(False), "nan"
            raise _Stop
        return (value, slope) if self.gradient else value

    def iterated(self, x: np.ndarray, *_: Any) -> None:
        """What SciPy calls after each iteration."""
        self.reached = x = np.array(x, np.float64)
        key, watch = x.tobytes(), self.watch
        value = self._seen[key] if key in self._seen else float(_value(self.weights(x), self.data, self.loss))
        self._seen.clear()
        self.history.append(value)
        losses = np.array(self.history[:-1])
        watch.look(self.weights(x), losses, len(losses) - 1, watch.alive)
        watch.call(self.weights(x), losses)
        if watch.stopped is not None or len(self.history) > self.steps:
            raise _Stop


@functools.partial(jax.jit, static_argnames="loss")
def _value(weights: Any, data: tuple[Array, ...], loss: Callable) -> Array:
    return loss(weights, *data)


@functools.partial(jax.jit, static_argnames="loss")
def _value_and_gradient(weights: Any, data: tuple[Array, ...], loss: Callable) -> tuple[Array, Any]:
    return jax.value_and_grad(loss)(weights, *data)

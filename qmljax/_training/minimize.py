"""SciPy's minimisers on a loss of any pytree of weights, with the exact gradient."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from qmljax._forgetting import forgetful_jit
from qmljax._training.computations import Computation, Traced, trace
from qmljax._training.stops import Standing, converged_at
from qmljax._training.watch import Watch

REMEMBERED = 1 << 20  # numbers: points, their losses and gradients, the last ones that were asked for

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


WITHOUT_BOUNDS = {"CG", "BFGS"}


class Report(Protocol):
    """What a minimiser of SciPy says of its run, its `OptimizeResult`."""

    x: np.ndarray
    nit: int
    success: bool


class _Stop(Exception):
    """Ends a run of SciPy from within."""


def minimize(
    loss: Callable[..., Array],
    weights: Any,
    data: tuple[Array, ...],
    method: str,
    steps: int,
    watch: Watch,
    rules: Mapping[str, Any],
) -> tuple[Any, list[float], Report]:
    """At most `steps` iterations: the weights, the loss before each iteration, and SciPy's report.

    Args:
        loss: ``loss(weights, *data) -> ()``.
        weights: A pytree of arrays.
        data: Arrays.
        method: One of `METHODS`, in any case.
        steps: The most iterations.
        watch: What looks at the run after every iteration, and says whether to stop.
        rules: `tol`, `bounds` and `options` of `scipy.optimize.minimize`, each of which may be None.
    """
    name = {name.lower(): name for name in METHODS}.get(method.lower())
    if name is None:
        raise ValueError(
            f"`optimizer` names no minimiser: {method!r}. SciPy has {', '.join(METHODS)}. Others are optax "
            "transformations, such as optax.adam(0.1), or qj.spsa(key) chained with optax.sgd(0.1)."
        )
    try:
        import scipy.optimize as scipy_optimize
    except ImportError as error:
        raise ImportError(f"The minimiser {name!r} needs SciPy: pip install scipy.") from error

    gradient, evaluations = METHODS[name]
    run = _Run(loss, weights, data, gradient, steps, watch)
    bounds: Any = _checked_bounds(rules["bounds"], name, len(run.reached))
    report: Report | None = None
    if steps and len(run.reached):
        # `iterated` ends the run; some methods would stop one iteration short of `maxiter`.
        options = {} if name == "TNC" else {"maxiter": steps + 1}
        options |= {evaluations: 1000 * steps * (len(run.reached) + 1)} if evaluations else {}
        options |= rules["options"] or {}
        start = run.reached
        if bounds is not None:
            start = np.clip(start, *np.transpose(bounds))
            if name == "trust-constr":  # else it leaves them on its way
                bounds = scipy_optimize.Bounds(*np.transpose(bounds), keep_feasible=True)
        about = {"method": name, "callback": run.iterated, "options": options, "tol": rules["tol"], "bounds": bounds}
        try:
            report = scipy_optimize.minimize(run.function, start, jac=gradient or None, **about)
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


def _checked_bounds(bounds: Any, name: str, size: int) -> list[tuple[float, float]] | None:
    """Bounds as pairs of numbers, one for each weight."""
    if bounds is None:
        return None
    if name in WITHOUT_BOUNDS:
        raise ValueError(
            f"The SciPy minimiser {name!r} takes no `bounds`. Use L-BFGS-B, SLSQP or COBYLA, or no bounds."
        )
    try:
        if hasattr(bounds, "lb"):  # scipy.optimize.Bounds
            bounds = zip(*(np.broadcast_to(limit, size).tolist() for limit in (bounds.lb, bounds.ub)), strict=True)
        pairs = [
            (-np.inf if low is None else float(low), np.inf if high is None else float(high)) for low, high in bounds
        ]
    except (TypeError, ValueError):
        pairs = []
    if len(pairs) != size or not all(low <= high for low, high in pairs):
        raise ValueError(
            f"`bounds` must be a pair (low, high) with low <= high for each of the {size} weights, None where there is "
            f"none, or scipy.optimize.Bounds, but are {bounds!r}. For a pytree, the order is that of "
            "jax.flatten_util.ravel_pytree."
        )
    return pairs


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
        self._traced: dict[bool, Traced] = {}
        self._seen: dict[bytes, tuple[float, np.ndarray]] = {}
        self._room = max(2, REMEMBERED // (2 * len(self.reached) + 1))

    def weights(self, x: np.ndarray) -> Any:
        """A point as weights."""
        return self._restore(jnp.asarray(x, self._dtype))

    def _measured(self, x: np.ndarray, gradient: bool) -> tuple[float, np.ndarray]:
        """The loss at a point, and its gradient if it is to be taken: what was asked for before is remembered."""
        key = np.asarray(x, self._dtype).tobytes()
        if key not in self._seen:
            of = self.weights(x)
            if gradient not in self._traced:
                self._traced[gradient] = trace(jax.value_and_grad(self.loss) if gradient else self.loss, of, *self.data)
            value, *slopes = _evaluated(of, self.data, self._traced[gradient].lifted, self._traced[gradient].program)
            slope = np.asarray(ravel_pytree(slopes)[0], np.float64)
            if not gradient and self.gradient:  # it may be asked for with its gradient
                return float(value), slope
            while len(self._seen) >= self._room:
                del self._seen[next(iter(self._seen))]
            self._seen[key] = float(value), slope
        return self._seen[key]

    def function(self, x: np.ndarray) -> Any:
        """The loss at a point, with its gradient where the method takes one."""
        value, slope = self._measured(x, self.gradient)
        if not self.history:
            self.history.append(value)
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            self.history.append(value)
            self.watch.standing = Standing(np.array(False), np.array(self._failed()))
            self.watch.stopped = "nan"
            raise _Stop
        return (value, slope.copy()) if self.gradient else value

    def _failed(self) -> int:
        """The step at which something was not finite: the first loss, or the next one."""
        return 0 if not np.isfinite(self.history[0]) else len(self.history) - 1

    def iterated(self, x: np.ndarray, *_: Any) -> None:
        """What SciPy calls after each iteration."""
        self.reached = x = np.array(x, np.float64)
        watch = self.watch
        self.history.append(self._measured(x, gradient=False)[0])
        losses = np.array(self.history[:-1])
        now = watch.standing
        if watch.convergence is not None:
            now = now._replace(stopped_at=converged_at(losses, len(losses) - 1, watch.convergence))
        watch.look(self.weights(x), losses, now)
        watch.call(self.weights(x), losses)
        if watch.stopped is not None or len(self.history) > self.steps:
            raise _Stop


@functools.partial(forgetful_jit, static_argnames=("program",))
def _evaluated(weights: Any, data: tuple[Array, ...], lifted: tuple[Array, ...], program: Computation) -> list[Array]:
    return program(lifted, weights, data)

"""The type of a backend: what executes the circuits of a model instead of the simulator."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array

Part = tuple[Sequence[int], Any]  # positions of parameters, and their values (..., positions)


class HasExpectation(Protocol):
    """What `estimator_qnn` and `projected_kernel` ask of a backend."""

    def expectation(self, circuit: Any, observables: Any) -> Callable[[Any], Array]:
        """The function that gives expectation values.

        Args:
            circuit: The `QuantumCircuit` that the model was built from.
            observables: A list of observables.

        Returns:
            ``f(params)``: parameters (..., P) in the order of the circuit, in radians, to values (..., n_obs).
        """


class HasProbabilities(Protocol):
    """What `sampler_qnn`, and `fidelity_kernel` of local fidelities, ask of a backend."""

    def probabilities(self, circuit: Any, qubits: Any = None, *, clbits: Any = None) -> Callable[[Any], Array]:
        """The function that gives the probabilities of outcomes.

        Args:
            circuit: The `QuantumCircuit` that the model was built from.
            qubits: What to measure: bit j of an outcome is `qubits[j]`.
            clbits: Where a circuit measures on its way, classical bits are read instead: bit j is `clbits[j]`.

        Returns:
            ``f(params)``: parameters (..., P) in the order of the circuit, in radians, to probabilities (..., 2**k).
        """


class HasFidelity(Protocol):
    """What `fidelity_kernel` asks of a backend."""

    def fidelity(self, circuit: Any) -> Callable[[Any, Any], Array]:
        """The function that gives the fidelities of states.

        Args:
            circuit: The feature map, a `QuantumCircuit`.

        Returns:
            ``f(params_a, params_b)``: two arrays (pairs, P) to the fidelities (pairs,) of the states of their rows.
        """


class Backend(HasExpectation, HasProbabilities, HasFidelity, Protocol):
    """What executes the circuits of a model instead of the simulator: the `backend=` of builders.

    A model asks for one of these functions, once, when it is built: `estimator_qnn` and `projected_kernel` for
    expectation values, `sampler_qnn` and local fidelities for probabilities, `fidelity_kernel` for fidelities. What
    they return is called with arrays, under JAX's transformations too. A function that has a method ``parts(*given)``
    is given its parameters in parts instead, each as (positions, values), so that it need not differentiate by all of
    them.

    Example:
        >>> import numpy as np
        >>> import qmljax as qj
        >>> from qiskit.circuit.library import real_amplitudes
        >>> from qiskit.primitives import StatevectorEstimator
        >>> from qmljax.primitives import PrimitiveBackend
        >>> backend: qj.Backend = PrimitiveBackend(estimator=StatevectorEstimator())
        >>> model = qj.estimator_qnn(real_amplitudes(2, reps=1), inputs=[], backend=backend)
        >>> model(np.zeros(4), np.zeros((1, 0))).round(3)
        Array([[1.]], dtype=float32)
    """


def check_backend(backend: Any, method: str) -> None:
    """Refuses what cannot execute a model, and says what to wrap it in.

    `method` is the function that is asked of it: "expectation", "probabilities" or "fidelity".
    """
    name = backend.__name__ if isinstance(backend, type) else type(backend).__name__
    classes = backend.__mro__ if isinstance(backend, type) else type(backend).__mro__
    known = {cls.__name__ for cls in classes}
    what = "estimator" if method == "expectation" else "sampler"
    if not isinstance(backend, type) and callable(getattr(backend, method, None)):
        return
    made = f"{name}()" if isinstance(backend, type) else "..."
    if {"BaseEstimatorV2", "BaseSamplerV2"} & known or hasattr(backend, "run") and name.startswith(("Est", "Sam")):
        kind = "estimator" if "BaseEstimatorV2" in known or "Estimator" in name else "sampler"
        way_out = f"Wrap it: qmljax.primitives.PrimitiveBackend({kind}={made})."
        if kind != what and method != "fidelity":  # an estimator measures it, too
            way_out += f" But {method} needs {'an' if what == 'estimator' else 'a'} {what}."
    elif hasattr(backend, "run") or {"Backend", "BackendV2"} & known:
        way_out = (
            f"Wrap it in a primitive, and that: qmljax.primitives.PrimitiveBackend({what}="
            f"qiskit.primitives.Backend{what.capitalize()}V2(backend={made}))."
        )
    elif isinstance(backend, type):
        way_out = "That is a class: pass an object of it."
    else:
        way_out = f"For any V2 primitive there is qmljax.primitives.PrimitiveBackend({what}=...)."
    given = f"the class {name}" if isinstance(backend, type) else f"of type {name}"
    raise TypeError(
        f"`backend` must be an object with a method `{method}`, such as qmljax.primitives.PrimitiveBackend, but is "
        f"{given}. {way_out}"
    )


def of_parts(function: Callable[[Array], Array], *given: Part) -> Array:
    """A backend's function of parameters that come in parts, which broadcast.

    A function that has a method `parts` takes them apart, so that it need not differentiate by all of them.
    """
    if hasattr(function, "parts"):
        return function.parts(*given)
    batch = np.broadcast_shapes(*(values.shape[:-1] for _, values in given))
    params = jnp.concatenate([jnp.broadcast_to(v, (*batch, v.shape[-1])) for _, v in given], axis=-1)
    return function(params[..., np.argsort(np.concatenate([np.array(p, int) for p, _ in given]))])

"""The type of a backend: what executes the circuits of a model instead of the simulator."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from jax import Array

Part = tuple[Sequence[int], Any]  # positions of parameters, and their values (..., positions)


class Backend(Protocol):
    """What executes the circuits of a model instead of the simulator: the `backend=` of builders.

    A model asks for one of these functions, once, when it is built: `estimator_qnn` and `projected_kernel` for
    expectation values, `sampler_qnn` for probabilities, `fidelity_kernel` for fidelities. What they return is called
    with arrays, under JAX's transformations too. A function that has a method ``parts(*given)`` is given its parameters
    in parts instead, each as (positions, values), so that it need not differentiate by all of them.

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

    def expectation(self, circuit: Any, observables: Any) -> Callable[[Any], Array]:
        """A function of parameters (..., P) to expectation values (..., n_obs) of a list of observables."""

    def probabilities(self, circuit: Any, qubits: Any = None) -> Callable[[Any], Array]:
        """A function of parameters (..., P) to probabilities (..., 2**k): bit j of an outcome is `qubits[j]`."""

    def fidelity(self, circuit: Any) -> Callable[[Any, Any], Array]:
        """A function of two arrays of parameters (pairs, P) to the fidelities (pairs,) of the states of their rows."""

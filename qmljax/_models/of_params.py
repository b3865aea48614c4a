"""A function of a circuit's parameters, as what builders return: arguments checked, batches flattened."""

import math
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._circuit.program import Program
from qmljax._engine.plan import plan
from qmljax._engine.run import run
from qmljax._meshes import is_on_mesh
from qmljax._models.arguments import check_amplitudes
from qmljax._models.by_name import parameters
from qmljax._models.compiled import FIRST, Compiled, size


@dataclass(frozen=True, repr=False)
class OfParams(Compiled):
    """A function of the circuit's parameters, (..., P) -> (..., *out)."""

    program: Program
    memory: int = field(kw_only=True)

    def __call__(self, params: Any = None) -> Array:
        """The value for parameters.

        Args:
            params: Of shape (..., P), in the order of the circuit, in radians; or a mapping of all parameters, or their
                names, to their values: (...) for a parameter, (..., length) for a vector. They may be left out if there
                are none.

        Returns:
            Of shape (..., *out), in the precision of the parameters.

        Raises:
            TypeError: They are not real.
            ValueError: They have another shape, or a row of amplitudes is zero.
        """
        if params is None and not self.program.parameters:
            params = np.zeros((0,), jnp.result_type(float))
        params = parameters(params, "params", self.program)
        if self.program.loads:
            check_amplitudes(self.program, params=(range(len(self.program.parameters)), params))
        calls = self._calls
        # Soonest, since no call may cost more.
        if self.compile is None and calls.counts.get((params.shape,)) == FIRST and not is_on_mesh(params):
            return calls.run(params)
        return self._answer(params)

    def _in_room(self, params: Any) -> Array | None:
        return self._by_rows(params, params.dtype, self._run)

    def _trace(self, params: Array) -> Array:
        batch = params.shape[:-1]
        if len(batch) > 1:
            params = params.reshape(math.prod(batch), params.shape[-1])
        out = self._of(params.T)  # (*out, *batch), the batch flattened
        if batch:
            out = jnp.moveaxis(out, -1, 0)
        return out.reshape(*batch, *out.shape[1:]) if batch else out

    def _of(self, params: Array) -> Array:
        """(P, *batch) -> (*out, *batch)."""
        raise NotImplementedError

    def _facts(self) -> dict[str, Any]:
        return {"parameters": self.program.num_parameters, **size(self.program)}

    @property
    def _columns(self) -> tuple[int, ...]:
        return tuple(range(self.program.num_parameters))

    def _state(self, params: Array, phase: bool = False) -> Array:
        none = jnp.zeros((0, *(1,) * (params.ndim - 1)), params.dtype)
        return run(plan(self.program, memory=self.memory), params, none, phase)

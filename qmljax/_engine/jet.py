"""A state and its derivatives in all parameters, which run through the circuit as one batch."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._engine import operations
from qmljax._engine.angles import Angles
from qmljax._engine.plan import Plan
from qmljax._engine.segments import angles_of, cut, is_deep
from qmljax._engine.slopes import Slopes, derive, only
from qmljax._engine.start import first, loaded
from qmljax._engine.state import complexify, square


def jet(plan: Plan, params: Array) -> Array:
    """The state and its derivative in each parameter: (P,) -> (C, 2**n, 1 + P), the state first.

    They run through the circuit as one batch, which a derivative joins where its parameter first acts.
    """
    layers = plan.layers
    angles, slopes = Angles(plan, params, params[:0]), Slopes(plan.program, params)
    state, levels = first(layers, angles)
    state = state[..., None]
    if layers.loads:
        derivatives = jax.jacfwd(lambda p: loaded(layers, Angles(plan, p, p[:0])))(params)  # (1, 2**n, P)
        state = jnp.concatenate([state, derivatives], axis=2)
        slopes.column.update({parameter: 1 + parameter for parameter in range(len(params))})
    elif levels is not layers.levels and layers.levels[0].rotations is not None:
        every = operations.Rotations(tuple(range(layers.num_qubits)))
        state = derive(state, every, only(slopes([layers.levels[0].rotations])), ())
    segments = cut(levels, plan)
    for segment, values in zip(segments, angles_of(segments, angles), strict=True):
        slots = [part.slots for part in segment.parts if part.slots]
        own = [slopes(rows) for rows in slots]
        if segment.rounds > 1:  # what a loop carries has one shape: all columns are there before it
            own = [slopes(rows) for rows in slots]
            missing = 1 + len(slopes.column) - state.shape[2]
            state = jnp.pad(complexify(state, layers.real), [(0, 0), (0, 0), (0, missing)])
        else:
            own = [only(slope) for slope in own]
        state = segment.forward([x[..., None] for x in values], state, own)
    if is_deep(levels):
        state = state / jnp.sqrt(square(state[:, :, 0]).sum())  # as in `run`
    if len(slopes.column) < len(params):  # some parameters do nothing
        state = jnp.pad(state, [(0, 0), (0, 0), (0, 1)])
    columns = [0, *(slopes.column.get(k, -1) for k in range(len(params)))]
    return state if columns == list(range(len(columns))) else state[:, :, np.array(columns)]

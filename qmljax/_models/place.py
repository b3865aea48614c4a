"""Where one state is: on which axes of a mesh of devices. `mesh=` and `state=` of the builders become a `Place`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from qmljax._checks import shown
from qmljax._circuit.noisy import channels
from qmljax._circuit.program import Program


@dataclass(frozen=True)
class Place:
    """A mesh, and the names of those of its axes that hold a state; the others hold the batch."""

    mesh: Mesh
    state: tuple[str, ...]

    @property
    def batch(self) -> tuple[str, ...]:
        """The axes that hold the batch."""
        return tuple(name for name in self.mesh.axis_names if name not in self.state)

    @property
    def k(self) -> int:
        """The qubits that the devices of one state are."""
        return self._size(self.state).bit_length() - 1

    @property
    def parts(self) -> int:
        """Into how many parts a batch is dealt out."""
        return self._size(self.batch)

    def _size(self, axes: Sequence[str]) -> int:
        return math.prod(self.mesh.shape[name] for name in axes)

    def rows(self, count: int | None) -> tuple[str, ...] | None:
        """How so many rows of a batch lie on the mesh.

        Raises:
            ValueError: They cannot be dealt out evenly.
        """
        if not self.batch or count is None:
            return None
        if count % (devices := self.parts):
            axes = " and ".join(f'"{name}"' for name in self.batch)
            raise ValueError(
                f"A batch must divide over the {devices} devices of the axes {axes} of `mesh`, but has {count} rows. "
                f"Pass {-(-count // devices) * devices}, such as the last one several times, and cut off the results; "
                "or name all axes by `state`."
            )
        return self.batch

    def run(self, body: Callable[..., Array], given: Sequence[tuple[Array, Any]], out: Any, vary: bool = True) -> Array:
        """`body` on each device, for arrays that lie on the mesh as specifications say, and so does the result.

        Unless values `vary` over devices as JAX knows it, they have no derivatives.
        """
        context = jax.sharding.get_abstract_mesh()
        typed = AxisType.Explicit in self.mesh.axis_types
        explicit = typed and (context.empty or AxisType.Explicit in context.axis_types)
        specs = [PartitionSpec(*spec) for _, spec in given]
        arrays = [
            jax.sharding.reshard(array, NamedSharding(self.mesh, spec)) if explicit else array
            for (array, _), spec in zip(given, specs, strict=True)
        ]
        # Where XLA spreads what is on explicit axes (`meshes`), the mesh of the context is the same with others.
        mesh = None if typed and not explicit else self.mesh
        own: Any = {"mesh": mesh, "in_specs": tuple(specs), "out_specs": PartitionSpec(*out), "check_vma": vary}
        return jax.shard_map(body, **own)(*arrays)

    def put(self, array: Any) -> Any:
        """An array that is committed to other devices, as one on those of the mesh; all else as it is."""
        if isinstance(array, jax.core.Tracer) or not isinstance(array, jax.Array) or not array.committed:
            return array
        if array.sharding.device_set == set(self.mesh.devices.flat):
            return array
        return jax.device_put(array, NamedSharding(self.mesh, PartitionSpec()))

    def __reduce__(self) -> Any:
        raise TypeError(
            "A function over a `mesh` cannot be pickled, since the devices of the mesh are of this process. Pickle the "
            "circuit and build the function there, with a mesh of the devices there; or save a model by `qmljax.save`, "
            "which leaves out the mesh."
        )

    def room(self, program: Program) -> Program:
        """A program with idle qubits, if what is left of a circuit has too few for so many devices."""
        return replace(program, num_qubits=max(program.num_qubits, 2 * self.k))


def check_place(mesh: Any, state: Any, *circuits: Any, backend: Any = None) -> Place | None:
    """The place that arguments `mesh` and `state` say, for circuits as they are given; None without a mesh."""
    if mesh is not None and backend is not None:
        raise ValueError(
            "`mesh` and `backend` are both given, but a backend has no state that lies on devices. Leave out `backend` "
            "for exact values over `mesh`, or `mesh`: shots of a state over devices are drawn by `sample(mesh=...)`."
        )
    if mesh is None:
        if state is not None:
            raise ValueError(f"`state` names axes of `mesh`, but is {shown(state)}, and there is no `mesh`. Pass one.")
        return None
    if not isinstance(mesh, Mesh):
        raise TypeError(
            "`mesh` must be a jax.sharding.Mesh of the devices that hold the state, such as "
            f'jax.make_mesh((8,), ("q",)), but is {shown(mesh)}.'
        )
    names = mesh.axis_names if state is None else (state,) if isinstance(state, str) else state
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"`state` must be the name of an axis of `mesh`, or a tuple of names, but is {shown(state)}.")
    if not names or len(set(names)) < len(names) or any(name not in mesh.axis_names for name in names):
        raise ValueError(
            f"`state` must name axes of `mesh`, each once, of {', '.join(map(repr, mesh.axis_names))}, but is "
            f"{state!r}."
        )
    place = Place(mesh, tuple(name for name in mesh.axis_names if name in names))
    if (devices := place._size(place.state)) & devices - 1:
        raise ValueError(
            f"`mesh` must have 2**k devices for one state, but its axes {', '.join(map(repr, place.state))} have "
            f"{devices}. Make a mesh of {1 << devices.bit_length() - 1} of them, or name by `state` those that hold it."
        )
    for name in (name for circuit in circuits for name in channels(circuit)):
        raise ValueError(
            f"`mesh` has devices for a pure state, but `circuit` has the channel `{name}`, after which it is mixed. "
            "Take the channel out; or leave out `mesh`, and use `density_matrix` or `qmljax.noise.Simulator`, whose "
            "batches of points lie on as many devices as their arrays do."
        )
    return place


def check_width(place: Place, qubits: int) -> None:
    """Refuses a circuit of too few qubits for a mesh."""
    if qubits < 2 * place.k:
        raise ValueError(
            f"`mesh` has {1 << place.k} devices for one state, which must have {2 * place.k} qubits or more, but "
            f"`circuit` has {qubits}. Leave out `mesh`, or use fewer devices: so small a state is quicker on one."
        )


def check_dense(program: Program, place: Place) -> None:
    """Refuses gates that mix more qubits than a device holds."""
    within = program.num_qubits - place.k
    for op in program.ops:
        if op.kind == "dense" and len(op.qubits) > within:
            raise ValueError(
                f"`mesh` has {1 << place.k} devices for one state, so that each holds {within} of the "
                f"{program.num_qubits} qubits of `circuit`, but it has a matrix on {len(op.qubits)} of them. Use fewer "
                "devices, or gates on fewer qubits."
            )

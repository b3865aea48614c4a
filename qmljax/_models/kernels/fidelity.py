"""The fidelity kernel of a feature map."""

from collections.abc import Sequence
from typing import Any

from qmljax._checks import check_flag
from qmljax._circuit import readout
from qmljax._circuit.noisy import parse_noisy
from qmljax._circuit.parse import check_circuit, own
from qmljax._engine.plan import MEMORY
from qmljax._models.arguments import check_compile, check_memory
from qmljax._models.backend import HasFidelity, HasProbabilities, check_backend
from qmljax._models.kernels.local import LocalFidelityKernel
from qmljax._models.kernels.noisy import NoisyKernel
from qmljax._models.kernels.overlaps import FidelityKernel
from qmljax._models.kernels.pairs import BackendKernel
from qmljax._models.positions import features_and_weights
from qmljax._models.protocols import Kernel
from qmljax._models.qnn import Source
from qmljax._models.shots import Shots
from qmljax._models.uncompute import local_fidelity_of
from qmljax._progress import load_tqdm


def fidelity_kernel(
    feature_map: Any,
    *,
    inputs: Sequence[Any] | None = None,
    weights: Sequence[Any] = (),
    local: bool = False,
    backend: HasFidelity | HasProbabilities | None = None,
    evaluate_duplicates: str = "off_diagonal",
    memory: int = MEMORY,
    progress: bool = False,
    compile: bool | None = None,
) -> Kernel:
    """The fidelity kernel of a feature map: ``k(x, y) = |<psi(x)|psi(y)>|**2``.

    Args:
        feature_map: A `QuantumCircuit`, or anything else that `parse` takes.
        inputs: The parameters that are features, `Parameter` objects or names, in the order of the columns of points.
            Default: all that are not weights, in the order of the circuit.
        weights: Parameters that are no features but trained: `Parameter` objects or names, in the order of the weight
            vector.
        local: Whether to take the mean over qubits of the probabilities to measure 0 on each after compute and
            uncompute, instead of the probability to measure 0 on all of them, which concentrates less. It needs N**2
            simulations. It is not symmetric by itself; without `y` the upper half counts.
        backend: What measures the fidelities: `Shots`, or an object with `fidelity(circuit)`, which returns a function
            of two arrays of parameters (pairs, P) to fidelities (pairs,). Of local ones it is asked for
            `probabilities(circuit, qubits)` instead, as by `sampler_qnn`: all qubits are measured in the same shots.
            Default: the simulator, exactly.
        evaluate_duplicates: Which entries of equal points a backend evaluates instead of taking them as 1: "all";
            "off_diagonal", all but the diagonal without `y`; or "none".
        memory: About how many bytes it may take on a device beside the matrix; 512 MiB by default. If all states took
            more, the matrix is computed by tiles, and a gradient computes states again.
        progress: Whether to show a progress bar of tiles, if there are any, or of columns of local fidelities (needs
            tqdm: the extra `progress`). There is none for points on several devices.
        compile: Whether to answer by a program compiled for this circuit alone (True), or by one that all circuits of
            its size share, where there is one (False). Default: the first calls by the shared one.

    Returns:
        ``kernel(x, y=None, *, weights=None)``: points of shape (N, d) and (M, d) to a Gram matrix of shape (N, M),
        entries in [0, 1]. Without `y` it is (N, N), exactly symmetric, with an exact 1 on its diagonal. Differentiable
        in all arguments. ``kernel.pairs(x, y, *, weights=None)`` is (N, d) and (N, d) to (N,): one entry for each row.

        Where the rows of `x` lie on several devices, those of the matrix do, too: each device computes its own. Points
        are sent, and half of a symmetric matrix; states never are. If `y` lies on other axes of the mesh than `x`, its
        points are the columns of the devices there. In `jax.jit` JAX does not say how an array lies on Auto axes: the
        rows are then shared out over all of them, if their number divides.

    Raises:
        ValueError: A parameter is unknown, named twice, or neither feature nor weight; the points have another number
            of features, or weights are missing.

    Example:
        >>> import numpy as np
        >>> from qiskit.circuit.library import zz_feature_map
        >>> kernel = fidelity_kernel(zz_feature_map(2))
        >>> kernel(np.zeros((3, 2)), np.ones((4, 2))).shape
        (3, 4)

    References:
        V. Havlicek et al., "Supervised learning with quantum-enhanced feature spaces", Nature 567, 209 (2019).
    """
    memory = check_memory(memory)
    check_flag(local, "local")
    if check_flag(progress, "progress"):
        load_tqdm()
    feature_map = own(feature_map)
    check_circuit(feature_map, "feature_map")
    read = readout.of_state(feature_map if backend is None else parse_noisy(feature_map).program)
    # Shots are drawn from the exact matrix, but for local fidelities: the bits of a shot are correlated.
    shots = backend if isinstance(backend, Shots) and backend.is_plain and not local else None
    device: Any = backend if shots is None else None  # it may have more qubits than can be simulated
    program = read.program if device is not None else read.reduced().program
    features, trained = features_and_weights(program, weights, inputs)
    if evaluate_duplicates not in ("all", "off_diagonal", "none"):
        raise ValueError(
            f"`evaluate_duplicates` must be 'all', 'off_diagonal' or 'none', but is {evaluate_duplicates!r}."
        )
    if local and program.loads:
        raise ValueError("Local fidelities need a circuit that can be undone, not one that loads amplitudes.")
    common: Any = {
        "program": program,
        "features": features,
        "weights": trained,
        "memory": memory,
        "progress": progress,
        "compile": check_compile(compile),
    }
    common["source"] = Source(feature_map, ())
    if device is not None:
        check_backend(device, "probabilities" if local else "fidelity")
        function = local_fidelity_of(device, feature_map) if local else device.fidelity(feature_map)
        return BackendKernel(**common, function=function, duplicates=evaluate_duplicates, local=local)
    if local:
        return LocalFidelityKernel(**common, num_qubits=read.program.num_qubits)
    exact = FidelityKernel(**common)
    return exact if shots is None else NoisyKernel(**common, exact=exact, backend=shots)

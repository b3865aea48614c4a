"""The contestants: for each, the libraries it needs, the tasks it has, and how it was set up to be at its best.

The file `benchmarks/contestants/<name>.py` has a function for each task, `task(problem)`, which prepares everything up
to the first call and returns a function without arguments, `run()`. That computes the answer and returns when it is
there. The runner imports only this file, so a library that is missing costs nothing.
"""

import importlib
import importlib.util
from dataclasses import dataclass
from types import ModuleType

ALL = ("step", "step_with_inputs", "gram", "forward", "gradient", "hessian", "metric", "sample")
TRAINING = ("train", "grid")
FIRST = ("first_value", "first_gradient")
NOISY = ("noisy_value", "noisy_gradient", "noisy_step", "trajectories", "trajectories_gradient")
DEEP = ("deep", "deep_gradient", "deep_traced", "deep_traced_gradient", "ideal", "ideal_gradient")
PRIMITIVES = ("values", "jacobian", "bound")


@dataclass(frozen=True)
class Contestant:
    name: str
    libraries: tuple[str, ...]  # names to import
    settings: str
    tasks: tuple[str, ...] = ALL
    cases: tuple[str, ...] = ()  # all, if empty
    peer: bool = True
    compiles: bool = False  # the first call costs more than later ones

    def missing(self) -> list[str]:
        return [library for library in self.libraries if importlib.util.find_spec(library) is None]

    def enters(self, case: str, task: str) -> bool:
        return task in self.tasks and (not self.cases or case in self.cases)

    def module(self) -> ModuleType:
        return importlib.import_module(f"benchmarks.contestants.{self.name.replace('-', '_')}")


CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant(
            "qmljax",
            ("qmljax", "jax"),
            "complex64; value and gradient under jax.jit; kernels, samples and values as eager calls; TorchConnector.",
            tasks=(*ALL, *TRAINING, *PRIMITIVES, *FIRST, *NOISY, *DEEP, "feed_forward_gradient", "torch_step"),
            peer=False,
        ),
        Contestant(
            "qmljax-vmap",
            ("qmljax", "jax"),
            "As qmljax, but jax.vmap over the samples.",
            tasks=("step",),
            cases=("batch-or-vmap",),
            peer=False,
        ),
        Contestant(
            "qmljax-primitives",
            ("qmljax", "jax", "qiskit_machine_learning"),
            "qmljax.primitives.Estimator; EstimatorQNN on it; complex128.",
            tasks=PRIMITIVES,
            peer=False,
        ),
        Contestant(
            "bare-jit",
            ("qmljax", "jax"),
            "The computation of qmljax under the user's own jax.jit.",
            tasks=("forward", "train", "torch_step"),
            cases=("call-overhead", "training-loop", "ensemble", "torch-training-step"),
            peer=False,
        ),
        Contestant(
            "tensorcircuit",
            ("tensorcircuit", "jax"),
            "JAX backend, complex64; jit of vmap, but for first answers; DMCircuit for noise, Circuit.depolarizing for "
            "trajectories.",
            tasks=ALL + TRAINING + FIRST + NOISY,
            compiles=True,
        ),
        Contestant(
            "tensorcircuit-scan",
            ("tensorcircuit", "jax"),
            "As tensorcircuit, with the layers of a periodic circuit in a hand-written lax.scan.",
            tasks=("gradient",),
            cases=("depth", "ising-energy"),
            compiles=True,
        ),
        Contestant(
            "pennylane",
            ("pennylane", "jax"),
            "default.qubit with JAX backpropagation, complex64; jit; first answers by its adjoint method without. "
            "TorchLayer with PyTorch's backpropagation; default.mixed for noise.",
            tasks=(*ALL, *TRAINING, *FIRST, *NOISY[:3], "feed_forward_gradient", "torch_step"),
            compiles=True,
        ),
        Contestant(
            "lightning",
            ("pennylane", "pennylane_lightning", "jax"),
            "lightning.qubit, c_dtype complex64, adjoint gradients; the Hessian by parameter shifts.",
            tasks=("step", "step_with_inputs", "gram", "forward", "gradient", "hessian", "sample", *FIRST),
        ),
        Contestant(
            "qujax",
            ("qujax", "jax"),
            "complex64; jit of vmap.",
            tasks=ALL + TRAINING,
            compiles=True,
        ),
        Contestant(
            "jaqsi",
            ("jaqsi", "jax"),
            "complex64; jit of vmap. It needs Python 3.12.",
            tasks=("step", "step_with_inputs", "gram", "forward", "gradient", "hessian", "metric"),
            cases=(
                "training-step",
                "input-gradients",
                "data-reuploading",
                "gram-matrix",
                "large-gradient",
                "large-forward",
                "ising-energy",
                "depth",
                "hessian",
                "metric-tensor",
                "call-overhead",
            ),
            compiles=True,
        ),
        Contestant(
            "qulacs",
            ("qulacs",),
            "complex128, the only precision it has; ParametricQuantumCircuit.backprop, samples in a loop.",
            tasks=("step", "step_with_inputs", "gram", "forward", "gradient", "sample", *FIRST),
        ),
        Contestant(
            "fastqml",
            ("fastqml", "torch"),
            "float32 real and imaginary parts; fused layers, eagerly.",
            tasks=("step", "step_with_inputs"),
        ),
        Contestant(
            "qiskit",
            ("qiskit",),
            "Statevector and its expectation_value; complex128.",
            tasks=("forward", "first_value"),
        ),
        Contestant(
            "qiskit-ml",
            ("qiskit_machine_learning", "qiskit"),
            "EstimatorQNN with the exact StatevectorEstimator; FidelityStatevectorKernel; TorchConnector; complex128.",
            tasks=(
                "step",
                "step_with_inputs",
                "gram",
                "forward",
                "gradient",
                "metric",
                "sample",
                "torch_step",
                *PRIMITIVES,
            ),
        ),
        Contestant(
            "aer",
            ("qiskit_aer", "qiskit"),
            "AerSimulator, method statevector (density_matrix for exact noise), single precision. It has no gradients.",
            tasks=("gram", "forward", "sample", "noisy_value", "trajectories"),
        ),
    )
}

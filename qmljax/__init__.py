"""qmljax turns a Qiskit `QuantumCircuit` into a pure JAX function."""

from qmljax import circuits as circuits
from qmljax import datasets as datasets
from qmljax import gram as gram
from qmljax import losses as losses
from qmljax._fit import FitResult as FitResult
from qmljax._fit import fit as fit
from qmljax._functions import expectation as expectation
from qmljax._functions import metric_tensor as metric_tensor
from qmljax._functions import probabilities as probabilities
from qmljax._functions import sample as sample
from qmljax._functions import statevector as statevector
from qmljax._functions import unitary as unitary
from qmljax._kernels import Shots as Shots
from qmljax._kernels import fidelity as fidelity
from qmljax._kernels import fidelity_kernel as fidelity_kernel
from qmljax._kernels import projected_kernel as projected_kernel
from qmljax._optimizers import natural_gradient as natural_gradient
from qmljax._optimizers import qnspsa as qnspsa
from qmljax._optimizers import rotosolve as rotosolve
from qmljax._optimizers import spsa as spsa
from qmljax._parse import parse as parse
from qmljax._program import Program as Program
from qmljax._qnn import estimator_qnn as estimator_qnn
from qmljax._qnn import sampler_qnn as sampler_qnn
from qmljax.gram import kernel_alignment as kernel_alignment

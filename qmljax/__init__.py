"""qmljax turns a Qiskit `QuantumCircuit` into a pure JAX function."""

from qmljax import analysis as analysis
from qmljax import circuits as circuits
from qmljax import datasets as datasets
from qmljax import gram as gram
from qmljax import inference as inference
from qmljax import losses as losses
from qmljax import noise as noise
from qmljax import plots as plots
from qmljax._circuit.parse import parse as parse
from qmljax._circuit.program import Program as Program
from qmljax._models.amplitudes import statevector as statevector
from qmljax._models.amplitudes import unitary as unitary
from qmljax._models.backend import Backend as Backend
from qmljax._models.counts import counts as counts
from qmljax._models.density import density_matrix as density_matrix
from qmljax._models.functions import expectation as expectation
from qmljax._models.functions import probabilities as probabilities
from qmljax._models.functions import sample as sample
from qmljax._models.geometry import geometric_tensor as geometric_tensor
from qmljax._models.kernels.fidelity import fidelity_kernel as fidelity_kernel
from qmljax._models.kernels.projected import projected_kernel as projected_kernel
from qmljax._models.metric import metric_tensor as metric_tensor
from qmljax._models.networks import estimator_qnn as estimator_qnn
from qmljax._models.networks import sampler_qnn as sampler_qnn
from qmljax._models.protocols import Kernel as Kernel
from qmljax._models.protocols import Model as Model
from qmljax._models.save import load as load
from qmljax._models.save import save as save
from qmljax._models.shadow import Shadow as Shadow
from qmljax._models.shadow import shadow as shadow
from qmljax._models.shots import Shots as Shots
from qmljax._models.state_fidelity import fidelity as fidelity
from qmljax._models.variances import term_variances as term_variances
from qmljax._training.fit import fit as fit
from qmljax._training.grid import grid_search as grid_search
from qmljax._training.optimizers import natural_gradient as natural_gradient
from qmljax._training.optimizers import rotosolve as rotosolve
from qmljax._training.result import FitResult as FitResult
from qmljax._training.spsa import qnspsa as qnspsa
from qmljax._training.spsa import spsa as spsa
from qmljax.gram import kernel_alignment as kernel_alignment

__version__ = "0.1.0"

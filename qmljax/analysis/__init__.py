"""Diagnostics of circuits, models, states and programs: what an ansatz can express, how it trains, what is sent.

All are pure functions of arrays, circuits, models and functions of weights. States `psi` are amplitudes of shape
(..., 2**n), density matrices `rho` have shape (..., 2**n, 2**n), both little endian and normalised.
"""

from qmljax.analysis._ansatz import entangling_capability as entangling_capability
from qmljax.analysis._ansatz import expressibility as expressibility
from qmljax.analysis._collectives import collectives as collectives
from qmljax.analysis._fisher import effective_dimension as effective_dimension
from qmljax.analysis._fisher import fisher_information as fisher_information
from qmljax.analysis._functions import fourier_coefficients as fourier_coefficients
from qmljax.analysis._functions import gradient_variance as gradient_variance
from qmljax.analysis._functions import landscape as landscape
from qmljax.analysis._lie_algebra import lie_algebra_dimension as lie_algebra_dimension
from qmljax.analysis._states import entropy as entropy
from qmljax.analysis._states import meyer_wallach as meyer_wallach
from qmljax.analysis._states import mutual_information as mutual_information
from qmljax.analysis._states import purity as purity
from qmljax.analysis._states import stabilizer_entropy as stabilizer_entropy

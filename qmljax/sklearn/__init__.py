"""Quantum models as scikit-learn estimators: kernels in `_kernels`, neural networks in `_networks`.

Install with ``pip install 'qmljax[sklearn]'``.
"""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError("qmljax.sklearn needs scikit-learn: pip install 'qmljax[sklearn]'.") from error

from qmljax.sklearn._kernels import QSVC as QSVC
from qmljax.sklearn._kernels import QSVR as QSVR
from qmljax.sklearn._kernels import PegasosQSVC as PegasosQSVC
from qmljax.sklearn._kernels import QuantumFeatureMap as QuantumFeatureMap
from qmljax.sklearn._kernels import QuantumGPKernel as QuantumGPKernel
from qmljax.sklearn._networks import VQC as VQC
from qmljax.sklearn._networks import VQR as VQR
from qmljax.sklearn._networks import NeuralNetworkClassifier as NeuralNetworkClassifier
from qmljax.sklearn._networks import NeuralNetworkRegressor as NeuralNetworkRegressor
from qmljax.sklearn._networks import load as load

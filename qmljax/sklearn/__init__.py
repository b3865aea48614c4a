"""Quantum models as scikit-learn estimators: kernel machines, and neural networks as classifiers and regressors.

Install with ``pip install 'qmljax[sklearn]'``.
"""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError("qmljax.sklearn needs scikit-learn: pip install 'qmljax[sklearn]'.") from error

from qmljax.sklearn._classifiers import VQC as VQC
from qmljax.sklearn._classifiers import NeuralNetworkClassifier as NeuralNetworkClassifier
from qmljax.sklearn._kernels import QSVC as QSVC
from qmljax.sklearn._kernels import QSVR as QSVR
from qmljax.sklearn._pegasos import PegasosQSVC as PegasosQSVC
from qmljax.sklearn._regressors import VQR as VQR
from qmljax.sklearn._regressors import NeuralNetworkRegressor as NeuralNetworkRegressor
from qmljax.sklearn._saved import load as load
from qmljax.sklearn._transforms import QuantumFeatureMap as QuantumFeatureMap
from qmljax.sklearn._transforms import QuantumGPKernel as QuantumGPKernel

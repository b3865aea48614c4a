"""Qiskit's interfaces on qmljax: what `qiskit_ml` does with Qiskit's primitives, with ours."""

from functools import partial

from benchmarks.contestants import qiskit_ml
from qmljax.primitives import Estimator

values = partial(qiskit_ml.values, primitive=Estimator)
bound = partial(qiskit_ml.bound, primitive=Estimator)
jacobian = partial(qiskit_ml.jacobian, primitive=Estimator)

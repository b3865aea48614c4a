"""Networks as scikit-learn estimators. Oracles: scikit-learn's checks, Qiskit's probabilities, finite differences."""

import pickle

import jax
import jax.numpy as jnp
import joblib
import numpy as np
import optax
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import real_amplitudes, z_feature_map
from qiskit.quantum_info import Statevector
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import qmljax as qj
from qmljax import sklearn as qs
from qmljax.sklearn import _networks

THIRTY = "the data of this check have 30 features, and the default network a qubit for each"


def expected_failures(estimator) -> dict[str, str]:
    kinds = ("dense", "sparse")
    return {f"check_sample_weight_equivalence_on_{kind}_data": THIRTY for kind in kinds}


@parametrize_with_checks(
    [
        qs.NeuralNetworkClassifier(steps=20),
        qs.NeuralNetworkRegressor(steps=20),
        qs.VQC(steps=20),  # the same network: compiled already
        qs.VQR(steps=20),
    ],
    expected_failed_checks=expected_failures,
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)

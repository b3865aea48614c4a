"""Qiskit's primitives: this library as an `Estimator` and a `Sampler` for all code that is written for them.

Both take the place of Qiskit's reference primitives, `StatevectorEstimator` and `StatevectorSampler`: the same pubs,
the same results, for equal seeds the same random numbers, only sooner.
"""

from ._estimator import Estimator as Estimator
from ._sampler import Sampler as Sampler

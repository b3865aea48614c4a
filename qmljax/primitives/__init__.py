"""Qiskit's V2 primitives, both ways.

`Estimator` and `Sampler` are this library behind Qiskit's interfaces: they take the place of the reference primitives,
`StatevectorEstimator` and `StatevectorSampler`, with the same pubs, results and, for equal seeds, random numbers, only
sooner. `PrimitiveBackend` is the other way: any primitive, IBM's hardware included, as the `backend=` of a model.
"""

from qmljax.primitives._backend import PrimitiveBackend as PrimitiveBackend
from qmljax.primitives._estimator import Estimator as Estimator
from qmljax.primitives._jobs import JobError as JobError
from qmljax.primitives._plan import Plan as Plan
from qmljax.primitives._sampler import Sampler as Sampler

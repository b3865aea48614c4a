"""Data sets of the QML literature, generated from their definitions by an explicit seed, as numpy arrays.

The same seed gives the same data. The functions whose names begin with `bowles_` give those of a study to the bit.
"""

from qmljax.datasets._literature import ad_hoc as ad_hoc
from qmljax.datasets._literature import bars_and_stripes as bars_and_stripes
from qmljax.datasets._literature import hidden_manifold as hidden_manifold
from qmljax.datasets._literature import hyperplanes as hyperplanes
from qmljax.datasets._literature import two_curves as two_curves
from qmljax.datasets._states import concentratable_entanglement as concentratable_entanglement
from qmljax.datasets._states import entanglement_concentration as entanglement_concentration
from qmljax.datasets._states import phases_of_matter as phases_of_matter
from qmljax.datasets._study import bowles_hidden_manifold as bowles_hidden_manifold
from qmljax.datasets._study import bowles_linearly_separable as bowles_linearly_separable
from qmljax.datasets._study import bowles_two_curves as bowles_two_curves

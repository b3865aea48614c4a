"""Functions of kernel matrices: alignment, losses to train a kernel by, repair, diagnostics and approximation.

All are pure functions of arrays, whichever kernel the matrix comes from. A kernel matrix `gram` is real, symmetric, of
shape (N, N); labels `y` have shape (N,) for two classes or regression, or (N, c), one-hot, for c classes.
"""

from qmljax.gram._alignment import centre as centre
from qmljax.gram._alignment import kernel_alignment as kernel_alignment
from qmljax.gram._approximation import approximation_error as approximation_error
from qmljax.gram._approximation import nystroem as nystroem
from qmljax.gram._diagnostics import concentration as concentration
from qmljax.gram._diagnostics import engineered_labels as engineered_labels
from qmljax.gram._diagnostics import geometric_difference as geometric_difference
from qmljax.gram._diagnostics import model_complexity as model_complexity
from qmljax.gram._diagnostics import spectrum as spectrum
from qmljax.gram._losses import absolute_loss as absolute_loss
from qmljax.gram._losses import huber_loss as huber_loss
from qmljax.gram._losses import squared_loss as squared_loss
from qmljax.gram._losses import svc_loss as svc_loss
from qmljax.gram._losses import svr_loss as svr_loss
from qmljax.gram._repair import clip as clip
from qmljax.gram._repair import nearest_correlation as nearest_correlation
from qmljax.gram._repair import shift as shift
from qmljax.gram._repair import shrink as shrink

"""Files that are whole or not there, and reading that trusts none. No code is in a file, and reading one runs none."""

from qmljax._files.arrays import read as read
from qmljax._files.arrays import write as write
from qmljax._files.checks import check as check
from qmljax._files.checks import reading as reading
from qmljax._files.whole import replace as replace

"""The tests. This module is loaded before numpy, whose linear algebra reads here how many threads it may use.

Its idle threads wait in a loop that keeps a processor busy. Next to other workers of pytest-xdist, the eigenvalues of a
matrix of 1,024 rows took eight times the processor time of one thread.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

"""One thread for every library that brings threads of its own."""

from __future__ import annotations

import os
import sys

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def restart(module: str) -> None:
    """Start the running module again with one thread, unless it has been.

    Libraries read these variables when they are loaded, which is before any of a module's own code; without them NumPy's
    small eigenvalue problems spin on every core and a process' CPU time counts it.
    """
    if any(os.environ.get(name) != "1" for name in _VARIABLES):
        os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], os.environ | dict.fromkeys(_VARIABLES, "1"))

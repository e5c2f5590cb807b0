"""Pickles from downloads, read without running what they ask for.

A pickle may name any function to call. This unpickler resolves only the handful of names that arrays of numbers in plain
containers need and refuses everything else before it is imported.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

_ALLOWED = {
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("_codecs", "encode"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


class _AllowListUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which plain data does not need")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def loads(data: bytes, *, encoding: str = "ASCII") -> Any:
    """Unpickle plain data: containers, strings, numbers, numpy arrays and scalars.

    Args:
        data: the whole pickle.
        encoding: how Python 2 strings are decoded, as in `pickle.loads`.

    Raises:
        pickle.UnpicklingError: the pickle is damaged or asks for anything else; the message says which.
    """
    try:
        return _AllowListUnpickler(io.BytesIO(data), encoding=encoding).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way inside the virtual machine that runs it
        raise pickle.UnpicklingError(f"damaged: {type(error).__name__}: {error}") from error

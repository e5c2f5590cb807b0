"""The footer of a part: what the file says of itself without its rows being read.

It records how many rows failed, which measures the part holds in which version, and the fingerprint of the settings that its
rows depend on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

import pyarrow.parquet as pq

from naswot_ray.dataset.storage import Storage

VERSION_KEY: Final = b"naswot_ray.schema_version"
NUM_FAILED_KEY: Final = b"naswot_ray.num_failed"
"""A key of a part's metadata: how many rows failed or have a measure that failed."""
MEASURES_KEY: Final = b"naswot_ray.measures"
"""A key of a part's metadata. Its value is JSON: measure -> [its version, how many rows lack it], for each measure that at
least one row has a value of."""
FINGERPRINT_KEY: Final = b"naswot_ray.fingerprint"


def told_measures(metadata: Mapping[bytes, bytes] | None) -> dict[str, tuple[int, int]]:
    """Measure -> its version and how many rows lack it. Measures that no row has a value of are not named.

    Args:
        metadata: the footer's. If it is damaged in this place, the result is empty.
    """
    try:
        told = json.loads((metadata or {}).get(MEASURES_KEY, b"{}"))
        return {str(name): (int(version), int(lacking)) for name, (version, lacking) in told.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def told_versions(metadata: Mapping[bytes, bytes] | None) -> dict[str, int]:
    """Measure -> version of the values that the rows hold; argument as in `told_measures`."""
    return {name: version for name, (version, _) in told_measures(metadata).items()}


def measure_versions(storage: Storage, path: PurePosixPath) -> dict[str, int]:
    """Measure -> version of the values that a part holds. Only the footer is read, and the part is not verified.

    Raises:
        OSError, ArrowException: it cannot be read.
    """
    with storage.filesystem.open_input_file(storage.inner_path(path)) as file:
        return told_versions(pq.read_metadata(file).metadata)


def read_versions(storage: Storage, path: PurePosixPath) -> dict[str, int]:
    """Measure -> version of the values that a part holds. The part is verified.

    Raises:
        DatasetError: the part is damaged, or cannot be read.
    """
    with storage.open_parquet(path) as file:
        return told_versions(file.metadata.metadata)

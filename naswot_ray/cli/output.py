"""The file that a command is asked to write."""

from __future__ import annotations

from pathlib import PurePosixPath

from naswot_ray.dataset.address import split
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import SettingsError
from naswot_ray.paths import without_credentials


def check_free(output: str) -> None:
    """Check that a file can be written: it must not exist yet, and its folder must exist.

    Raises:
        SettingsError: the file exists, or its folder does not.
    """
    folder, name = split(output)
    storage = Storage(folder)
    if storage.exists(PurePosixPath(name)):
        raise SettingsError(f"{without_credentials(output)} exists; name another file or remove it")
    if storage.local is not None and not storage.exists():
        raise SettingsError(f"{output}: there is no folder {folder}; create it, or name another")

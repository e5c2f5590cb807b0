"""The file that a command is asked to write."""

from __future__ import annotations

from pathlib import PurePosixPath

from naswot_ray.dataset.address import split
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import SettingsError
from naswot_ray.paths import without_credentials


def check_free(output: str) -> None:
    """Refuse a file that exists, or whose folder does not.

    Raises:
        SettingsError: says so.
    """
    folder, name = split(output)
    storage = Storage(folder)
    if storage.exists(PurePosixPath(name)):
        raise SettingsError(f"{without_credentials(output)} exists; name another file or remove it")
    if storage.local is not None and not storage.exists():
        raise SettingsError(f"{output}: there is no folder {folder}; create it, or name another")

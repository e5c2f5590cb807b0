"""Confinement of writes: a file is written below the folder that it belongs to, and nowhere else.

Names from a dataset become parts of paths, and a dataset may come from anywhere. Code that writes a file under such a name gets
its path from this module.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from naswot_ray.errors import DatasetError


def confined(folder: Path, relative: PurePosixPath | str) -> Path:
    """The path of a file below a folder on the local disk. Neither has to exist.

    Raises:
        DatasetError: the path is absolute or contains `..`, or a link on the way leads out of the folder.
    """
    path = folder / check_relative(str(folder), relative)
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise DatasetError(
            f"{path.parent} is a link that leads out of {folder}, so nothing is written there; replace it by a folder"
        )
    return path


def check_relative(folder: str, relative: PurePosixPath | str) -> PurePosixPath:
    """Check that a path stays below its folder, without looking at the disk, and return it.

    Args:
        folder: the folder, for the message.
        relative: the path.

    Raises:
        DatasetError: it is empty, absolute, or contains `..`.
    """
    checked = PurePosixPath(relative)
    if not checked.parts or checked.is_absolute() or ".." in checked.parts:
        raise DatasetError(f"{folder}: {str(relative)!r} is not a path below it, so nothing is written there")
    return checked

"""Files are written below the folder that they belong to, and nowhere else.

Names from a dataset become parts of paths, and a dataset may come from anywhere. Everything that writes below a folder under
such a name asks here where to.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from naswot_ray.errors import DatasetError


def confined(folder: Path, relative: PurePosixPath | str) -> Path:
    """Where a file below a folder of the local disk lies; neither has to be there.

    Raises:
        DatasetError: the path is absolute or goes up, or a link on its way leads out of the folder.
    """
    path = folder / check_relative(str(folder), relative)
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise DatasetError(
            f"{path.parent} is a link that leads out of {folder}: nothing is written there; replace it by a folder"
        )
    return path


def check_relative(folder: str, relative: PurePosixPath | str) -> PurePosixPath:
    """A path that stays below its folder, as far as the path itself tells.

    Args:
        folder: for the message.
        relative: the path.

    Raises:
        DatasetError: it is empty or absolute, or goes up.
    """
    checked = PurePosixPath(relative)
    if not checked.parts or checked.is_absolute() or ".." in checked.parts:
        raise DatasetError(f"{folder}: {str(relative)!r} is no path below it, so nothing is written there")
    return checked

"""The spaces and images that a dataset was computed from, opened again and held against its settings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.inputs import local_option, local_path
from naswot_ray.dataset.runs import space_options
from naswot_ray.errors import SettingsError
from naswot_ray.grid.settings import settings_of
from naswot_ray.images.source import ImageSource, load_images
from naswot_ray.spaces import Space, open_spaces, parameters_of


def open_spaces_of(dataset: Dataset, names: Iterable[str], options: Sequence[str] = ()) -> dict[str, Space]:
    """A dataset's spaces with the parameters that its runs gave them.

    Args:
        dataset: whose settings they must have.
        names: of the spaces.
        options: entries `PARAMETER=VALUE` that go before the runs' own, for a file that lies elsewhere now.

    Raises:
        SettingsError: a space cannot be opened, or its networks are others than the dataset's.
    """
    names = sorted(names)
    given = {option.partition("=")[0] for option in options}
    known = {parameter for name in names for parameter in parameters_of(name)}
    recorded = [option for parameter, option in space_options(dataset.runs).items() if parameter in known - given]
    spaces = open_spaces(names, [local_option(option) for option in (*recorded, *options)])
    _check(dataset, spaces, ())
    return spaces


def load_images_of(dataset: Dataset, names: Iterable[str], data: str | os.PathLike[str] | None) -> dict[str, ImageSource]:
    """A dataset's image sources.

    Args:
        dataset: whose settings they must have.
        names: of the sources, as in its rows.
        data: the directory that holds their files, a path or URI; not needed for noise.

    Raises:
        SettingsError: the images are others than the dataset's.
        ImagesError: they cannot be read.
    """
    directory = None if data is None else local_path(data)
    sources = {}
    for name in sorted(names):
        size = dataset.manifest.settings.images[name]["shape"][1]
        sources[name] = load_images(name.removesuffix(f"-{size}"), directory, image_size=size)
    _check(dataset, {}, sources.values())
    return sources


def _check(dataset: Dataset, spaces: dict[str, Space], sources: Iterable[ImageSource]) -> None:
    try:
        settings = dataset.manifest.settings
        # Each value has a version of its measure: the audit tells which ones it cannot compare.
        here = settings_of(spaces, sources, settings.values, ()).model_copy(update={"measures": {}})
        settings.extended_by(here)
    except SettingsError as error:
        raise SettingsError(f"{dataset.storage.root} was computed from something else: {error}") from error

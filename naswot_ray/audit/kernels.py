"""Kernels of a dataset's networks. A dataset does not hold them, so they are computed again as it says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from naswot_ray.audit.inputs import load_images_of, open_spaces_of
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.engines.score import score


def recompute_kernels(
    dataset: Dataset,
    space: str,
    images: str,
    batch_size: int,
    arch_ids: Sequence[str],
    data: str | os.PathLike[str] | None,
) -> Iterator[tuple[npt.NDArray[np.int64], float]]:
    """Compute kernels at seed 0.

    Args:
        dataset: whose settings the space and the images must have.
        space, images: their names, as in its rows.
        batch_size: number of images, n.
        arch_ids: of the space.
        data: the directory that holds the images' files, a path or URI; not needed for noise.

    Yields:
        for each architecture K, shape (n, n), and its NASWOT score.

    Raises:
        SettingsError: the space or the images are others than the dataset's.
        ImagesError: the images cannot be read.
    """
    opened = open_spaces_of(dataset, [space])[space]
    batch = load_images_of(dataset, [images], data)[images].batch(batch_size, 0)
    for arch_id in arch_ids:
        scores = score(arch_id, batch, seed=0, space=opened, return_kernel=True)
        assert scores.kernel is not None
        yield scores.kernel, scores["naswot"]

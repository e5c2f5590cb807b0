"""Image sources, and the batch of N images that a seed selects from one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from naswot_ray import philox
from naswot_ray.errors import ImagesError
from naswot_ray.images import files
from naswot_ray.paths import expand_home

BATCH_VERSION = "philox4x64-1"
"""How batches are drawn; part of the settings of a dataset. Whoever changes the way of drawing has to change this name."""

NOISE = "noise"

MAX_BATCH_BYTES: Final = 2**34
"""The largest batch in bytes, enough for 28,000 images of 224 pixels. Scoring takes several times as much memory."""

# Mean and standard deviation of each channel, in units of 1/255. All published scores use these constants of NAS-Bench-201.
_MEAN_STD = {
    "cifar10": ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7)),
    "cifar100": ((129.3, 124.1, 112.4), (68.2, 65.4, 70.4)),
    "imagenet16-120": ((122.68, 116.66, 104.01), (63.22, 61.26, 65.09)),
}

SOURCES = (NOISE, *_MEAN_STD)


@dataclass(frozen=True)
class ImageSource:
    """A set of images that batches are drawn from.

    Attributes:
        name: one of `SOURCES`, followed by `-SIZE` if batches have another image size than the source.
        pixels: all images, uint8, shape (n, 3, h, w); None for `noise`, whose images are drawn from N(0, 1).
        shape: shape `(3, h, w)` of the images in a batch; smaller images are enlarged to it.
        digest: SHA-256 of the pixels in order. It does not depend on the kind of file: archive, batches and .npz of the same
            images agree. For `noise` it is the SHA-256 of the name.
    """

    name: str
    pixels: npt.NDArray[np.uint8] | None
    shape: tuple[int, int, int]
    digest: str

    def batch(self, batch_size: int, seed: int) -> npt.NDArray[np.float32]:
        """A batch of normalised images, shape (batch_size, 3, h, w), float32.

        Images are drawn without replacement. The batch depends only on the seed, the source and the batch size.

        Raises:
            ImagesError: the source cannot serve this batch size; see `check_batch_size`.
        """
        self.check_batch_size(batch_size)
        purpose = ("batch", BATCH_VERSION, seed, self._base, batch_size)
        if self.pixels is None:
            return philox.normal(purpose, batch_size * int(np.prod(self.shape))).reshape(batch_size, *self.shape)
        chosen = self.pixels[philox.sample_without_replacement(purpose, len(self.pixels), batch_size)]
        mean, std = (np.array(v, np.float32).reshape(3, 1, 1) / np.float32(255) for v in _MEAN_STD[self._base])
        values = chosen.astype(np.float32)
        if self.shape[1:] != values.shape[2:]:
            values = enlarge(values, self.shape[1])
        batch: npt.NDArray[np.float32] = (values / np.float32(255) - mean) / std
        return batch

    def check_batch_size(self, batch_size: int) -> None:
        """Refuse a batch size that the source cannot serve.

        Raises:
            ImagesError: it is below 2, larger than the source, or needs more than `MAX_BATCH_BYTES`.
        """
        if batch_size < 2:
            raise ImagesError(f"batch size {batch_size}: a kernel needs at least 2 images")
        if self.pixels is not None and batch_size > len(self.pixels):
            raise ImagesError(f"batch size {batch_size}: {self.name} holds only {len(self.pixels)} images here")
        num_bytes = 4 * batch_size * prod(self.shape)
        if num_bytes > MAX_BATCH_BYTES:
            raise ImagesError(
                f"batch size {batch_size}: its images of {self.shape[1]} pixels take {num_bytes:,} bytes, expected at most "
                f"{MAX_BATCH_BYTES:,}"
            )

    @property
    def _base(self) -> str:
        """The name without the size."""
        return next(name for name in SOURCES if self.name in (name, f"{name}-{self.shape[1]}"))

    def settings(self) -> Mapping[str, Any]:
        """What a batch depends on besides its size and its seed, as JSON values."""
        mean, std = _MEAN_STD.get(self._base, (None, None))
        return {
            "digest": self.digest,
            "num_images": None if self.pixels is None else len(self.pixels),
            "shape": list(self.shape),
            "mean_255": mean and list(mean),
            "std_255": std and list(std),
        }


def enlarge(images: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Enlarge images, shape (n, c, h, w), to (n, c, size, size) by linear interpolation between pixel centres.

    The result is the same on every machine: both steps are elementwise in float64, and it is rounded only once.
    """
    values = images.astype(np.float64)
    for axis in (2, 3):
        length = values.shape[axis]
        positions = np.clip((np.arange(size) + 0.5) * (length / size) - 0.5, 0, length - 1)
        below = np.minimum(positions.astype(np.int64), length - 2)
        weight = (positions - below).reshape([-1 if a == axis else 1 for a in range(4)])
        values = values.take(below, axis) * (1 - weight) + values.take(below + 1, axis) * weight
    return values.astype(np.float32)


def load_images(name: str, data: str | Path | None = None, *, image_size: int | None = None) -> ImageSource:
    """Open an image source.

    Args:
        name: one of `SOURCES`.
        data: the directory with the image files (see `images.files`); not needed for `noise`.
        image_size: height and width of the images in a batch; None keeps the size of the source.

    Raises:
        ImagesError: the source is unknown, no directory is given, files are missing, damaged or of the wrong shape, or the
            images are larger than `image_size`.
        SettingsError: `data` begins with a `~user` that does not exist.
    """
    if name == NOISE:
        return _resized(ImageSource(name, None, (3, 32, 32), hashlib.sha256(NOISE.encode()).hexdigest()), image_size)
    if name not in SOURCES:
        raise ImagesError(f"unknown image source {name!r}; there are: {', '.join(SOURCES)}")
    if data is None:
        raise ImagesError(f"image source {name} needs a data directory (--data DIR)")
    directory = expand_home(data)
    if not directory.is_dir():
        raise ImagesError(f"data directory {data} does not exist")
    pixels = files.read_pixels(name, directory)
    digest = hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
    height, width = pixels.shape[2:]
    return _resized(ImageSource(name, pixels, (3, height, width), digest), image_size)


def _resized(source: ImageSource, size: int | None) -> ImageSource:
    if size is None or (size, size) == source.shape[1:]:
        return source
    if source.pixels is not None and size < source.shape[1]:
        raise ImagesError(
            f"image size {size}: the images of {source.name} have {source.shape[1]} pixels and cannot be made smaller"
        )
    return replace(source, name=f"{source.name}-{size}", shape=(3, size, size))

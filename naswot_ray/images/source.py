"""Image sources, and the batch of N images that a seed draws from one."""

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
"""Part of a dataset's settings; a change of how a batch is drawn needs a new name."""

NOISE = "noise"

MAX_BATCH_BYTES: Final = 2**34
"""Most bytes of a batch: 28,000 images of 224 pixels. Scoring takes several times as much memory."""

# Per channel, in units of 1/255: the constants of the NAS-Bench-201 code, which every published score uses.
_MEAN_STD = {
    "cifar10": ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7)),
    "cifar100": ((129.3, 124.1, 112.4), (68.2, 65.4, 70.4)),
    "imagenet16-120": ((122.68, 116.66, 104.01), (63.22, 61.26, 65.09)),
}

SOURCES = (NOISE, *_MEAN_STD)


@dataclass(frozen=True)
class ImageSource:
    """A set of images to draw batches from.

    Attributes:
        name: one of `SOURCES`; with `-SIZE` behind it where the images are not of the source's own size.
        pixels: all images, uint8, shape (n, 3, h, w); None for `noise`, which is drawn from N(0, 1).
        shape: `(3, h, w)` of a batch's images; pixels of another size are enlarged to it.
        digest: SHA-256 of the pixels in order (not of the file: archive, batches and .npz of the same images agree); of the
            name for `noise`.
    """

    name: str
    pixels: npt.NDArray[np.uint8] | None
    shape: tuple[int, int, int]
    digest: str

    def batch(self, batch_size: int, seed: int) -> npt.NDArray[np.float32]:
        """The normalised batch that a seed draws, shape (batch_size, 3, h, w), float32.

        Drawn without replacement; a function of (seed, source, batch size) alone.

        Raises:
            ImagesError: as `check_batch_size`.
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
            ImagesError: fewer than 2 images, more than the source holds, or more than fit into memory.
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
        """The name without a size."""
        return next(name for name in SOURCES if self.name in (name, f"{name}-{self.shape[1]}"))

    def settings(self) -> Mapping[str, Any]:
        """What a batch depends on besides its size and seed, as JSON values."""
        mean, std = _MEAN_STD.get(self._base, (None, None))
        return {
            "digest": self.digest,
            "num_images": None if self.pixels is None else len(self.pixels),
            "shape": list(self.shape),
            "mean_255": mean and list(mean),
            "std_255": std and list(std),
        }


def enlarge(images: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Images, shape (n, c, h, w), enlarged to (n, c, size, size) by linear interpolation between pixel centres.

    Two elementwise steps in float64, rounded once: the same on every machine.
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
        data: the directory that holds the images (see `images.files`); not needed for `noise`.
        image_size: height and width of the batches' images; None leaves them as they are.

    Raises:
        ImagesError: unknown source, no directory given, files that are missing, damaged or of the wrong shape, or images
            that are larger than `image_size`.
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
        raise ImagesError(f"image size {size}: the images of {source.name} have {source.shape[1]} pixels and are not reduced")
    return replace(source, name=f"{source.name}-{size}", shape=(3, size, size))

"""The file formats of image data sets: the official python batches, and .npz.

| source | official files | .npz |
|---|---|---|
| cifar10 | cifar-10-python.tar.gz, or its folder cifar-10-batches-py | cifar10.npz: `x_train` |
| cifar100 | cifar-100-python.tar.gz, or its folder cifar-100-python | cifar100.npz: `x_train` |
| imagenet16-120 | ImageNet16: train_data_batch_1 ... train_data_batch_10 | imagenet16.npz: `x`, `y_raw` (labels from 1) |

Only training images are read. All arrays are uint8, shape (n, 3, height, width). An official file is used only if its MD5 is
the published one (from CIFAR's download page; for ImageNet16, from the list in the NAS-Bench-201 code). It is unpickled by an
allow-list.
"""

from __future__ import annotations

import hashlib
import pickle
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from naswot_ray import safe_pickle
from naswot_ray.errors import ImagesError
from naswot_ray.regular_file import open_regular, read_regular

MAX_BATCH_BYTES: Final = 2**30
"""The largest batch file that is read. The largest official one, ImageNet16's, has 99 MB."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ImageFiles:
    """The names and digests of the files with the training images of one source.

    Attributes:
        size: height and width of the images in pixels.
        npz, npz_pixels: name of the .npz file, and of the array of pixels in it.
        folder: folder of the official batches, relative to the data directory.
        batches: name of an official batch -> its MD5.
        archive, archive_md5: name and MD5 of the official archive that holds `folder`; None if there is none.
        npz_labels: name of the array of labels in the .npz file; None if labels are not needed.
        num_labels: only images with labels 1..num_labels are kept; None keeps all.
    """

    size: int
    npz: str
    npz_pixels: str
    folder: str
    batches: dict[str, str] = field(repr=False)
    archive: str | None = None
    archive_md5: str | None = None
    npz_labels: str | None = None
    num_labels: int | None = None


FILES = {
    "cifar10": ImageFiles(
        size=32,
        npz="cifar10.npz",
        npz_pixels="x_train",
        folder="cifar-10-batches-py",
        archive="cifar-10-python.tar.gz",
        archive_md5="c58f30108f718f92721af3b95e74349a",
        batches={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
    ),
    "cifar100": ImageFiles(
        size=32,
        npz="cifar100.npz",
        npz_pixels="x_train",
        folder="cifar-100-python",
        archive="cifar-100-python.tar.gz",
        archive_md5="eb9058c3a382ffc7106e4002c42a8d85",
        batches={"train": "16019d7e3df5f24257cddd939b257f8d"},
    ),
    "imagenet16-120": ImageFiles(
        size=16,
        npz="imagenet16.npz",
        npz_pixels="x",
        npz_labels="y_raw",
        num_labels=120,
        folder=".",
        batches={
            "train_data_batch_1": "27846dcaa50de8e21a7d1a35f30f0e91",
            "train_data_batch_2": "c7254a054e0e795c69120a5727050e3f",
            "train_data_batch_3": "4333d3df2e5ffb114b05d2ffc19b1e87",
            "train_data_batch_4": "1620cdf193304f4a92677b695d70d10f",
            "train_data_batch_5": "348b3c2fdbb3940c4e9e834affd3b18d",
            "train_data_batch_6": "6e765307c242a1b3d7d5ef9139b48945",
            "train_data_batch_7": "564926d8cbf8fc4818ba23d2faac7564",
            "train_data_batch_8": "f4755871f718ccb653440b9dd0ebac66",
            "train_data_batch_9": "bb6dd660c38c58552125b1a92f86b5d4",
            "train_data_batch_10": "8f03f34ac4b42271a294f91bf480f29b",
        },
    ),
}


def read_pixels(name: str, directory: Path) -> Pixels:
    """All training images of a source, shape (n, 3, size, size), uint8, in the order of the files.

    Args:
        name: a key of `FILES`.
        directory: the directory with the official archive, its folder of batches, or the .npz. They are looked for in this
            order.

    Raises:
        ImagesError: there is none of them, or a file is damaged, not the official one, or of the wrong shape.
    """
    files = FILES[name]
    folder = directory / files.folder
    first = next(iter(files.batches))
    if files.archive and (path := directory / files.archive).is_file():
        return _concatenate(files, _batches_of_archive(files, path))
    if (folder / first).is_file():
        return _concatenate(files, _batches_of_folder(files, folder))
    if (path := directory / files.npz).is_file():
        return _read_npz(files, path)
    names = [files.archive, f"{files.folder}/{first}" if files.archive else first, files.npz]
    raise ImagesError(f"no {name} images in {directory}: expected one of {', '.join(n for n in names if n)}")


def _batches_of_archive(files: ImageFiles, path: Path) -> Iterator[tuple[str, bytes]]:
    with _opened(path) as file:
        _check_md5(path, hashlib.file_digest(file, "md5").hexdigest(), files.archive_md5)
    with tarfile.open(path) as archive:
        for name in files.batches:
            try:
                member = archive.extractfile(f"{files.folder}/{name}")
            except KeyError:
                member = None
            if member is None:
                raise ImagesError(f"{path}: no member {files.folder}/{name}")
            yield f"{path}:{name}", member.read()


def _batches_of_folder(files: ImageFiles, folder: Path) -> Iterator[tuple[str, bytes]]:
    for name, md5 in files.batches.items():
        path = folder / name
        try:
            data = read_regular(path, max_bytes=MAX_BATCH_BYTES)
        except OSError as error:
            raise ImagesError(f"cannot read {path}: {error.strerror}") from error
        _check_md5(path, hashlib.md5(data, usedforsecurity=False).hexdigest(), md5)
        yield str(path), data


def _opened(path: Path) -> BufferedReader:
    try:
        return open_regular(path)
    except OSError as error:
        raise ImagesError(f"cannot read {path}: {error.strerror}") from error


def _check_md5(path: Path, found: str, published: str | None) -> None:
    if found != published:
        raise ImagesError(f"{path} is not the official file: its MD5 is {found}, published is {published}; download it again")


def _concatenate(files: ImageFiles, batches: Iterator[tuple[str, bytes]]) -> Pixels:
    return np.concatenate([_read_batch(files, source, data) for source, data in batches])


def _read_batch(files: ImageFiles, source: str, data: bytes) -> Pixels:
    try:
        content = safe_pickle.loads(data, encoding="latin1")
        rows, labels = content["data"], content.get("labels")
    except (pickle.UnpicklingError, KeyError, TypeError, AttributeError) as error:
        raise ImagesError(f"{source} is not a python batch of images: {error}") from error
    num_values = 3 * files.size**2
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != num_values:
        raise ImagesError(f"{source}: expected uint8 rows of {num_values} values, found {_describe(rows)}")
    return _select(files, source, rows.reshape(-1, 3, files.size, files.size), labels)


def _read_npz(files: ImageFiles, path: Path) -> Pixels:
    try:
        # The file is opened here, because np.load does not close a damaged one.
        with _opened(path) as file, np.load(file, allow_pickle=False) as arrays:
            pixels = arrays[files.npz_pixels]
            labels = arrays[files.npz_labels] if files.npz_labels else None
    except KeyError as error:
        raise ImagesError(f"{path}: {error.args[0]}; expected the array {files.npz_pixels!r} of uint8 images") from error
    except Exception as error:  # a damaged header can fail in any way inside numpy, zipfile and zlib
        raise ImagesError(f"{path} is damaged or not an .npz file: {error}") from error
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (3, files.size, files.size):
        raise ImagesError(f"{path}: expected uint8 images (n, 3, {files.size}, {files.size}), found {_describe(pixels)}")
    return _select(files, str(path), pixels, labels)


def _select(files: ImageFiles, source: str, pixels: Pixels, labels: Any) -> Pixels:
    if files.num_labels is None:
        return pixels
    try:
        labels = np.asarray(labels)
    except ValueError as error:
        raise ImagesError(f"{source}: expected a whole number for each label: {error}") from error
    if labels.shape != (len(pixels),):
        raise ImagesError(f"{source}: {len(pixels)} images but labels of shape {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise ImagesError(f"{source}: expected whole numbers for labels, found {labels.dtype}")
    selected: Pixels = pixels[(labels >= 1) & (labels <= files.num_labels)]
    return selected


def _describe(value: Any) -> str:
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__

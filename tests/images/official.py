"""Writes image files as their publishers did: as pickles of Python 2, in folders and archives."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from naswot_ray.images.files import FILES, Pixels


class _Python2Pickler(pickle._Pickler):
    """Writes protocol 2 with both `str` and `bytes` as byte strings of Python 2, as in the official files."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def _save_string(self, value: str | bytes) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        if len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + struct.pack("<B", len(data)) + data)  # type: ignore[attr-defined]
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)  # type: ignore[attr-defined]
        self.memoize(value)  # type: ignore[attr-defined]

    dispatch[str] = _save_string
    dispatch[bytes] = _save_string


def python2_pickle(content: Any) -> bytes:
    """A pickle as Python 2 and its numpy wrote it."""
    file = io.BytesIO()
    _Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def some_pixels(count: int, size: int) -> Pixels:
    """Images to write, all different."""
    return np.random.default_rng(count).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def batch(pixels: Pixels, labels: list[int], label_key: str = "labels") -> bytes:
    """One official batch of images."""
    return python2_pickle({"batch_label": "testing", "data": pixels.reshape(len(pixels), -1), label_key: labels})


def batches(name: str, pixels: Pixels, labels: list[int] | None = None) -> dict[str, bytes]:
    """The official files of a source that hold these images, split evenly."""
    files = FILES[name]
    labels = labels or [i % 10 for i in range(len(pixels))]
    bounds = np.linspace(0, len(pixels), len(files.batches) + 1).astype(int).tolist()
    label_key = "fine_labels" if name == "cifar100" else "labels"
    return {
        file: batch(pixels[start:end], labels[start:end], label_key)
        for file, start, end in zip(files.batches, bounds, bounds[1:], strict=False)
    }


def write_folder(name: str, directory: Path, content: dict[str, bytes]) -> Path:
    """Write the official folder of a source below a data directory."""
    folder = directory / FILES[name].folder
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in content.items():
        (folder / file).write_bytes(data)
    return folder


def write_archive(name: str, directory: Path, content: dict[str, bytes]) -> Path:
    """Write the official archive of a source into a data directory."""
    files = FILES[name]
    assert files.archive is not None
    path = directory / files.archive
    with tarfile.open(path, "w:gz") as archive:
        for file, data in {"batches.meta": b"not for us", **content}.items():
            member = tarfile.TarInfo(f"{files.folder}/{file}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def publish(
    monkeypatch: pytest.MonkeyPatch, name: str, *, content: dict[str, bytes] | None = None, archive: Path | None = None
) -> None:
    """Make the MD5s of the files that a test wrote the published ones."""
    files = FILES[name]
    if content is not None:
        files = replace(files, batches={file: _md5(data) for file, data in content.items()})
    if archive is not None:
        files = replace(files, archive_md5=_md5(archive.read_bytes()))
    monkeypatch.setitem(FILES, name, files)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()

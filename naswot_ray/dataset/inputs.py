"""What a run reads, from wherever it lies: a URI becomes a local path, downloaded once.

Readers of official files, images and tables take local paths. The driver alone reads them; what it made of them goes to the
workers.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from pyarrow import fs

from naswot_ray.cache import cache_directory
from naswot_ray.dataset import address, retry
from naswot_ray.errors import FetchError
from naswot_ray.paths import expand_home, is_uri, looks_like_uri
from naswot_ray.private_folder import NotPrivateError, PrivateFolder

Progress = Callable[[int, int], object]
"""Called with the bytes that are there and the bytes in all."""

_CHUNK_BYTES: Final = 8 * 2**20


def local_path(text: str | os.PathLike[str], progress: Progress = lambda done, total: None) -> Path:
    """Where something that a user named can be read on the local disk.

    A file or folder of an object store is kept below `cache_directory()`, in a folder of this user alone and under a name that
    its address, sizes and times of change go into: it is downloaded again only when it has changed, or files are missing or
    of another size. It has its own name there, since readers go by names.

    Args:
        text: a local path, which comes back with `~` expanded, or a URI.
        progress: of a download.

    Raises:
        FetchError: nothing is there, it cannot be read, or the cache not written.
        DatasetError: a URI of a kind that is not supported.
        SettingsError: a `~user` that does not exist.
    """
    if not (is_uri(text) or looks_like_uri(os.fspath(text))):
        return expand_home(text)
    source = address.parse(text)
    if source.local is not None:
        return source.local
    retries = retry.Retrying()
    try:
        files = _listed(source, retries)
        if not files:
            raise FetchError(f"{source.name} does not exist, or is an empty folder")
        if outside := [info.path for info in files if ".." in PurePosixPath(info.path).parts]:
            raise FetchError(f"{source.name} holds {outside[0]!r}, which would lie outside of its folder on a disk; rename it")
        with PrivateFolder(cache_directory() / "inputs") as inputs:
            folder = inputs.path / _key(source, files)
        if not _is_whole(source, files, folder):
            shutil.rmtree(folder, ignore_errors=True)
            _download(source, files, folder, retries, progress)
    except NotPrivateError as error:
        raise FetchError(f"cannot fetch {source.name}: {error}; let NASWOT_RAY_CACHE name a folder of your own") from error
    except OSError as error:
        remedy = retry.remedy_of(error)
        raise FetchError(f"cannot fetch {source.name}: {retry.reason_of(error)}{f'; {remedy}' if remedy else ''}") from error
    return folder / PurePosixPath(source.path).name


def local_option(entry: str) -> str:
    """An entry PARAMETER=VALUE of a space, whose value is no longer a URI.

    Raises:
        FetchError, DatasetError: as `local_path`.
    """
    parameter, equals, value = entry.partition("=")
    return f"{parameter}={local_path(value)}" if equals and is_uri(value) else entry


def _listed(source: address.Address, retries: retry.Retrying) -> list[fs.FileInfo]:
    """The file itself, or all files in the folder, sorted."""

    def ask() -> list[fs.FileInfo]:
        info: fs.FileInfo = source.filesystem.get_file_info(source.path)
        if info.is_file:
            return [info]
        found = source.filesystem.get_file_info(fs.FileSelector(source.path, recursive=True, allow_not_found=True))
        return sorted((info for info in found if info.is_file), key=lambda info: info.path)

    return retries.call(f"read {source.name}", ask)


def _key(source: address.Address, files: list[fs.FileInfo]) -> str:
    content = [source.name, *map(str, source.options), *(f"{info.path} {info.size} {info.mtime_ns}" for info in files)]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:32]


def _is_whole(source: address.Address, files: list[fs.FileInfo], folder: Path) -> bool:
    """Whether every file is there in its size; a disk that failed or filled up may have kept less."""
    try:
        return all(_place(folder, PurePosixPath(source.path), info).stat().st_size == info.size for info in files)
    except FileNotFoundError:
        return False


def _place(folder: Path, base: PurePosixPath, info: fs.FileInfo) -> Path:
    return folder / base.name / PurePosixPath(info.path).relative_to(base)


def _download(
    source: address.Address, files: list[fs.FileInfo], folder: Path, retries: retry.Retrying, progress: Progress
) -> None:
    """Download into a temporary folder and rename it: `folder` is whole or not there."""
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.tmp")
    base, total, done = PurePosixPath(source.path), sum(info.size for info in files), 0
    try:
        for info in files:
            target = _place(temporary, base, info)
            target.parent.mkdir(parents=True, exist_ok=True)
            open_file = partial(source.filesystem.open_input_file, info.path)
            with retries.call(f"read {source.name}", open_file) as stream, target.open("wb") as file:
                for offset in range(0, info.size, _CHUNK_BYTES):
                    read_chunk = partial(stream.read_at, min(_CHUNK_BYTES, info.size - offset), offset)
                    done += file.write(retries.call(f"read {source.name}", read_chunk))
                    progress(done, total)
                file.flush()
                os.fsync(file.fileno())
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

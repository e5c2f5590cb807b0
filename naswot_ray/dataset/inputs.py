"""Input files of commands: a file or folder at a URI is downloaded once and becomes a local path.

The readers of official files, images and tables take local paths. Only the driver reads them, and sends the result to the
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

DownloadProgress = Callable[[int, int], object]
"""A function that is called with the number of bytes downloaded so far and the total number of bytes."""

_CHUNK_BYTES: Final = 8 * 2**20


def local_path(text: str | os.PathLike[str], progress: DownloadProgress = lambda done, total: None) -> Path:
    """Return the local path of an input, downloading it first if it is in an object store.

    A download is kept below `cache_directory()`, in a folder that only this user can enter. The folder's name is derived from
    the address, sizes and modification times. So an input is downloaded again only if it has changed, or if files are missing
    in the cache or have another size there. The file or folder keeps its own name, because readers recognise formats by names.

    Args:
        text: a URI, or a local path, which is returned with `~` expanded.
        progress: is told how far a download has got.

    Raises:
        FetchError: nothing exists at the URI, it cannot be read, or the cache cannot be written.
        DatasetError: the URI is of a kind that is not supported.
        SettingsError: the user in `~user` does not exist.
    """
    if not (is_uri(text) or looks_like_uri(os.fspath(text))):
        return expand_home(text)
    source = address.parse(text)
    if source.local is not None:
        return source.local
    retrier = retry.Retrier()
    try:
        files = _listed(source, retrier)
        if not files:
            raise FetchError(f"{source.name} does not exist, or is an empty folder")
        if outside := [info.path for info in files if ".." in PurePosixPath(info.path).parts]:
            raise FetchError(f"{source.name} holds {outside[0]!r}, which would lie outside of its folder on a disk; rename it")
        with PrivateFolder(cache_directory() / "inputs") as inputs:
            folder = inputs.path / _key(source, files)
        if not _is_whole(source, files, folder):
            shutil.rmtree(folder, ignore_errors=True)
            _download(source, files, folder, retrier, progress)
    except NotPrivateError as error:
        raise FetchError(f"cannot fetch {source.name}: {error}; let NASWOT_RAY_CACHE name a folder of your own") from error
    except OSError as error:
        remedy = retry.remedy_of(error)
        raise FetchError(f"cannot fetch {source.name}: {retry.reason_of(error)}{f'; {remedy}' if remedy else ''}") from error
    return folder / PurePosixPath(source.path).name


def local_option(entry: str) -> str:
    """Replace a URI in an entry PARAMETER=VALUE of `--space-option` by a local path.

    Raises:
        FetchError, DatasetError: as in `local_path`.
    """
    parameter, equals, value = entry.partition("=")
    return f"{parameter}={local_path(value)}" if equals and is_uri(value) else entry


def _listed(source: address.Address, retrier: retry.Retrier) -> list[fs.FileInfo]:
    """List the file itself, or all files in the folder, sorted by path."""

    def ask() -> list[fs.FileInfo]:
        info: fs.FileInfo = source.filesystem.get_file_info(source.path)
        if info.is_file:
            return [info]
        found = source.filesystem.get_file_info(fs.FileSelector(source.path, recursive=True, allow_not_found=True))
        return sorted((info for info in found if info.is_file), key=lambda info: info.path)

    return retrier.call(f"read {source.name}", ask)


def _key(source: address.Address, files: list[fs.FileInfo]) -> str:
    content = [source.name, *map(str, source.options), *(f"{info.path} {info.size} {info.mtime_ns}" for info in files)]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:32]


def _is_whole(source: address.Address, files: list[fs.FileInfo], folder: Path) -> bool:
    """Whether every file exists in the cache with the right size. A disk that failed or filled up may have kept less."""
    try:
        return all(_place(folder, PurePosixPath(source.path), info).stat().st_size == info.size for info in files)
    except FileNotFoundError:
        return False


def _place(folder: Path, base: PurePosixPath, info: fs.FileInfo) -> Path:
    return folder / base.name / PurePosixPath(info.path).relative_to(base)


def _download(
    source: address.Address, files: list[fs.FileInfo], folder: Path, retrier: retry.Retrier, progress: DownloadProgress
) -> None:
    """Download into a temporary folder and rename it, so that `folder` is either whole or missing."""
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.tmp")
    base, total, done = PurePosixPath(source.path), sum(info.size for info in files), 0
    try:
        for info in files:
            target = _place(temporary, base, info)
            target.parent.mkdir(parents=True, exist_ok=True)
            open_file = partial(source.filesystem.open_input_file, info.path)
            with retrier.call(f"read {source.name}", open_file) as stream, target.open("wb") as file:
                for offset in range(0, info.size, _CHUNK_BYTES):
                    read_chunk = partial(stream.read_at, min(_CHUNK_BYTES, info.size - offset), offset)
                    done += file.write(retrier.call(f"read {source.name}", read_chunk))
                    progress(done, total)
                file.flush()
                os.fsync(file.fileno())
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.exists():  # if it exists, another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

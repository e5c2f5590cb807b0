"""Fetches the files of a catalogue entry into the cache, as `CACHE/NAME/FILE`, and verifies them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path

import filelock
from rich.filesize import decimal

from naswot_ray.errors import FetchError
from naswot_ray.fetch.archive import find_flaw, unpack
from naswot_ray.fetch.catalogue import Entry, OfficialFile, get_entry
from naswot_ray.fetch.disk import write_failure
from naswot_ray.fetch.download import FetchProgress, download


class State(StrEnum):
    """How much of an entry the cache holds."""

    ABSENT = "not here"
    PARTIAL = "partly here"
    PRESENT = "here"


def state_of(name: str, cache: Path) -> State:
    """How much of an entry the cache holds. The files are not verified.

    Raises:
        FetchError: no entry has that name.
    """
    entry, folder = get_entry(name), cache / name
    if entry.unpacked and (folder / entry.unpacked).is_dir():
        return State.PRESENT
    num_present = sum((folder / file.name).exists() for file in entry.files)
    if num_present == len(entry.files) and not entry.unpacked:
        return State.PRESENT
    return State.PARTIAL if num_present or any(folder.glob(".*.part")) else State.ABSENT


def fetch(name: str, cache: Path, progress: FetchProgress) -> Path:
    """Download the missing files of an entry, verify all of them, and unpack an archive.

    Args:
        name: a name in the catalogue.
        cache: the folder that keeps the files; created if needed.
        progress: receives the progress.

    Returns:
        the path to use: the unpacked folder, the file, or the folder of several files.

    Raises:
        FetchError: there is no such name; a download failed; or a file is not the official one, cannot be unpacked, or has yet
            to be downloaded in a browser. The message says what to do.
    """
    entry, folder = get_entry(name), cache.absolute() / name
    target = entry.path_in(folder)
    with _alone(folder):
        if entry.unpacked and target.is_dir():
            progress.note(f"{name}: already there")
            return target
        for file in entry.files:
            _fetch_file(entry, file, folder, progress)
        if missing := [file.name for file in entry.files if not (folder / file.name).exists()]:
            size = "" if entry.size is None else f" ({decimal(entry.size)})"
            raise FetchError(
                f"{name}: download {', '.join(missing)}{size} in a browser from {entry.address} into {folder}, "
                "then run the same command again"
            )
        if entry.unpacked and entry.archive:
            source = folder / entry.files[0].name
            progress.begin(f"unpacking {source.name}", source.stat().st_size, 0)
            unpack(source, target, entry.archive, progress.update)
            progress.note(f"{source} is not needed any more")
    return target


def _fetch_file(entry: Entry, file: OfficialFile, folder: Path, progress: FetchProgress) -> None:
    """Verify the file if it exists. Otherwise download it, unless that needs a browser."""
    path = folder / file.name
    flaw_of = partial(_flaw_of, entry, file, progress)
    if path.exists():
        progress.note(f"{file.name}: there, verifying")
        try:
            flaw = flaw_of(path)
        except OSError as error:
            raise FetchError(f"cannot read {path}: {error.strerror}") from error
        if flaw:
            raise FetchError(f"{path} {flaw}; remove it and run the same command again")
    elif not entry.by_hand:
        download(entry.address, path, flaw_of, progress)


def _flaw_of(entry: Entry, file: OfficialFile, progress: FetchProgress, path: Path) -> str | None:
    if file.digest and (difference := file.digest.difference(path)):
        if file.digest.official:
            return f"is not the official file: {difference}"
        progress.note(f"{file.name}: {difference} as others found it; perhaps damaged, perhaps another edition")
    return find_flaw(path, entry.archive) if entry.archive and not entry.unpacked else None


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes out of the folder of an entry. Creates the folder if needed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except filelock.Timeout as error:
        raise FetchError(f"another process is fetching into {folder}; wait until it has ended") from error
    except (OSError, NotImplementedError) as error:
        raise write_failure(folder, error if isinstance(error, OSError) else OSError(str(error))) from error
    try:
        yield
    finally:
        lock.release()

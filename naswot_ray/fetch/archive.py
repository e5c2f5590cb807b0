"""Unpacks or checks archives that come from strangers.

Only names and contents are taken from an archive, no modes, owners or links; tarfile's extraction filters are therefore not
needed. Whatever a genuine archive does not need is refused: paths that lead out of its folder, links, devices, sparse and
encrypted files, names that occur twice, and more files or bytes than the catalogue allows. Sizes are counted while the bytes
are read. The unpacked folder appears complete or not at all.
"""

from __future__ import annotations

import io
import re
import reprlib
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal, TypeVar

from rich.filesize import decimal

from naswot_ray.errors import FetchError
from naswot_ray.fetch.disk import check_room, write_failure

_Item = TypeVar("_Item")
_CHUNK_BYTES = 1 << 20
_MAX_HEADER_BYTES = 1 << 24
"""The longest tar header that is read. Names are shorter, and tarfile would allocate as much memory as a header claims."""

_MAX_DEPTH = 16
_MAX_NAME_CHARACTERS = 500
"""Limits for the path of a member. Official archives are 3 folders deep; a thousand nested folders could not be removed."""


@dataclass(frozen=True)
class Archive:
    """What an archive is allowed to hold.

    Attributes:
        kind: the format; `tar` is a tar file without compression.
        min_files: how many files a genuine archive has at least. Nothing else shows that a tar was cut off between two files.
        max_members: the largest number of files and folders.
        max_bytes: the largest unpacked size of all files together.
    """

    kind: Literal["tar", "zip"]
    min_files: int
    max_members: int
    max_bytes: int


class _RefusedError(Exception):
    """The reason why an archive is not used."""


def unpack(path: Path, target: Path, archive: Archive, on_bytes: Callable[[int], None] = lambda num_bytes: None) -> None:
    """Unpack an archive's top folder.

    Args:
        path: the archive.
        target: the folder to create; it has the same name in the archive. Everything else in the archive is ignored.
        archive: what the archive is allowed to hold.
        on_bytes: called with the number of bytes unpacked so far.

    Raises:
        FetchError: the archive is damaged or holds something that is not allowed, or the disk is full. Nothing stays on the
            disk then.
    """
    temporary = target.with_name(f".{target.name}.unpacking")
    check_room(target.parent, path.stat().st_size, f"unpacking {path.name}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # left by a process that was killed
        temporary.mkdir(mode=stat.S_IRWXU)  # so that nobody else can put links into it meanwhile
        done = 0
        for name, content in _contents(path, archive):
            if content is None:
                (temporary / name).mkdir(parents=True, exist_ok=True)
                continue
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            with (temporary / name).open("xb") as file:
                for chunk in content:
                    file.write(chunk)
                    done += len(chunk)
                    on_bytes(done)
        if not (temporary / target.name).is_dir():
            raise _RefusedError(f"holds no folder {target.name}")
        (temporary / target.name).replace(target)
    except _RefusedError as error:
        raise FetchError(f"{path} {error}; nothing of it is used, download it again") from error
    except OSError as error:
        raise write_failure(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def find_flaw(path: Path, archive: Archive) -> str | None:
    """What is wrong with an archive; None if nothing is. Reads every byte, and compares it with the checksums."""
    try:
        for _, content in _contents(path, archive):
            for _ in content or ():
                pass
    except _RefusedError as error:
        return str(error)
    return None


@dataclass(frozen=True)
class _Member:
    name: str
    is_folder: bool
    size: int
    open: Callable[[], IO[bytes]]


def _contents(path: Path, archive: Archive) -> Iterator[tuple[PurePosixPath, Iterator[bytes] | None]]:
    """The name and the content of each member; a folder has None. Read the content before you ask for the next member."""
    is_folder: dict[PurePosixPath, bool] = {}
    num_bytes = 0

    def chunks(member: _Member) -> Iterator[bytes]:
        nonlocal num_bytes
        size = 0
        with member.open() as file:
            while chunk := file.read(_CHUNK_BYTES):
                size += len(chunk)
                num_bytes += len(chunk)
                if num_bytes > archive.max_bytes:
                    raise _RefusedError(f"holds more than {decimal(archive.max_bytes)}")
                yield chunk
        if size != member.size:  # zipfile verifies only the checksum, and an empty content has the checksum zero
            raise _RefusedError(f"is damaged: {member.name!r} has {size:,} bytes, expected {member.size:,}")

    members = _naming_damage(_tar_members(path) if archive.kind == "tar" else _zip_members(path), archive.kind)
    for number, member in enumerate(members, start=1):
        if number > archive.max_members:
            raise _RefusedError(f"holds more than {archive.max_members:,} members")
        name = _checked_name(member.name)
        key = PurePosixPath(str(name).casefold())  # some file systems ignore case
        above = [parent for parent in key.parents if not is_folder.get(parent, True)]
        if above or is_folder.get(key, member.is_folder) != member.is_folder or (key in is_folder and not member.is_folder):
            raise _RefusedError(f"holds {member.name!r} twice")
        is_folder |= dict.fromkeys(key.parents, True) | {key: member.is_folder}
        yield name, None if member.is_folder else _naming_damage(chunks(member), archive.kind)
    num_files = sum(not folder for folder in is_folder.values())
    if num_files < archive.min_files:
        raise _RefusedError(f"holds only {num_files:,} files, expected at least {archive.min_files:,}")


def _naming_damage(items: Iterator[_Item], kind: str) -> Iterator[_Item]:
    try:
        yield from items
    except _RefusedError:
        raise
    except Exception as error:  # damaged bytes can fail in any way inside tarfile, zipfile and zlib
        raise _RefusedError(
            f"is damaged or no {kind} archive ({type(error).__name__}: {' '.join(str(error).split())})"
        ) from error


def _checked_name(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if len(name) > _MAX_NAME_CHARACTERS or len(path.parts) > _MAX_DEPTH:
        raise _RefusedError(
            f"holds {reprlib.repr(name)}, {len(path.parts):,} folders deep with {len(name):,} characters; expected at most "
            f"{_MAX_DEPTH} and {_MAX_NAME_CHARACTERS}"
        )
    if not name or path.is_absolute() or ".." in path.parts or re.search(r"[\\\x00-\x1f]|^[A-Za-z]:", name):
        raise _RefusedError(f"holds {name!r}, which is no path inside of a folder")
    return path


class _HeaderReader(io.BufferedReader):
    """A file for tarfile that refuses to read more than a header can need."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MAX_HEADER_BYTES:
            raise _RefusedError(f"is damaged: a header of {size} bytes")
        return super().read(size)


def _tar_members(path: Path) -> Iterator[_Member]:
    with _HeaderReader(path.open("rb", buffering=0)) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        for info in tar:
            if not (info.isdir() or (info.isreg() and not info.issparse())):
                kind = "symbolic link" if info.issym() else "hard link" if info.islnk() else "special file"
                raise _RefusedError(f"holds {info.name!r}, a {kind}")

            def open_member(info: tarfile.TarInfo = info) -> IO[bytes]:
                content = tar.extractfile(info)
                assert content is not None
                return content

            yield _Member(info.name, info.isdir(), info.size, open_member)
        # tarfile treats a damaged header as the end; the true end is a block of zeros.
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise _RefusedError("is damaged or cut off: its end is missing")


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16  # Unix mode; 0 if another system wrote the archive
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "symbolic link" if stat.S_ISLNK(mode) else "special file"
                raise _RefusedError(f"holds {info.filename!r}, a {kind}")
            if info.flag_bits & 1:
                raise _RefusedError(f"holds {info.filename!r}, which is encrypted")

            def open_member(info: zipfile.ZipInfo = info) -> IO[bytes]:
                return archive.open(info)

            yield _Member(info.orig_filename, info.is_dir(), info.file_size, open_member)

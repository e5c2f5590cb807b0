"""Makes archives by hand, good and bad."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def tar_bytes(files: Mapping[str, bytes], *special: tarfile.TarInfo, tar_format: int = tarfile.GNU_FORMAT) -> bytes:
    """A plain tar of files, and of members that are not files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in special:
            tar.addfile(info)
    return out.getvalue()


def tar_member(name: str, **attributes: Any) -> tarfile.TarInfo:
    """A member with the given attributes."""
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def header_offsets(data: bytes) -> list[int]:
    """Where the headers of a tar begin, and where its end marker does."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
    return [*(member.offset for member in members), members[-1].offset_data + -(-members[-1].size // 512) * 512]


def zip_bytes(files: Mapping[str, bytes], *special: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    """A zip of files, and of members as given."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for info, content in special:
            archive.writestr(info, content)
    return out.getvalue()


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder: relative path -> content, or None for a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}

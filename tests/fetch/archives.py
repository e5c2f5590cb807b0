"""Archives made by hand, good and bad."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def tar_bytes(files: Mapping[str, bytes], *special: tarfile.TarInfo, tar_format: int = tarfile.GNU_FORMAT) -> bytes:
    """A plain tar of files, and members that are no files."""
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
    """A member with attributes as given."""
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def header_offsets(data: bytes) -> list[int]:
    """Where a tar's headers begin, and where its end does."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
    return [*(member.offset for member in members), members[-1].offset_data + -(-members[-1].size // 512) * 512]


def zip_bytes(files: Mapping[str, bytes], *special: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    """A zip of files, and members as given."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for info, content in special:
            archive.writestr(info, content)
    return out.getvalue()


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that is in a folder: relative path -> content, None for folders."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}

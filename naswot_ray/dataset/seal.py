"""Seals: a Parquet file proves that its bytes are those that were written, and that it is where it was written to.

The key-value metadata in the footer of every file that this package writes has two entries. One is the path of the file,
relative to the dataset. The other is a SHA-256 of the whole file, in which the 64 hexadecimal digits of the digest itself count
as zeros. So no second file is needed, and nothing has to be decoded before it is verified. Every byte is covered, including the
pages, whose checksums some readers ignore, and the statistics, by which readers skip rows. A copy under another name is found
too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from naswot_ray.errors import DatasetError

PATH_KEY: Final = b"naswot_ray.path"
DIGEST_KEY: Final = b"naswot_ray.file_digest"

_PLACEHOLDER: Final = b"0" * 64
# The bytes between a key and its value in the footer, by Thrift's compact protocol: field 2, then the length of the string.
_PATH_MARK: Final = PATH_KEY + b"\x18"
_DIGEST_MARK: Final = DIGEST_KEY + b"\x18\x40"


class BrokenSealError(DatasetError):
    """A file's bytes are not those that this program wrote there.

    Attributes:
        reason: what is wrong, worded to follow the file's name.
        home: the path that the file was written to, if its bytes are intact; otherwise None.
        is_sealed: whether the file has a seal at all.
    """

    def __init__(
        self, message: str, *, reason: str | None = None, home: PurePosixPath | None = None, is_sealed: bool = True
    ) -> None:
        super().__init__(message)
        self.reason = reason or message
        self.home = home
        self.is_sealed = is_sealed


def sealed(schema: pa.Schema, batches: Iterable[pa.RecordBatch | pa.Table], path: Callable[[], PurePosixPath]) -> pa.Buffer:
    """Make a Parquet file with a seal.

    Args:
        schema: the schema of the rows.
        batches: the rows. Each batch becomes a row group.
        path: returns the path of the file. It is called when all rows have been read.
    """
    own = (PATH_KEY, DIGEST_KEY)  # the seal of another file, if the rows were read from one
    metadata = {name: value for name, value in (schema.metadata or {}).items() if name not in own}
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema.with_metadata(metadata), compression="zstd", write_page_checksum=True) as writer:
        for batch in batches:
            writer.write(batch)
        writer.add_key_value_metadata({PATH_KEY: str(path()).encode(), DIGEST_KEY: _PLACEHOLDER})
    data = bytearray(sink.getvalue())
    start = _digest_start(data)
    assert data[start : start + 64] == _PLACEHOLDER
    data[start : start + 64] = hashlib.sha256(data).hexdigest().encode()
    return pa.py_buffer(data)


def verify(data: bytes | pa.Buffer, path: PurePosixPath) -> str:
    """Verify a file's bytes by its seal.

    Args:
        data: the content of the whole file.
        path: the file's path, relative to the dataset.

    Returns:
        the digest in its seal.

    Raises:
        BrokenSealError: the bytes are not those that were written, they were written to another path, or there is no seal.
    """
    whole = memoryview(data)
    if bytes(whole[:4]) != b"PAR1" or bytes(whole[-4:]) != b"PAR1":
        raise BrokenSealError("is not a whole Parquet file")
    content = whole.obj if isinstance(whole.obj, bytes) else bytes(whole)
    try:
        start = _digest_start(content)
    except ValueError:
        raise BrokenSealError("has no seal: another program wrote it, or it is damaged", is_sealed=False) from None
    told = bytes(whole[start : start + 64])
    digest = hashlib.sha256(whole[:start])
    digest.update(_PLACEHOLDER)
    digest.update(whole[start + 64 :])
    if digest.hexdigest().encode() != told:
        raise BrokenSealError("is damaged: its bytes are not those that were written")
    home = _path_in(content)
    if home != path:
        raise BrokenSealError(f"is a copy of {home}", home=home)
    return told.decode()


def _digest_start(data: bytes | bytearray) -> int:
    """Where the digits of the digest begin.

    The search begins at the end of the file, where the footer is, so rows that contain the same bytes do not matter.

    Raises:
        ValueError: the file has no digest.
    """
    return data.rindex(_DIGEST_MARK) + len(_DIGEST_MARK)


def _path_in(data: bytes) -> PurePosixPath:
    """The path in the footer of a file whose digest has been verified."""
    at = data.rindex(_PATH_MARK) + len(_PATH_MARK)
    length = shift = 0
    while True:  # each byte holds seven bits of the length, the lowest first
        byte, at = data[at], at + 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return PurePosixPath(data[at : at + length].decode())

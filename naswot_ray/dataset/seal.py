"""Seals: how a Parquet file proves that its bytes are those that were written, and that it lies where it was written to.

The footer's key-value metadata of every file that this package writes holds two entries: the path of the file, relative to the
dataset, and a SHA-256 of the whole file, in which the 64 hexadecimal digits of the digest itself count as zeros. So no second
file is needed, nothing has to be decoded before it is verified, and every byte is covered: those of the pages, of which some
readers ignore the checksums, and those of the statistics, by which readers skip rows. A copy under another name is found too.
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
# How Thrift's compact protocol, in which the footer is written, puts a key before a string: field 2, then the length.
_PATH_MARK: Final = PATH_KEY + b"\x18"
_DIGEST_MARK: Final = DIGEST_KEY + b"\x18\x40"


class BrokenSealError(DatasetError):
    """A file's bytes are not those that this program wrote there.

    Attributes:
        reason: what is wrong, to be read after the file's name.
        home: where a file whose bytes are whole was written to; None if they are not.
        is_sealed: whether there is a seal at all.
    """

    def __init__(
        self, message: str, *, reason: str | None = None, home: PurePosixPath | None = None, is_sealed: bool = True
    ) -> None:
        super().__init__(message)
        self.reason = reason or message
        self.home = home
        self.is_sealed = is_sealed


def sealed(schema: pa.Schema, batches: Iterable[pa.RecordBatch | pa.Table], path: Callable[[], PurePosixPath]) -> pa.Buffer:
    """A Parquet file with a seal.

    Args:
        schema: of the rows.
        batches: the rows; a row group each.
        path: gives the path that the file is for, when all rows have been read.
    """
    own = (PATH_KEY, DIGEST_KEY)  # of another file, if the rows were read from one
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
    """Hold a file's bytes against its seal.

    Args:
        data: the whole file.
        path: where it lies, relative to the dataset.

    Returns:
        the digest of its seal.

    Raises:
        BrokenSealError: the bytes are others than those that were written, they were written to another path, or the file
            has no seal.
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
    """Where the digits of the digest begin: in the footer, which is the end of the file, whatever its rows hold.

    Raises:
        ValueError: there are none.
    """
    return data.rindex(_DIGEST_MARK) + len(_DIGEST_MARK)


def _path_in(data: bytes) -> PurePosixPath:
    """The path in the footer of a file whose digest is right."""
    at = data.rindex(_PATH_MARK) + len(_PATH_MARK)
    length = shift = 0
    while True:  # seven bits of the length a byte, the lowest first
        byte, at = data[at], at + 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return PurePosixPath(data[at : at + length].decode())

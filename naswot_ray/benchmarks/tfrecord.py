"""Reads the records of TFRecord files without TensorFlow, and verifies every checksum.

Official format (TensorFlow's guide to python_io, "TFRecords Format Details"): the file has no header. Each record is written as

    uint64 length, little-endian
    uint32 masked CRC-32C of the length
    byte   data[length]
    uint32 masked CRC-32C of the data

where masked(crc) = rotate_right(crc, 15) + 0xa282ead8, modulo 2^32.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import google_crc32c

from naswot_ray.benchmarks.sources import ReadProgress, no_progress
from naswot_ray.errors import BenchmarkError
from naswot_ray.regular_file import open_regular

_HEADER: Final = struct.Struct("<QI")
_CRC: Final = struct.Struct("<I")
_MASK_DELTA: Final = 0xA282EAD8
_RECORDS_PER_REPORT: Final = 8_192


def read_records(path: Path, *, max_length: int, progress: ReadProgress = no_progress) -> Iterator[tuple[int, bytes]]:
    """The records of a file, one at a time, each with the byte offset at which it begins.

    The format cannot tell that a file is incomplete if it was cut exactly between two records.

    Args:
        path: an uncompressed TFRecord file.
        max_length: the most bytes that a record can have. A longer one is refused before it is read.
        progress: called with the bytes read so far.

    Raises:
        BenchmarkError: the file cannot be read, is cut off or damaged, or is not a TFRecord file.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            offset = number = 0
            while header := file.read(_HEADER.size):
                if len(header) < _HEADER.size:
                    raise _broken(path, number, offset, "is cut off")
                length, length_crc = _HEADER.unpack(header)
                if _masked_crc(header[: -_CRC.size]) != length_crc:
                    raise _broken(path, number, offset, "has a length that its checksum does not fit")
                if length > max_length:
                    raise _broken(path, number, offset, f"has {length} bytes where at most {max_length} were expected")
                body = file.read(length + _CRC.size)
                if len(body) < length + _CRC.size:
                    raise _broken(path, number, offset, "is cut off")
                data = body[:length]
                if _masked_crc(data) != _CRC.unpack_from(body, length)[0]:
                    raise _broken(path, number, offset, "has data that its checksum does not fit")
                yield offset, data
                offset += _HEADER.size + len(body)
                number += 1
                if number % _RECORDS_PER_REPORT == 0:
                    progress(offset, size)
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read: {error.strerror or error}") from error
    progress(size, size)


def _masked_crc(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _broken(path: Path, number: int, offset: int, reason: str) -> BenchmarkError:
    return BenchmarkError(f"{path}: record {number} at byte {offset} {reason}: damaged, or no TFRecord file; download it again")

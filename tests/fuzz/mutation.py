"""Damages the bytes of a file at random, as disks, networks and strangers do."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

_NUMBERS: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_TOKENS: Final = (
    b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"-Infinity", b"1" + b"0" * 23, b"18446744073709551616", b"0.5", b'""',
    b"{}", b"[]", b"[[", b'"', b"\x00", b"\x1b[2J", b"../../x", b"/", b"\xff\xfe", b"\xed\xa0\x80", b",,", b"\r\n",
    b"=cmd|' /C calc'!A0",
)  # fmt: skip


def mutate(data: bytes, generator: random.Random) -> bytes:
    """The bytes with one to four changes. They may be equal to the data, since one change may undo another."""
    for _ in range(generator.choice((1, 1, 1, 2, 4))):
        data = generator.choice(_CHANGES)(data, generator)
    return data


def _flip_a_bit(data: bytes, generator: random.Random) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    changed[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    return bytes(changed)


def _set_a_byte(data: bytes, generator: random.Random) -> bytes:
    at = generator.randrange(len(data) + 1)
    return data[:at] + bytes([generator.randrange(256)]) + data[at + 1 :]


def _cut_off(data: bytes, generator: random.Random) -> bytes:
    return data[: generator.randrange(len(data) + 1)]


def _cut_out(data: bytes, generator: random.Random) -> bytes:
    start, stop = _span(data, generator)
    return data[:start] + data[stop:]


def _repeat(data: bytes, generator: random.Random) -> bytes:
    start, stop = _span(data, generator)
    return data[:stop] + data[start:stop] * generator.choice((1, 1, 2, 50)) + data[stop:]


def _move(data: bytes, generator: random.Random) -> bytes:
    start, stop = _span(data, generator)
    rest = data[:start] + data[stop:]
    at = generator.randrange(len(rest) + 1)
    return rest[:at] + data[start:stop] + rest[at:]


def _erase(data: bytes, generator: random.Random) -> bytes:
    """A block of a disk that was never written."""
    start, stop = _span(data, generator)
    return data[:start] + bytes(stop - start) + data[stop:]


def _put_a_number(data: bytes, generator: random.Random) -> bytes:
    size = generator.choice((1, 2, 4, 8))
    number = (generator.choice(_NUMBERS) & ((1 << 8 * size) - 1)).to_bytes(size, generator.choice(("little", "big")))
    at = generator.randrange(len(data) + 1)
    return data[:at] + number + data[at + size :]


def _put_a_token(data: bytes, generator: random.Random) -> bytes:
    """Replace what is between two of the separators of text formats."""
    token = generator.choice(_TOKENS)
    at = generator.randrange(len(data) + 1)
    ends = [end for separator in (b",", b":", b"]", b"}", b"\n") if (end := data.find(separator, at)) >= 0]
    return data[:at] + token + data[min(ends, default=at) :]


def _span(data: bytes, generator: random.Random) -> tuple[int, int]:
    start = generator.randrange(len(data) + 1)
    return start, min(len(data), start + generator.choice((1, 4, 16, 64, 512)))


_CHANGES: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    _flip_a_bit, _flip_a_bit, _set_a_byte, _cut_off, _cut_out, _repeat, _move, _erase, _put_a_number, _put_a_token,
    _put_a_token,
)  # fmt: skip

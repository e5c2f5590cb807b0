"""Writes NAS-Bench-101's official format field by field from its specification, without any code of the reader."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

OPS = {"0": "conv3x3-bn-relu", "1": "conv1x1-bn-relu", "2": "maxpool3x3"}
"""Operation codes of the development table."""


def _crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)  # the Castagnoli polynomial with its bits reversed
        table.append(crc)
    return table


_TABLE = _crc32c_table()


def crc32c(data: bytes) -> int:
    """CRC-32C (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """A CRC in the form in which TFRecord files store it."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def frame(data: bytes) -> bytes:
    """One record of a TFRecord file."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(crc32c(length))) + data + struct.pack("<I", masked(crc32c(data)))


def varint(value: int) -> bytes:
    """A varint: groups of 7 bits, the least significant group first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def double(number: int, value: float) -> bytes:
    """A protobuf field of 64 bits."""
    return varint(number << 3 | 1) + struct.pack("<d", value)


def delimited(number: int, value: bytes) -> bytes:
    """A protobuf field that holds bytes, a string or a message."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def integer(number: int, value: int) -> bytes:
    """A protobuf field that holds an int32, which must not be negative."""
    return varint(number << 3) + varint(value)


def evaluation(epoch: float, seconds: float, train: float, valid: float, test: float, checkpoint: str = "") -> bytes:
    """An EvaluationData message. Accuracies are fractions."""
    values = enumerate((epoch, seconds, train, valid, test), start=1)
    fields = b"".join(double(number, value) for number, value in values)
    return fields + (delimited(6, checkpoint.encode()) if checkpoint else b"")


def metrics(evaluations: Sequence[bytes], params: int | None, total_time: float | None = 2000.0) -> bytes:
    """A ModelMetrics message."""
    return (
        b"".join(delimited(1, message) for message in evaluations)
        + (b"" if params is None else integer(2, params))
        + (b"" if total_time is None else double(3, total_time))
    )


@dataclass(frozen=True)
class Training:
    """One training as the file describes it. Accuracies are fractions, measured at the end."""

    module_hash: str
    epochs: int
    valid: float
    test: float
    seconds: float = 1768.1279296875
    params: int = 8_555_530
    adjacency: str = "0100110001000000010010000010000001000000010000000"
    operations: str = "input,conv3x3-bn-relu,maxpool3x3,conv3x3-bn-relu,conv3x3-bn-relu,conv1x1-bn-relu,output"


def content(training: Training) -> list[str | int]:
    """The JSON list of a record with evaluations before, halfway through and after the training, as in the official files."""
    t = training
    evaluations = [
        evaluation(0.0, 0.0, 0.1, 0.1001602, 0.0998598),
        evaluation(t.epochs / 2, t.seconds / 2, 0.8, t.valid / 2, t.test / 2),
        evaluation(float(t.epochs), t.seconds, 1.0, t.valid, t.test),
    ]
    encoded = base64.b64encode(metrics(evaluations, t.params)).decode()
    return [t.module_hash, t.epochs, t.adjacency, t.operations, encoded]


def record(training: Training) -> bytes:
    """The data of one record."""
    return json.dumps(content(training)).encode()


def write_tfrecord(path: Path, records: Iterable[Training | bytes]) -> Path:
    """Write a file of trainings, or of arbitrary data."""
    path.write_bytes(b"".join(frame(r if isinstance(r, bytes) else record(r)) for r in records))
    return path

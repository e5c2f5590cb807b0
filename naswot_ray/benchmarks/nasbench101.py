"""The official files of NAS-Bench-101, `nasbench_only108.tfrecord` and `nasbench_full.tfrecord`, read without TensorFlow.

Official format (google-research/nasbench: nasbench/api.py, nasbench/lib/model_metrics.proto): one TFRecord per training. Each
is a JSON list [module_hash, epochs, adjacency, operations, metrics]. The adjacency is a matrix of up to 7 x 7, written row by
row in 0 and 1. The operations are joined by commas. The metrics are a ModelMetrics message in base64; its last evaluation is
the one at the end of the training, and accuracies are fractions. Every module was trained three times for 4, 12, 36 and 108
epochs. The trainings of a module need not be adjacent.

The file gives no seeds. `seed` is therefore the number of the repeat, 0, 1 or 2 in the order of the file, as in `nasbench.api`.
"""

from __future__ import annotations

import binascii
import json
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from numpy.typing import NDArray

from naswot_ray.benchmarks.format import Format
from naswot_ray.benchmarks.sources import ReadProgress, digest_of, no_progress
from naswot_ray.benchmarks.tfrecord import read_records
from naswot_ray.dataset.accuracies import AccuracyTable
from naswot_ray.dataset.schema import ACCURACIES
from naswot_ray.errors import BenchmarkError
from naswot_ray.fetch.catalogue import known_digest

SPACE: Final = "nasbench101"
SUFFIX: Final = ".tfrecord"

EPOCHS: Final = (4, 12, 36, 108)
NUM_REPEATS: Final = 3
_EPOCH_INDEX: Final = {epochs: index for index, epochs in enumerate(EPOCHS)}

_MAX_RECORD_BYTES: Final = 1 << 20
"""The longest record that is read. The official ones have about 400 bytes."""

_MAX_VERTICES: Final = 7
_INTERIOR_OPS: Final = {"conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"}
_HEX_DIGITS: Final = frozenset("0123456789abcdef")

_GROUPS_PER_BATCH: Final = 16_384
"""A group has up to four rows: three repeats and their mean."""


def _model_metrics_class() -> Any:
    """The message class of model_metrics.proto (proto2)."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="model_metrics.proto", package="nasbench", syntax="proto2")
    evaluation = file.message_type.add(name="EvaluationData")
    names = ("current_epoch", "training_time", "train_accuracy", "validation_accuracy", "test_accuracy")
    for number, name in enumerate(names, start=1):
        evaluation.field.add(name=name, number=number, type=types.TYPE_DOUBLE, label=types.LABEL_OPTIONAL)
    evaluation.field.add(name="checkpoint_path", number=6, type=types.TYPE_BYTES, label=types.LABEL_OPTIONAL)
    metrics = file.message_type.add(name="ModelMetrics")
    metrics.field.add(
        name="evaluation_data",
        number=1,
        type=types.TYPE_MESSAGE,
        type_name=".nasbench.EvaluationData",
        label=types.LABEL_REPEATED,
    )
    metrics.field.add(name="trainable_parameters", number=2, type=types.TYPE_INT32, label=types.LABEL_OPTIONAL)
    metrics.field.add(name="total_time", number=3, type=types.TYPE_DOUBLE, label=types.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("nasbench.ModelMetrics"))


_ModelMetrics = _model_metrics_class()


class Training(NamedTuple):
    """One training as its record describes it. Accuracies are those at its end, in percent."""

    module_hash: str
    epochs: int
    valid: float
    test: float
    seconds: float
    params: int


def read_nasbench101(path: Path, progress: ReadProgress = no_progress) -> AccuracyTable:
    """All accuracies of the file: those of each repeat on the validation and the test images, and the means over repeats.

    The file is read to its end before this returns. That takes about 100 bytes of memory per record (0.5 GB for the full file).

    Args:
        path: one of the official files, or a file with some of their records in any order.
        progress: called with the bytes read so far.

    Raises:
        BenchmarkError: the file is damaged or has another format; the message names the record.
    """
    trainings = _Trainings()
    number = -1
    for number, (offset, data) in enumerate(read_records(path, max_length=_MAX_RECORD_BYTES, progress=progress)):
        try:
            trainings.add(parse(data))
        except ValueError as error:
            raise BenchmarkError(f"{path}: record {number} at byte {offset}: {error}") from error
    if number < 0:
        raise BenchmarkError(f"{path}: empty; expected the records of NAS-Bench-101")
    digest = digest_of([path])
    return AccuracyTable(SPACE, path.name, digest, trainings.batches(digest))


def parse(data: bytes) -> Training:
    """The training that a record describes.

    Raises:
        ValueError: it is not a record of NAS-Bench-101; the message says what was expected.
    """
    try:
        record = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected JSON: {error}") from error
    if not isinstance(record, list) or [type(item) for item in record] != [str, int, str, str, str]:
        raise ValueError("expected a JSON list [module_hash, epochs, adjacency, operations, metrics]")
    module_hash, epochs, adjacency, operations, metrics = record
    if len(module_hash) != 32 or not _HEX_DIGITS.issuperset(module_hash):
        raise ValueError(f"expected a module hash of 32 hexadecimal digits, found {module_hash[:40]!r}")
    if epochs not in _EPOCH_INDEX:
        raise ValueError(f"expected 4, 12, 36 or 108 epochs, found {str(epochs)[:20]}")
    num_vertices = _num_vertices(operations)
    if len(adjacency) != num_vertices**2 or adjacency.strip("01"):
        raise ValueError(f"expected an adjacency of {num_vertices} x {num_vertices} digits 0 and 1, found {adjacency[:60]!r}")
    return Training(module_hash, epochs, *_measured(metrics))


@lru_cache(maxsize=1024)  # only 364 different texts occur
def _num_vertices(operations: str) -> int:
    ops = operations.split(",")
    if (
        not 2 <= len(ops) <= _MAX_VERTICES
        or (ops[0], ops[-1]) != ("input", "output")
        or not _INTERIOR_OPS.issuperset(ops[1:-1])
    ):
        raise ValueError(
            f"expected operations input,...,output with up to {_MAX_VERTICES - 2} of {', '.join(sorted(_INTERIOR_OPS))} "
            f"between, found {operations[:120]!r}"
        )
    return len(ops)


def _measured(encoded: str) -> tuple[float, float, float, int]:
    """Read a ModelMetrics message in base64: validation and test accuracy in percent, seconds, and parameters."""
    try:
        metrics = _ModelMetrics.FromString(binascii.a2b_base64(encoded))
    except (ValueError, message.DecodeError) as error:
        raise ValueError(f"expected a ModelMetrics message in base64: {error}") from error
    if not metrics.evaluation_data or not metrics.HasField("trainable_parameters"):
        raise ValueError("expected a ModelMetrics message with evaluations and a number of parameters")
    end = metrics.evaluation_data[-1]
    for name in ("validation_accuracy", "test_accuracy"):
        if not end.HasField(name) or not 0 <= getattr(end, name) <= 1:
            raise ValueError(f"expected a {name} from 0 to 1 in the last evaluation, found {_found(end, name)}")
    if not end.HasField("training_time") or not 0 <= end.training_time < math.inf:
        raise ValueError(f"expected a training_time in seconds in the last evaluation, found {_found(end, 'training_time')}")
    if metrics.trainable_parameters < 0:
        raise ValueError(f"expected a number of parameters, found {metrics.trainable_parameters}")
    return 100 * end.validation_accuracy, 100 * end.test_accuracy, end.training_time, metrics.trainable_parameters


def _found(evaluation: Any, name: str) -> Any:
    return getattr(evaluation, name) if evaluation.HasField(name) else "none"


@dataclass
class _Trainings:
    """Holds five million trainings in arrays.

    A `group` is a module at one number of epochs: group = 4 * module + index of the epochs. Its trainings are the repeats.

    Attributes:
        modules: module hash -> number of the module, in the order of appearance.
        params: the parameters of each module.
        repeats: how many trainings of each group were seen.
        groups, valid, test, seconds: group, accuracies in percent and time of each training, in the order of the file.
    """

    modules: dict[str, int] = field(default_factory=dict)
    params: array[int] = field(default_factory=lambda: array("i"))
    repeats: array[int] = field(default_factory=lambda: array("b"))
    groups: array[int] = field(default_factory=lambda: array("i"))
    valid: array[float] = field(default_factory=lambda: array("d"))
    test: array[float] = field(default_factory=lambda: array("d"))
    seconds: array[float] = field(default_factory=lambda: array("d"))

    def add(self, training: Training) -> None:
        """Add a training.

        Raises:
            ValueError: the training contradicts an earlier one.
        """
        module = self.modules.setdefault(training.module_hash, len(self.params))
        if module == len(self.params):
            self.params.append(training.params)
            self.repeats.extend([0] * len(EPOCHS))
        if self.params[module] != training.params:
            raise ValueError(
                f"module {training.module_hash} has {training.params} parameters here and {self.params[module]} before"
            )
        group = len(EPOCHS) * module + _EPOCH_INDEX[training.epochs]
        if self.repeats[group] == NUM_REPEATS:
            raise ValueError(
                f"expected {NUM_REPEATS} repeats of module {training.module_hash} at {training.epochs} epochs, found another"
            )
        self.repeats[group] += 1
        self.groups.append(group)
        self.valid.append(training.valid)
        self.test.append(training.test)
        self.seconds.append(training.seconds)

    def batches(self, digest: str) -> Iterator[pa.RecordBatch]:
        """The rows in batches. A batch has one split; batches of valid and test alternate.

        Within a batch, rows are ordered by the first appearance of the module in the file, then by epochs. Each group has its
        repeats first, then the mean.
        """
        order = np.argsort(
            np.frombuffer(self.groups, np.int32), kind="stable"
        )  # a stable sort keeps repeats in the order of the file
        num_repeats = np.frombuffer(self.repeats, np.int8)
        params = np.frombuffer(self.params, np.int32)
        arch_ids = pa.array(list(self.modules), pa.string())
        present = np.flatnonzero(num_repeats)
        done = 0
        for first in range(0, len(present), _GROUPS_PER_BATCH):
            groups = present[first : first + _GROUPS_PER_BATCH]
            rows = _Rows(num_repeats[groups].astype(np.int64))
            trainings = order[done : done + rows.num_trainings]
            done += rows.num_trainings
            modules, epoch_indices = np.divmod(groups, len(EPOCHS))
            common = {
                "space": _constant(SPACE, len(rows)),
                "arch_id": arch_ids.take(pa.array(rows.of_group(modules))),
                "dataset": _constant("cifar10", len(rows)),
                "epochs": rows.of_group(np.array(EPOCHS, np.int32)[epoch_indices]),
                "seed": rows.repeat_number(),
                "num_repeats": rows.only_means(rows.num_repeats.astype(np.int32)),
                "training_seconds": rows.with_means(np.frombuffer(self.seconds)[trainings]),
                "params": rows.of_group(params[modules].astype(np.int64)),
                "flops": pa.nulls(len(rows), pa.int64()),
                "optimiser": pa.nulls(len(rows), pa.string()),
                "source_digest": _constant(digest, len(rows)),
            }
            for split, accuracies in (("valid", self.valid), ("test", self.test)):
                values = np.frombuffer(accuracies)[trainings]
                own = {
                    "split": _constant(split, len(rows)),
                    "accuracy": rows.with_means(values),
                    "max_accuracy": rows.only_means(rows.maxima(values)),
                }
                yield pa.RecordBatch.from_pydict(common | own, schema=ACCURACIES)


class _Rows:
    """Arranges trainings, sorted by group, as rows: those of a group, then one for their mean.

    Args:
        num_repeats: how many trainings each group has, int64, at least 1.
    """

    def __init__(self, num_repeats: NDArray[np.int64]) -> None:
        self.num_repeats = num_repeats
        self.num_trainings = int(num_repeats.sum())
        self._starts = np.cumsum(num_repeats) - num_repeats
        self._is_mean = np.zeros(self.num_trainings + len(num_repeats), np.bool_)
        self._is_mean[np.cumsum(num_repeats + 1) - 1] = True

    def __len__(self) -> int:
        return len(self._is_mean)

    def of_group(self, values: NDArray[Any]) -> NDArray[Any]:
        """Repeat the value of each group in all of its rows."""
        return np.repeat(values, self.num_repeats + 1)

    def repeat_number(self) -> pa.Array:
        """0, 1, 2 in the rows of repeats, and null in the rows of means."""
        numbers = np.arange(self.num_trainings) - np.repeat(self._starts, self.num_repeats)
        return pa.array(self._merged(numbers, np.zeros_like(self.num_repeats)), mask=self._is_mean)

    def with_means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The value of each training, and the mean of each group in the row of the mean."""
        return self._merged(values, np.add.reduceat(values, self._starts) / self.num_repeats)

    def only_means(self, values: NDArray[Any]) -> pa.Array:
        """The value of each group in the row of its mean, and null in the other rows."""
        return pa.array(self._merged(np.zeros(self.num_trainings, values.dtype), values), mask=~self._is_mean)

    def maxima(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The largest value of each group."""
        maxima: NDArray[np.float64] = np.maximum.reduceat(values, self._starts)
        return maxima

    def _merged(self, of_trainings: NDArray[Any], of_means: NDArray[Any]) -> NDArray[Any]:
        merged = np.empty(len(self), of_trainings.dtype)
        merged[~self._is_mean] = of_trainings
        merged[self._is_mean] = of_means
        return merged


def _constant(value: str, length: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), length)


def _read(path: Path, space: str, progress: ReadProgress) -> AccuracyTable:
    """Read a file. If it has an official name, its digest is checked, because no checksum shows that records are missing."""
    digest = known_digest(path.name)
    try:
        difference = digest.difference(path) if digest else None
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read: {error.strerror}") from error
    if difference:
        raise BenchmarkError(f"{path} is not the official file of that name: {difference}; download it again, or rename it")
    return read_nasbench101(path, progress)


NASBENCH101: Final = Format(
    name="nasbench101",
    file=f"a {SUFFIX} file",
    holds="NAS-Bench-101",
    recognises=lambda path: path.suffix == SUFFIX and not path.is_dir(),
    spaces_in=lambda path: (SPACE,),
    read=_read,
)

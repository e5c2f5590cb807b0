"""The results of one architecture in the files of NATS-Bench and NAS-Bench-201, which have the same content.

Official format: `ArchResults` and `ResultsCount` in `nats_bench.api_utils` and `nas_201_api.api_utils`. The files hold the
state dictionaries of these classes, and the classes themselves interpret them here.

Names of splits follow `get_more_info` in these packages. On cifar100 and imagenet16-120 the official test images are divided
into `valid` and `test`; all of them together are `valtest`. `cifar10-valid` is trained on half of CIFAR-10's training images
and validated on the other half; `cifar10` is trained on all of them.

`training_seconds` is `train-all-time` in these packages, the sum over the epochs of a repeat. It is not the time that this very
repeat took. To make times comparable, the authors set every epoch of every repeat to one time per architecture and dataset. In
the topology space that is the mean epoch of a 12-epoch training on cifar10-valid, times the ratio of images
(`correct_time_related_info` in AutoDL-Projects, exps/NATS-Bench/tss-collect.py).

`params` and `flops` (multiply-accumulates) belong to the network for that dataset, whose classifier has its number of classes.
The files give them in millions; they are null if that does not make a whole number. If repeats disagree, the values of seed 888
count, as in `nats_bench` ("legacy issue"); they are null if there is no such repeat.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Final, Protocol

from naswot_ray.benchmarks.sources import percentage
from naswot_ray.errors import BenchmarkError
from naswot_ray.spaces import Space

_TEST_HALVES: Final = {"x-valid": "valid", "x-test": "test", "ori-test": "valtest"}
_SPLITS: Final[Mapping[str, Mapping[str, str]]] = {
    "cifar10-valid": {"x-valid": "valid", "ori-test": "test"},
    "cifar10": {"ori-test": "test"},
    "cifar100": _TEST_HALVES,
    "ImageNet16-120": _TEST_HALVES,
}
"""Dataset of the benchmark -> its evaluation set -> the name of the split."""

_RELIABLE_SEED: Final = 888

_MALFORMED: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What the packages of the benchmarks raise if results are not as they expect."""


class ArchResults(Protocol):
    """The part of the class `ArchResults` of either package that is used here."""

    arch_index: int
    arch_str: str

    @staticmethod
    def create_from_state_dict(state_dict_or_file: Any) -> ArchResults: ...

    def get_dataset_names(self) -> list[str]: ...

    def query(self, dataset: str) -> Mapping[int, Any]: ...


@dataclass
class Reader:
    """Turns the state dictionaries of a source into accuracy rows, and remembers which it has seen.

    Attributes:
        space: the space; its order is that of the architectures' numbers in the source.
        epochs: name of a training schedule in the source -> its number of epochs.
        results: the class `ArchResults` of the package.
        seen: the pairs (number of the architecture, schedule) that were read so far.
    """

    space: Space
    epochs: Mapping[str, int]
    results: type[ArchResults]
    seen: set[tuple[int, str]] = field(default_factory=set)

    def rows_of(self, content: Mapping[Any, Any], index: int | None = None) -> Iterator[dict[str, Any]]:
        """The rows of one architecture: one for every repeat, and one for the mean over the repeats.

        Args:
            content: schedule -> state dictionary.
            index: the number that the architecture must have; None if only the content tells.

        Raises:
            BenchmarkError: these are not the results of an architecture, or not of this one, or they were seen before. The
                caller puts the name of the source in front of the message.
        """
        try:
            if not content:
                raise ValueError("nothing in it")
            for schedule, state in content.items():
                yield from self._rows_of_schedule(schedule, state, index)
        except _MALFORMED as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise BenchmarkError(f"not an architecture's results: {reason[:300]}") from error

    def _rows_of_schedule(self, schedule: Any, state: Any, index: int | None) -> Iterator[dict[str, Any]]:
        if not isinstance(state, dict):  # create_from_state_dict would unpickle the file that a string names
            raise TypeError(f"expected a dictionary of results under {schedule!r}, found {type(state).__name__}")
        epochs = self.epochs[schedule]
        results = self.results.create_from_state_dict(state)
        index = results.arch_index if index is None else index
        if type(index) is not int or not 0 <= index < len(self.space):
            raise BenchmarkError(
                f"number {reprlib.repr(index)} is not one of the {len(self.space)} architectures of {self.space.name}"
            )
        if not isinstance(results.arch_str, str):
            raise TypeError(f"expected a string in 'arch_str', found {type(results.arch_str).__name__}")
        if results.arch_str != self.space[index]:
            raise BenchmarkError(f"holds {results.arch_str[:200]!r}, its number {index} belongs to {self.space[index]!r}")
        if (index, schedule) in self.seen:
            raise BenchmarkError(f"holds the results of {results.arch_str} after {epochs} epochs twice")
        self.seen.add((index, schedule))
        for dataset in results.get_dataset_names():
            key = {"arch_id": results.arch_str, "dataset": dataset.lower(), "epochs": epochs}
            for row in _rows_of_dataset(dataset, results.query(dataset), epochs):
                yield key | row


def _rows_of_dataset(dataset: str, trials: Mapping[int, Any], epochs: int) -> Iterator[dict[str, Any]]:
    seconds = {seed: _training_seconds(trial, epochs) for seed, trial in sorted(trials.items())}
    common = {name: _count({s: getattr(t, name) for s, t in trials.items()}) for name in ("params", "flop")}
    common["flops"] = common.pop("flop")
    for evaluation_set, split in _SPLITS[dataset].items():
        found = {
            seed: percentage(trials[seed].get_eval(evaluation_set)["accuracy"])
            for seed in seconds
            if evaluation_set in trials[seed].get_eval_set()
        }
        if not found:
            continue
        for seed, accuracy in found.items():
            yield {**common, "split": split, "seed": seed, "accuracy": accuracy, "training_seconds": seconds[seed]}
        yield {
            **common,
            "split": split,
            "accuracy": fmean(found.values()),
            "max_accuracy": max(found.values()),
            "num_repeats": len(found),
            "training_seconds": _mean([seconds[seed] for seed in found]),
        }


def _training_seconds(trial: Any, epochs: int) -> float | None:
    if trial.get_total_epoch() != epochs:
        raise ValueError(f"expected a training of {epochs} epochs, found one of {reprlib.repr(trial.get_total_epoch())}")
    seconds = trial.get_train()["all_time"]
    if seconds is None:
        return None
    if not 0 <= seconds < math.inf:
        raise ValueError(f"expected a training time in seconds, found {seconds!r}")
    return float(seconds)


def _mean(values: Collection[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _count(millions: Mapping[int, Any]) -> int | None:
    """A count that each repeat gives in millions."""
    counts = {seed: _whole(float(value) * 1e6) for seed, value in millions.items()}
    return next(iter(counts.values())) if len(set(counts.values())) == 1 else counts.get(_RELIABLE_SEED)


def _whole(value: float) -> int | None:
    """The whole number that a product of floats is meant to be; None if it is not close to one."""
    if not 0 <= value < 2**53 or abs(value - round(value)) > 1e-3:
        return None
    return round(value)

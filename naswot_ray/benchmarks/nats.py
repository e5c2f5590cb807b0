"""NATS-Bench's unpacked archives: a directory `NATS-tss-v1_0-3ffb9-simple`, one file per architecture and `meta.pickle.pbz2`.

Official format: the `nats_bench` package (api_utils.py, `ArchResults`, `ResultsCount`), which also interprets the content here.
It would unpickle the files without a second look, so they are unpickled by allow-list first and handed over as plain data.

Names of splits follow `nats_bench`'s `get_more_info`: on cifar100 and imagenet16-120 the official test images are split in
`valid` and `test`, all of them together are `valtest`; `cifar10-valid` is trained on half of CIFAR-10's training images and
validated on the other half; `cifar10` is trained on all of them.
"""

from __future__ import annotations

import bz2
import contextlib
import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from naswot_ray import safe_pickle
from naswot_ray.benchmarks.sources import digest_of, percentage
from naswot_ray.dataset.accuracies import AccuracyTable, batches_of
from naswot_ray.errors import BenchmarkError
from naswot_ray.spaces import get_space

META = "meta.pickle.pbz2"

_SPACES = {"NATS-tss": "nasbench201"}
"""How a directory's name begins -> the space its architectures belong to."""

_TEST_HALVES = {"x-valid": "valid", "x-test": "test", "ori-test": "valtest"}
_SPLITS = {
    "cifar10-valid": {"x-valid": "valid", "ori-test": "test"},
    "cifar10": {"ori-test": "test"},
    "cifar100": _TEST_HALVES,
    "ImageNet16-120": _TEST_HALVES,
}
"""The benchmark's dataset -> its evaluation set -> the split's name."""


def is_nats_directory(path: Path) -> bool:
    """Whether a path is an unpacked NATS-Bench archive."""
    return (path / META).is_file()


def read_nats(path: Path) -> AccuracyTable:
    """All accuracies of a `-simple` directory: every repeat, and the mean over repeats with their number.

    Args:
        path: the directory; it may hold any subset of the architectures.

    Raises:
        BenchmarkError: not such a directory, or a file in it is damaged, foreign or not what its name says; that of
            an architecture's file is raised by the batches. Nothing is added to a dataset then.
    """
    space = next((space for prefix, space in _SPACES.items() if path.resolve().name.startswith(prefix)), None)
    if space is None:
        raise BenchmarkError(f"{path}: expected a directory called {' or '.join(_SPACES)}-...-simple")
    arch_ids = _load(path / META).get("meta_archs")
    if not isinstance(arch_ids, list) or arch_ids != list(get_space(space)):
        raise BenchmarkError(f"{path / META}: its 'meta_archs' are not the architectures of {space}")
    files = sorted(file for file in path.glob("*.pickle.pbz2") if file.name != META)
    if not files:
        raise BenchmarkError(f"{path}: no architecture files (000000.pickle.pbz2, ...) beside {META}")
    digest = digest_of([path / META, *files])
    rows = (row for file in files for row in _rows_of(file, arch_ids))
    return AccuracyTable(space, path.resolve().name, digest, batches_of(space, digest, rows))


def _rows_of(file: Path, arch_ids: list[str]) -> Iterator[dict[str, Any]]:
    with contextlib.redirect_stdout(io.StringIO()):
        from nats_bench.api_utils import ArchResults  # noqa: PLC0415  slow, and only needed here

    content = _load(file)
    try:
        arch_id = arch_ids[int(file.name.partition(".")[0])]
        for epochs, state in content.items():
            if not isinstance(state, dict):  # create_from_state_dict takes a string for the name of a file, and unpickles that
                raise TypeError(f"expected a dictionary of results under {epochs!r}, found {type(state).__name__}")
            results = ArchResults.create_from_state_dict(state)
            if results.arch_str != arch_id:
                raise BenchmarkError(f"{file}: holds {results.arch_str!r}, its number belongs to {arch_id!r}")
            for dataset in results.get_dataset_names():
                yield from _rows_of_dataset(results, arch_id, dataset, int(epochs))
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise BenchmarkError(f"{file}: not an architecture's results: {type(error).__name__}: {error}") from error


def _rows_of_dataset(results: Any, arch_id: str, dataset: str, epochs: int) -> Iterator[dict[str, Any]]:
    trials = results.query(dataset)
    for evaluation_set, split in _SPLITS[dataset].items():
        found = {
            seed: percentage(trial.get_eval(evaluation_set)["accuracy"])
            for seed, trial in sorted(trials.items())
            if evaluation_set in trial.get_eval_set()
        }
        if not found:
            continue
        key = {"arch_id": arch_id, "dataset": dataset.lower(), "split": split, "epochs": epochs}
        for seed, accuracy in found.items():
            yield {**key, "seed": seed, "accuracy": accuracy}
        yield {**key, "accuracy": fmean(found.values()), "max_accuracy": max(found.values()), "num_repeats": len(found)}


def _load(file: Path) -> dict[str, Any]:
    try:
        content = safe_pickle.loads(bz2.decompress(file.read_bytes()))
    except (OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise BenchmarkError(f"{file} is damaged or not a NATS-Bench file ({error}); unpack the archive again") from error
    if not isinstance(content, dict):
        raise BenchmarkError(f"{file}: expected a dictionary, found {type(content).__name__}")
    return content

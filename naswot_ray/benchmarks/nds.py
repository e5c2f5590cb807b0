"""The accuracies in the official files of NDS, `data.zip` or the JSON file of a family (format: `naswot_ray.spaces.nds_file`).

The accuracy is `100 - test_ep_top1[-1]`, the one after the last epoch, as in the published NASWOT code. It is not the one of
the best epoch (`min_test_top1`). `epochs` is the length of that curve, which is `max_ep` in the official files. A training that
was interrupted has the epochs that it reached, so it is kept apart from those that finished. A training that diverged has the
accuracy of its guesses. If there is no final error (null or NaN), there is no accuracy and no row; a join then lists the
architecture as scored but not trained.

The file times iterations (`iter_time`), but does not tell how many a training took. `training_seconds` is therefore null.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from naswot_ray.benchmarks.format import Format
from naswot_ray.benchmarks.sources import ReadProgress, digest_of, percentage
from naswot_ray.dataset.accuracies import AccuracyTable, batches_of
from naswot_ray.errors import BenchmarkError
from naswot_ray.spaces.nds_families import FAMILIES
from naswot_ray.spaces.nds_file import SUFFIXES, NdsRecord, canonical_json, read_records


def read_nds(path: Path, family: str) -> AccuracyTable:
    """The accuracies of one family. Each training has a row with its seed, and another as the mean over its only repeat.

    `optimiser` is the `optim` of the record as JSON with sorted keys. `dataset` is the data set that the family was trained on.

    Args:
        path: `data.zip`, or the JSON file of the family under its official name.
        family: a key of `nds_families.FAMILIES`.

    Raises:
        BenchmarkError: the file is damaged, lacks the family, or has another format; the message names the record.
    """
    known = FAMILIES[family]
    rows: list[dict[str, Any]] = []
    for record in read_records(path, family):
        try:
            rows += _rows_of(record, known.trained_on)
        except (ValueError, KeyError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise BenchmarkError(f"{path}: record {record.index} of {family}: {reason}") from error
    digest = digest_of([path])
    return AccuracyTable(known.space, path.name, digest, batches_of(known.space, digest, rows))


def _rows_of(record: NdsRecord, dataset: str) -> Iterator[dict[str, Any]]:
    training = record.training
    errors = training["test_ep_top1"]
    if not isinstance(errors, list):
        raise ValueError(f"expected a list of errors in test_ep_top1, found {type(errors).__name__}")
    seed = training["rng_seed"]
    if isinstance(seed, bool) or not isinstance(seed, int) or not -(2**63) <= seed < 2**63:
        raise ValueError(f"expected an integer rng_seed, found {seed!r}")
    row = {
        "arch_id": record.arch_id,
        "dataset": dataset,
        "split": "test",
        "epochs": len(errors),
        "params": _count("params", training.get("params")),
        "flops": _count("flops", training.get("flops")),
        "optimiser": _optimiser(training["optim"]),
    }
    if not errors or errors[-1] is None or (isinstance(errors[-1], float) and math.isnan(errors[-1])):
        return
    accuracy = 100 - percentage(errors[-1])
    yield {**row, "seed": seed, "accuracy": accuracy}
    yield {**row, "accuracy": accuracy, "max_accuracy": accuracy, "num_repeats": 1}


def _count(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**63 or value != int(value):
        raise ValueError(f"expected a count in {name}, found {value!r}")
    return int(value)


def _optimiser(optim: Any) -> str:
    if not isinstance(optim, dict):
        raise ValueError(f"expected an object in optim, found {type(optim).__name__}")
    try:
        return canonical_json(optim)
    except ValueError as error:
        raise ValueError("a number in optim is not finite") from error


_FAMILY_OF: Final = {family.space: stem for stem, family in FAMILIES.items()}


def _recognises(path: Path) -> bool:
    """Whether a path is the archive, or a JSON file with the name of one in the archive."""
    return path.suffix in SUFFIXES and (path.suffix != ".json" or path.stem in FAMILIES) and not path.is_dir()


def _spaces_in(path: Path) -> tuple[str, ...]:
    return (FAMILIES[path.stem].space,) if path.suffix == ".json" else tuple(_FAMILY_OF)


def _read(path: Path, space: str, progress: ReadProgress) -> AccuracyTable:
    return read_nds(path, _FAMILY_OF[space])


NDS: Final = Format(
    name="nds",
    file="a data.zip, or a .json file from it under its official name, such as DARTS.json",
    holds="NDS",
    recognises=_recognises,
    spaces_in=_spaces_in,
    read=_read,
)

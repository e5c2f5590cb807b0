"""How a dataset came to be: its runs and the commands that make it again, without the paths of the machine it was made on."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final

import pyarrow.compute as pc

from naswot_ray.dataset import layout
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.layout import TableFile
from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.runs import RunRecord
from naswot_ray.fetch.catalogue import CATALOGUE
from naswot_ray.measures import all_measures
from naswot_ray.paths import without_credentials
from naswot_ray.publish.quality import Quality
from naswot_ray.run.options import DECIDES, Decides
from naswot_ray.spaces import facts_of

DATASET: Final = "scores"
"""What the commands call the dataset; whoever runs them may call it otherwise."""

_TOLD: Final = frozenset(DECIDES) - {"output", "data", "address"}
"""The options of a record that are published. Those left out tell places of one machine, which are of no use, and no business,
elsewhere; a record may also hold options that this version does not know."""


@dataclass(frozen=True)
class AccuracySource:
    """A file that accuracies were read from.

    Attributes:
        space: whose accuracies.
        name: of the file or directory.
        sha256: of its content.
        num_rows: read from it.
        trained_on: the data sets in it.
        terms: its licence, as far as its publisher states one.
        address: where it is to be had; for a file that is not the benchmark's own, where that is.
    """

    space: str
    name: str
    sha256: str
    num_rows: int
    trained_on: tuple[str, ...]
    terms: str
    address: str


def score_commands(dataset: Dataset) -> list[str]:
    """The command lines of the runs that wrote rows, oldest first, each once.

    `IMAGES` stands for the directory of the images.
    """
    wrote = [run for run in dataset.runs if run.counts.get("rows")] or dataset.runs
    engines = _engines(dataset)
    return list(dict.fromkeys(_command(run, dataset.manifest.shard_size, engines.get(run.run_id)) for run in wrote))


def accuracy_commands(dataset: Dataset) -> list[str]:
    """The command lines that add the accuracies there are, and join them."""
    lines = [
        shlex.join(["naswot-ray", "accuracies", source.space, source.name, "--dataset", DATASET])
        + ("  # a table: say with --map which column is what" if source.name.endswith((".parquet", ".csv")) else "")
        for source in accuracy_sources(dataset)
    ]
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        joined = connection.execute("SELECT DISTINCT space FROM joined ORDER BY 1").fetchall()
    return lines + [shlex.join(["naswot-ray", "join", DATASET, "--space", space]) for (space,) in joined]


def runs(dataset: Dataset) -> list[dict[str, Any]]:
    """The records of all runs, oldest first, as plain values."""
    return [_without_paths(run) for run in dataset.runs]


def measures(quality: Quality, settings: Settings) -> dict[str, dict[str, Any]]:
    """The measures that the dataset has values of: version, formula, source, and how many score rows have a value."""
    known = all_measures()
    return {
        name: {
            "version": settings.measures[name],
            "formula": known[name].formula if name in known else None,
            "source": known[name].source if name in known else None,
            "num_values": sum(count.num_values for count in quality.measures if count.measure == name),
        }
        for name in quality.measured
    }


def last_change(dataset: Dataset) -> datetime | None:
    """When the last run ended, or wrote its record; None if there are no runs."""
    times = [run.finished or run.updated for run in dataset.runs]
    return max(times, default=None)


def accuracy_sources(dataset: Dataset) -> list[AccuracySource]:
    """Where a dataset's accuracies come from."""
    names: dict[tuple[str, str], str] = {}  # rows that `--replace` put into a file go by the name of that file
    for file in dataset.files("accuracies"):
        with dataset.storage.open_parquet(file.path) as content:
            batches = content.iter_batches(columns=["source_digest"])
            digests = {digest for batch in batches for digest in pc.unique(batch["source_digest"]).to_pylist()}
        for digest in sorted(digests):
            names.setdefault((_named(file.path).space, digest), _source_name(file.path))
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        found = connection.execute(
            "SELECT space, source_digest, count(*), list_sort(list(DISTINCT dataset)) FROM accuracies GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    return [_source(space, names[space, sha256], sha256, num_rows, trained_on) for space, sha256, num_rows, trained_on in found]


def _source(space: str, name: str, sha256: str, num_rows: int, trained_on: list[str]) -> AccuracySource:
    official = next((e for e in CATALOGUE.values() if name in (e.unpacked, *(file.name for file in e.files))), None)
    if official is not None:
        return AccuracySource(space, name, sha256, num_rows, tuple(trained_on), official.terms, official.address)
    benchmark = facts_of(space)
    its_own = f"the benchmark's: {benchmark.terms}" if benchmark.terms else "nor the benchmark's"
    terms = f"this file's is not known; {its_own}"
    return AccuracySource(space, name, sha256, num_rows, tuple(trained_on), terms, benchmark.source or "not known")


def _source_name(path: PurePosixPath) -> str:
    """The source's own name: without the digest that `add_accuracies` puts after it."""
    source = _named(path).source
    assert source is not None
    return source.rpartition("-")[0]


def _named(path: PurePosixPath) -> TableFile:
    file = layout.table_file(path)
    assert file is not None
    return file


def _engines(dataset: Dataset) -> dict[str, str]:
    """Run -> the engine that it computed rows with; runs with several are left out."""
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        return dict(
            connection.execute(
                "SELECT run_id, any_value(engine) FROM scores WHERE status <> 'failed' AND engine NOT LIKE '%+%' "
                "GROUP BY run_id HAVING count(DISTINCT engine) = 1"
            ).fetchall()
        )


def _command(run: RunRecord, shard_size: int, engine: str | None) -> str:
    """The command line of a run, with every option that decides what rows there are or what is in them.

    Args:
        run: its record.
        shard_size: of the dataset.
        engine: that it took where it was left to choose.
    """
    words = ["naswot-ray", "score", "--output", DATASET]
    options = {"engine": engine} | {name: value for name, value in run.options.items() if value is not None}
    options["measure"] = run.grid.measures  # by name: `all` may mean more one day
    for name in (name for name, decides in DECIDES.items() if decides is not Decides.NOTHING):
        value = options.get(name)
        if value is None or value == []:
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [f"--{name.replace('_', '-')}", "IMAGES" if name == "data" else _without_folder(name, str(one))]
    return shlex.join([*words, "--shard-size", str(shard_size)])


def _without_folder(name: str, value: str) -> str:
    if name != "space_option":
        return value
    parameter, equals, setting = value.partition("=")
    return f"{parameter}{equals}{PurePosixPath(without_credentials(setting)).name}"


def _without_paths(run: RunRecord) -> dict[str, Any]:
    record = run.model_dump(mode="json")
    record["options"] = {
        name: [_without_folder(name, one) for one in value] if name == "space_option" else value
        for name, value in record["options"].items()
        if name in _TOLD
    }
    return record

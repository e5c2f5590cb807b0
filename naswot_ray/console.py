"""What the commands print: summaries, tables and suggestions of what to run next."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from naswot_ray.analysis.names import BASELINE_NAMES
from naswot_ray.analysis.summary import Correlated, main_measure, summarise
from naswot_ray.audit.comparison import Recomputed, agreements, chance_to_find
from naswot_ray.audit.rows import KEY, Finding, PointCounts
from naswot_ray.dataset.accuracies import Addition, StagedAccuracies
from naswot_ray.dataset.check import Problem
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import JoinReport, describe_stale, describe_unfinished, stale_joins, unfinished_joins
from naswot_ray.dataset.runs import GridState, RunRecord
from naswot_ray.dataset.sql import quoted
from naswot_ray.dataset.storage import StoredFile
from naswot_ray.errors import DatasetError
from naswot_ray.fetch.catalogue import CATALOGUE, get_entry
from naswot_ray.fetch.files import state_of
from naswot_ray.grid.coverage import contents_of, coverage_of
from naswot_ray.grid.holdings import Holding
from naswot_ray.grid.plans import Plan

MAX_SUMMARY_FILES = 10_000
"""Datasets with more parts of scores get no summary, since it would read all of them."""

MAX_LISTED_POINTS = 1_000
"""How many points of a grid are listed; the others are only counted."""

ALTERED = (1, 10, 100, 1000)
"""Numbers of altered rows for which an audit prints its chance to find at least one."""


def print_run(console: Console, dataset: Dataset, record: RunRecord) -> None:
    """Print what one run did."""
    rows, seconds = record.counts.get("rows", 0), record.seconds or 0.0
    failed, singular = record.counts.get("failed", 0), record.counts.get("singular", 0)
    if rows:
        actors = record.hardware.get("actors")
        on = f" on {counted(actors, 'actor')}" if actors else " in this process"
        console.print(f"{rows:,} rows scored in {seconds:.1f} s{on}: {rows / seconds:.2f} rows/s, {_of(failed, singular)}")
    state = record.state
    if state is None or state.is_whole:
        if not rows:
            console.print("nothing to do: every row of the grid is there")
    else:
        if not rows:
            console.print("nothing was scored")
        print_shortfall(console, state)
    console.print(f"dataset: {dataset.storage.root}")


def print_shortfall(console: Console, state: GridState) -> None:
    """Print how many rows of a grid failed or are missing."""
    of = f"of {counted(state.wanted, 'row')} that were asked for"
    if state.failed:
        console.print(
            f"{state.failed:,} {of} {'has' if state.failed == 1 else 'have'} failed, as a whole or in a measure; the column "
            "`error` says why; --retry-failed scores them again"
        )
    if state.failed_architectures:
        rows = counted(state.failed_architectures, "row")
        console.print(f"{rows} of the architectures table failed; the column `error` says why")
    if missing := state.wanted - state.present:
        console.print(f"{missing:,} {of} {'is' if missing == 1 else 'are'} missing: run the same command again")
    if state.missing_architectures:
        rows = counted(state.missing_architectures, "row")
        console.print(f"{rows} of the architectures table missing: run the same command again")


def print_plans(console: Console, plans: Sequence[Plan]) -> None:
    """Print which rows a dataset is meant to hold, and how many of them are missing or failed."""
    for plan in plans:
        grid, state = plan.grid, plan.state
        sizes = f"batch size{'s' if len(grid.batch_sizes) > 1 else ''} {', '.join(map(str, grid.batch_sizes))}"
        seeds = f"seed{'s' if len(grid.seeds) > 1 else ''} {', '.join(map(str, grid.seeds))}"
        which = "all architectures"
        if grid.limit is not None:
            which = f"the first {grid.limit:,} architectures"
        elif grid.sample is not None:
            which = f"{grid.sample:,} random architectures"
        console.print(f"{', '.join(grid.spaces)}, {grid.images}, {sizes}, {seeds}: {which}")
        console.print(f"  asked for by run {', '.join(plan.run_ids)}")
        if plan.withdrawn is not None:
            console.print(f"  withdrawn on {plan.withdrawn:%Y-%m-%d %H:%M} UTC; {state.present:,} of its rows are there")
            continue
        missing = state.wanted - state.present
        console.print(f"  {state.wanted:,} score rows, {missing:,} of them missing, {state.failed:,} failed")
    if not plans:
        console.print("no run has asked for anything yet")


def print_summary(console: Console, dataset: Dataset) -> None:
    """Print what a dataset holds, its best architectures, rank correlations with accuracy, and how to query it.

    A dataset of very many files gets only the last, because the rest would read all of them at the end of every run. If a file
    is damaged, a message takes the place of the summary. This is no error: the run or join itself has succeeded.
    """
    try:
        _print_summary(console, dataset)
    except DatasetError as error:
        console.print(f"no summary: {error}")


def _print_summary(console: Console, dataset: Dataset) -> None:
    print_stale_joins(console, dataset)
    if len(dataset.files("scores")) > MAX_SUMMARY_FILES:
        _print_duckdb(console, dataset, dataset.measures)
        return
    groups = summarise(dataset)
    for group in groups:
        name = f"{group.space}, {group.images}, batch size {group.batch_size}"
        seeds = counted(group.num_seeds, "seed")
        console.print(f"\n{name}: {group.num_rows:,} rows, {seeds}, {_of(group.num_failed, group.num_singular)}")
        computed = group.num_rows - group.num_failed
        lacking = [f"{one} in {counted(computed - n, 'row')}" for one, n in group.num_values.items() if n < computed]
        if lacking:
            console.print(f"no value of {', '.join(lacking)}")
        scored = counted(group.num_complete, "architecture")
        if group.num_measure_seeds == 1:
            console.print(f"highest {group.measure} of {scored}:")
        elif group.measure is not None:
            mean = f"mean over {counted(group.num_measure_seeds, 'seed')}"
            console.print(f"highest {group.measure}, {mean}, of {scored} with a value for each:")
        for arch_id, value in group.best:
            console.print(f"  {value:10.3f}  {arch_id}")
        for correlated in group.correlated:
            console.print(f"  {_describe_correlations(correlated)}")
    _print_duckdb(console, dataset, [name for name in dataset.measures if any(name in group.num_values for group in groups)])


def _print_duckdb(console: Console, dataset: Dataset, measures: Sequence[str]) -> None:
    """Print a query to start with; nothing if no measure has a value."""
    measure = main_measure(measures)
    if measure is not None:
        setup = dataset.duckdb_setup()
        how = " (it downloads its httpfs extension; `CREATE SECRET` gives it credentials)" if setup else ""
        console.print(f"\nContinue in DuckDB{how}:\n{f'{setup} ' if setup else ''}{duckdb_line(dataset, measure)}")


def _describe_correlations(correlated: Correlated) -> str:
    """A line with Kendall's tau of the measures and the baselines. It marks measures that have fewer architectures or seeds."""
    label = correlated.label
    num_architectures = max(correlated.num_architectures.values())
    num_seeds = max(correlated.num_seeds.values())
    measures = []
    for name, seeds in correlated.num_seeds.items():
        own = [] if seeds == num_seeds else [counted(seeds, "seed")]
        count = correlated.num_architectures[name]
        own += [] if count == num_architectures else [counted(count, "architecture")]
        measures.append(f"{name} {correlated.tau[name]:.3f}" + (f" ({', '.join(own)})" if own else ""))
    baselines = [f"{called} {correlated.tau[name]:.3f}" for name, called in BASELINE_NAMES.items()]
    over = counted(num_architectures, "architecture") + (f", mean over {num_seeds} seeds" if num_seeds > 1 else "")
    tau = f"Kendall tau with {label.dataset} test accuracy after {counted(label.epochs, 'epoch')}"
    return f"{tau}: {', '.join(measures)}; {', '.join(baselines)}; {over}"


def print_accuracies(console: Console, staged: StagedAccuracies, addition: Addition) -> None:
    """Print which accuracies an import added, replaced, or found in the dataset already."""
    console.print(f"{staged.space}: {staged.num_rows:,} rows from {staged.source} (SHA-256 {staged.digest[:12]}...)")
    for what, labels in (
        ("added", addition.new),
        ("replaced", sorted(addition.different)),
        ("already there, left unchanged", addition.same),
    ):
        if labels:
            console.print(f"  {what}: {', '.join(label.told for label in labels)}")


def print_stale_joins(console: Console, dataset: Dataset) -> bool:
    """Print which joins are unfinished, or older than what they were made from. Returns whether there are any."""
    lines = describe_unfinished(dataset, unfinished_joins(dataset)) + describe_stale(dataset, stale_joins(dataset))
    for line in lines:
        console.print(line)
    return bool(lines)


def print_join(console: Console, report: JoinReport) -> None:
    """Print how many rows and architectures a join matched, and how many architectures it could not match."""
    console.print(f"{report.space}: {report.num_rows:,} joined rows, {report.num_matched:,} architectures matched")
    for label, arch_ids in (("a score, no accuracy", report.only_scored), ("an accuracy, no score", report.only_trained)):
        if arch_ids:
            console.print(f"  {len(arch_ids):,} with {label}, such as {arch_ids[0]}")
    if report.only_scored or report.only_trained:
        console.print(f"  all of these: {report.unmatched_path}")


def print_info(console: Console, dataset: Dataset) -> bool:
    """Print how much of what was asked for a dataset holds, its runs and its accuracies. Returns whether it is complete."""
    contents = contents_of(dataset)
    found = contents.coverage
    table = Table("space", "images", "batch size", "seed", "wanted", "present", "failed", "missing", box=None)
    num_unplanned = sum(c.unplanned for point, c in found.items() if point.batch is not None)
    if num_unplanned:
        table.add_column("not asked for")
    for point, c in islice(found.items(), MAX_LISTED_POINTS):
        batch = point.batch
        key = (batch.images, str(batch.batch_size), str(batch.seed)) if batch else ("architectures", "", "")
        numbers = (c.wanted, c.present, c.failed, c.wanted - c.present, *([c.unplanned] if num_unplanned else []))
        table.add_row(point.space, *key, *(f"{n:,}" for n in numbers))
    manifest = dataset.manifest
    settings = f"schema {manifest.schema_version}, settings {manifest.settings.fingerprint[:12]}"
    console.print(f"{dataset.storage.root}: {settings}")
    console.print(table)
    _print_unlisted(console, len(found))
    for one in contents.holdings:
        console.print(_describe_holding(one))
    for record in dataset.runs:
        rows = record.counts.get("rows", 0)
        rate = f", {rows / record.seconds:.2f} rows/s" if rows and record.seconds else ""
        withdrawn = "; its plan was withdrawn" if record.withdrawn else ""
        console.print(f"run {record.run_id}: {record.status}, {rows:,} rows{rate}{withdrawn}")
    with dataset.naming_damaged_files(), dataset.connect(["accuracies"]) as connection:
        for row in connection.execute(_ACCURACIES).fetchall():
            console.print("accuracies {}: {} {} after {} epochs, {:,} architectures".format(*row))
    is_joined = not unfinished_joins(dataset)
    print_stale_joins(console, dataset)
    num_missing = sum(c.wanted - c.present for c in found.values())
    num_untrusted = sum(c.untrusted for c in found.values())
    if num_untrusted:
        lists = f"`naswot-ray check {shlex.quote(dataset.storage.root)}` lists them; none of their rows is counted"
        console.print(f"{counted(num_untrusted, 'part')} cannot be trusted: {lists}")
    num_failed = sum(c.failed for c in found.values())
    if num_unplanned:
        console.print(f"{counted(num_unplanned, 'score row')} present that no plan asks for any more (`naswot-ray plan`)")
    if num_missing:
        again = "run the same `naswot-ray score` command again, or withdraw its plan with `naswot-ray plan`"
        console.print(f"{num_missing:,} rows missing: {again}")
    if num_failed:
        again = "run the same `naswot-ray score` command with --retry-failed"
        console.print(
            f"{counted(num_failed, 'row')} failed, as a whole or in a measure, and the column `error` says why: {again}"
        )
    complete = is_joined and not (num_missing or num_failed or num_untrusted)
    if complete:
        console.print("complete")
    return complete


def _describe_holding(one: Holding) -> str:
    """A line such as `measure meco, version 1: 3,200 rows`, and why other rows have no value of the measure."""
    lacking = [f"{one.num_lacking:,} without"] if one.num_lacking else []
    lacking += [f"{one.num_failed:,} failed"] if one.num_failed else []
    lacking += [
        f"version {version} in {counted(number, 'part')}, which does not count" for version, number in sorted(one.older.items())
    ]
    if one.installed is None:
        lacking.append("from a package that is not installed here")
    elif one.installed > one.version:
        lacking.append(
            f"version {one.installed} is installed here: `naswot-ray score --measure {one.name} --replace-older` computes it"
        )
    return f"measure {one.name}, version {one.version}: " + ", ".join([counted(one.num_values, "row"), *lacking])


def _print_unlisted(console: Console, num_points: int) -> None:
    if num_points > MAX_LISTED_POINTS:
        console.print(f"and {counted(num_points - MAX_LISTED_POINTS, 'more point')}, which the totals include")


def print_check(
    console: Console, dataset: Dataset, problems: Sequence[Problem], moved: Mapping[PurePosixPath, PurePosixPath]
) -> bool:
    """Print what is wrong with a dataset, and what was moved to `removed/`. Returns whether nothing is wrong or missing."""
    for problem in problems:
        console.print(f"{problem.kind}: {problem.path}: {problem.reason}")
    for path, folder in moved.items():
        console.print(f"removed: {path}: moved to {folder}")
    num_missing = 0
    if any(p.removable for p in problems) and not moved:
        console.print("move these files away with --repair, then run the same `naswot-ray score` command again")
    else:
        try:
            coverage = coverage_of(dataset, fresh=True)
        except DatasetError as error:
            console.print(f"cannot list what is missing: {error}")
            return False
        short = {point: c for point, c in coverage.items() if c.wanted > c.present}
        for point, c in islice(short.items(), MAX_LISTED_POINTS):
            console.print(f"missing: {point}: {c.wanted - c.present:,} of {c.wanted:,} rows")
        _print_unlisted(console, len(short))
        num_missing = sum(c.wanted - c.present for c in short.values())
        if num_missing:
            again = "run the same `naswot-ray score` command again, or withdraw its plan with `naswot-ray plan`"
            console.print(f"{num_missing:,} rows missing: {again}")
    if not problems and not num_missing:
        console.print("nothing is missing, duplicate, corrupt, foreign or of other settings")
    return not problems and not num_missing


def print_removed(console: Console, held: Sequence[StoredFile], deleted: Sequence[StoredFile]) -> None:
    """Print what `removed/` holds, and what was deleted from it."""
    if deleted:
        console.print(f"deleted from removed/: {counted(len(deleted), 'file')}, {decimal(sum(file.size for file in deleted))}")
    if held:
        size = decimal(sum(file.size for file in held))
        console.print(f"removed/ holds {counted(len(held), 'file')}, {size}; --purge deletes them for good")


def print_findings(console: Console, points: Sequence[PointCounts], findings: Sequence[Finding]) -> None:
    """Print how many rows there are at each point, and which rows cannot be right."""
    table = Table("space", "images", "batch size", "seed", "rows", "singular", "failed", box=None)
    for p in points:
        numbers = (f"{n:,}" for n in (p.num_rows, p.num_singular, p.num_failed))
        table.add_row(p.space, p.images, str(p.batch_size), str(p.seed), *numbers)
    console.print(table)
    for finding in findings:
        console.print(f"{finding.reason}: {finding.num_rows:,} rows, such as {finding.example}")
    if not findings:
        console.print("keys, columns and ranges: nothing contradicts itself")


def print_recomputed(console: Console, recomputed: Sequence[Recomputed], num_rows: int) -> bool:
    """Print how rows compare that were computed again, measure by measure.

    Returns:
        whether all rows agree. False if there are rows, but no value of them could be compared.
    """
    wrong = [one for one in recomputed if one.disagreement is not None]
    for one in wrong:
        columns = one.row.columns
        key = ", ".join(f"{column}={columns[column]}" for column in KEY)
        console.print(f"disagrees: {key}: {one.disagreement} (engine {columns['engine']}, recomputed by {one.engine})")
    compared = [one for one in recomputed if one.comparisons or one.problem]
    engines = " and ".join(sorted({f"{one.engine} in {one.dtype}" for one in compared})) or "no engine"
    console.print(f"{len(compared) - len(wrong):,} of {counted(len(compared), 'random row')} agree, recomputed by {engines}")
    table = Table("measure", "values", "agree", "same engine", "bit for bit", "largest difference", box=None)
    for found in agreements(recomputed):
        counts = (found.num_compared, found.num_agreeing, found.num_same_engine, found.num_identical)
        table.add_row(found.measure, *(f"{count:,}" for count in counts), f"{found.largest:.1e}")
    if table.row_count:
        console.print(table)
    left_out = Counter((measure, reason) for one in recomputed for measure, reason in one.left_out.items())
    for (measure, reason), count in left_out.items():
        console.print(f"not compared: {counted(count, 'value')} of {measure}: {reason}")
    if len(compared) < len(recomputed):
        console.print(
            f"{counted(len(recomputed) - len(compared), 'row')} of the sample without any value that could be compared"
        )
    chances = ", ".join(f"{n}: {chance_to_find(n, num_rows, len(compared)):.1%}" for n in ALTERED if n <= num_rows)
    console.print(f"of {num_rows:,} rows; chance to find at least one altered row, by the number of altered rows: {chances}")
    return not wrong and (bool(compared) or not recomputed)


def print_catalogue(console: Console, cache: Path) -> None:
    """Print which official files there are, and which of them the cache holds."""
    for name, entry in CATALOGUE.items():
        size = "size unknown" if entry.size is None else decimal(entry.size)
        how = ", by hand" if entry.by_hand else ""
        console.print(f"{name}: {entry.about} ({size}; licence: {entry.terms})")
        console.print(f"  {state_of(name, cache)}; from {entry.address}{how}")
    console.print(f"\ncache: {cache}")


def print_fetched(console: Console, name: str, path: Path, cache: Path) -> None:
    """Print what was fetched, and which command to run next."""
    console.print(f"{name}: {path}")
    console.print(f"Continue with: {get_entry(name).next_command(cache.absolute() / name)}")


def duckdb_line(dataset: Dataset, measure: str) -> str:
    """A query for the best architectures by a measure. It runs unchanged in any DuckDB."""
    name = quoted(measure)
    return (
        f"SELECT space, images, batch_size, arch_id, avg({name}) AS {name} "
        f"FROM {dataset.read_parquet('scores')} "
        f"GROUP BY ALL ORDER BY space, images, batch_size, {name} DESC LIMIT 10;"
    )


_ACCURACIES = """
    WITH counted AS (
        SELECT space, dataset, split, epochs, count(DISTINCT arch_id) AS num_architectures
        FROM accuracies GROUP BY space, dataset, split, epochs
    )
    SELECT space, dataset, string_agg(DISTINCT split, ', ' ORDER BY split),
        string_agg(DISTINCT epochs, ' and ' ORDER BY epochs), num_architectures
    FROM counted GROUP BY space, dataset, num_architectures ORDER BY ALL
"""


def counted(count: int, noun: str) -> str:
    """A count with its noun: `1 row`, `1,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _of(failed: int, singular: int) -> str:
    return f"{failed:,} failed, {singular:,} singular"

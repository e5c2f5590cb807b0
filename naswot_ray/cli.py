"""The command line, `naswot-ray`: reads options, calls the work, prints, sets the exit status.

Exit status: 0 success, 1 partial (some rows are `failed` or missing), 2 a bad option, file or cluster, 130 interrupted.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path, PurePosixPath
from types import NoneType
from typing import Annotated, Any, get_args

import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from rich.console import Console
from rich.progress import track

from naswot_ray import __version__, console
from naswot_ray.benchmarks.reading import read_accuracies
from naswot_ray.cache import cache_directory
from naswot_ray.dataset.accuracies import StagedAccuracies, add_accuracies, stage
from naswot_ray.dataset.address import split
from naswot_ray.dataset.check import check_files, list_files, remove
from naswot_ray.dataset.inputs import local_path
from naswot_ray.dataset.join import join as join_space
from naswot_ray.dataset.opening import Dataset
from naswot_ray.dataset.opening import open as open_dataset
from naswot_ray.dataset.schema import STATUS_FAILED
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import FetchError, NaswotError, SettingsError
from naswot_ray.fetch.catalogue import get_entry
from naswot_ray.fetch.fetching import fetch
from naswot_ray.fetch.progress import ConsoleProgress
from naswot_ray.run.options import ScoreOptions
from naswot_ray.spaces import SPACES, check_name, get_space, parameters_of

EXIT_PARTIAL = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    help="Training-free NASWOT scores of whole neural-architecture search spaces.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_METAVARS: dict[Any, str] = {int: "N", float: "X", str: "TEXT"}
_PATHS = ("output", "data")
"""Options that are a local path or a URI."""
_GIVE_ROWS = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)  # DESCRIBE, SUMMARIZE and SHOW are SELECTs too
_stderr = Console(stderr=True)
_stdout = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


class QueryFormat(StrEnum):
    """How `query` writes its result."""

    TABLE = "table"
    CSV = "csv"
    PARQUET = "parquet"


Accuracies = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Trained accuracies to add: an official benchmark file or directory, or a .parquet or .csv table.",
    ),
]
Mapping = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="Which column of a table is what, FIELD=COLUMN; FIELD is arch_id or DATASET/SPLIT/EPOCHS. Repeat for several: "
        "--map arch_id=arch_str --map cifar10/test/200=cifar10_test_acc",
    ),
]
DatasetPath = Annotated[str, typer.Argument(help="Directory of the dataset, a path or URI.", metavar="DATASET")]


def _with_options(model: type[BaseModel]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of a pydantic model as options, so that each option is defined once."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters = []
        for name, field in model.model_fields.items():
            flags = [f"--{name.replace('_', '-')}", *(["-o"] if name == "output" else [])]
            kinds = [t for t in (get_args(field.annotation) or (field.annotation,)) if t is not NoneType]
            metavar = None if kinds == [bool] else "PATH" if name in _PATHS else _METAVARS.get(kinds[0])
            option = typer.Option(*flags, help=field.description, metavar=metavar)
            default = inspect.Parameter.empty if field.default is PydanticUndefined else field.default
            parameters.append(
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[field.annotation, option]
                )
            )
        own = inspect.signature(command, eval_str=True).parameters.values()
        parameters += [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.kind is not p.VAR_KEYWORD]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def _reporting_errors(command: Callable[..., None]) -> Callable[..., None]:
    """One line and an exit status instead of a traceback, for what the user can act on."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except NaswotError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(EXIT_ERROR) from None
        except KeyboardInterrupt:
            print("interrupted; everything written is kept, the same command does the rest", file=sys.stderr)
            raise typer.Exit(EXIT_INTERRUPTED) from None

    return run


def _print_version(asked: bool) -> None:
    if asked:
        _stdout.print(f"naswot-ray {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
@_reporting_errors
@_with_options(ScoreOptions)
def score(accuracies: Accuracies = None, mapping: Mapping = None, **values: Any) -> None:
    """Score search spaces and write a dataset.

    Safe to run again: rows that are there are kept, and only the rest is done. More batch sizes, seeds, spaces or image
    sources extend the dataset. With --accuracies, the scores are joined with trained accuracies at the end.

    Example: naswot-ray score -o scores --batch-size 32 --batch-size 128 --seed 0 --seed 1 --images cifar10 --data ~/cifar
    """
    from naswot_ray.run.job import score_spaces  # noqa: PLC0415  torch takes seconds to import; --help should not

    options = ScoreOptions.checked(**values)
    staged: StagedAccuracies | None = None
    if accuracies is not None:  # read first: a bad file should not wait for the end of a long run
        if len(options.space) > 1:
            raise SettingsError(
                "--accuracies belongs to one space; score with one --space, or use `naswot-ray join` afterwards"
            )
        staged = _staged(options.space[0], accuracies, mapping)
    elif mapping:
        raise SettingsError("--map says how to read --accuracies, which is not given")
    record = score_spaces(options)
    dataset = open_dataset(options.output)
    console.print_run(_stdout, dataset, record)
    if staged is not None:
        add_accuracies(dataset, staged)
        console.print_join(_stdout, join_space(dataset, staged.space))
    console.print_summary(_stdout, dataset)
    if record.counts.get(STATUS_FAILED):
        raise typer.Exit(EXIT_PARTIAL)


@app.command()
@_reporting_errors
def join(
    dataset_path: DatasetPath,
    accuracies: Accuracies = None,
    mapping: Mapping = None,
    space: Annotated[str | None, typer.Option(help="Space to join. Default: the one that has scores.")] = None,
) -> None:
    """Join scores with trained accuracies.

    Adds --accuracies to the dataset if given, then writes joined/: a row for each score and mean accuracy. Architectures
    that only one side has are counted and listed.

    Example: naswot-ray join scores --accuracies NATS-tss-v1_0-3ffb9-simple
    """
    dataset = open_dataset(dataset_path)
    space = space or _only_space(dataset)
    check_name(space)
    if accuracies is not None:
        add_accuracies(dataset, _staged(space, accuracies, mapping))
    elif mapping:
        raise SettingsError("--map says how to read --accuracies, which is not given")
    console.print_join(_stdout, join_space(dataset, space))
    console.print_summary(_stdout, dataset)


@app.command("accuracies")
@_reporting_errors
def import_accuracies(
    space: Annotated[str, typer.Argument(help="Space that the accuracies belong to.", metavar="SPACE")],
    file: Annotated[str, typer.Argument(help="An official benchmark file, or a .parquet or .csv table.", metavar="FILE")],
    dataset_path: Annotated[str, typer.Option("--dataset", help="Dataset to add them to.", metavar="PATH")],
    mapping: Mapping = None,
) -> None:
    """Import trained accuracies from a benchmark's official file into a dataset.

    Example: naswot-ray accuracies nasbench101 nasbench_only108.tfrecord --dataset scores
    """
    check_name(space)
    dataset = open_dataset(dataset_path)
    staged = _staged(space, file, mapping)
    add_accuracies(dataset, staged)
    console.print_accuracies(_stdout, staged)


@app.command()
@_reporting_errors
def query(
    dataset_path: DatasetPath,
    sql: Annotated[str, typer.Argument(help="A DuckDB query over the views.", metavar="SQL")],
    format: Annotated[QueryFormat, typer.Option(help="How to write the result.")] = QueryFormat.TABLE,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="PATH", help="File to write to; parquet needs one.")
    ] = None,
) -> None:
    """Run SQL over a dataset's views: scores, architectures, accuracies, joined.

    Example: naswot-ray query scores "SELECT arch_id, avg(score) FROM scores GROUP BY ALL ORDER BY 2 DESC LIMIT 5"
    """
    dataset = open_dataset(dataset_path)
    if output is not None:
        _check_free(output)
    try:
        with dataset.naming_damaged_files(), dataset.connect() as connection:
            statements = connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type not in _GIVE_ROWS:
                raise SettingsError("expected one statement that gives rows: SELECT, DESCRIBE or SUMMARIZE")
            _write_result(connection.sql(sql), format, output)
    except duckdb.Error as error:
        raise SettingsError(f"query failed: {_first_sentence(error)}") from error


@app.command()
@_reporting_errors
def info(dataset_path: DatasetPath) -> None:
    """Tell what a dataset holds, and what is missing from its grid.

    Exit status 1 if rows that some run was to score are missing.
    """
    if not console.print_info(_stdout, open_dataset(dataset_path)):
        raise typer.Exit(EXIT_PARTIAL)


@app.command()
@_reporting_errors
def check(
    dataset_path: DatasetPath,
    repair: Annotated[
        bool, typer.Option("--repair", help="Remove files that are provably broken and can be made again.")
    ] = False,
) -> None:
    """Read every file of a dataset and tell what is missing, duplicate, corrupt, foreign or of other settings.

    Exit status 1 if there is anything of the kind. What --repair removes is listed, and scored again by the next run.

    Example: naswot-ray check scores
    """
    dataset = open_dataset(dataset_path)
    files = list_files(dataset)
    found = track(check_files(dataset, files), "checking", total=len(files), console=_stderr, disable=not _stderr.is_terminal)
    problems = [problem for of_file in found for problem in of_file]
    _stdout.print(f"{dataset.storage.root}: {len(files):,} files")
    removed = remove(dataset, problems) if repair else []
    if not console.print_check(_stdout, dataset, problems, removed):
        raise typer.Exit(EXIT_PARTIAL)


@app.command("fetch")
@_reporting_errors
def fetch_files(
    names: Annotated[
        list[str] | None, typer.Argument(help="What to fetch. Default: list what there is.", metavar="NAME")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Where to keep it. Default: NASWOT_RAY_CACHE, or else the user's cache directory."),
    ] = None,
) -> None:
    """Fetch official benchmark files and images: download, verify, unpack.

    Resumes a download that broke off. Where only a browser can download, says what to put where, and verifies it then.

    Example: naswot-ray fetch nasbench101 cifar10
    """
    cache = (cache or cache_directory()).expanduser()
    if not names:
        console.print_catalogue(_stdout, cache)
    entries = {name: get_entry(name) for name in names or ()}  # a name that is mistyped should not wait for the others
    failed = False
    for name in entries:
        try:
            with ConsoleProgress() as progress:
                path = fetch(name, cache, progress)
            console.print_fetched(_stdout, name, path, cache)
        except FetchError as error:  # the others may still be had
            print(f"error: {error}", file=sys.stderr)
            failed = True
    if failed:
        raise typer.Exit(EXIT_ERROR)


@app.command()
def spaces() -> None:
    """List the search spaces."""
    from_file = [name for name in sorted(SPACES) if "source" in parameters_of(name)]
    for name in sorted(SPACES.keys() - from_file):
        space, parameters = get_space(name), parameters_of(name)
        _stdout.print(f"{name}: {len(space):,} architectures, the first is {space[0]}")
        if parameters:
            _stdout.print(f"  --space-option {', '.join(f'{key}={default}' for key, default in parameters.items())}")
    _stdout.print(f"opened from their file (`naswot-ray fetch nds`, or --space-option source=PATH): {', '.join(from_file)}")


def main() -> None:
    """Entry point of the console script and of `jobs/`."""
    app()


def _staged(space: str, source: str, mapping: list[str] | None) -> StagedAccuracies:
    with ConsoleProgress() as progress:
        path = local_path(source, progress.reader(source))
        table = read_accuracies(space, path, mapping or (), progress.reader(path.name))
        return stage(table)


def _only_space(dataset: Dataset) -> str:
    """The space that a dataset has scores of."""
    spaces = sorted(dataset.manifest.settings.spaces)
    if len(spaces) != 1:
        raise SettingsError(f"{dataset.storage.root} holds scores of {', '.join(spaces) or 'no space'}: say which with --space")
    return spaces[0]


def _check_free(output: str) -> None:
    folder, name = split(output)
    storage = Storage(folder)
    if storage.exists(PurePosixPath(name)):
        raise SettingsError(f"{output} exists; name another file or remove it")
    if storage.local is not None and not storage.exists():
        raise SettingsError(f"{output}: there is no folder {folder}; create it, or name another")


def _write_result(relation: duckdb.DuckDBPyRelation, format: QueryFormat, output: str | None) -> None:
    if format is QueryFormat.PARQUET and output is None:
        raise SettingsError("--format parquet needs --output FILE")
    sink = pa.BufferOutputStream()
    try:
        match format:
            case QueryFormat.PARQUET:
                pq.write_table(relation.to_arrow_table(), sink)
            case QueryFormat.CSV:
                pacsv.write_csv(relation.to_arrow_table(), sink)
            case QueryFormat.TABLE:
                sink.write(f"{relation}\n".encode())
        if output is None:
            sys.stdout.flush()
            sys.stdout.buffer.write(sink.getvalue())
            sys.stdout.flush()
        else:
            folder, name = split(output)
            Storage(folder).write_bytes(PurePosixPath(name), sink.getvalue())
    except BrokenPipeError:  # `| head`: the reader has all it wants
        raise
    except (OSError, pa.ArrowException) as error:
        raise SettingsError(f"cannot write {output or 'the result'} as {format}: {_first_sentence(error)}") from error


def _first_sentence(error: Exception) -> str:
    """An error's message on one line, without the quotation of the query that DuckDB adds below."""
    return " ".join(str(error).partition("\n\n")[0].split())

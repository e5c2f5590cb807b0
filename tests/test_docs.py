"""The documentation is true as far as a machine can check: links lead somewhere, options exist, Python parses."""

from __future__ import annotations

import ast
import hashlib
import itertools
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
import typer.main

import naswot_ray
from naswot_ray.cli import app
from naswot_ray.cli.app import path_options
from naswot_ray.dataset import layout
from naswot_ray.dataset.join import join
from tests.cli.running import naswot, prints
from tests.dataset.making import FAILED, SINGULAR, SPACE, TABLES, add, make_dataset, mean_accuracy, score_row, write_part
from tests.datasets import score_here

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}(?: title=\"[^\"]*\")?\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_options_that_are_shown(page: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    known = {name: {flag for p in command.params for flag in p.opts} for name, command in commands.items()}
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if match := re.search(r"(?:naswot-ray |jobs/)(\w[\w-]*)(?:\.py)?(.*)", line.partition("#")[0]):
                command, arguments = match.groups()
                assert command in known, line
                assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", arguments)) <= known[command], line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_submitted_jobs_have_no_relative_paths(page: Path) -> None:
    callbacks = {info.name: info.callback for info in app.registered_commands}
    for job, arguments in re.findall(r"ray job submit [^\n`]*jobs/(\w+)\.py([^\n`]*)", page.read_text().replace("\\\n", " ")):
        callback = callbacks[job]
        assert callback is not None
        flags = {label for _, label, path in path_options(callback) if not path.is_assignment}
        words = shlex.split(arguments, comments=True)
        before = [DATASET_FIRST, *words]
        for flag, word in zip(before, words, strict=False):
            if {"-o": "--output", DATASET_FIRST: "DATASET"}.get(flag, flag) in flags and not word.startswith("-"):
                assert word.startswith("/") or "://" in word, f"{job}: {word}"


DATASET_FIRST = "the word before the first"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_parses(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(textwrap.dedent(block))


def test_the_tables_of_columns_are_those_of_the_schema() -> None:
    """`python docs/columns.py` writes these tables."""
    text = (ROOT / "docs" / "dataset.md").read_text()
    with_columns = runpy.run_path(str(ROOT / "docs" / "columns.py"))["with_columns"]
    assert with_columns(text) == text
    for table, columns in TABLES.items():
        section = text.partition(f"\n## {table}\n")[2].partition("\n## ")[0]
        assert f"<!-- columns of {table} -->" in section
        for column in columns:
            assert f"| `{column.name}` | {column.type}" in section, f"{table}.{column.name}"


def test_the_queries_of_the_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    score_here(tmp_path / "scores", limit=3, batch_size=[4], seed=[0])
    monkeypatch.chdir(tmp_path)
    (block,) = [b for b in blocks(ROOT / "README.md", "python") if "naswot_ray.open" in b]
    exec(compile(block, "README.md", "exec"), {})
    assert "corr(naswot, accuracy)" in capsys.readouterr().out
    for query in re.findall(r'naswot-ray query scores "([^"]+)"', (ROOT / "README.md").read_text()):
        with pytest.raises(SystemExit) as ended:
            app(["query", "scores", query])
        assert ended.value.code == 0


def test_the_readmes_example_of_one_network_runs() -> None:
    (block,) = [b for b in blocks(ROOT / "README.md", "python") if "load_images" in b]
    head, _, _ = block.partition("module = ...")
    exec(compile(head.replace("batch(64", "batch(4"), "README.md", "exec"), {})


def test_the_notations_of_the_page_about_spaces_are_one_architecture() -> None:
    (block,) = blocks(ROOT / "docs" / "spaces.md", "python")
    exec(compile(block, "spaces.md", "exec"), {})


def test_the_page_of_ones_own_network_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its blocks, one after the other, and its command print the table of activations that it shows."""
    page = ROOT / "docs" / "your-own-network.md"
    networks, *programs = blocks(page, "python")
    (table,) = blocks(page, "text")
    (tmp_path / "networks.py").write_text(networks)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "networks", raising=False)
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for program in programs:
            exec(compile(program, page.name, "exec"), names)
    assert table in capsys.readouterr().out
    command = next(line for block in blocks(page, "bash") for line in block.splitlines() if line.startswith("naswot-ray"))
    assert table in prints(*shlex.split(command)[1:])


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two made-up measures at two batch sizes and seeds, one singular and one failed row, joined with accuracies."""
    root = tmp_path_factory.mktemp("joined") / "DATASET"
    special = {3: SINGULAR, 4: FAILED | {"meco": None}}
    dataset = make_dataset(
        root,
        indices=range(12),
        batch_sizes=(4, 8),
        seeds=(0, 1),
        change=lambda row: {"meco": float(row["arch_index"])} | special.get(row["arch_index"], {}),
    )
    add(dataset, [mean_accuracy(index) for index in range(12)])
    join(dataset, SPACE)
    return root


COOKBOOK = ROOT / "docs" / "cookbook.md"


AVERAGES = re.compile(r'\b(avg|corr|stddev_samp|regr_slope|regr_intercept)\((a\.)?("?naswot\b|$)')
"""Averages that are wrong over values or accuracies which do not compare. `$` is where an f-string inserts a name."""


def queries_of(path: Path) -> list[str]:
    """All SQL in a page (in blocks of SQL, commands and Python) or in a module (in strings, and in examples of docstrings)."""
    strings = [path.read_text()] if path.suffix == ".py" else blocks(path, "python")
    found = [
        node.value
        for source in strings
        for node in ast.walk(ast.parse(textwrap.dedent(source)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    if path.suffix == ".py":  # a docstring contains more than its query
        found = [query for text in found for query in (re.findall(r'"(SELECT [^"]+)"', text) or [text])]
    else:
        found += [query for block in blocks(path, "bash") for query in re.findall(r'"([^"]+)"', block)]
        found += [query for block in blocks(path, "sql") for query in block.split(";")]
        found += re.findall(r"^SELECT .*$", path.read_text(), re.MULTILINE)  # as commands print them
    return [query for query in found if "SELECT " in query]


def not_told_apart(query: str) -> set[str]:
    """The columns that distinguish scores or accuracies and that a query does not name."""
    names = ["space", "images", "batch_size", *(["dataset", "split", "epochs"] if "accuracy" in query else [])]
    return {name for name in names if not re.search(rf"\b{name}\b", query)}


def test_queries_keep_apart_what_does_not_compare() -> None:
    modules = ("cli/*.py", "console.py", "dataset/dataset.py", "report/*.py")
    paths = {*PAGES, *(path for pattern in modules for path in (ROOT / "naswot_ray").glob(pattern))}
    averaging = [(path.name, query) for path in paths for query in queries_of(path) if AVERAGES.search(query)]
    assert {name for name, _ in averaging} >= {"README.md", "tutorial.md", "dataset.md", "storage.md", "cookbook.md"}
    assert {name for name, _ in averaging} >= {"query.py", "console.py"}
    assert len(averaging) > 15
    assert [(name, query, missing) for name, query in averaging if (missing := not_told_apart(query))] == []


def test_a_query_that_mixes_is_found() -> None:
    before = "SELECT batch_size, split, corr(naswot, accuracy) FROM joined WHERE status = 'ok' GROUP BY ALL"
    assert AVERAGES.search(before)
    assert not_told_apart(before) == {"space", "images", "dataset", "epochs"}


def test_the_python_of_readme_and_tutorial_gives_a_correlation_for_all_that_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two batch sizes, seeds, image sources, data sets and trainings give 32 correlations, each of them +1 or -1."""
    dataset = make_dataset(tmp_path / "scores", batch_sizes=(4, 8), seeds=(0, 1))
    for batch_size, seed in itertools.product((4, 8), (0, 1)):
        rows = [score_row(i, images="cifar10", batch_size=batch_size, seed=seed, naswot=50.0 - i) for i in range(8)]
        path = layout.scores(SPACE, "cifar10", batch_size, seed, 0)
        write_part(dataset.storage, path, rows, range(8))
    for sign, name, epochs in ((1, "cifar10", 200), (-1, "cifar10", 12), (-1, "cifar100", 200), (1, "cifar100", 12)):
        add(
            dataset,
            [mean_accuracy(i, dataset=name, epochs=epochs, accuracy=50.0 + sign * i) for i in range(8)],
            digest=f"{sign}",
        )
    join(dataset, SPACE)
    monkeypatch.chdir(tmp_path)
    for page in (ROOT / "README.md", ROOT / "docs/tutorial.md"):
        (query,) = [query for block in blocks(page, "python") for query in re.findall(r'"""(.*?)"""', block, re.DOTALL)]
        with naswot_ray.open("scores").connect() as connection:
            found = connection.sql(query).fetchnumpy()
        correlations = found["corr(naswot, accuracy)"]
        assert len(correlations) == 2 * 2 * 2 * 4
        assert set(np.round(correlations, 6)) == {-1.0, 1.0}


@pytest.mark.parametrize("query", blocks(COOKBOOK, "sql"), ids=lambda query: hashlib.sha256(query.encode()).hexdigest()[:6])
def test_the_cookbook_gives_rows(query: str, joined: Path) -> None:
    result = naswot("query", joined, query, "--format", "csv")
    assert result.exit_code == 0, result.output
    header, _, rows = result.stdout.partition("\n")
    assert rows, "only a header"
    if re.search(r"\b(avg\(naswot|corr\()", query):
        assert {"space", "images", "batch_size"} <= set(header.replace('"', "").split(",")), "mixes scores that do not compare"


@pytest.mark.parametrize("program", blocks(COOKBOOK, "python"))
def test_python_examples_run(
    program: str, joined: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(joined.parent)
    exec(compile(program, "example", "exec"), {})
    assert capsys.readouterr().out


def test_a_stranger_can_verify_the_files(joined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = [block for block in blocks(ROOT / "docs" / "dataset.md", "python") if "hashlib" in block]
    shutil.copytree(joined, tmp_path / "scores-demo")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "example", "exec"), {})
    for path in (tmp_path / "scores-demo").glob("*/*.parquet"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(AssertionError, match=path.name):
            exec(compile(program, "example", "exec"), {})
        break


def test_the_cookbook_has_ten_recipes() -> None:
    assert len(blocks(COOKBOOK, "sql")) + len(blocks(COOKBOOK, "python")) >= 10


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    api = (tmp_path / "site/api/index.html").read_text()
    for name in naswot_ray.__all__:
        assert f"naswot_ray.{naswot_ray._HOME[name].partition('.')[2]}.{name}" in api or name == "Network", name

"""docs/adding-a-*.md, carried out: a measure, a space and a format of other packages work everywhere that ours do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import naswot_ray
from naswot_ray import measures, spaces
from naswot_ray.benchmarks import formats
from tests.cli.running import naswot, prints, refuses
from tests.packages import install

DOCS = Path(__file__).parents[1] / "docs"
GRID = ("--in-process", "--batch-size", 8, "--shard-size", 8)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """What exists of a kind is found out once per process."""
    yield
    _forget()


def _forget() -> None:
    for found in (measures.all_measures, spaces.all_spaces, spaces.get_space, formats.all_formats):
        found.cache_clear()


def install_from(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the package that a page shows."""
    text = (DOCS / page).read_text()
    (source,) = re.findall(r'^```python title="\w+\.py"\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
    (module,) = re.findall(r'^```python title="(\w+)\.py"', text, re.MULTILINE)
    ((group, name, attribute),) = re.findall(r'\[project\.entry-points\."([\w.]+)"\]\n(\w+) = "\w+:(\w+)"', text)
    install(folder, monkeypatch, module, source, group, **{name: attribute})
    _forget()


def accuracies(path: Path, arch_ids: list[str]) -> Path:
    """A table of made-up accuracies."""
    rows = [f"{arch_id},{50 + number % 7}.{number % 10}" for number, arch_id in enumerate(arch_ids)]
    path.write_text("\n".join(["arch_id,accuracy", *rows]) + "\n")
    return path


MAP = ("--map", "arch_id=arch_id", "--map", "cifar10/test/200=accuracy")


def take_through(root: Path, folder: Path) -> None:
    """Run everything that reads a joined dataset."""
    assert "0 files" not in prints("check", root)
    prints("info", root)
    prints("analyse", root, "--output", folder / "analysis")
    prints("report", root, "--output", folder / "report.html")
    prints("publish", root, "-o", folder / "published")
    prints("audit", root, "--sample", 5)


def test_a_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, space = tmp_path / "d", naswot_ray.get_space("nasbench201")
    prints("score", "-o", root, *GRID, "--limit", 12)
    (tmp_path / "packages").mkdir()
    install_from("adding-a-measure.md", tmp_path / "packages", monkeypatch)
    assert "disagreement: from the forward pass, version 1" in prints("measures")
    images = naswot_ray.load_images("noise").batch(8, seed=0)
    expected = naswot_ray.score(space[3], images, space=space, measures=["disagreement"])["disagreement"]

    more = ("--measure", "naswot", "--measure", "disagreement")
    prints("score", "-o", root, *GRID, "--limit", 12, *more)  # fills in
    prints("score", "-o", root, *GRID, "--limit", 16, *more)  # and continues
    assert "nothing to do" in prints("score", "-o", root, *GRID, "--limit", 16, *more)
    table = accuracies(tmp_path / "table.csv", list(space)[:20])
    prints("join", root, "--accuracies", table, *MAP)
    queried = prints("query", root, "SELECT disagreement FROM joined WHERE arch_index = 3", "--format", "csv")
    assert float(queried.split()[1]) == pytest.approx(expected, abs=1e-12)
    take_through(root, tmp_path)
    assert "disagreement" in (tmp_path / "published" / "README.md").read_text()
    assert "disagreement" in prints("analyse", root, "--output", tmp_path / "again")
    prints("search", root, "--measure", "disagreement", "--runs", 5, "--samples", 4)


def test_a_dataset_with_a_measure_of_a_package_that_is_not_installed_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, space = tmp_path / "d", naswot_ray.get_space("nasbench201")
    with monkeypatch.context() as patch:
        install_from("adding-a-measure.md", tmp_path, patch)
        prints("score", "-o", root, *GRID, "--limit", 16, "--measure", "naswot", "--measure", "disagreement")
        prints("join", root, "--accuracies", accuracies(tmp_path / "table.csv", list(space)[:20]), *MAP)
    _forget()
    assert "unknown measure 'disagreement'" in refuses(
        root, "score", "-o", root, *GRID, "--limit", 17, "--measure", "disagreement"
    )
    prints("score", "-o", root, *GRID, "--limit", 17)
    assert naswot_ray.open(root).scores.to_table(columns=["disagreement"]).column(0).null_count == 1
    prints("join", root)
    take_through(root, tmp_path)


def test_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_from("adding-a-space.md", tmp_path, monkeypatch)
    root, space = tmp_path / "d", naswot_ray.get_space("chains")
    assert "chains: 14 architectures" in prints("spaces")
    prints("score", "-o", root, *GRID, "--space", "chains", "--limit", 5, "--measure", "all")
    prints("score", "-o", root, *GRID, "--space", "chains", "--measure", "all")
    assert "nothing to do" in prints("score", "-o", root, *GRID, "--space", "chains", "--measure", "all")
    prints("join", root, "--accuracies", accuracies(tmp_path / "table.csv", list(space)), *MAP)
    assert prints("query", root, "SELECT count(*) FROM joined", "--format", "csv").split() == ["count_star()", "14"]
    take_through(root, tmp_path)
    assert "plain chains" in (tmp_path / "published" / "README.md").read_text()


def test_a_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_from("adding-a-format.md", tmp_path, monkeypatch)
    root, space = tmp_path / "d", naswot_ray.get_space("nasbench201")
    file = tmp_path / "mine.repeats.json"
    file.write_text(json.dumps({space[i]: [50.0 + i, 51.0 + i, 52.0 + i] for i in range(20)}))
    prints("score", "-o", root, *GRID, "--limit", 16)
    prints("accuracies", "nasbench201", file, "--dataset", root)
    prints("join", root)
    queried = prints("query", root, "SELECT max(accuracy) AS m, max(num_repeats) AS n FROM joined", "--format", "csv")
    assert queried.split() == ["m,n", "66.0,3"]
    take_through(root, tmp_path)


def test_a_measure_that_cannot_be_imported_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "broken", "raise RuntimeError('no luck')", measures.ENTRY_POINTS, broken="thing")
    _forget()
    message = refuses(tmp_path, "score", "-o", tmp_path / "d", *GRID, "--limit", 1)
    assert "broken:thing, which package broken offers as naswot_ray.measures 'broken', cannot be imported" in message
    assert naswot("measures").exit_code == 2


@pytest.mark.parametrize("name", ["naswot", "seed", "two words"])
def test_a_measure_with_a_name_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    source = (
        "from dataclasses import replace\nfrom naswot_ray.measures import own_measures\n"
        f"thing = replace(own_measures()['meco'], name={name!r})"
    )
    install(tmp_path, monkeypatch, "taken", source, measures.ENTRY_POINTS, mine="thing")
    _forget()
    asked = "naswot" if name == "naswot" else name
    assert "name" in refuses(tmp_path, "score", "-o", tmp_path / "d", *GRID, "--limit", 1, "--measure", asked)


def test_a_measure_that_the_engine_cannot_give_is_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "from dataclasses import replace\nfrom naswot_ray.measures import Statistic, own_measures\n"
        "thing = replace(own_measures()['meco'], name='largest', statistics=frozenset([Statistic.ACTIVATIONS]),\n"
        "    take=lambda forward: max(float(x.max()) for x in forward.activations))"
    )
    install(tmp_path, monkeypatch, "activations", source, measures.ENTRY_POINTS, largest="thing")
    _forget()
    options = ("score", "-o", tmp_path / "d", *GRID, "--limit", 2, "--measure", "largest")
    message = refuses(tmp_path, *options, "--engine", "fast")
    assert "engine fast cannot compute the measure largest, which needs activations; use engine exact" in message
    prints(*options, "--engine", "exact")

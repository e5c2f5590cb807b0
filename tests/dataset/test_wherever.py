"""A dataset reads the same wherever it is stored and whatever else is in its folder: all commands see the same rows."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pyarrow.parquet as pq
import pytest

import naswot_ray
from naswot_ray.cli import EXIT_PARTIAL
from naswot_ray.dataset import layout
from naswot_ray.dataset.join import join
from tests.cli.running import naswot, prints
from tests.dataset.making import SPACE, add, make_dataset, mean_accuracy

ROWS = "SELECT images, batch_size, seed, count(*) AS n, max(naswot) AS best FROM scores GROUP BY ALL ORDER BY ALL"
JOINED = "SELECT batch_size, seed, dataset, count(*) AS n FROM joined GROUP BY ALL ORDER BY ALL"

PARENTS = [
    "seed=7",
    "batch_size=32",
    "images=cifar10",
    "space=nasbench101",
    "dataset=cifar100/split=valid",
    "arch_index=1/score=2.5",
    "seed=",
    "a b",
    "50%41",
    "a#b?c",
    "back\\slash",
    "back\\slash [1]*",
    "ü/☃",
    "it's",
    'quo"te',
    "{a,b}",
    "[ab]",
    "**",
    "scores",
    "part-nasbench201.noise.batch-4.seed-0.000000.parquet",
    "new\nline",
]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight architectures at two batch sizes with two seeds, joined with accuracies."""
    dataset = make_dataset(tmp_path_factory.mktemp("original") / "d", batch_sizes=(4, 8), seeds=(0, 1))
    add(dataset, [mean_accuracy(i) for i in range(8)])
    join(dataset, SPACE)
    return Path(dataset.storage.root)


def told(root: Path | str, where: str) -> dict[str, str]:
    """What the commands print about a dataset, without the dataset's own path."""
    commands: dict[str, list[object]] = {
        "rows": ["query", root, ROWS, "--format", "csv"],
        "joined": ["query", root, JOINED, "--format", "csv"],
        "info": ["info", root],
        "check": ["check", root],
    }
    found = {name: prints(*arguments) for name, arguments in commands.items()}
    found["arrow"] = str(naswot_ray.open(root).scores.to_table().sort_by("seed").num_rows)
    return _without_paths(found, root, where)


def written(root: Path | str, where: str) -> dict[str, str]:
    """What the commands that write a folder print, and what in the folder shows which rows they saw. They take most of the
    time."""
    analysis, published = Path(where) / "analysis", Path(where) / "published"
    found = {"analyse": prints("analyse", root, "-o", analysis), "publish": prints("publish", root, "-o", published)}
    quality = json.loads((published / "quality.json").read_text())
    found["quality"] = json.dumps({key: quality[key] for key in ("points", "groups", "tau")})
    return _without_paths(found, root, where)


def everything(root: Path | str, where: str) -> dict[str, str]:
    return told(root, where) | written(root, where)


def _without_paths(found: dict[str, str], root: Path | str, where: str) -> dict[str, str]:
    for path in (str(Path(root).absolute()), where):
        found = {name: text.replace(path, "HERE") for name, text in found.items()}
    return {name: re.sub(r"[0-9.]+ [kM]?B", "SIZE", text) for name, text in found.items()}


@pytest.fixture(scope="module")
def expected(original: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    where = tmp_path_factory.mktemp("expected")
    shutil.copytree(original, where / "d")
    return everything(where / "d", str(where))


def test_what_is_expected(expected: dict[str, str]) -> None:
    assert expected["arrow"] == "32"
    lines = expected["rows"].splitlines()
    assert len(lines) == 5
    assert [re.sub(r'"', "", line).split(",")[:4] for line in lines[1:]] == [
        ["noise", batch_size, seed, "8"] for batch_size in ("4", "8") for seed in ("0", "1")
    ]


@pytest.mark.parametrize("parent", PARENTS)
def test_any_folder_above(original: Path, expected: dict[str, str], tmp_path: Path, parent: str) -> None:
    where = tmp_path / parent
    shutil.copytree(original, where / "d")
    assert told(where / "d", str(where)).items() <= expected.items()


def test_all_folders_above(original: Path, expected: dict[str, str], tmp_path: Path) -> None:
    """Each place is inside the one before it, for the commands that take long."""
    where = tmp_path.joinpath(*PARENTS)
    shutil.copytree(original, where / "d")
    assert everything(where / "d", str(where)) == expected


def test_a_relative_path(original: Path, expected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(original, tmp_path / "seed=7" / "d")
    monkeypatch.chdir(tmp_path / "seed=7")
    assert everything("d", str(tmp_path / "seed=7")) == expected


def _link(link: Path, *, name: str = "moved") -> None:
    """Replace a file or folder by a link to it."""
    target = link.with_name(name)
    link.rename(target)
    link.symlink_to(target)


def _link_elsewhere(path: Path, root: Path) -> None:
    elsewhere = root.parent / "seed=7" / "elsewhere"
    elsewhere.parent.mkdir(exist_ok=True)
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


LINKS: dict[str, Callable[[Path], None]] = {
    "root": lambda root: _link(root, name="seed=7"),
    "table": lambda root: _link_elsewhere(root / "scores", root),
    "joined": lambda root: _link_elsewhere(root / "joined", root),
    "part": lambda root: _link_elsewhere(root / layout.scores(SPACE, "noise", 4, 0, 1), root),
    "accuracies": lambda root: _link_elsewhere(next((root / "accuracies").iterdir()), root),
}


@pytest.mark.parametrize("kind", LINKS)
def test_symbolic_links(original: Path, expected: dict[str, str], tmp_path: Path, kind: str) -> None:
    shutil.copytree(original, tmp_path / "d")
    LINKS[kind](tmp_path / "d")
    assert everything(tmp_path / "d", str(tmp_path)) == expected


FOREIGN = [
    "scores/._{part}",
    "scores/{part}.crdownload",
    "scores/{stem} (conflicted copy).parquet",
    "scores/{stem} 2.parquet",
    "scores/Copy of {part}",
    "scores/notes.parquet",
    "scores/.DS_Store",
    "scores/deeper/{part}",
    "architectures/._x.parquet",
    "joined/._nasbench201.noise.batch-4.seed-0.parquet",
    "joined/nasbench201.noise.batch-4.seed-0 (1).parquet",
    "accuracies/copy of nasbench201.table.parquet",
    "thumbs.db",
    "seed=7/x.parquet",
]


def _add_foreign(root: Path, name: str, content: str) -> Path:
    """Put a stranger's file into a dataset. Return the topmost file or folder that does not belong to the dataset."""
    part = root / layout.scores(SPACE, "noise", 4, 0, 0)
    path = root / name.format(part=part.name, stem=part.stem)
    path.parent.mkdir(exist_ok=True)
    if content == "a copy":
        table = path.parent.name if path.parent.name in ("architectures", "joined", "accuracies") else "scores"
        named = (file for file in (root / table).glob("*.parquet") if layout.table_file(PurePosixPath(table, file.name)))
        shutil.copy(next(named), path)
    else:
        path.write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
    return path if path.parent.name in ("d", "scores", "architectures", "joined", "accuracies") else path.parent


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("content", ["a copy", "no parquet"])
def test_a_strangers_file_is_named_and_adds_no_rows(
    original: Path, expected: dict[str, str], tmp_path: Path, name: str, content: str
) -> None:
    root = tmp_path / "d"
    shutil.copytree(original, root)
    top = _add_foreign(root, name, content)
    checked = naswot("check", root)
    assert checked.exit_code == EXIT_PARTIAL
    (line,) = [line for line in checked.stdout.splitlines() if str(top.relative_to(root)) in line]
    assert line.startswith(("foreign: ", "duplicate: "))
    for table, query in (("rows", ROWS), ("joined", JOINED)):
        assert prints("query", root, query, "--format", "csv") == expected[table]


@pytest.mark.parametrize("content", ["a copy", "no parquet"])
def test_many_strangers_files_change_nothing(
    original: Path, expected: dict[str, str], tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "d"
    shutil.copytree(original, root)
    for name in FOREIGN:
        _add_foreign(root, name, content)
    monkeypatch.setitem(globals(), "prints", lambda *arguments: naswot(*arguments).stdout)  # `check` ends with exit status 1
    found = everything(root, str(tmp_path))
    assert {name: text for name, text in found.items() if name != "check"} == {
        name: text for name, text in expected.items() if name != "check"
    }


def test_a_folder_that_links_to_itself_is_named_and_not_followed(original: Path, tmp_path: Path) -> None:
    root = tmp_path / "d"
    shutil.copytree(original, root)
    for name in ("scores/loop", "loop"):
        (root / name).symlink_to(root)
    checked = naswot("check", root)
    assert checked.exit_code == EXIT_PARTIAL
    assert [line for line in checked.stdout.splitlines() if line.startswith("foreign")] == [
        "foreign: loop: is not a file or folder of a dataset",
        "foreign: scores/loop: is not a file or folder of a dataset",
    ]
    assert prints("query", root, "SELECT count(*) AS n FROM scores", "--format", "csv").split()[-1] == "32"


def test_a_file_alone_says_what_it_holds(original: Path) -> None:
    for table in ("scores", "architectures", "accuracies", "joined"):
        for path in (original / table).iterdir():
            named = layout.table_file(PurePosixPath(table, path.name))
            assert named is not None
            rows = pq.ParquetFile(path).read()
            for column, value in named.key.items():
                assert rows[column].unique().to_pylist() == [value]

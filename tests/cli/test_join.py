"""`join` and `accuracies`: which architectures match, replacing accuracies, several spaces, and joins that are out of date."""

from __future__ import annotations

from pathlib import Path

import pytest

import naswot_ray
from naswot_ray.cli import EXIT_ERROR
from tests.benchmarks.official_nats import TSS
from tests.cli.conftest import MAP, SAME
from tests.cli.running import naswot, prints, refuses
from tests.dataset.making import SPACE, arch_id, make_dataset, mean_accuracy, snapshot
from tests.datasets import score_here
from tests.spaces.nds_files import CELL_NET, nds_record, write_nds_zip

SIZES = ("8:8:8:8:8", "8:8:8:8:16")


def write_csv(path: Path, accuracies: dict[str, float]) -> Path:
    path.write_text("arch,acc\n" + "".join(f'"{name}",{value}\n' for name, value in accuracies.items()))
    return path


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A table of accuracies of NATS-Bench's size space."""
    return write_csv(tmp_path / "sizes.csv", dict.fromkeys(SIZES, 90.0))


@pytest.fixture
def two(root: Path) -> Path:
    """The dataset, extended by two rows of another space."""
    prints("score", "-o", root, "--space", "nats_sss", "--in-process", "--limit", 2, "--batch-size", 4)
    return root


@pytest.mark.parametrize("command", ["accuracies", "join", "score"])
def test_accuracies_of_another_space(root: Path, foreign: Path, command: str) -> None:
    arguments: dict[str, tuple[object, ...]] = {
        "accuracies": ("accuracies", SPACE, foreign, "--dataset", root),
        "join": ("join", root, "--accuracies", foreign),
        "score": ("score", "-o", root, "--in-process", *SAME, "--accuracies", foreign),
    }
    message = refuses(root, *arguments[command], *MAP)
    assert f"{foreign}: row 0, column 'arch': '8:8:8:8:8' is no architecture of {SPACE}" in message
    assert "none of the 2 in this column is: it looks like a table of nats_sss" in message


@pytest.mark.parametrize("command", ["accuracies", "join", "score"])
def test_edges_in_another_order(root: Path, tmp_path: Path, command: str) -> None:
    """Each way to import accuracies takes them for the same cells."""
    shuffled = {"+".join(f"|{'|'.join(group[1:-1].split('|')[::-1])}|" for group in arch_id(i).split("+")): i for i in range(4)}
    table = write_csv(tmp_path / "shuffled.csv", {name: 80.0 + i for name, i in shuffled.items()})
    arguments: dict[str, tuple[object, ...]] = {
        "accuracies": ("accuracies", SPACE, table, "--dataset", root),
        "join": ("join", root, "--accuracies", table),
        "score": ("score", "-o", root, "--in-process", *SAME, "--accuracies", table),
    }
    prints(*arguments[command], *MAP)
    prints("join", root)
    joined = naswot_ray.open(root).joined.to_table(columns=["arch_id", "accuracy"]).to_pylist()
    assert {row["arch_id"]: row["accuracy"] for row in joined} == {arch_id(i): 80.0 + i for i in range(4)}


def test_one_id_that_is_none(root: Path, accuracies: Path) -> None:
    accuracies.write_text(accuracies.read_text() + "|none~0|+|none~0|none~0|+|none~0|none~1|none~2|,5\n")
    message = refuses(root, "accuracies", SPACE, accuracies, "--dataset", root, *MAP)
    assert "row 10, column 'arch': '|none~0|+|none~0|none~0|+" in message
    assert "(1 of 11 are none)" in message


def test_no_architecture_in_common(root: Path, tmp_path: Path) -> None:
    others = write_csv(tmp_path / "others.csv", {arch_id(i): 80.0 for i in (100, 101)})
    result = naswot("score", "-o", root, "--in-process", *SAME, "--accuracies", others, *MAP)
    assert result.exit_code == EXIT_ERROR
    assert "nothing to do" in result.stdout
    assert f"none of the 8 architectures of {SPACE} with a score" in result.stderr
    assert naswot_ray.open(root).scores.count_rows() == 32
    assert naswot_ray.open(root).accuracies.count_rows() == 2
    assert f"none of the 8 architectures of {SPACE} with a score" in refuses(root, "join", root)


def test_replacing_a_table(root: Path, accuracies: Path, tmp_path: Path) -> None:
    prints("join", root, "--accuracies", accuracies, *MAP)
    other = write_csv(tmp_path / "other.csv", {arch_id(i): 50.0 + i for i in range(6)})
    importing = ("accuracies", SPACE, other, "--dataset", root, *MAP)
    message = refuses(root, *importing)
    (file,) = (root / "accuracies").rglob("*.parquet")
    assert str(file) in message
    assert "cifar10/test/200" in message
    assert "--replace" in message
    assert "already holds" in refuses(root, "score", "-o", root, "--in-process", *SAME, "--accuracies", other, *MAP)
    text = prints(*importing, "--replace")
    assert "replaced: cifar10 test after 200" in text
    assert f"{SPACE}: the join is older than the accuracies (files to be made again: 4)" in text
    assert "24 joined rows, 6 architectures matched" in prints("join", root)
    found = {row["arch_id"]: row["accuracy"] for row in naswot_ray.open(root).joined.to_table().to_pylist()}
    assert found == {arch_id(i): 50.0 + i for i in range(6)}
    assert "left unchanged: cifar10 test after 200" in prints(*importing, "--replace")
    text = prints("join", root, "--accuracies", accuracies, *MAP, "--replace")
    assert "32 joined rows, 8 architectures matched" in text


def test_the_same_table_with_one_more_map(root: Path, accuracies: Path) -> None:
    prints("accuracies", SPACE, accuracies, "--dataset", root, *MAP)
    text = prints("accuracies", SPACE, accuracies, "--dataset", root, *MAP, "--map", "cifar100/test/200=acc")
    assert "added: cifar100 test after 200" in text
    assert "already there, left unchanged: cifar10 test after 200" in text
    assert naswot_ray.open(root).accuracies.count_rows() == 20


def test_likely_fractions_are_told(root: Path, tmp_path: Path) -> None:
    table = write_csv(tmp_path / "fractions.csv", {arch_id(i): 0.9 - i / 10 for i in range(8)})
    result = naswot("join", root, "--accuracies", table, *MAP)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1].startswith(
        f"warning: {table}: column 'acc' has values from 0.2 to 0.9, as fractions have; cifar10/test/200 is in percent"
    )
    assert "warning" not in naswot("join", root).stderr


def test_two_spaces_are_joined(two: Path, accuracies: Path, foreign: Path) -> None:
    prints("accuracies", SPACE, accuracies, "--dataset", two, *MAP)
    text = prints("join", two)
    assert f"{SPACE}: 32 joined rows, 8 architectures matched" in text
    assert "nats_sss: not joined, since it has no accuracies" in text
    prints("accuracies", "nats_sss", foreign, "--dataset", two, *MAP)
    text = prints("join", two)
    assert f"{SPACE}: 32 joined rows" in text
    assert "nats_sss: 2 joined rows, 2 architectures matched" in text
    assert "nats_sss: 2 joined rows" not in prints("join", two, "--space", SPACE)


def test_one_of_two_spaces_has_no_match(two: Path, accuracies: Path, tmp_path: Path) -> None:
    prints("accuracies", SPACE, accuracies, "--dataset", two, *MAP)
    prints("accuracies", "nats_sss", write_csv(tmp_path / "t.csv", {"64:64:64:64:64": 9.0}), "--dataset", two, *MAP)
    result = naswot("join", two)
    assert result.exit_code == EXIT_ERROR
    assert f"{SPACE}: 32 joined rows" in result.stdout
    assert "none of the 2 architectures of nats_sss with a score" in result.stderr
    assert naswot_ray.open(two).joined.count_rows() == 32


def test_an_official_file_tells_its_space(two: Path, nats: Path) -> None:
    assert f"{SPACE}: {4 * 18} joined rows, 1 architectures matched" in prints("join", two, "--accuracies", nats / TSS)


def test_a_join_that_is_out_of_date(root: Path, accuracies: Path, tmp_path: Path) -> None:
    prints("join", root, "--accuracies", accuracies, *MAP)
    line = "the join is older than"

    def commands(folder: Path) -> dict[str, tuple[object, ...]]:
        return {
            "info": ("info", root),
            "analyse": ("analyse", root, "-o", folder / "analysis"),
            "report": ("report", root, "-o", folder / "report.html"),
            "figures": ("figures", root, "-o", folder / "figures"),
            "publish": ("publish", root, "-o", folder / "public"),
        }

    (tmp_path / "before").mkdir()
    for name, command in commands(tmp_path / "before").items():
        assert line not in prints(*command), name
    assert naswot("check", root).exit_code == 0
    make_dataset(root, batch_sizes=(4, 8), seeds=(0, 1, 2))
    for name, command in commands(tmp_path).items():
        text = prints(*command)
        assert f"{SPACE}: {line} the scores (files to be made again: 2)" in text, name
        assert f"run `naswot-ray join {root} --space {SPACE}` again" in text, name
    assert line in (tmp_path / "report.html").read_text()
    result = naswot("check", root)
    assert result.exit_code == 1
    assert result.stdout.count("outdated: joined/") == 2
    prints("join", root)
    assert line not in prints("info", root)
    assert naswot("check", root).exit_code == 0


def nds(tmp_path: Path) -> tuple[Path, Path]:
    """An archive of NDS with three networks, and a dataset with two of them."""
    archive = write_nds_zip(tmp_path / "data.zip", {"DARTS": [nds_record({**CELL_NET, "width": 4 + 4 * i}) for i in range(3)]})
    score_here(tmp_path / "nds", space=["nds_darts"], space_option=[f"source={archive}"], limit=2, batch_size=[4], seed=[0])
    return archive, tmp_path / "nds"


def test_a_family_is_opened_as_the_runs_opened_it(tmp_path: Path) -> None:
    archive, dataset = nds(tmp_path)
    prints("join", dataset, "--accuracies", archive)
    space = naswot_ray.get_space("nds_darts", source=str(archive))
    table = write_csv(tmp_path / "t.csv", {space[2]: 90.0, "00002-0123456789ab": 80.0})
    mapping = ("--map", "arch_id=arch", "--map", "mine/test/1=acc")
    message = refuses(dataset, "accuracies", "nds_darts", table, "--dataset", dataset, *mapping)
    assert "row 1, column 'arch': '00002-0123456789ab' is no architecture of nds_darts (1 of 2 are none)" in message
    write_csv(table, {space[2]: 90.0})
    assert naswot("accuracies", "nds_darts", table, "--dataset", dataset, *mapping).stderr == ""


def test_a_family_whose_file_is_gone(tmp_path: Path) -> None:
    archive, dataset = nds(tmp_path)
    space = naswot_ray.get_space("nds_darts", source=str(archive))
    naswot_ray.spaces.get_space.cache_clear()
    archive.unlink()
    mapping = ("--map", "arch_id=arch", "--map", "mine/test/1=acc")
    table = write_csv(tmp_path / "t.csv", {"00002-0123456789ab": 80.0})
    assert "none of the 1 in this column is" in naswot("accuracies", "nds_darts", table, "--dataset", dataset, *mapping).stderr
    write_csv(table, {space[0]: 90.0, space[2]: 80.0})
    result = naswot("accuracies", "nds_darts", table, "--dataset", dataset, *mapping)
    assert result.exit_code == 0
    assert (
        "warning: the ids were only held against the 2 architectures that the dataset has rows of: no official" in result.stderr
    )
    make_dataset(tmp_path / "d")
    result = naswot("accuracies", "nds_darts", table, "--dataset", tmp_path / "d", *mapping)
    assert result.exit_code == 0
    assert "warning: the ids were not checked, nds_darts could not be opened: no official NDS file" in result.stderr
    before = snapshot(tmp_path / "d")
    write_csv(table, {mean_accuracy(0)["arch_id"]: 80.0})
    assert naswot("accuracies", "nds_darts", table, "--dataset", tmp_path / "d", *mapping).exit_code == EXIT_ERROR
    assert snapshot(tmp_path / "d") == before

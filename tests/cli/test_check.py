"""`naswot-ray check`: exit status, output, and how a dataset is repaired."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.running import naswot, prints, refuses
from tests.dataset.making import snapshot
from tests.datasets import logical_rows, part_files, score_here

OPTIONS = {"limit": 12, "batch_size": [4], "seed": [0], "shard_size": 4}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    score_here(tmp_path / "d", **OPTIONS)
    return tmp_path / "d"


def finds(*args: object) -> str:
    """Return what a check prints if it finds problems."""
    result = naswot("check", *args)
    assert result.exit_code == 1, result.output
    return result.stdout


def flip_a_bit(part: Path) -> None:
    """Change the last byte of the scores."""
    with pq.ParquetFile(part) as file:
        column = file.metadata.row_group(0).column(file.schema_arrow.get_field_index("naswot"))
        position = (column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size - 1
    data = bytearray(part.read_bytes())
    data[position] ^= 1
    part.write_bytes(data)


def test_a_sound_dataset(root: Path) -> None:
    text = prints("check", root)
    assert text == f"{root}: 8 files\nnothing is missing, duplicate, corrupt, foreign or of other settings\n"


def test_missing_parts_are_counted_against_what_runs_were_asked_for(root: Path) -> None:
    part_files(root)[1].unlink()
    text = finds(root)
    assert "missing: nasbench201, noise, batch size 4, seed 0: 4 of 12 rows" in text
    assert "run the same `naswot-ray score` command again" in text


def test_repair_and_the_same_command_again_make_the_dataset_whole(root: Path) -> None:
    rows, parts = logical_rows(root), part_files(root)
    parts[0].write_bytes(parts[0].read_bytes()[:-1])
    flip_a_bit(parts[1])
    (root / "notes.txt").write_text("mine")
    text = finds(root)
    assert text.count("corrupt: ") == 2
    assert "foreign: notes.txt" in text
    assert "--repair" in text
    assert "removed" not in text
    assert part_files(root) == parts

    text = finds(root, "--repair")
    assert text.count("removed: scores/") == 2
    assert "removed/ holds 2 files, " in text
    assert "8 rows missing" in text
    assert part_files(root) == parts[2:]
    assert (root / "notes.txt").read_text() == "mine"

    score_here(root, **OPTIONS)
    (root / "notes.txt").unlink()
    assert "removed/ holds 2 files, " in prints("check", root)
    assert logical_rows(root) == rows
    assert "deleted from removed/: 2 files, " in prints("check", root, "--purge")
    assert not (root / "removed").exists()
    assert "removed" not in prints("check", root, "--purge")


def test_a_part_in_a_strange_place_does_not_keep_the_rest_from_being_told(root: Path) -> None:
    first, second, _ = part_files(root)
    second.write_bytes(first.read_bytes())
    text = finds(root)
    assert "duplicate: scores/" in text
    text = finds(root, "--repair")
    assert "4 rows missing" in text
    assert first.exists()
    assert not second.exists()


def test_a_changed_shard_size_is_refused_and_costs_nothing(root: Path) -> None:
    before = snapshot(root)
    path = root / "dataset.json"
    path.write_text(path.read_text().replace('"shard_size": 4', '"shard_size": 8'))
    assert "was changed by hand" in refuses(root, "check", root, "--repair")
    assert snapshot(root).keys() == before.keys()


def test_a_foreign_part_that_stands_in_the_way_is_named(root: Path) -> None:
    first, second, _ = part_files(root)
    first.replace(second)
    text = finds(root, "--repair")
    assert "foreign: scores/" in text
    assert "8 rows missing" in text
    assert second.exists()

"""A publication has few files, sorted and of one schema, whatever the parts were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naswot_ray.dataset import manifest, schema
from naswot_ray.errors import DatasetError
from naswot_ray.publish import compaction
from naswot_ray.publish.compaction import KEYS, FileFormat, write_table
from naswot_ray.publish.publish import publish
from tests.dataset.making import MEASURES, SPACE, TABLES, score_row
from tests.dataset.making import settings as settings_of_noise
from tests.publish.conftest import make

MANIFEST = manifest.create(settings_of_noise(), shard_size=4)


def table(indices: Sequence[int]) -> pa.Table:
    return pa.Table.from_pylist([score_row(i) for i in indices], schema=TABLES["scores"])


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_key_and_every_column_a_meaning(name: str) -> None:
    assert all(column.meaning for column in schema.columns_of(name, MEASURES))
    assert schema.TABLES[name]
    assert set(KEYS[name]) <= set(TABLES[name].names)


def test_a_file_has_the_schema_statistics_page_index_and_order(published: dict[str, Path]) -> None:
    for name, columns in TABLES.items():
        (path,) = (published["all"] / "data" / SPACE).glob(f"{name}-00000-of-00001.parquet")
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            assert file.schema_arrow.remove_metadata() == columns
            assert b"naswot_ray.fingerprint" in file.schema_arrow.metadata
            told = json.loads(file.schema_arrow.metadata.get(b"naswot_ray.measures", b"{}"))
            assert told == (MEASURES if name in ("scores", "joined") else {})
            group = file.metadata.row_group(0)
            for position in range(group.num_columns):
                column = group.column(position)
                assert column.compression == "ZSTD"
                assert column.is_stats_set
                assert column.has_offset_index
                assert column.has_column_index or column.path_in_schema in MEASURES, (
                    "of nulls or -inf alone there are no bounds"
                )
            order = [columns.names[sorting.column_index] for sorting in group.sorting_columns]
            rows = file.read()
        assert tuple(order) == KEYS[name]
        assert rows.equals(rows.sort_by([(key, "ascending") for key in order]))


def test_the_files_do_not_depend_on_the_parts(tmp_path: Path) -> None:
    contents = []
    for shard_size in (1, 3, 8):
        publish(make(tmp_path / f"d{shard_size}", shard_size=shard_size), tmp_path / f"p{shard_size}", include_accuracies=True)
        folder = tmp_path / f"p{shard_size}" / "data"
        contents.append({str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")})
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]) == 4


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1), st.integers(2, 7), st.integers(1, 3), st.sampled_from(FileFormat))
def test_rows_survive_any_cut(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], group: int, per_file: int, file_format: FileFormat
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    rows = table(range(sum(sizes)))
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "ROWS_PER_GROUP", group)
        patch.setattr(compaction, "GROUPS_PER_FILE", per_file)
        pieces = (rows.slice(start, size) for start, size in zip(starts, sizes, strict=True))
        done = write_table(folder, SPACE, "scores", pieces, MANIFEST, file_format)
    assert done.num_rows == rows.num_rows
    assert [path.name for path in done.paths] == [
        f"scores-{i:05d}-of-{len(done.paths):05d}.{file_format}" for i in range(len(done.paths))
    ]
    assert sorted(folder.iterdir()) == list(done.paths)
    found = [read(path) for path in done.paths]
    assert all(0 < part.num_rows <= group * per_file for part in found)
    if found:
        assert pa.concat_tables(found).replace_schema_metadata(None).equals(rows)


@pytest.mark.parametrize("group", [1, 2, 100])
def test_two_rows_with_one_key_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int) -> None:
    monkeypatch.setattr(compaction, "ROWS_PER_GROUP", group)
    with pytest.raises(DatasetError, match="two rows of space nasbench201, images noise, batch_size 4, seed 0, arch_index 2;"):
        write_table(tmp_path, SPACE, "scores", [table([0, 1, 2]), table([2, 3])], MANIFEST, FileFormat.PARQUET)


def test_means_and_repeats_of_one_accuracy_are_two_rows(published: dict[str, Path]) -> None:
    rows = pq.read_table(published["all"] / "data" / SPACE / "accuracies-00000-of-00001.parquet")
    assert rows["seed"].to_pylist() == [777, None] * 8


def read(path: Path) -> pa.Table:
    if path.suffix == ".arrow":
        with pa.memory_map(str(path)) as file:
            return pa.ipc.open_file(file).read_all()
    return pq.read_table(path)

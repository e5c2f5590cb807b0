"""A publication is complete, the same each time, and holds what was asked for and no more."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import naswot_ray
from naswot_ray.dataset import layout, runs
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.errors import DatasetError, SettingsError
from naswot_ray.publish import croissant
from naswot_ray.publish.publish import publish
from tests.dataset.making import MEASURES, SPACE, Row, make_dataset, rewrite, score_row, snapshot, write_part
from tests.publish.conftest import ACCURACY, make


def texts(folder: Path) -> str:
    """All texts that can be read without a reader of Parquet."""
    return "".join(path.read_text() for path in folder.iterdir() if path.is_file())


def test_every_row_of_the_dataset_is_published(published: dict[str, Path]) -> None:
    keys = [(key, "ascending") for key in ("batch_size", "seed", "arch_index")]
    expected = naswot_ray.open(published["d"]).scores.to_table().sort_by(keys)
    found = pq.read_table(published["own"] / "data" / SPACE / "scores-00000-of-00001.parquet")
    assert found.replace_schema_metadata(None).equals(expected)
    assert found["status"].to_pylist().count("failed") == 4


def test_publishing_twice_gives_the_same_bytes(published: dict[str, Path], tmp_path: Path) -> None:
    dataset = naswot_ray.open(published["d"])
    publish(dataset, tmp_path / "again", include_accuracies=True)
    assert snapshot(tmp_path / "again") == snapshot(published["all"])
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


@pytest.mark.parametrize("name", ["own", "all", "arrow"])
def test_the_digests_are_those_of_all_files(published: dict[str, Path], name: str) -> None:
    folder = published[name]
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    del files["SHA256SUMS"]
    assert listed == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def test_accuracies_of_third_parties_stay_at_home_unless_asked_for(published: dict[str, Path]) -> None:
    own = snapshot(published["own"])
    assert sorted(path.name for path in (published["own"] / "data" / SPACE).iterdir()) == [
        "architectures-00000-of-00001.parquet",
        "scores-00000-of-00001.parquet",
    ]
    digits = re.compile(rb"8[0-7]\.6543")
    assert not any(digits.search(content) for content in own.values() if content is not None)
    assert "no trained accuracy of a third party" in texts(published["own"]).lower()
    joined = pq.read_table(published["all"] / "data" / SPACE / "joined-00000-of-00001.parquet")
    assert ACCURACY in joined["accuracy"].to_pylist()
    assert "| nasbench201 | table.csv | cifar10 | 16 | " in (published["all"] / "README.md").read_text()
    assert "its repository's, MIT" in (published["all"] / "README.md").read_text()


def test_a_join_from_before_more_scores_came_is_not_what_is_published(tmp_path: Path) -> None:
    dataset = make(tmp_path / "d")
    for number in (0, 1):
        rows = [score_row(i, batch_size=8, seed=2) for i in range(4 * number, 4 * number + 4)]
        write_part(dataset.storage, layout.scores(SPACE, "noise", 8, 2, number), rows)
    assert dataset.joined.count_rows() == 8 * 4
    publish(dataset, tmp_path / "out", include_accuracies=True)
    joined = pq.read_table(tmp_path / "out" / "data" / SPACE / "joined-00000-of-00001.parquet")
    assert joined.num_rows == 8 * 5


@pytest.mark.parametrize("name", ["own", "all", "arrow"])
def test_no_path_of_this_machine_gets_out(published: dict[str, Path], name: str) -> None:
    assert str(published["d"].parent) not in texts(published[name])
    assert "/tmp" not in texts(published[name])


def test_what_is_missing_is_said_loudly(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", indices=range(6), limit=8)
    publication = publish(dataset, tmp_path / "out")
    assert not publication.quality.complete
    said = "INCOMPLETE: 2 of the 8 score rows that were planned are missing or lack a measure."
    assert said in (tmp_path / "out" / "README.md").read_text()
    assert "INCOMPLETE: 2 of 8 rows are missing or lack a measure" in (tmp_path / "out" / "quality.md").read_text()
    assert json.loads((tmp_path / "out" / "quality.json").read_text())["num_missing"] == 2


def test_a_row_without_a_measure_that_was_asked_for_is_missing(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", change=lambda row: {"meco": 1.0} if row["arch_index"] < 5 else {})
    (record,) = dataset.runs
    grid = record.grid.model_copy(update={"measures": ("naswot", "meco")})
    runs.write(dataset.storage, record.model_copy(update={"grid": grid}))
    publication = publish(dataset, tmp_path / "out")
    assert not publication.quality.complete
    said = "INCOMPLETE: 3 of the 8 score rows that were planned are missing or lack a measure."
    assert said in (tmp_path / "out" / "README.md").read_text()


def test_a_table_of_architectures_that_lacks_rows_is_not_told_as_0_missing_scores(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    min((tmp_path / "d" / "architectures").rglob("part-*.parquet")).unlink()
    assert not publish(dataset, tmp_path / "out").quality.complete
    said = "INCOMPLETE: 4 of the 8 rows of the architectures table that were planned are missing."
    assert said in (tmp_path / "out" / "README.md").read_text()
    assert "INCOMPLETE: 4 of 8 rows of the architectures table are missing." in (tmp_path / "out" / "quality.md").read_text()


@pytest.mark.parametrize("table", ["scores", "architectures", "accuracies"])
def test_a_damaged_file_is_found_and_nothing_is_published(dataset: Dataset, tmp_path: Path, table: str) -> None:
    path = min((tmp_path / "d" / table).rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-5])
    refused(dataset, tmp_path, f"{re.escape(str(path))}: corrupt: .* `naswot-ray check", DatasetError)


def test_rows_that_were_altered_are_found(dataset: Dataset, tmp_path: Path) -> None:
    path = min((tmp_path / "d" / "scores").rglob("*.parquet"))
    rows = pq.read_table(path)
    position = rows.schema.get_field_index("naswot")
    scores = [1.0, *rows["naswot"].to_pylist()[1:]]
    altered = rows.set_column(position, rows.schema.field("naswot"), [scores])
    pq.write_table(altered.replace_schema_metadata(rows.schema.metadata), path)
    refused(dataset, tmp_path, "has no seal: another program wrote it", DatasetError)


def test_rows_that_contradict_themselves_are_found(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", change=lambda row: {"status": "singular"} if row["arch_index"] == 3 else {})
    refused(dataset, tmp_path, "the status is failed if no measure has a value, else singular if one is infinite", DatasetError)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"naswot": None, "naswot_paper": None}, "the status is failed if no measure has a value"),
        ({"meco": float("inf")}, "else singular if one is infinite, else ok"),
        ({"meco": float("nan")}, "no measure is NaN"),
        (
            {"meco": 1.0, "error": "swap: no\nmeco: no"},
            "meco is null where the row failed, and where the column error tells why",
        ),
        ({"naswot": None, "naswot_paper": None, "status": "failed"}, "a failed row says why"),
    ],
)
def test_values_that_contradict_the_status_or_the_error_are_found(tmp_path: Path, change: Row, words: str) -> None:
    dataset = make_dataset(tmp_path / "d", change=lambda row: change if row["arch_index"] == 3 else {})
    refused(dataset, tmp_path, words, DatasetError)


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (3, "run the `naswot-ray score` command that made them again, with --measure meco --replace-older"),
        (7, "move them away and run the `naswot-ray score` command that made them again, with --measure meco"),
    ],
)
def test_parts_with_another_version_of_a_measure_are_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, remedy: str
) -> None:
    monkeypatch.setitem(MEASURES, "meco", 5)
    dataset = make_dataset(tmp_path / "d", seeds=(0, 1, 2), change=lambda row: {"meco": 1.0})
    paths = sorted((tmp_path / "d" / "scores").glob("part-*.parquet"))[1:]
    for path in paths:
        told = json.loads(pq.read_metadata(path).metadata[b"naswot_ray.measures"])
        rewrite(path, lambda rows: rows, **{"naswot_ray.measures": json.dumps(told | {"meco": [version, 0]})})
    named = ", ".join(map(str, paths[:3]))
    words = f"{named} and 2 more parts hold version {version} of the measure meco, the dataset has version 5: {remedy}"
    refused(dataset, tmp_path, "^" + re.escape(words) + "$", DatasetError)


def test_a_part_from_before_the_dataset_got_a_measure_is_published_with_nulls(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    path = min((tmp_path / "d" / "scores").glob("part-*.parquet"))
    rewrite(path, lambda rows: rows.drop_columns(["swap"]))
    publish(dataset, tmp_path / "out")
    found = pq.read_table(tmp_path / "out" / "data" / SPACE / "scores-00000-of-00001.parquet")
    assert found.column_names == dataset.schema_of("scores").names
    assert found["swap"].null_count == 8


def test_a_dataset_that_changes_meanwhile_is_not_published(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describe(contents: object) -> dict[str, object]:
        max((tmp_path / "d" / "scores").rglob("*.parquet")).unlink()
        return {}

    monkeypatch.setattr(croissant, "describe", describe)
    refused(dataset, tmp_path, "changed while it was published", DatasetError)


def test_what_breaks_off_leaves_nothing(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(contents: object) -> dict[str, object]:
        raise KeyboardInterrupt

    monkeypatch.setattr(croissant, "describe", interrupt)
    with pytest.raises(KeyboardInterrupt):
        publish(dataset, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_an_empty_folder_will_do(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    publish(dataset, tmp_path / "out")
    assert (tmp_path / "out" / "README.md").exists()


def test_what_is_there_is_never_overwritten(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    before = snapshot(tmp_path)
    with pytest.raises(SettingsError, match="is there and not an empty folder"):
        publish(dataset, tmp_path / "out")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("output", "words"), [("s3://bucket/out", "expected a local folder"), ("d/scores/out", "lies in the dataset itself")]
)
def test_places_that_will_not_do(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=words):
        publish(dataset, output)


def test_a_dataset_without_scores(tmp_path: Path) -> None:
    refused(make_dataset(tmp_path / "d", indices=[]), tmp_path, "holds no scores: nothing to publish", DatasetError)


def refused(dataset: Dataset, folder: Path, words: str, error: type[Exception]) -> None:
    """Check that publishing ends with this error, on one line, and leaves nothing beside the dataset."""
    with pytest.raises(error, match=words) as caught:
        publish(dataset, folder / "out")
    assert "\n" not in str(caught.value)
    assert [path.name for path in folder.iterdir()] == ["d"]

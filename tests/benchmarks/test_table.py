"""Accuracies in a table of the user's own: every mistake is named with its file, row and column."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from naswot_ray.benchmarks.reading import read_accuracies
from naswot_ray.benchmarks.table import parse_map, read_table
from naswot_ray.dataset import schema
from naswot_ray.errors import SettingsError
from tests.benchmarks.refusing import refusal

MAP = ["arch_id=arch", "cifar10/test/200=acc"]
ARCHS = ["a", "b", "c"]


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    """A table, in the format that the path's name says."""
    table = pa.table(columns)
    if path.suffix == ".csv":
        pacsv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


@pytest.fixture(params=["t.parquet", "t.csv"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name: str = request.param
    return tmp_path / name


def refuses(path: Path, mapping: list[str] = MAP) -> str:
    return refusal(lambda: read_accuracies("s", path, mapping), path)


def test_values(path: Path) -> None:
    write(path, {"arch": ARCHS, "acc": [90.5, 0.0, 100.0], "acc100": [70, 71, 72], "note": ["x", "y", "z"]})
    accuracies = read_accuracies("s", path, [*MAP, "cifar100/valid/12=acc100"])
    assert (accuracies.space, accuracies.source) == ("s", path.name)
    assert accuracies.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    table = accuracies.read_all()
    assert table.schema.equals(schema.ACCURACIES)
    nulls = ("seed", "max_accuracy", "num_repeats", "training_seconds", "params", "flops", "optimiser")
    common = {**dict.fromkeys(nulls), "space": "s", "source_digest": accuracies.digest}
    ten = {"dataset": "cifar10", "split": "test", "epochs": 200}
    hundred = {"dataset": "cifar100", "split": "valid", "epochs": 12}
    assert table.to_pylist() == [
        *({**common, **ten, "arch_id": a, "accuracy": v} for a, v in zip(ARCHS, [90.5, 0.0, 100.0], strict=True)),
        *({**common, **hundred, "arch_id": a, "accuracy": v} for a, v in zip(ARCHS, [70.0, 71.0, 72.0], strict=True)),
    ]


def test_the_key_is_called_arch_id_unless_said_otherwise(path: Path) -> None:
    write(path, {"arch_id": ARCHS, "arch": ["x", "y", "z"], "acc": [1.0, 2.0, 3.0]})
    assert read_accuracies("s", path, MAP[1:]).read_all()["arch_id"].to_pylist() == ARCHS
    assert read_accuracies("s", path, MAP).read_all()["arch_id"].to_pylist() == ["x", "y", "z"]


def test_training_times(path: Path) -> None:
    write(path, {"arch": ARCHS, "acc": [1.0, 2.0, None], "time": [10, None, 30]})
    table = read_accuracies("s", path, [*MAP, "cifar10/test/200/seconds=time"]).read_all()
    assert table.select(["arch_id", "accuracy", "training_seconds"]).to_pylist() == [
        {"arch_id": "a", "accuracy": 1.0, "training_seconds": 10.0},
        {"arch_id": "b", "accuracy": 2.0, "training_seconds": None},
    ]


def test_training_times_that_are_none(path: Path) -> None:
    write(path, {"arch": ARCHS, "acc": [1.0, 2.0, 3.0], "time": [10.0, -1.0, 30.0]})
    mapping = [*MAP, "cifar10/test/200/seconds=time"]
    assert "row 1, column 'time': expected a time in seconds, found -1" in refuses(path, mapping)
    with pytest.raises(SettingsError, match="cifar10/test/12/seconds=time: there is no --map cifar10/test/12=COLUMN"):
        read_accuracies("s", path, [*MAP, "cifar10/test/12/seconds=time"])


def test_empty_cells_are_skipped(path: Path) -> None:
    write(path, {"arch": ARCHS, "acc": [1.0, None, 3.0], "other": [None, None, 4.0]})
    table = read_accuracies("s", path, [*MAP, "cifar100/test/200=other"]).read_all()
    found = [(row["arch_id"], row["dataset"], row["accuracy"]) for row in table.to_pylist()]
    assert found == [("a", "cifar10", 1.0), ("c", "cifar10", 3.0), ("c", "cifar100", 4.0)]


def test_a_table_without_any_value(path: Path) -> None:
    write(path, {"arch": ARCHS, "acc": [None, None, None]})
    assert read_accuracies("s", path, MAP).read_all().num_rows == 0


def test_large_strings_and_dictionaries(tmp_path: Path) -> None:
    for type_ in (pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        columns = {"arch": pa.array(ARCHS).cast(type_), "acc": pa.array([1.0, 2.0, 3.0], pa.float32())}
        pq.write_table(pa.table(columns), tmp_path / "t.parquet")
        assert read_table("s", tmp_path / "t.parquet", MAP).read_all()["arch_id"].to_pylist() == ARCHS


@pytest.mark.parametrize(("missing", "mapping"), [("arch", ["arch_id=arch", "d/s/1=acc"]), ("acc", ["d/s/1=acc"])])
def test_a_missing_column(path: Path, missing: str, mapping: list[str]) -> None:
    write(path, {"arch_id": ARCHS, "accuracy": [1.0, 2.0, 3.0]})
    message = refuses(path, mapping)
    assert f"no column {missing!r}; it has arch_id, accuracy" in message


@pytest.mark.parametrize("column", ["arch", "acc"])
def test_a_column_that_is_there_twice(path: Path, column: str) -> None:
    table = pa.table({"arch": ARCHS, "acc": [1.0, 2.0, 3.0]})
    table = table.append_column(column, table[column])
    if path.suffix == ".csv":
        pacsv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    assert column in refuses(path)


def test_an_arch_id_that_is_there_twice(path: Path) -> None:
    write(path, {"arch": ["a", "b", "a"], "acc": [1.0, 2.0, 1.0]})
    assert "row 2, column 'arch': 'a' is there twice" in refuses(path)


@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_arch_id(tmp_path: Path, value: str | None) -> None:
    path = write(tmp_path / "t.parquet", {"arch": ["a", value, "c"], "acc": [1.0, 2.0, 3.0]})
    assert f"row 1, column 'arch': expected an arch_id, found {value!r}" in refuses(path)


def test_an_empty_arch_id_in_a_csv(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("arch,acc\na,1\n,2\n")
    assert "row 1, column 'arch': expected an arch_id" in refuses(tmp_path / "t.csv")


def test_arch_ids_that_are_numbers(path: Path) -> None:
    write(path, {"arch": [1, 2, 3], "acc": [1.0, 2.0, 3.0]})
    assert "row 0, column 'arch': expected an arch_id, found 1" in refuses(path)


@pytest.mark.parametrize("value", [100.5, -0.1, float("inf"), float("-inf"), 9450.5])
def test_a_value_that_is_no_percentage(path: Path, value: float) -> None:
    write(path, {"arch": ARCHS, "acc": [1.0, value, 3.0]})
    assert f"row 1, column 'acc': expected a percentage from 0 to 100, found {value!r}" in refuses(path)


def test_nan_is_no_percentage(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"arch": ARCHS, "acc": [1.0, float("nan"), 3.0]})
    assert "row 1, column 'acc': expected a percentage from 0 to 100, found nan" in refuses(path)


def test_nan_in_a_csv_is_an_empty_cell(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("arch,acc\na,1\nb,NaN\nc,\n")
    assert read_table("s", tmp_path / "t.csv", MAP).read_all()["arch_id"].to_pylist() == ["a"]


@pytest.mark.parametrize("value", ["94.3%", "n/a-", "high"])
def test_a_value_that_is_no_number(path: Path, value: str) -> None:
    write(path, {"arch": ARCHS, "acc": ["1.0", value, "3.0"]})
    assert "column 'acc': expected a percentage from 0 to 100, found" in refuses(path)


def test_truth_values_are_no_percentages(path: Path) -> None:
    write(path, {"arch": ARCHS, "acc": [True, False, True]})
    assert "row 0, column 'acc': expected a percentage from 0 to 100, found True" in refuses(path)


@pytest.mark.parametrize("keep", [0, 3, 0.5, 0.99])
def test_a_truncated_parquet(tmp_path: Path, keep: float) -> None:
    path = write(tmp_path / "t.parquet", {"arch": ARCHS, "acc": [1.0, 2.0, 3.0]})
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
    assert "is not a readable parquet file" in refuses(path)


@pytest.mark.parametrize("content", [b"", b"arch,acc\na,1\nb,2,3\n"], ids=["empty", "ragged"])
def test_a_csv_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert "is not a readable csv file" in refuses(tmp_path / "t.csv")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"arch,acc\n\xff\xfe,1\n")
    refuses(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["t.txt", "t.PARQUET", "t.pbz2", "t.json", "t"])
def test_another_kind_of_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("arch,acc\na,1\n")
    message = refuses(tmp_path / name)
    assert "expected a NATS-...-simple directory with a meta.pickle.pbz2, a NATS-....pickle.pbz2 file" in message


def test_a_directory_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    refuses(tmp_path / "t.csv")
    refuses(tmp_path)


def test_no_file(path: Path) -> None:
    assert "does not exist" in refuses(path)


BAD_MAPS = {
    "nothing": ([], "needs at least one --map DATASET/SPLIT/EPOCHS=COLUMN"),
    "only arch_id": (["arch_id=arch"], "needs at least one --map DATASET/SPLIT/EPOCHS=COLUMN"),
    "no equals": (["cifar10/test/200"], "'cifar10/test/200': expected FIELD=COLUMN"),
    "no column": (["cifar10/test/200="], "'cifar10/test/200=': expected FIELD=COLUMN"),
    "two parts": (["cifar10/200=acc"], "'cifar10/200=acc': expected arch_id or DATASET/SPLIT/EPOCHS"),
    "four parts": (["a/b/c/200=acc"], "expected arch_id or DATASET/SPLIT/EPOCHS"),
    "an empty part": (["cifar10//200=acc"], "expected arch_id or DATASET/SPLIT/EPOCHS"),
    "no number": (["cifar10/test/many=acc"], "expected arch_id or DATASET/SPLIT/EPOCHS"),
    "negative": (["cifar10/test/-1=acc"], "expected arch_id or DATASET/SPLIT/EPOCHS"),
    "a fraction": (["cifar10/test/1.5=acc"], "expected arch_id or DATASET/SPLIT/EPOCHS"),
    "another field": (["params=p", "cifar10/test/200=acc"], "'params=p': expected arch_id or DATASET/SPLIT/EPOCHS"),
    "the same accuracy twice": (["cifar10/test/200=a", "cifar10/test/200=b"], "cifar10/test/200"),
    "more epochs than a column holds": (["cifar10/test/99999999999=acc"], "cifar10/test/99999999999"),
}


@pytest.mark.parametrize(("mapping", "message"), BAD_MAPS.values(), ids=list(BAD_MAPS))
def test_a_bad_map(path: Path, mapping: list[str], message: str) -> None:
    write(path, {"arch_id": ARCHS, "acc": [1.0, 2.0, 3.0], "a": [1.0, 2.0, 3.0], "b": [1.0, 2.0, 3.0]})
    with pytest.raises(SettingsError) as caught:
        read_accuracies("s", path, mapping)
    assert message in str(caught.value)


def test_a_column_name_may_hold_anything() -> None:
    assert parse_map(["arch_id=a=b", "d/s/1=x/y=z"]) == ("a=b", {("d", "s", 1): "x/y=z"}, {})


ENTRIES = st.one_of(
    st.text(),
    st.builds("{}={}".format, st.text(), st.text()),
    st.builds("{}/{}/{}={}".format, st.text(), st.text(), st.one_of(st.text(), st.integers(), st.floats()), st.text()),
)


@given(st.lists(ENTRIES, max_size=3))
@example(["cifar10/test/²=acc"])
@example(["cifar10/test/" + "9" * 5000 + "=acc"])
def test_any_map_is_read_or_refused(mapping: list[str]) -> None:
    try:
        arch_id, columns, times = parse_map(mapping)
    except SettingsError as error:
        assert str(error)  # noqa: PT017
        return
    assert arch_id
    assert times.keys() <= columns.keys()
    for (dataset, split, epochs), column in columns.items():
        assert dataset
        assert split
        assert epochs >= 0
        assert any(entry.endswith("=" + column) and entry.startswith(f"{dataset}/{split}/") for entry in mapping)

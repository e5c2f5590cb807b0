"""Accuracies in the user's own table: every error names the file, the row and the column."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from naswot_ray.benchmarks.formats import read_accuracies
from naswot_ray.benchmarks.members import Members, members_of
from naswot_ray.benchmarks.table import parse_map, read_table
from naswot_ray.dataset import schema
from naswot_ray.dataset.label import Label
from naswot_ray.errors import SettingsError
from naswot_ray.spaces import get_space
from tests.benchmarks.refusing import refusal

MAP = ["arch_id=arch", "cifar10/test/200=acc"]
ARCHS = ["a", "b", "c"]


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    """Write a table in the format that the path's suffix names."""
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


@pytest.mark.parametrize("column", ["acc", "time"])
def test_a_column_without_any_value(path: Path, column: str) -> None:
    columns: dict[str, list[Any]] = {"arch": ARCHS, "acc": [1.0, 2.0, 3.0], "time": [1.0, 2.0, 3.0], column: [None] * 3}
    write(path, columns)
    mapping = [*MAP, "cifar10/test/200/seconds=time"]
    assert refuses(path, mapping).endswith(f"column {column!r} has no value in any of its 3 rows")


def test_a_column_of_nan(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"arch": ARCHS, "acc": [float("nan")] * 3})
    assert "column 'acc' has no value in any of its 3 rows" in refuses(path)


def test_a_table_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"arch": pa.array([], pa.string()), "acc": pa.array([], pa.float64())}), path)
    assert "has no rows" in refuses(path)
    (tmp_path / "t.csv").write_text("arch,acc\n")
    assert "has no rows" in refuses(tmp_path / "t.csv")


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


def test_nan_is_an_empty_cell(tmp_path: Path) -> None:
    """pandas writes missing values like this."""
    path = write(tmp_path / "t.parquet", {"arch": ARCHS, "acc": [1.0, float("nan"), 3.0]})
    assert read_table("s", path, MAP).read_all()["arch_id"].to_pylist() == ["a", "c"]


NUMBERS = {
    "decimal": pa.array([Decimal("90.25"), None, Decimal("3.5")], pa.decimal128(8, 4)),
    "float32": pa.array([90.25, None, 3.5], pa.float32()),
    "float16": pa.array([90.25, None, 3.5], pa.float16()),
    "text": pa.array([" 90.25", "NaN", "3.5e0 "]),
    "dictionary": pa.array(["90.25", None, "3.5"]).dictionary_encode(),
}


@pytest.mark.parametrize("values", NUMBERS.values(), ids=list(NUMBERS))
def test_kinds_of_numbers(tmp_path: Path, values: pa.Array) -> None:
    pq.write_table(pa.table({"arch": ARCHS, "acc": values}), tmp_path / "t.parquet")
    table = read_table("s", tmp_path / "t.parquet", MAP).read_all()
    assert [(row["arch_id"], row["accuracy"]) for row in table.to_pylist()] == [("a", 90.25), ("c", 3.5)]


def test_integers(path: Path) -> None:
    write(path, {"arch": ARCHS, "acc": [90, 0, 100]})
    assert read_table("s", path, MAP).read_all()["accuracy"].to_pylist() == [90.0, 0.0, 100.0]


@pytest.mark.parametrize(
    "text",
    [
        "arch , acc\n a, 90.5\nb , 1.25 \n c ,\n",
        'arch,acc\n" a",90.5\n"b\t"," 1.25"\nc,n/a\n',
        "arch,acc\na,90.5\nb,1.25\nc,<NA>\n",
    ],
)
def test_blanks_do_not_count(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    table = read_table("s", tmp_path / "t.csv", MAP).read_all()
    assert [(row["arch_id"], row["accuracy"]) for row in table.to_pylist()] == [("a", 90.5), ("b", 1.25)]


def test_keys_that_blanks_make_the_same(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("arch,acc\na,1\n a,2\n")
    assert "row 1, column 'arch': 'a' is there twice" in refuses(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("arch,acc\na,1\n  ,2\n")
    assert "row 1, column 'arch': expected an arch_id, found '  '" in refuses(tmp_path / "t.csv")


def test_a_hash_that_looks_like_a_number(tmp_path: Path) -> None:
    ids = ["12345678901234567890123456789e12", "12345678901234567890123456789012"]
    (tmp_path / "t.csv").write_text(f"arch,acc\n{ids[0]},1\n{ids[1]},2\n")
    assert read_table("s", tmp_path / "t.csv", MAP).read_all()["arch_id"].to_pylist() == ids


@pytest.mark.parametrize("value", ["94,3", "94.3%", "0x5E", "9_4", "inf", "-Infinity", "true", "²"])
def test_a_text_that_is_no_percentage(tmp_path: Path, value: str) -> None:
    write(tmp_path / "t.parquet", {"arch": ARCHS, "acc": ["1.0", value, "3.0"]})
    assert "row 1, column 'acc': expected a percentage from 0 to 100, found" in refuses(tmp_path / "t.parquet")


def test_likely_fractions(path: Path) -> None:
    write(path, {"arch": ARCHS, "acc": [0.1, None, 0.94], "percent": [0.5, 0.7, 1.5], "zero": [0.0, 0.0, 0.0]})
    (warning,) = read_table("s", path, [*MAP, "cifar100/test/200=percent", "cifar10/valid/12=zero"]).warnings
    assert warning.startswith(
        f"{path}: column 'acc' has values from 0.1 to 0.94, as fractions have; cifar10/test/200 is in percent"
    )
    assert "multiply the column by 100" in warning


MEMBERS = Members("s", frozenset("abc"))


def test_keys_of_the_space(path: Path) -> None:
    write(path, {"arch": ["c", "a"], "acc": [1.0, 2.0]})
    assert read_accuracies("s", path, MAP, members=MEMBERS).read_all().num_rows == 2
    write(path, {"arch": ["c", "x", "a", "y"], "acc": [1.0, 2.0, 3.0, 4.0]})
    message = refusal(lambda: read_accuracies("s", path, MAP, members=MEMBERS), path)
    assert "row 1, column 'arch': 'x' is no architecture of s (2 of 4 are none)" in message


@pytest.mark.parametrize(
    ("arch_id", "space"),
    [
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "nasbench201"),
        ("00005c142e6f48ac74fdcf73e3439874", "nasbench101"),
        ("8:16:24:32:64", "nats_sss"),
        ("00042-0123456789ab", "nds_amoeba or 33 spaces like it"),
    ],
)
def test_a_table_of_another_space(path: Path, arch_id: str, space: str) -> None:
    write(path, {"arch": [arch_id, "zz"], "acc": [1.0, 2.0]})
    message = refusal(lambda: read_accuracies("s", path, MAP, members=MEMBERS), path)
    assert f"row 0, column 'arch': {arch_id!r} is no architecture of s; none of the 2 in this column is" in message
    assert message.endswith(f": it looks like a table of {space}, import it there")


SPACE = get_space("nasbench201")
SHUFFLED = "|none~0|+|skip_connect~1|none~0|+|none~2|none~0|skip_connect~1|"


def test_edges_in_another_order(path: Path) -> None:
    """The rows get the space's own arch_ids, or they would match no scores."""
    own = SPACE.arch_id_of(SHUFFLED)
    write(path, {"arch": [SPACE[7], SHUFFLED], "acc": [1.0, 2.0]})
    table = read_accuracies("nasbench201", path, MAP, members=members_of(SPACE)).read_all()
    assert dict(zip(table["arch_id"].to_pylist(), table["accuracy"].to_pylist(), strict=True)) == {SPACE[7]: 1.0, own: 2.0}
    write(path, {"arch": [own, SPACE[7], SHUFFLED], "acc": [1.0, 2.0, 3.0]})
    message = refusal(lambda: read_accuracies("nasbench201", path, MAP, members=members_of(SPACE)), path)
    assert message.endswith(f"row 2, column 'arch': {SHUFFLED!r} is there twice, as {own!r} before")


def test_a_cell_outside_the_space(path: Path) -> None:
    outside = "|none~0|+|skip_connect~0|none~0|+|none~2|none~0|skip_connect~1|"
    write(path, {"arch": [SPACE[7], outside], "acc": [1.0, 2.0]})
    message = refusal(lambda: read_accuracies("nasbench201", path, MAP, members=members_of(SPACE)), path)
    assert f"row 1, column 'arch': {outside!r} is no architecture of nasbench201" in message


def test_official_rows_with_edges_in_another_order(tmp_path: Path) -> None:
    """Formats of other packages name architectures as they like; the columns beside them stay as they are."""
    batch = pa.record_batch({"space": ["s"] * 3, "arch_id": [SHUFFLED, SPACE[7], SHUFFLED], "accuracy": [1.0, 2.0, 3.0]})
    (checked,) = members_of(SPACE).checked(tmp_path, [batch])
    own = SPACE.arch_id_of(SHUFFLED)
    assert checked.to_pydict() == batch.to_pydict() | {"arch_id": [own, SPACE[7], own]}
    assert checked.schema == batch.schema


def test_where_only_some_architectures_are_known(path: Path) -> None:
    known = Members("nds_darts", frozenset(["00000-000000000000", "00007-000000000007"]), is_whole=False, note="")
    write(path, {"arch": ["00007-000000000007", "00008-000000000008"], "acc": [1.0, 2.0]})
    assert read_accuracies("nds_darts", path, MAP, members=known).read_all().num_rows == 2
    write(path, {"arch": ["00007-000000000008", "00008-000000000008"], "acc": [1.0, 2.0]})
    assert "none of the 2" in refusal(lambda: read_accuracies("nds_darts", path, MAP, members=known), path)
    none = Members("nds_darts", frozenset(), is_whole=False, note="")
    assert read_accuracies("nds_darts", path, MAP, members=none).read_all().num_rows == 2
    write(path, {"arch": ["00007-000000000008", "8:8:8:8:8"], "acc": [1.0, 2.0]})
    assert "row 1" in refusal(lambda: read_accuracies("nds_darts", path, MAP, members=none), path)


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
    (tmp_path / "t.csv").write_bytes(b"arch,acc\xff\na,1\n")
    assert "is not a readable csv file" in refuses(tmp_path / "t.csv")
    text = pa.StringArray.from_buffers(1, pa.array([0, 2], pa.int32()).buffers()[1], pa.py_buffer(b"\xff\xfe"))
    pq.write_table(pa.table({"arch": text, "acc": [1.0]}), tmp_path / "t.parquet")
    assert "column 'arch' is damaged" in refuses(tmp_path / "t.parquet")
    pq.write_table(pa.table({"arch": ["a"], "acc": text}), tmp_path / "t.parquet")
    assert "column 'acc' is damaged" in refuses(tmp_path / "t.parquet")


def test_a_table_without_a_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"arch,acc\n")
    assert refuses(tmp_path / "t.csv").endswith("t.csv has no rows")


@pytest.mark.parametrize("name", ["t.txt", "t.PARQUET", "t.pbz2", "t.json", "t"])
def test_another_kind_of_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("arch,acc\na,1\n")
    message = refuses(tmp_path / name)
    assert (
        "a NATS-...-simple directory with a meta.pickle.pbz2 (NATS-Bench), a NATS-....pickle.pbz2 file (NATS-Bench)" in message
    )


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
    assert parse_map(["arch_id=a=b", "d/s/1=x/y=z"]) == ("a=b", {Label("d", "s", 1): "x/y=z"}, {})


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
    for label, column in columns.items():
        assert label.dataset
        assert label.split
        assert label.epochs >= 0
        start = f"{label.dataset}/{label.split}/"
        assert any(entry.endswith("=" + column) and entry.startswith(start) for entry in mapping)

"""NAS-Bench-101's own file format: every repeat and their means, and files that are broken."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naswot_ray.benchmarks import nasbench101
from naswot_ray.benchmarks.formats import read_accuracies
from naswot_ray.benchmarks.nasbench101 import parse, read_nasbench101
from naswot_ray.dataset import schema
from naswot_ray.errors import BenchmarkError, SettingsError
from tests.benchmarks.nasbench101_files import (
    OPS,
    Training,
    content,
    delimited,
    double,
    evaluation,
    frame,
    integer,
    metrics,
    record,
    write_tfrecord,
)
from tests.benchmarks.refusing import refusal
from tests.data import find_table

A, B, C = ("a" * 32, "b" * 32, "0123456789abcdef" * 2)

TRAININGS = [
    Training(A, 108, 0.93, 0.92, 1700.0, 100),
    Training(B, 4, 0.41, 0.4, 70.0, 200, "0100", "input,output"),
    Training(A, 108, 0.95, 0.93, 1900.0, 100),
    Training(C, 36, 0.8, 0.7, 500.0, 300, "010001000", "input,maxpool3x3,output"),
    Training(A, 12, 0.5, 0.45, 150.0, 100),
    Training(A, 108, 0.91, 0.94, 1800.0, 100),
    Training(B, 4, 0.43, 0.39, 71.0, 200, "0100", "input,output"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tfrecord(tmp_path / "some.tfrecord", TRAININGS)


def rows_of(path: Path) -> list[dict[str, Any]]:
    table = read_nasbench101(path).read_all()
    table.validate(full=True)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def expected(trainings: Sequence[Training]) -> list[dict[str, Any]]:
    """The rows that follow from trainings, computed in the plainest way."""
    repeats: dict[tuple[str, int], list[Training]] = defaultdict(list)
    for training in trainings:
        repeats[training.module_hash, training.epochs].append(training)
    rows = []
    for (module_hash, epochs), group in repeats.items():
        key = {
            "space": "nasbench101",
            "arch_id": module_hash,
            "dataset": "cifar10",
            "epochs": epochs,
            "params": group[0].params,
        }
        for split in ("valid", "test"):
            accuracies = [100 * getattr(training, split) for training in group]
            for seed, (training, accuracy) in enumerate(zip(group, accuracies, strict=True)):
                rows.append(
                    {**key, "split": split, "seed": seed, "accuracy": accuracy, "training_seconds": training.seconds}
                    | {"max_accuracy": None, "num_repeats": None}
                )
            rows.append(
                {**key, "split": split, "seed": None, "accuracy": fmean(accuracies), "max_accuracy": max(accuracies)}
                | {"training_seconds": fmean(training.seconds for training in group), "num_repeats": len(group)}
            )
    return rows


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda r: (r["arch_id"], r["epochs"], r["split"], 9 if r["seed"] is None else r["seed"]))


def assert_same(found: list[dict[str, Any]], trainings: Sequence[Training]) -> None:
    for row, other in zip(in_order(found), in_order(expected(trainings)), strict=True):
        for name, value in other.items():
            assert row[name] == (pytest.approx(value, rel=1e-14) if isinstance(value, float) else value), name


def test_every_repeat_and_their_mean(path: Path) -> None:
    rows = [r for r in rows_of(path) if (r["arch_id"], r["epochs"], r["split"]) == (A, 108, "test")]
    assert [(r["seed"], r["accuracy"], r["training_seconds"]) for r in rows] == [
        (0, 92.0, 1700.0),
        (1, 93.0, 1900.0),
        (2, 94.0, 1800.0),
        (None, pytest.approx(93.0), 1800.0),
    ]
    assert [(r["max_accuracy"], r["num_repeats"]) for r in rows] == [(None, None)] * 3 + [(94.0, 3)]
    assert {r["params"] for r in rows} == {100}


def test_all_rows(path: Path) -> None:
    rows = rows_of(path)
    assert_same(rows, TRAININGS)
    assert len(rows) == 2 * (7 + 4)
    assert {r["optimiser"] for r in rows} == {r["flops"] for r in rows} == {None}


def test_a_mean_follows_its_repeats(path: Path) -> None:
    rows = rows_of(path)
    for before, row in itertools.pairwise(rows):
        if row["seed"] != 0:
            assert [row[k] for k in ("arch_id", "split", "epochs")] == [before[k] for k in ("arch_id", "split", "epochs")]
            assert before["seed"] is not None


def test_the_table_has_the_schema_and_says_where_it_comes_from(path: Path) -> None:
    accuracies = read_nasbench101(path)
    assert (accuracies.space, accuracies.source) == ("nasbench101", "some.tfrecord")
    assert accuracies.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    table = accuracies.read_all()
    assert table.schema.equals(schema.ACCURACIES)
    assert set(table["source_digest"].to_pylist()) == {accuracies.digest}


@pytest.mark.parametrize("groups_per_batch", [1, 2, 3])
def test_batches_do_not_change_the_rows(path: Path, monkeypatch: pytest.MonkeyPatch, groups_per_batch: int) -> None:
    whole = rows_of(path)
    monkeypatch.setattr(nasbench101, "_GROUPS_PER_BATCH", groups_per_batch)
    assert len(list(read_nasbench101(path).batches)) > 2
    assert in_order(rows_of(path)) == in_order(whole)


ACCURACY = st.floats(0, 1).map(lambda value: value + 0.0)
TRAINING = st.builds(
    Training, st.sampled_from([A, B, C]), st.sampled_from([4, 12, 36, 108]), ACCURACY, ACCURACY, st.floats(0, 1e6), st.just(1)
)


@settings(max_examples=100, deadline=None)
@given(st.lists(TRAINING, min_size=1, max_size=20))
def test_any_trainings_come_back(tmp_path_factory: pytest.TempPathFactory, trainings: list[Training]) -> None:
    path = write_tfrecord(tmp_path_factory.getbasetemp() / "any.tfrecord", trainings)
    groups = [(training.module_hash, training.epochs) for training in trainings]
    if max(map(groups.count, groups)) > 3:
        refuses(path, "expected 3 repeats of module")
    else:
        assert_same(rows_of(path), trainings)


def test_the_published_values_survive_the_format(tmp_path: Path) -> None:
    columns = ["module_hash", "adjacency", "op_codes", "cifar10_test_acc_108", "params", "cifar10_valid_acc_108_one_run"]
    published = pq.read_table(find_table("nasbench101.parquet"), columns=columns).slice(0, 40_000)
    chosen = [row for row in published.to_pylist()[::40] if row["cifar10_valid_acc_108_one_run"] is not None]
    assert len(chosen) > 50
    trainings = [
        Training(
            row["module_hash"],
            108,
            row["cifar10_valid_acc_108_one_run"] / 100,
            row["cifar10_test_acc_108"] / 100 + difference,
            params=row["params"],
            adjacency=row["adjacency"],
            operations=",".join(["input", *(OPS[code] for code in row["op_codes"]), "output"]),
        )
        for difference in (-0.001, 0.001, 0.0)  # first repeats, then second repeats: the trainings of one cell are not adjacent
        for row in chosen
    ]
    rows = rows_of(write_tfrecord(tmp_path / "nasbench.tfrecord", trainings))
    means = {(r["arch_id"], r["split"]): r for r in rows if r["seed"] is None}
    for row in chosen:
        test = means[row["module_hash"], "test"]
        assert test["accuracy"] == pytest.approx(row["cifar10_test_acc_108"], abs=1e-9)
        assert test["max_accuracy"] == pytest.approx(row["cifar10_test_acc_108"] + 0.1, abs=1e-9)
        assert test["params"] == row["params"]
        assert means[row["module_hash"], "valid"]["accuracy"] == pytest.approx(row["cifar10_valid_acc_108_one_run"], abs=1e-9)


def test_the_last_evaluation_counts(tmp_path: Path) -> None:
    evaluations = [evaluation(epoch, 10 * epoch, 0.1, 0.01 * epoch, 0.02 * epoch) for epoch in (4.0, 2.0, 0.0, 1.0)]
    path = write_tfrecord(tmp_path / "t.tfrecord", [with_metrics(metrics(evaluations, 5))])
    assert {(r["split"], r["accuracy"], r["training_seconds"]) for r in rows_of(path)} == {("valid", 1, 10), ("test", 2, 10)}


def with_metrics(message: bytes | str) -> bytes:
    """A record with these metrics, given as a message or as the text that replaces its base64."""
    encoded = message if isinstance(message, str) else base64.b64encode(message).decode()
    return json.dumps([*content(TRAININGS[0])[:4], encoded]).encode()


GOOD = evaluation(108.0, 1700.0, 1.0, 0.93, 0.92)


def test_what_protobuf_allows(tmp_path: Path) -> None:
    """The record has checkpoint paths, unknown fields, another order, line breaks in the base64, and no total time."""
    for message in (
        metrics([evaluation(108.0, 1700.0, 1.0, 0.93, 0.92, checkpoint="/model/model.ckpt-42")], 5),
        metrics([GOOD + delimited(9, b"new") + double(10, 1.0)], 5) + integer(20, 7),
        integer(2, 5) + double(3, 1.0) + delimited(1, GOOD),
        metrics([GOOD], 5, total_time=None),
        base64.encodebytes(metrics([GOOD] * 3, 5)).decode(),
    ):
        path = write_tfrecord(tmp_path / "t.tfrecord", [with_metrics(message)])
        assert {(r["split"], r["accuracy"], r["params"]) for r in rows_of(path)} == {("valid", 93.0, 5), ("test", 92.0, 5)}


def refuses(path: Path, *named: str) -> str:
    return refusal(lambda: read_nasbench101(path), path, *named)


def evaluations_without(number: int) -> bytes:
    """A message whose last evaluation lacks a field."""
    values = enumerate((108.0, 1700.0, 1.0, 0.93, 0.92), start=1)
    return metrics([GOOD, b"".join(double(n, value) for n, value in values if n != number)], 5)


def changed(position: int, value: Any) -> bytes:
    return json.dumps([value if i == position else item for i, item in enumerate(content(TRAININGS[0]))]).encode()


BAD_RECORDS: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"hash,108", "expected JSON"),
    "no text": (b'["\xff"]', "expected JSON"),
    "too deep": (b"[" * 100_000, "expected JSON"),
    "empty": (b"", "expected JSON"),
    "an object": (b"{}", "expected a JSON list [module_hash, epochs, adjacency, operations, metrics]"),
    "four items": (b'["a", 108, "", ""]', "expected a JSON list"),
    "six items": (b'["a", 108, "", "", "", ""]', "expected a JSON list"),
    "epochs as text": (changed(1, "108"), "expected a JSON list"),
    "epochs as a fraction": (changed(1, 108.0), "expected a JSON list"),
    "epochs as a truth value": (changed(1, True), "expected a JSON list"),
    "a hash that is none": (changed(0, "nasbench"), "expected a module hash of 32 hexadecimal digits, found 'nasbench'"),
    "a hash in capitals": (changed(0, "A" * 32), "expected a module hash"),
    "other epochs": (changed(1, 200), "expected 4, 12, 36 or 108 epochs, found 200"),
    "epochs without end": (changed(1, 10**4000), "expected 4, 12, 36 or 108 epochs, found 1000"),
    "no operations": (changed(3, ""), "expected operations input,...,output"),
    "one operation": (changed(3, "input"), "expected operations"),
    "an unknown operation": (changed(3, "input,conv5x5,output"), "found 'input,conv5x5,output'"),
    "eight operations": (changed(3, "input" + ",maxpool3x3" * 6 + ",output"), "expected operations"),
    "a million operations": (changed(3, "input" + ",maxpool3x3" * 80_000 + ",output"), "expected operations"),
    "an adjacency that is too short": (changed(2, "0" * 48), "expected an adjacency of 7 x 7 digits 0 and 1"),
    "an adjacency of another size": (changed(2, "0100"), "expected an adjacency of 7 x 7 digits"),
    "an adjacency of letters": (changed(2, "0" * 24 + "x" + "0" * 24), "expected an adjacency of 7 x 7 digits"),
    "an adjacency of other digits": (changed(2, "0" * 48 + "²"), "expected an adjacency of 7 x 7 digits"),
    "no base64": (with_metrics("*"), "expected a ModelMetrics message"),
    "broken base64": (with_metrics("abcde"), "expected a ModelMetrics message in base64"),
    "base64 of other letters": (with_metrics("é"), "expected a ModelMetrics message in base64"),
    "no protobuf": (with_metrics(b"\xff\xff\xff"), "expected a ModelMetrics message in base64"),
    "a cut message": (with_metrics(metrics([GOOD], 5)[:-3]), "expected a ModelMetrics message in base64"),
    "an empty message": (with_metrics(""), "expected a ModelMetrics message with evaluations"),
    "no evaluations": (with_metrics(metrics([], 5)), "expected a ModelMetrics message with evaluations"),
    "no parameters": (with_metrics(metrics([GOOD], None)), "and a number of parameters"),
    "negative parameters": (
        with_metrics(delimited(1, GOOD) + b"\x10" + b"\xff" * 9 + b"\x01"),
        "expected a number of parameters, found -1",
    ),
    "no validation accuracy": (with_metrics(evaluations_without(4)), "expected a validation_accuracy from 0 to 1 in the last"),
    "no test accuracy": (
        with_metrics(evaluations_without(5)),
        "expected a test_accuracy from 0 to 1 in the last evaluation, found none",
    ),
    "no training time": (with_metrics(evaluations_without(2)), "expected a training_time in seconds in the last evaluation"),
    "percent": (
        with_metrics(metrics([evaluation(108, 1, 1, 93.0, 92.0)], 5)),
        "validation_accuracy from 0 to 1 in the last evaluation, found 93.0",
    ),
    "a negative accuracy": (with_metrics(metrics([evaluation(108, 1, 1, 0.5, -0.1)], 5)), "found -0.1"),
    "an accuracy that is no number": (with_metrics(metrics([evaluation(108, 1, 1, 0.5, float("nan"))], 5)), "found nan"),
    "endless training": (with_metrics(metrics([evaluation(108, float("inf"), 1, 0.5, 0.5)], 5)), "found inf"),
}


@pytest.mark.parametrize(("data", "message"), BAD_RECORDS.values(), ids=list(BAD_RECORDS))
def test_a_record_that_makes_no_sense(tmp_path: Path, data: bytes, message: str) -> None:
    path = write_tfrecord(tmp_path / "t.tfrecord", [TRAININGS[0], data, TRAININGS[1]])
    found = refuses(path, f"record 1 at byte {len(frame(record(TRAININGS[0])))}: ", message)
    assert len(found) < 500


def test_a_fourth_repeat(tmp_path: Path) -> None:
    path = write_tfrecord(tmp_path / "t.tfrecord", [*TRAININGS, TRAININGS[0]])
    refuses(path, "record 7 at byte", f"expected 3 repeats of module {A} at 108 epochs, found another")


def test_repeats_of_different_networks(tmp_path: Path) -> None:
    path = write_tfrecord(tmp_path / "t.tfrecord", [*TRAININGS, replace(TRAININGS[0], epochs=4, params=101)])
    refuses(path, "record 7 at byte", f"module {A} has 101 parameters here and 100 before")


def test_a_record_that_is_too_long(tmp_path: Path) -> None:
    refuses(write_tfrecord(tmp_path / "t.tfrecord", [b"x" * (2**20 + 1)]), "record 0 at byte 0 has 1048577 bytes")


def test_an_empty_file(tmp_path: Path) -> None:
    refuses(write_tfrecord(tmp_path / "t.tfrecord", []), "empty; expected the records of NAS-Bench-101")


WHOLE = b"".join(frame(record(training)) for training in TRAININGS)


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, len(WHOLE) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.tfrecord"
    data = bytearray(WHOLE)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    refuses(path)


@settings(max_examples=200, deadline=None)
@given(end=st.integers(0, len(WHOLE) - 1))
def test_a_truncated_file_is_refused_or_ends_between_records(tmp_path_factory: pytest.TempPathFactory, end: int) -> None:
    path = tmp_path_factory.getbasetemp() / "truncated.tfrecord"
    path.write_bytes(WHOLE[:end])
    for number in range(1, len(TRAININGS)):
        if end == sum(len(frame(record(training))) for training in TRAININGS[:number]):
            assert_same(rows_of(path), TRAININGS[:number])
            return
    refuses(path)


def damaged(data: bytes, damage: tuple[str, float, bytes]) -> bytes:
    kind, where, junk = damage
    place = int(where * len(data))
    return {
        "cut": data[:place],
        "insert": data[:place] + junk + data[place:],
        "replace": data[:place] + junk + data[place + len(junk) :],
    }[kind]


@settings(max_examples=300, deadline=None)
@given(st.tuples(st.sampled_from(["cut", "insert", "replace"]), st.floats(0, 1), st.binary(min_size=1, max_size=4)))
def test_a_damaged_record_is_parsed_or_refused(damage: tuple[str, float, bytes]) -> None:
    """The checksums are right, as if the writer itself had written wrong records."""
    message = base64.b64decode(str(content(TRAININGS[0])[4]))
    for data in (damaged(record(TRAININGS[0]), damage), with_metrics(damaged(message, damage))):
        try:
            training = parse(data)
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert 0 <= training.valid <= 100
            assert 0 <= training.test <= 100
            assert 0 <= training.params < 2**31


def test_read_accuracies_takes_the_file_and_tells_progress(path: Path) -> None:
    told: list[tuple[int, int]] = []
    accuracies = read_accuracies("nasbench101", path, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(WHOLE), len(WHOLE))
    assert accuracies.read_all().equals(read_nasbench101(path).read_all())
    with pytest.raises(BenchmarkError, match=r"some.tfrecord holds accuracies of nasbench101, not of nasbench201"):
        read_accuracies("nasbench201", path)
    with pytest.raises(SettingsError, match=r"--map is for tables; .*some.tfrecord is an official file of nasbench101"):
        read_accuracies("nasbench101", path, ["cifar10/test/108=x"])

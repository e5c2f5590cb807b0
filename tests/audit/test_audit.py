"""An audit finds rows that are wrong although every file is complete and every digest is right."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import naswot_ray
from naswot_ray.audit import rows as audit_rows
from naswot_ray.audit.comparison import chance_to_find
from naswot_ray.audit.rows import PointCounts, find_contradictions, find_wrong_counts
from naswot_ray.dataset import layout
from naswot_ray.dataset.storage import Storage
from tests.audit.output import figures
from tests.cli.running import naswot, refuses
from tests.dataset import making
from tests.dataset.making import FAILED, Row, make_dataset, score_row
from tests.datasets import score_here

NUM = 24
OPTIONS: dict[str, Any] = {"limit": NUM, "batch_size": [8], "seed": [0, 1], "shard_size": 8}


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound dataset of 48 rows."""
    root = tmp_path_factory.mktemp("scored") / "d"
    score_here(root, **OPTIONS)
    return root


@pytest.fixture
def copy(scored: Path, tmp_path: Path) -> Path:
    """A copy of that dataset, which a test may damage."""
    for path in scored.rglob("*"):
        if path.is_file():
            target = tmp_path / "d" / path.relative_to(scored)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path / "d"


def rewrite(root: Path, change: Callable[[list[Row]], list[Row]]) -> None:
    """Change rows and write their parts as a run would, with correct seals."""
    storage = Storage(root)
    for path in sorted((root / "scores").rglob("*.parquet")):
        relative = PurePosixPath(path.relative_to(root).as_posix())
        before = pq.read_table(path, partitioning=None).to_pylist()
        path.unlink()
        named = layout.table_file(relative)
        assert named is not None
        assert named.number is not None
        full_range = range(named.number * 8, named.number * 8 + 8)
        making.write_part(storage, relative, change(before), full_range)


def test_a_good_dataset_passes(scored: Path) -> None:
    done = naswot("audit", scored, "--sample", 30)
    assert done.exit_code == 0, done.output
    assert "30 of 30 random rows agree, recomputed by fast in float32\n" in done.output
    assert figures(done.output, "naswot") == figures(done.output, "naswot_paper") == ["30", "30", "30", "30", "0.0e+00"]
    assert "expressivity" not in done.output, "no row has a value of it"
    assert "nothing contradicts itself" in done.output
    assert (
        "of 48 rows; chance to find at least one altered row, by the number of altered rows: 1: 62.5%, 10: 100.0%"
        in done.output
    )


def test_another_engine_agrees_within_the_tolerance(scored: Path) -> None:
    done = naswot("audit", scored, "--sample", 6, "--engine", "exact")
    assert done.exit_code == 0, done.output
    assert "6 of 6 random rows agree, recomputed by exact in float32" in done.output
    assert figures(done.output, "naswot")[:4] == ["6", "6", "0", "0"], "nothing is bit for bit by another engine"


def test_the_draw_depends_on_its_seed_alone(scored: Path, copy: Path) -> None:
    from naswot_ray.audit.recomputation import draw_rows  # noqa: PLC0415

    rewrite(copy, lambda rows: rows[::-1])
    draws = [draw_rows(naswot_ray.open(root), 10, seed) for root, seed in ((scored, 0), (copy, 0), (scored, 1))]
    assert draws[0] == draws[1] != draws[2]
    assert len(draws[0]) == len(draws[2]) == 10


def test_ten_altered_rows_are_found_out(copy: Path) -> None:
    generator = np.random.default_rng(1)
    altered = set(generator.choice(2 * NUM, 10, replace=False).tolist())
    count: Iterator[int] = iter(range(2 * NUM))

    def change(rows: list[Row]) -> list[Row]:
        return [row | ({"naswot": row["naswot"] - 0.01} if next(count) in altered else {}) for row in rows]

    rewrite(copy, change)
    assert chance_to_find(10, 2 * NUM, 24) > 0.999
    done = naswot("audit", copy, "--sample", 24)
    assert done.exit_code == 1
    named = [line for line in done.output.splitlines() if line.startswith("disagrees: space=nasbench201, arch_id=|")]
    assert 1 <= len(named) <= 10
    assert f"{24 - len(named)} of 24 random rows agree" in done.output
    assert all(": naswot " in line and "recomputed" in line for line in named)
    assert figures(done.output, "naswot")[:2] == ["24", str(24 - len(named))]
    assert figures(done.output, "naswot_paper")[:2] == ["24", "24"]
    everything = naswot("audit", copy, "--sample", 48)
    assert everything.output.count("disagrees: ") == 10


def test_folders_above_a_dataset_change_nothing(scored: Path, tmp_path: Path) -> None:
    where = tmp_path / "images=cifar10" / "seed=7" / "batch_size=32"
    shutil.copytree(scored, where / "d")
    done = naswot("audit", where / "d", "--sample", 30)
    assert done.exit_code == 0, done.output
    assert "30 of 30 random rows agree" in done.output


def test_rows_of_another_dtype_than_the_dataset_says_are_found(copy: Path) -> None:
    rewrite(copy, lambda rows: [row | ({"dtype": "bfloat16"} if row["arch_index"] == 3 else {}) for row in rows])
    done = naswot("audit", copy, "--sample", 5)
    assert done.exit_code == 1
    assert "another dtype than the dataset's, float32: " in done.output


def test_a_wrong_seed_is_found_out(copy: Path) -> None:
    for path in (copy / "scores").glob("*.seed-[01].*"):  # exchange the rows of the two seeds
        path.rename(path.with_name(f"{path.name}.moved"))
    for path in (copy / "scores").glob("*.moved"):
        name = path.name.removesuffix(".moved")
        swapped = name.replace("seed-0", "seed-1") if "seed-0" in name else name.replace("seed-1", "seed-0")
        path.rename(path.with_name(swapped))
    rewrite(copy, lambda rows: [row | {"seed": 1 - row["seed"]} for row in rows])
    done = naswot("audit", copy, "--sample", 5)
    assert done.exit_code == 1
    assert done.output.count("disagrees: ") >= 3  # not all of the five: a singular architecture is singular at any seed


def test_wrong_images_are_found_out(tmp_path: Path, scored: Path, copy: Path) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data/cifar10.npz", x_train=images, y_train=np.zeros(40, np.int64))
    other = tmp_path / "other"
    score_here(other, **OPTIONS | {"images": "cifar10", "data": tmp_path / "data", "seed": [0], "limit": 8})
    scores = {row["arch_id"]: row for row in naswot_ray.open(other).scores.to_table().to_pylist()}
    rewrite(copy, lambda rows: [row | {"naswot": scores.get(row["arch_id"], row)["naswot"]} for row in rows])
    done = naswot("audit", copy, "--sample", 48)
    assert done.exit_code == 1
    assert done.output.count("disagrees: ") >= 12  # eight architectures with two seeds; a few units may agree by chance

    np.savez(tmp_path / "data/cifar10.npz", x_train=images[::-1], y_train=np.zeros(40, np.int64))
    message = refuses(other, "audit", other, "--data", tmp_path / "data")
    assert "was computed from something else: images.cifar10.digest is" in message


def test_swapped_architectures_are_found_out(copy: Path) -> None:
    def swap(rows: list[Row]) -> list[Row]:
        columns = ("naswot", "naswot_paper", "num_units", "status")
        return [row | {c: other[c] for c in columns} for row, other in zip(rows, [*rows[1::-1], *rows[2:]], strict=True)]

    rewrite(copy, swap)
    done = naswot("audit", copy, "--sample", 48)
    assert done.exit_code == 1
    assert done.output.count("disagrees: ") == 12  # two rows from each of six parts


def test_an_architecture_under_another_index_is_found_out(copy: Path) -> None:
    def swap(rows: list[Row]) -> list[Row]:
        first, second, *rest = rows
        return [first | {"arch_id": second["arch_id"]}, second | {"arch_id": first["arch_id"]}, *rest]

    rewrite(copy, swap)
    done = naswot("audit", copy, "--sample", 48)
    assert done.exit_code == 1
    assert "another arch_id than the architectures have at this arch_index: 12 rows, such as space=nasbench201" in done.output
    assert done.output.count("of the space is |") == 12


GOOD: Row = {
    "naswot": 20.0,
    "naswot_paper": 19.0,
    "expressivity": 7.0,
    "meco": 0.5,
    "naswot_layerwise": 50.0,
    "swap": 12.0,
}
"""Possible values of a network with about 1,000 units on 4 images."""

STATUS = "values that the row's status does not have"
CONTRADICTIONS: dict[str, tuple[Row, str]] = {
    "ok without a value": (dict.fromkeys(GOOD), STATUS),
    "ok but singular": ({"naswot": -math.inf, "naswot_paper": -math.inf}, STATUS),
    "infinite": ({"expressivity": math.inf}, STATUS),
    "singular but ok": ({"status": "singular"}, STATUS),
    "failed with a value": ({"status": "failed", "error": "x"}, STATUS),
    "failed without a reason": (dict.fromkeys(GOOD) | {"status": "failed"}, STATUS),
    "unknown status": ({"status": "fine"}, STATUS),
    "no units": ({"num_units": None}, "values without num_units"),
    "other units than at another seed": ({"num_units": 1004}, "other num_units than the same network elsewhere"),
    "the paper's above the published": ({"naswot_paper": 20.1}, "naswot_paper above naswot"),
    "an error beside the value": ({"error": "swap: ValueError: no"}, "an error of a measure that has a value"),
    "the second error": ({"error": "toy: no\nmeco: no"}, "an error of a measure that has a value"),
    "beyond Hadamard's bound": ({"naswot": 4 * math.log(1003) + 0.01}, "a value of naswot that no network has"),
    "below a determinant of 1": ({"naswot_paper": -0.5}, "a value of naswot_paper that no network has"),
    "more patterns than signs": ({"swap": 17.0}, "a value of swap that no network has"),
    "a negative entropy": ({"expressivity": -0.1}, "a value of expressivity that no network has"),
    "a negative eigenvalue": ({"meco": -1e-5}, "a value of meco that no network has"),
    "a determinant below 1": ({"naswot_layerwise": -1.0}, "a value of naswot_layerwise that no network has"),
}
IMPOSSIBLE: dict[str, Row] = {
    "not a number": {"naswot": math.nan},
    "no kernel, but singular": {"meco": -math.inf, "status": "singular"},
}
"""A value that contradicts both the status and the bounds of its measure, or only the bounds."""


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_rows_that_contradict_themselves(tmp_path: Path, name: str) -> None:
    wrong, reason = CONTRADICTIONS[name]

    def change(row: Row) -> Row:
        return GOOD | (wrong if (row["arch_index"], row["seed"]) == (3, 1) else {})

    dataset = make_dataset(tmp_path / "d", seeds=(0, 1), change=change)
    (finding,) = find_contradictions(dataset)
    assert finding.reason == reason
    assert score_row(3)["arch_id"] in finding.example


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_values_that_nothing_has(tmp_path: Path, name: str) -> None:
    wrong = IMPOSSIBLE[name]
    dataset = make_dataset(tmp_path / "d", change=lambda row: GOOD | (wrong if row["arch_index"] == 3 else {}))
    measure = next(iter(wrong))
    assert f"a value of {measure} that no network has" in {found.reason for found in find_contradictions(dataset)}


def test_values_at_their_bounds_are_right(tmp_path: Path) -> None:
    extremes: dict[int, Row] = {
        0: {"naswot": 4 * math.log(1000), "swap": 16.0, "meco": -1e-9},
        1: {"naswot": 0.0, "naswot_paper": 0.0, "expressivity": 0.0, "naswot_layerwise": 0.0, "swap": 0.0},
        2: {"naswot": -math.inf, "naswot_paper": -math.inf, "status": "singular"},
        3: dict.fromkeys(GOOD) | {"meco": 1.0, "error": "swap: ValueError: no\nnaswot: ValueError: no"},
        4: dict.fromkeys(GOOD) | FAILED,
    }
    dataset = make_dataset(tmp_path / "d", change=lambda row: GOOD | extremes.get(row["arch_index"], {}))
    assert list(find_contradictions(dataset)) == []


def test_a_key_twice(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", change=lambda row: GOOD)
    part = next((tmp_path / "d/scores").rglob("part-*.parquet"))
    making.rewrite(part, lambda table: pa.concat_tables([table, table.slice(0, 2)]))
    (finding,) = find_contradictions(dataset)
    assert (finding.reason, finding.num_rows) == ("a key more than once", 2)


def test_too_few_singular_kernels() -> None:
    def counts(num_rows: int, num_kernels: int, num_singular_kernels: int) -> PointCounts:
        return PointCounts("nasbench201", "cifar10", 32, 0, num_rows, 201, 0, num_kernels, num_singular_kernels)

    whole, few = counts(15625, 15625, 201), counts(15625, 15625, 200)
    part, of_other_measures = counts(15624, 15624, 0), counts(15625, 9, 0)
    (finding,) = find_wrong_counts([whole, few, part, of_other_measures], {"nasbench201": 15625})
    assert finding.reason == "200 singular kernels where the space has 201"


def test_refusals(tmp_path: Path, scored: Path) -> None:
    assert "does not exist" in refuses(tmp_path, "audit", tmp_path / "nowhere")
    assert "unknown engine 'quick'" in refuses(scored, "audit", scored, "--engine", "quick")
    assert "nasbench201 takes no parameters" in refuses(scored, "audit", scored, "--space-option", "channels=3")


def test_damaged_files_are_told_before_anything_is_computed(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = next((copy / "scores").rglob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-100])
    monkeypatch.setattr(audit_rows, "count_points", None)
    done = naswot("audit", copy)
    assert done.exit_code == 1
    assert f"corrupt: {part.relative_to(copy)}" in done.output


@pytest.mark.parametrize(("num", "drawn", "chance"), [(1, 24, 0.5), (0, 24, 0.0), (25, 24, 1.0), (2, 24, 1 - 276 / 1128)])
def test_chance_to_find(num: int, drawn: int, chance: float) -> None:
    assert chance_to_find(num, 48, drawn) == pytest.approx(chance)

"""An audit computes every measure of a row again, applies each measure's own tolerance, and says what it cannot compare."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import naswot_ray
from naswot_ray.audit.comparison import Comparison, Recomputed, StoredRow, agreements
from naswot_ray.audit.recomputation import draw_rows, recompute
from naswot_ray.dataset import part_footer
from naswot_ray.engines.fast.engine import FastEngine
from naswot_ray.images.source import load_images
from naswot_ray.measures import Measure, Statistic, all_measures, own_measures
from naswot_ray.spaces import get_space
from naswot_ray.tolerance import DTYPE_FACTORS, TOLERANCES, bound_of, num_tensors_of
from tests.audit.output import figures
from tests.cli.running import naswot
from tests.dataset import making
from tests.datasets import score_here

NUM = 6
KERNELS_ALONE = frozenset({Statistic.KERNELS, Statistic.LOG_DETS})
"""What an engine finds if it cannot give the other measures."""


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows with all measures, computed by engine `exact`."""
    root = tmp_path_factory.mktemp("scored") / "d"
    score_here(root, limit=NUM, batch_size=[4], seed=[0], shard_size=4, engine="exact", measure=["all"])
    return root


@pytest.fixture
def copy(scored: Path, tmp_path: Path) -> Path:
    """A copy of those rows, which a test may damage."""
    shutil.copytree(scored, tmp_path / "d")
    return tmp_path / "d"


def change(root: Path, measure: str, change_value: Callable[[pa.Array], pa.Array]) -> None:
    """Change the values of a measure in all rows, with correct seals."""

    def changed(table: pa.Table) -> pa.Table:
        return table.set_column(table.schema.get_field_index(measure), table.field(measure), change_value(table[measure]))

    for path in root.glob("scores/part-*.parquet"):
        making.rewrite(path, changed)


def test_all_measures_are_computed_again_in_one_pass(scored: Path) -> None:
    done = naswot("audit", scored)
    assert done.exit_code == 0, done.output
    assert "6 of 6 random rows agree, recomputed by exact in float32\n" in done.output
    for name in own_measures():
        assert figures(done.output, name) == ["6", "6", "6", "6", "0.0e+00"]


@pytest.mark.parametrize("measure", own_measures())
def test_a_wrong_value_of_any_measure_is_found_out(copy: Path, measure: str) -> None:
    change(copy, measure, lambda values: pc.multiply(values, 0.98))
    done = naswot("audit", copy)
    assert done.exit_code == 1
    wrong = done.output.count(f": {measure} ")
    assert done.output.count("disagrees: ") == wrong >= NUM - 2  # this leaves 0 and -inf unchanged
    for name in own_measures():
        assert figures(done.output, name)[:2] == ["6", str(6 - (wrong if name == measure else 0))]


def test_each_measure_has_its_own_tolerance(copy: Path) -> None:
    """A difference that expressivity may have would be wrong for a kernel."""
    change(copy, "expressivity", lambda values: pc.multiply(values, 1.0005))
    assert naswot("audit", copy).exit_code == 0
    change(copy, "naswot", lambda values: pc.add(values, 0.002))
    assert naswot("audit", copy).exit_code == 1


def test_rows_that_two_engines_computed(tmp_path: Path) -> None:
    options = {"limit": 3, "batch_size": [4], "seed": [0]}
    score_here(tmp_path / "d", **options, engine="fast")
    score_here(tmp_path / "d", **options, engine="exact", measure=["meco"])
    done = naswot("audit", tmp_path / "d")
    assert done.exit_code == 0, done.output
    assert "3 of 3 random rows agree" in done.output
    # It is not known which of the two engines computed a value, so no value is expected to be the same bit for bit.
    assert figures(done.output, "naswot")[:4] == ["3", "3", "0", "0"]
    assert figures(done.output, "meco")[:4] == ["3", "3", "0", "0"]


def test_measures_that_an_engine_cannot_give(scored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FastEngine, "statistics", KERNELS_ALONE)
    done = naswot("audit", scored, "--engine", "fast")
    assert done.exit_code == 0, done.output
    assert figures(done.output, "naswot")[:4] == ["6", "6", "0", "0"]
    assert "not compared: 6 values of meco: engine fast cannot give it" in done.output


def test_where_the_engine_of_a_row_cannot_run_another_one_does(scored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = draw_rows(naswot_ray.open(scored), 2, 0)
    nowhere = [replace(row, columns={**row.columns, "engine": "fast+none"}) for row in rows]
    space, images = get_space(making.SPACE), load_images("noise")

    def engines() -> set[str]:
        return {one.engine for one in recompute(nowhere, {space.name: space}, {images.name: images})}

    monkeypatch.setattr(FastEngine, "statistics", frozenset(Statistic))
    assert engines() == {"fast"}
    monkeypatch.setattr(FastEngine, "statistics", KERNELS_ALONE)
    assert engines() == {"exact"}, "the first one that gives all of the row's measures"


def test_values_of_another_version_are_told_and_not_compared(copy: Path) -> None:
    change(copy, "meco", lambda values: pc.add(values, 1.0))
    first, second = sorted(copy.glob("scores/part-*.parquet"))
    told = json.loads(pq.read_schema(first).metadata[part_footer.MEASURES_KEY])
    making.rewrite(first, lambda table: table, **{part_footer.MEASURES_KEY.decode(): json.dumps(told | {"meco": [7, 0]})})
    told.pop("meco")
    making.rewrite(second, lambda table: table, **{part_footer.MEASURES_KEY.decode(): json.dumps(told)})
    done = naswot("audit", copy)
    assert "disagrees" not in done.output
    assert "6 of 6 random rows agree" in done.output
    assert "missing: nasbench201, noise, batch size 4, seed 0: 6 of 6 rows" in done.output, "the plan asks for this version"
    assert "not compared: 4 values of meco: the values are of version 7, version 1 is installed here" in done.output
    assert "not compared: 2 values of meco: the values do not tell their version, version 1 is installed here" in done.output
    assert figures(done.output, "swap")[:2] == ["6", "6"]
    assert not [line for line in done.output.splitlines() if line.startswith("meco")]


def test_nothing_to_compare_is_not_agreement(scored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("naswot_ray.audit.recomputation.all_measures", dict)
    done = naswot("audit", scored)
    assert done.exit_code == 1
    assert "not compared: 6 values of swap: no package that is installed here has this measure" in done.output
    assert "6 rows of the sample without any value that could be compared" in done.output


def test_a_measure_that_fails_now(scored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> float:
        raise ArithmeticError("no")

    known: Mapping[str, Measure] = all_measures()
    broken = {**known, "swap": replace(known["swap"], take=fail)}
    monkeypatch.setattr("naswot_ray.audit.recomputation.all_measures", lambda: broken)
    done = naswot("audit", scored)
    assert done.exit_code == 1
    assert done.output.count("computing it again failed: ArithmeticError: no") == 6


def test_agreements_count_by_measure() -> None:
    row = StoredRow({}, {}, {})
    pairs = [("meco", 1.0, 1.0, True), ("meco", 1.0, 1.05, True), ("meco", 1.0, 2.0, False), ("swap", 3.0, 3.0, False)]
    found = [Recomputed(row, "fast", "float32", (Comparison(m, a, b, 0.1, same),), {}) for m, a, b, same in pairs]
    meco, swap = agreements(found)
    assert (meco.num_compared, meco.num_agreeing, meco.num_same_engine, meco.num_identical) == (3, 2, 2, 1)
    assert meco.largest == pytest.approx(0.05)
    assert (swap.num_compared, swap.num_same_engine, swap.num_identical, swap.largest) == (1, 0, 0, 0.0)


@pytest.mark.parametrize(
    ("stored", "found", "agrees"),
    [(-math.inf, -math.inf, True), (-math.inf, 3.0, False), (3.0, -math.inf, False), (math.nan, 3.0, False), (3.0, 3.1, False)],
)
def test_agreement_of_special_values(stored: float, found: float, agrees: bool) -> None:
    assert Comparison("m", stored, found, 0.05, same_engine=True).agrees is agrees


def test_tolerances_grow_with_the_coarser_dtype() -> None:
    naswot_, layerwise, meco = (all_measures()[name] for name in ("naswot", "naswot_layerwise", "meco"))
    assert {dtype: bound_of(naswot_, 1500.0, 9, dtype) for dtype in DTYPE_FACTORS} == TOLERANCES
    assert bound_of(naswot_, 1500.0, 9, "float32", "bfloat16") == TOLERANCES["bfloat16"]
    assert bound_of(naswot_, 1500.0, 9, "float32", "none") == TOLERANCES["float32"]
    assert bound_of(layerwise, 1500.0, 9, "float32") == pytest.approx(9e-3)
    assert bound_of(layerwise, 1500.0, 9, "tf32") == bound_of(layerwise, 1500.0, 9, "bfloat16") == pytest.approx(4.5)
    assert bound_of(meco, 0.1, 9, "float32") == pytest.approx(1e-3)
    assert bound_of(meco, 10.0, 9, "tf32") == pytest.approx(0.2)
    assert bound_of(meco, -math.inf, 9, "float32") == 0.0


def test_tensors_that_are_always_zero_are_not_counted() -> None:
    space = get_space("nasbench201")
    none, convolutions = (
        space.network("+".join(f"|{'|'.join(f'{op}~{i}' for i in range(n))}|" for n in (1, 2, 3)))
        for op in ("none", "nor_conv_3x3")
    )
    assert num_tensors_of(none) == 0 < len(none.plan.codes)
    assert num_tensors_of(convolutions) == len(convolutions.plan.codes)

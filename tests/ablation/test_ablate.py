"""An ablation changes one thing at a time, and tells what that changes in the scores."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import naswot_ray
from naswot_ray.ablation import results
from naswot_ray.ablation.levels import Ablated, Factor, Level, draw_architectures, levels
from naswot_ray.ablation.results import Effect, effects
from naswot_ray.images.source import load_images
from tests.cli.running import naswot, refuses

NOISE = load_images("noise")


def test_levels_change_one_thing_each() -> None:
    real = load_images("noise", image_size=16)  # stands for real images; it only has to be another source than noise
    found = levels(real, NOISE, 8, (4, 8, 16), 3)
    assert {factor: sum(level.factor is factor for level in found) for factor in Factor} == {
        Factor.INITIALISATION: 3,
        Factor.MINIBATCH: 3,
        Factor.NOISE: 3,
        Factor.BATCH_SIZE: 3,
    }
    common = (real.name, 8, 0, 0)
    for level in found:
        setting = (level.images, level.batch_size, level.weights_seed, level.images_seed)
        assert sum(a != b for a, b in zip(setting, common, strict=True)) <= (2 if level.factor is Factor.NOISE else 1)
    assert Factor.NOISE not in {level.factor for level in levels(NOISE, NOISE, 8, (), 2)}


def test_architectures_are_always_the_same() -> None:
    space = naswot_ray.get_space("nasbench201")
    assert draw_architectures(space, 5) == draw_architectures(space, 5)
    assert set(draw_architectures(space, 5)) < set(draw_architectures(space, 9))


def scores(table: np.ndarray, factor: Factor = Factor.MINIBATCH) -> list[Ablated]:
    return [
        Ablated(f"a{column}", Level(factor, "noise", 8, 0, row), {} if math.isnan(value) else {"meco": float(value)})
        for row, line in enumerate(table)
        for column, value in enumerate(line)
    ]


def effects_of(found: list[Ablated]) -> list[Effect]:
    return effects(found, ["meco"])


def test_a_shift_of_all_scores_is_told_from_what_moves_one() -> None:
    architectures, shifts = np.array([10.0, 20.0, 40.0]), np.array([0.0, 5.0, 1.0, 2.0])
    (effect,) = effects_of(scores(architectures + shifts[:, None]))
    assert effect.shift == pytest.approx(shifts.std(ddof=1))
    assert effect.deviation == pytest.approx(0)
    assert effect.between == pytest.approx(architectures.std(ddof=1))
    assert effect.tau == 1
    (reversed_,) = effects_of(scores(np.array([[1.0, 2, 3], [3, 2, 1]])))
    assert (reversed_.shift, reversed_.tau) == (0, -1)
    assert reversed_.deviation == pytest.approx(math.sqrt(4 / 3))


def test_singular_architectures_rank_last_and_are_in_no_deviation() -> None:
    (effect,) = effects_of(scores(np.array([[1.0, 2, -math.inf], [1, 2, -math.inf]])))
    assert (effect.deviation, effect.tau, effect.num_finite) == (0, 1, 2)
    assert effect.num_failed == 0
    (sizes,) = effects_of(scores(np.array([[1.0, 2], [10, 20]]), Factor.BATCH_SIZE))
    assert math.isnan(sizes.deviation)
    assert sizes.tau == 1


def test_an_architecture_whose_measure_failed_is_in_no_figure() -> None:
    table = np.array([[1.0, 2, 3, math.nan], [1, 2, 3, 9], [2, 3, 4, 0]])
    (effect,), (without,) = effects_of(scores(table)), effects_of(scores(table[:, :3]))
    assert (effect.num_finite, effect.num_failed) == (3, 1)
    assert (effect.shift, effect.deviation, effect.between, effect.tau) == (
        without.shift,
        without.deviation,
        without.between,
        without.tau,
    )
    text = results.markdown([effect], ["x"])
    assert "meco failed at some level for 1 of the architectures, which are in none of its figures." in text
    assert "failed" not in results.markdown([without], ["x"])


def test_each_measure_has_its_effects() -> None:
    level = Level(Factor.MINIBATCH, "noise", 8, 0, 0)
    other = Level(Factor.MINIBATCH, "noise", 8, 0, 1)
    found = [
        Ablated(f"a{i}", one, {"meco": float(i), "swap": float(i * scale)})
        for one, scale in ((level, 1), (other, 3))
        for i in range(3)
    ]
    meco, swap = effects(found, ["meco", "swap"])
    assert (meco.measure, swap.measure) == ("meco", "swap")
    assert [meco.shift, swap.shift] == pytest.approx([0.0, math.sqrt(2)])


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("naswot_ray.cli.ablate.BATCH_SIZES", (4, 8))
    out = tmp_path / "out"
    done = naswot("ablate", "--num", 3, "--repeats", 2, "--batch-size", 4, "-o", out)
    assert done.exit_code == 0, done.output
    assert done.output.startswith(
        "3 random architectures of nasbench201, noise images, batch size 4, 2 seeds, batch sizes 4, 8 where that is changed. "
    )
    assert "| naswot | initialisation | 2 |" in done.output
    assert sum(line.endswith(" | 3 |") for line in done.output.splitlines() if line.startswith("| naswot |")) == 3
    assert "| naswot | batch size | 2 |  |  |  |" in done.output
    table = pq.read_table(out / "ablation.parquet")
    assert table.schema == results.schema_of(["naswot"])
    assert table.num_rows == 3 * (2 + 2 + 2)
    for row in table.to_pylist()[:4]:
        images = NOISE.batch(row["batch_size"], row["images_seed"])
        assert row["naswot"] == naswot_ray.score(row["arch_id"], images, seed=row["weights_seed"])["naswot"]
    assert (out / "ablation.md").read_text() in done.output
    assert (out / "ablation.png").stat().st_size > 10_000
    assert "is not empty" in refuses(tmp_path, "ablate", "-o", out)


def test_the_command_with_several_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("naswot_ray.cli.ablate.BATCH_SIZES", (4, 8))
    out = tmp_path / "out"
    options = ("--num", 3, "--repeats", 2, "--batch-size", 4, "--measure", "meco", "--measure", "naswot")
    done = naswot("ablate", *options, "-o", out)
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if line.startswith(("| naswot |", "| meco |"))]
    assert [line.split(" | ")[0] for line in lines] == ["| naswot"] * 3 + ["| meco"] * 3
    table = pq.read_table(out / "ablation.parquet")
    assert table.schema == results.schema_of(["naswot", "meco"])
    row = table.to_pylist()[1]
    images = NOISE.batch(row["batch_size"], row["images_seed"])
    scores = naswot_ray.score(row["arch_id"], images, seed=row["weights_seed"], measures=["naswot", "meco"], engine="exact")
    assert row["meco"] == pytest.approx(scores["meco"], rel=1e-3)
    drawn = (out / "ablation.svg").read_text()
    assert "<svg" in drawn
    assert "did you mean meco?" in refuses(tmp_path, "ablate", "--measure", "mecco")

"""The quality report counts correctly."""

from __future__ import annotations

import json
from pathlib import Path

from naswot_ray.publish.publish import publish
from tests.dataset.making import MEASURES, make_dataset
from tests.publish.conftest import MECO_FAILED


def test_counts_against_the_plan(published: dict[str, Path]) -> None:
    found = json.loads((published["own"] / "quality.json").read_text())
    assert found["complete"]
    assert (found["num_wanted"], found["num_missing"], found["num_failed"]) == (32, 0, 4)
    assert len(found["points"]) == 5
    assert all(point["wanted"] == point["present"] == 8 for point in found["points"])
    assert [(g["ok"], g["singular"], g["failed"]) for g in found["groups"]] == [(12, 2, 2)] * 2
    ranges = {(r["table"], r["column"]): r for r in found["ranges"]}
    assert ranges["scores", "naswot"] == {
        "space": "nasbench201",
        "table": "scores",
        "column": "naswot",
        "num_null": 4,
        "num_infinite": 4,
        "min": 100.0,
        "max": 107.0,
    }
    assert ranges["scores", "num_units"]["max"] == 1007


def test_values_are_counted_by_measure_and_group(published: dict[str, Path]) -> None:
    found = json.loads((published["own"] / "quality.json").read_text())
    counts = {(c["measure"], c["batch_size"]): c for c in found["measures"]}
    assert list(counts) == [(name, size) for name in ("naswot", "naswot_paper", "meco") for size in (4, 8)]
    names = ("num_seeds", "num_values", "num_infinite", "num_failed", "num_failed_alone", "num_not_computed")
    told = {key: tuple(count[name] for name in names) for key, count in counts.items()}
    assert told["naswot", 8] == (2, 14, 2, 2, 0, 0)
    assert told["naswot_paper", 8] == (2, 14, 0, 2, 0, 0)
    assert told["meco", 8] == (2, 13, 0, 2, 1, 0)
    assert told["meco", 4] == (0, 0, 0, 2, 0, 14)
    assert all(sum(t[1:2] + t[3:]) == 16 for t in told.values()), "every row is one of them"
    assert found["reasons"] == [
        {"measure": None, "reason": "RuntimeError: no", "num_rows": 4},
        {"measure": "meco", "reason": MECO_FAILED, "num_rows": 1},
    ]


def test_a_statement_for_each_measure_is_checked(published: dict[str, Path]) -> None:
    page = (published["own"] / "quality.md").read_text()
    for name in MEASURES:
        assert f"- in every row of scores {name} is null where the row failed, and where the column error tells why" in page


def test_one_seed_has_no_correlation_between_seeds(tmp_path: Path) -> None:
    counts = publish(make_dataset(tmp_path / "d"), tmp_path / "out").quality.measures
    assert [(count.measure, count.num_seeds, count.seed_correlation) for count in counts] == [
        ("naswot", 1, None),
        ("naswot_paper", 1, None),
    ]
    assert "There is one seed only" in (tmp_path / "out" / "README.md").read_text()

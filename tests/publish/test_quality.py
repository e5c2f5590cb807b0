"""The quality report counts right, and says what tau is beside what is published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from naswot_ray.analysis.summary import Group
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.publish import quality as module
from naswot_ray.publish.publish import publish
from tests.dataset.making import make_dataset


def test_counts_against_the_plan(published: dict[str, Path]) -> None:
    found = json.loads((published["own"] / "quality.json").read_text())
    assert found["complete"]
    assert (found["num_wanted"], found["num_missing"], found["num_failed"]) == (32, 0, 4)
    assert len(found["points"]) == 5
    assert all(point["wanted"] == point["present"] == 8 for point in found["points"])
    assert [(g["ok"], g["singular"], g["failed"]) for g in found["groups"]] == [(12, 2, 2)] * 2
    ranges = {(r["table"], r["column"]): r for r in found["ranges"]}
    assert ranges["scores", "score"] == {
        "space": "nasbench201",
        "table": "scores",
        "column": "naswot",
        "num_null": 4,
        "num_infinite": 4,
        "min": 100.0,
        "max": 107.0,
    }
    assert ranges["scores", "num_units"]["max"] == 1007


def test_one_seed_has_no_correlation_between_seeds(tmp_path: Path) -> None:
    (group,) = publish(make_dataset(tmp_path / "d"), tmp_path / "out").quality.groups
    assert group.seed_correlation is None
    assert "There is one seed only" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("images", "number", "tau", "inside"),
    [
        ("cifar10", 15625, 0.6, True),
        ("cifar10", 15625, 0.3, False),
        ("cifar10", 15625, -0.6, False),
        ("cifar10", 100, 0.6, None),
        ("noise", 15625, 0.6, None),
    ],
)
def test_tau_is_compared_with_what_is_published(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: str, number: int, tau: float, inside: bool | None
) -> None:
    taus = {"naswot": tau, "params": 0.5, "flops": 0.7, "num_layers": float("nan")}
    group = Group("nasbench201", images, 4, 2, 32, 4, 4, [], {"cifar10": taus}, {"cifar10": number})
    monkeypatch.setattr(module, "summarise", lambda dataset: [group])
    quality = publish(dataset, tmp_path / "out").quality
    assert [(t.tau, t.tau_num_layers, t.inside) for t in quality.tau] == [(tau, None, inside)]
    page = (tmp_path / "out" / "quality.md").read_text()
    verdict = {True: " 0.571-0.574 | yes |", False: " 0.571-0.574 | **no** |", None: " |  |  |"}[inside]
    assert f"| nasbench201 | {images} | 4 | cifar10 | {number:,} | {tau:.3f} | 0.500 | 0.700 | " in page
    assert verdict in page
    assert "In 1 of 1 comparisons" in (tmp_path / "out" / "README.md").read_text()

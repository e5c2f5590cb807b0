"""The script of the search table searches a dataset by several measures and says what it searched."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import search_table
from naswot_ray.errors import SettingsError
from tests.dataset.making import Row, add, make_dataset, mean_accuracy

NUM = 30


def change(row: Row) -> Row:
    """The lower the index, the higher `meco` and the accuracy are, and the lower `naswot` is."""
    return {"meco": 50.0 - row["arch_index"], "seconds": 0.5}


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = make_dataset(tmp_path / "d", indices=range(NUM), seeds=(0, 1), change=change)
    add(made, [mean_accuracy(i, dataset=label.dataset) for i in range(NUM) for label in search_table.LABELS])
    search_table.main(tmp_path / "d", ["naswot", "meco", "params"], samples=[5, NUM], runs=4)
    out = capsys.readouterr().out
    assert out.startswith(
        "| scored by | N | cifar10, % | cifar100, % | imagenet16-120, % | seconds |\n|---|---|---|---|---|---|\n"
    )
    assert "| meco | 30 | 90.00 ± 0.00 | 90.00 ± 0.00 | 90.00 ± 0.00 | 15.0 |" in out
    assert "| naswot | 30 | 61.00 ± 0.00 |" in out
    assert "| params | 30 | 61.00 ± 0.00 | 61.00 ± 0.00 | 61.00 ± 0.00 | 0.0 |" in out
    naswot, params = (
        next(line for line in out.splitlines() if line.startswith(f"| {name} | 5 |")) for name in ("naswot", "params")
    )
    assert naswot.split(" | ")[2] == params.split(" | ")[2], "the same cells are drawn, and both rank them alike"
    assert "| nothing: one random cell | | 75.50 ± 8.66 |" in out
    assert "- meco: noise images, batch size 4, seeds 0, 1 in turn; 30 of 15,625 cells\n" in out
    assert "- 4 runs of each, random seed 0; test accuracy after 200 epochs" in out


def test_accuracies_of_other_cells(tmp_path: Path) -> None:
    made = make_dataset(tmp_path / "d")
    add(
        made, [mean_accuracy(i, dataset=label.dataset) for n, label in enumerate(search_table.LABELS) for i in range(8 - n % 2)]
    )
    with pytest.raises(SettingsError, match="the accuracies of 7 and 8 cells are known"):
        search_table.main(tmp_path / "d")

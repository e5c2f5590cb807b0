"""Which measures a dataset holds, according to the footers and rows of its parts."""

from __future__ import annotations

from pathlib import Path

from naswot_ray.dataset import layout, manifest, parts
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.part_state import Expected
from naswot_ray.grid.coverage import contents_of
from naswot_ray.grid.holdings import Holding
from tests.dataset.making import FAILED, MEASURES, SPACE, Row, make_dataset, score_row, settings


def held(dataset: Dataset, name: str) -> Holding:
    (one,) = (one for one in contents_of(dataset).holdings if one.name == name)
    return one


def test_values_failures_and_rows_without_a_value_are_counted(tmp_path: Path) -> None:
    def change(row: Row) -> Row:
        """Row 1 fails, row 2 fails only in meco, and rows 4 to 7 have no meco."""
        match row["arch_index"]:
            case 1:
                return FAILED
            case 2:
                return {"error": "meco: MeasureError: no"}
            case 0 | 3:
                return {"meco": 0.5}
        return {}

    dataset = make_dataset(tmp_path / "d", change=change)
    assert [one.name for one in contents_of(dataset).holdings] == list(MEASURES)
    naswot, meco, swap = (held(dataset, name) for name in ("naswot", "meco", "swap"))
    assert (naswot.version, naswot.installed) == (MEASURES["naswot"], MEASURES["naswot"])
    assert (naswot.num_values, naswot.num_lacking, naswot.num_failed) == (7, 0, 0)
    assert (meco.num_values, meco.num_lacking, meco.num_failed) == (2, 4, 1)
    assert (swap.num_values, swap.num_lacking, swap.num_failed) == (0, 7, 0)
    assert not naswot.older


def test_an_older_version_is_told_and_does_not_count(tmp_path: Path) -> None:
    """A run was killed while it replaced an older version: the dataset says version 2, and one part still holds version 1."""
    dataset = make_dataset(tmp_path / "d", change=lambda row: {"meco": 0.5})
    newer = MEASURES | {"meco": MEASURES["meco"] + 1}
    contract = settings().model_copy(update={"measures": newer})
    manifest.write(dataset.storage, manifest.create(contract, shard_size=4), replace_older=True)
    again = Expected(layout.scores(SPACE, "noise", 4, 0, 1), range(4, 8), contract.fingerprint_of(SPACE, "noise"), newer)
    parts.renew(dataset.storage, again, run_id="run")
    opened = Dataset(tmp_path / "d")
    meco = held(opened, "meco")
    assert (meco.version, meco.installed, dict(meco.older)) == (MEASURES["meco"] + 1, MEASURES["meco"], {MEASURES["meco"]: 1})
    assert (meco.num_values, meco.num_lacking) == (0, 8)
    assert (held(opened, "naswot").num_values, dict(held(opened, "naswot").older)) == (8, {})
    assert held(opened, "meco") == meco, "the same from what is known of the parts"


def test_a_measure_that_is_not_installed_is_told(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    contract = settings().model_copy(update={"measures": MEASURES | {"theirs": 3}})
    manifest.write(dataset.storage, manifest.create(contract, shard_size=4))
    theirs = held(Dataset(tmp_path / "d"), "theirs")
    assert (theirs.version, theirs.installed, theirs.num_values, theirs.num_lacking) == (3, None, 0, 8)
    assert score_row(0).keys().isdisjoint({"theirs"})

"""Each option says what it decides, and all code that needs the options takes them from one definition."""

from __future__ import annotations

from pathlib import Path

import pytest

from naswot_ray.dataset import manifest
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import SettingsError
from naswot_ray.grid.settings import settings_of
from naswot_ray.images.source import load_images
from naswot_ray.publish.provenance import score_commands
from naswot_ray.run.options import DECIDES, Decides, ScoreOptions
from naswot_ray.spaces import open_spaces
from tests.datasets import score_here

OTHER = {"dtype": "bfloat16"}
"""Option that is a setting -> a value other than its default."""


def test_each_option_decides_one_thing() -> None:
    assert DECIDES.keys() == ScoreOptions.model_fields.keys()
    assert {name for name, decides in DECIDES.items() if decides is Decides.VALUE} == OTHER.keys()


@pytest.mark.parametrize("name", OTHER)
def test_an_option_that_moves_every_value_is_a_setting(tmp_path: Path, name: str) -> None:
    score_here(tmp_path / "d", limit=2, batch_size=[4])
    storage = Storage(tmp_path / "d")
    default = ScoreOptions(output="d").deciding(Decides.VALUE)
    assert manifest.read(storage).settings.values == default
    spaces, noise = open_spaces(["nasbench201"]), load_images("noise")
    other = settings_of(spaces, [noise], default | {name: OTHER[name]}, ())
    expected = f'values.{name} is "{default[name]}" there, "{OTHER[name]}" in this run; write to another directory'
    with pytest.raises(SettingsError, match=expected):
        manifest.extend(storage, other, shard_size=None, default_shard_size=256)
    part = (manifest.read(storage).settings, other)
    assert len({settings.fingerprint_of("nasbench201", "noise") for settings in part}) == 2


def test_a_setting_that_one_side_lacks_is_a_difference(tmp_path: Path) -> None:
    score_here(tmp_path / "d", limit=2, batch_size=[4])
    storage = Storage(tmp_path / "d")
    settings = manifest.read(storage).settings
    later = settings.model_copy(update={"values": settings.values | {"rounding": "up"}})
    with pytest.raises(SettingsError, match=r"values\.rounding is only set in this run"):
        manifest.extend(storage, later, shard_size=None, default_shard_size=256)


def test_the_published_command_has_every_option_that_decides_something(tmp_path: Path) -> None:
    """It also has what the run chose by itself."""
    score_here(tmp_path / "d", sample=2, batch_size=[4, 8], seed=[3], image_size=16)
    (command,) = score_commands(Dataset(tmp_path / "d"))
    given = {name for name, decides in DECIDES.items() if decides is not Decides.NOTHING}
    unset = {"space_option", "limit", "data"}
    assert {f"--{name.replace('_', '-')}" for name in given - unset} <= set(command.split())
    assert "--engine fast --dtype float32" in command
    assert not any(f"--{name.replace('_', '-')} " in command for name in unset)

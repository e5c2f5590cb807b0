"""A dataset's settings may be extended but never changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from naswot_ray.dataset import layout, manifest
from naswot_ray.dataset.manifest import Manifest, Settings
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError, SettingsError
from tests.dataset.making import settings as real_settings
from tests.dataset.making import snapshot

SPACE: dict[str, Any] = {"channels": [16, 32, 64], "macro": {"cells": 5}}
NOISE: dict[str, Any] = {"digest": "aa", "mean_255": [125.3, 123.0, 113.9], "num_images": None}


def settings(**changes: Any) -> Settings:
    return Settings(
        **(
            {
                "weights": "w1",
                "batches": "b1",
                "values": {"dtype": "float32"},
                "spaces": {"x": SPACE},
                "images": {"noise": NOISE},
                "measures": {"naswot": 1},
            }
            | changes
        )
    )


def extend(storage: Storage, new: Settings, shard_size: int | None = None) -> Manifest:
    return manifest.extend(storage, new, shard_size=shard_size, default_shard_size=64)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage(tmp_path / "d")
    manifest.write(storage, manifest.create(settings(), shard_size=4))
    return storage


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_dataset(tmp_path: Path, exists: bool) -> None:
    if exists:
        (tmp_path / "d").mkdir()
    storage = Storage(tmp_path / "d")
    there = snapshot(tmp_path)
    created = extend(storage, settings())
    assert snapshot(tmp_path) == there, "nothing is written before the run can start"
    assert created.shard_size == 64
    assert extend(storage, settings(), shard_size=7).shard_size == 7
    assert extend(storage, settings(), shard_size=7).fingerprint != created.fingerprint
    manifest.write(storage, created)
    assert manifest.read(storage) == created
    assert json.loads((tmp_path / "d" / "dataset.json").read_text())["schema_version"] == "5.0"


def test_the_same_settings_again_change_nothing(storage: Storage) -> None:
    file = Path(storage.path(layout.MANIFEST))
    before = file.stat()
    manifest.write(storage, extend(storage, settings()))
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_real_settings_survive_the_json(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    created = manifest.create(real_settings(), shard_size=4)
    manifest.write(storage, created)
    assert manifest.read(storage) == created
    assert extend(storage, real_settings()) == created


def test_spaces_and_image_sources_extend_it(storage: Storage) -> None:
    more = extend(storage, settings(spaces={"y": SPACE}, images={"cifar10": NOISE | {"digest": "bb"}}))
    assert more.settings.spaces == {"x": SPACE, "y": SPACE}
    assert more.settings.images == {"noise": NOISE, "cifar10": NOISE | {"digest": "bb"}}
    assert more.shard_size == 4
    assert more.fingerprint != manifest.read(storage).fingerprint
    manifest.write(storage, more)
    assert manifest.read(storage) == more
    assert extend(storage, settings()) == more, "an earlier run's settings still fit"


def test_the_fingerprint_does_not_depend_on_order(storage: Storage) -> None:
    one = settings(spaces={"x": SPACE, "y": SPACE})
    two = settings(spaces={"y": dict(reversed(SPACE.items())), "x": SPACE})
    assert one.fingerprint == two.fingerprint


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "weights": ({"weights": "w2"}, 'weights is "w1" there, "w2" in this run'),
    "batches": ({"batches": "b2"}, 'batches is "b1" there, "b2" in this run'),
    "channels": (
        {"spaces": {"x": SPACE | {"channels": [16, 32]}}},
        "spaces.x.channels is [16, 32, 64] there, [16, 32] in this run",
    ),
    "nested": ({"spaces": {"x": SPACE | {"macro": {"cells": 3}}}}, "spaces.x.macro.cells is 5 there, 3 in this run"),
    "digest": ({"images": {"noise": NOISE | {"digest": "bb"}}}, 'images.noise.digest is "aa" there, "bb" in this run'),
    "mean": (
        {"images": {"noise": NOISE | {"mean_255": [125.3, 123.0, 114.0]}}},
        "images.noise.mean_255 is [125.3, 123.0, 113.9] there, [125.3, 123.0, 114.0] in this run",
    ),
    "from null": ({"images": {"noise": NOISE | {"num_images": 5}}}, "images.noise.num_images is null there, 5 in this run"),
    "one more": ({"spaces": {"x": SPACE | {"bias": True}}}, "spaces.x.bias is only set in this run"),
    "one less": ({"spaces": {"x": {"channels": [16, 32, 64]}}}, "spaces.x.macro is only set there"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=list(CHANGES))
def test_a_changed_setting_is_refused_by_name(storage: Storage, change: dict[str, Any], message: str) -> None:
    there = snapshot(storage.root)
    with pytest.raises(SettingsError) as caught:
        extend(storage, settings(**change))
    assert message in str(caught.value)
    assert str(storage.root) in str(caught.value)
    assert "write to another directory" in str(caught.value)
    assert snapshot(storage.root) == there


def test_every_changed_setting_is_named(storage: Storage) -> None:
    with pytest.raises(SettingsError) as caught:
        extend(storage, settings(weights="w2", images={"noise": NOISE | {"digest": "bb"}, "new": NOISE}))
    assert "weights" in str(caught.value)
    assert "images.noise.digest" in str(caught.value)
    assert "batches" not in str(caught.value)
    assert "images.new" not in str(caught.value)


def test_another_shard_size_is_refused(storage: Storage) -> None:
    with pytest.raises(SettingsError, match=r"holds parts of 4 architectures, but --shard-size asks for 8"):
        extend(storage, settings(), shard_size=8)
    assert extend(storage, settings(), shard_size=4).shard_size == 4


@pytest.mark.parametrize("content", ["file", "folder"])
def test_a_directory_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    if content == "file":
        (tmp_path / "thesis.tex").write_text("")
    else:
        (tmp_path / "scores").mkdir()
    there = snapshot(tmp_path)
    with pytest.raises(DatasetError, match="is not empty and is not a dataset; choose an empty or a new directory"):
        extend(Storage(tmp_path), settings())
    assert snapshot(tmp_path) == there


DAMAGES: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "not json": lambda text: "scores",
    "a list": lambda text: "[1]",
    "null": lambda text: "null",
    "no settings": lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "settings"}),
    "unknown key": lambda text: json.dumps(json.loads(text) | {"owner": "me"}),
    "wrong type": lambda text: json.dumps(json.loads(text) | {"shard_size": "many"}),
    "shard size of nothing": lambda text: json.dumps(json.loads(text) | {"shard_size": 0}),
    "shard size of a galaxy": lambda text: json.dumps(json.loads(text) | {"shard_size": 10**23}),
    "another shard size": lambda text: json.dumps(json.loads(text) | {"shard_size": 8}),
    "a version of letters": lambda text: json.dumps(json.loads(text) | {"schema_version": "5.x"}),
    "a tower of lists": lambda text: "[" * 100_000 + "]" * 100_000,
    "half a character": lambda text: text.replace('"w1"', '"\\ud800"'),
    "another program's": lambda text: json.dumps(json.loads(text) | {"format": "other dataset"}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_manifest_is_named(storage: Storage, damage: Callable[[str], str]) -> None:
    file = Path(storage.path(layout.MANIFEST))
    file.write_text(damage(file.read_text()))
    for use in (manifest.read, lambda storage: extend(storage, settings())):
        with pytest.raises(DatasetError) as caught:
            use(storage)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text(storage: Storage) -> None:
    file = Path(storage.path(layout.MANIFEST))
    file.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DatasetError, match=r"dataset\.json is damaged"):
        manifest.read(storage)


def test_settings_edited_by_hand_are_refused(storage: Storage) -> None:
    file = Path(storage.path(layout.MANIFEST))
    file.write_text(file.read_text().replace('"w1"', '"w2"'))
    with pytest.raises(DatasetError, match=r"dataset\.json was changed by hand: .*fingerprint"):
        manifest.read(storage)


@pytest.mark.parametrize("version", ["1.0", "4.0", "50.0", "5", None])
def test_another_major_schema_version_is_refused(storage: Storage, version: str | None) -> None:
    file = Path(storage.path(layout.MANIFEST))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": version}))
    if version == "5":
        manifest.read(storage)
        extend(storage, settings())
        return
    with pytest.raises(DatasetError, match=rf"schema version {version}, this program reads 5\.x"):
        manifest.read(storage)


def test_a_later_minor_schema_version_is_read(storage: Storage) -> None:
    file = Path(storage.path(layout.MANIFEST))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": "5.7"}))
    assert manifest.read(storage).schema_version == "5.7"


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"is not a dataset: it has no dataset\.json"):
        manifest.read(Storage(tmp_path))

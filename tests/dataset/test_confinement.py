"""Nothing is written outside the folder to which it belongs."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from naswot_ray.dataset.confinement import confined
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError
from tests.dataset.making import snapshot

OUTSIDE = ["/tmp/x", "../x", "a/../../x", "a/..", "..", ""]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DatasetError, match="is not a path below it"):
        confined(tmp_path, path)


@pytest.mark.parametrize("path", ["x", "a/b", "a...b", "..x/y"])
def test_a_path_below_is_what_it_was(tmp_path: Path, path: str) -> None:
    assert confined(tmp_path, path) == tmp_path / path


def test_a_link_may_lead_around_in_the_folder_and_not_out_of_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "inside").symlink_to(root / "a")
    (root / "outside").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(root)
    assert confined(root, "inside/x") == root / "inside" / "x"
    assert confined(tmp_path / "link", "a/x") == tmp_path / "link" / "a" / "x"
    with pytest.raises(DatasetError, match="outside is a link that leads out of"):
        confined(root, "outside/x")


@pytest.mark.parametrize("path", [*OUTSIDE[:3], "runs/x"])
def test_a_storage_neither_writes_nor_removes_elsewhere(tmp_path: Path, path: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "runs").symlink_to(tmp_path)
    (tmp_path / "x").write_text("precious")
    storage, before = Storage(tmp_path / "root"), snapshot(tmp_path)
    with pytest.raises(DatasetError):
        storage.write_bytes(PurePosixPath(path), b"")
    with pytest.raises(DatasetError):
        storage.remove(PurePosixPath(path))
    with pytest.raises(DatasetError), storage.locked(PurePosixPath(path)):
        pass
    assert snapshot(tmp_path) == before


def test_a_file_that_is_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "root" / "x").symlink_to(tmp_path / "precious")
    (tmp_path / "root" / ".y.lock").symlink_to(tmp_path / "made")
    storage = Storage(tmp_path / "root")
    storage.write_bytes(PurePosixPath("x"), b"new")
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "root" / "x").read_bytes() == b"new"
    with pytest.raises(DatasetError, match="cannot lock"), storage.locked(PurePosixPath("y")):
        pass
    assert not (tmp_path / "made").exists()

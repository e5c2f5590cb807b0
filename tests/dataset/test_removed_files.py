"""What is taken out of a dataset stays in `removed/` until somebody says that it may be deleted."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath

import pytest

from naswot_ray.dataset import layout, removed_files
from naswot_ray.dataset.storage import Storage

FILES = {PurePosixPath("scores/a.parquet"): b"one", PurePosixPath("joined/b.parquet"): b"three"}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage(tmp_path / "d")
    for path, content in FILES.items():
        storage.write_bytes(path, content)
    return storage


def test_files_are_moved_with_a_record(storage: Storage) -> None:
    folder = removed_files.set_aside(storage, dict.fromkeys(FILES, "is damaged"), by="naswot-ray check")
    assert folder.parent == layout.REMOVED
    for path, content in FILES.items():
        assert not storage.exists(path)
        assert storage.read_bytes(folder / path) == content
    record = json.loads(storage.read_bytes(folder / "record.json"))
    assert record["by"] == "naswot-ray check"
    assert record["files"] == [
        {"path": str(path), "reason": "is damaged", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in FILES.items()
    ]
    assert [file.path.relative_to(folder) for file in removed_files.list_removed(storage)] == sorted(FILES)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_whoever_is_killed_meanwhile_loses_nothing(storage: Storage, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    write, writes = storage.write_bytes, 0

    def write_some(path: PurePosixPath, data: bytes) -> None:
        nonlocal writes
        writes += 1
        if writes == step:
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(storage, "write_bytes", write_some)
    with pytest.raises(KeyboardInterrupt):
        removed_files.set_aside(storage, dict.fromkeys(FILES, "is damaged"), by="run")
    assert {path: storage.read_bytes(path) for path in FILES} == FILES


def test_purging_deletes_the_folder_and_nothing_else(storage: Storage) -> None:
    first, second = FILES
    removed_files.set_aside(storage, {first: "is damaged"}, by="run")
    assert [file.size for file in removed_files.purge(storage)] == [3]
    assert not storage.exists(layout.REMOVED)
    assert removed_files.purge(storage) == []
    assert storage.read_bytes(second) == FILES[second]

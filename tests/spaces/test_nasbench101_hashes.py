"""Module hashes, compared with the benchmark's own code, and the cache of all of them."""

from __future__ import annotations

import hashlib
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naswot_ray.spaces import nasbench101_hashes
from naswot_ray.spaces.nasbench101 import NasBench101
from naswot_ray.spaces.nasbench101_cells import Cell, Cells, list_cells
from naswot_ray.spaces.nasbench101_hashes import (
    CACHE_FILE,
    CACHE_SHA256,
    HashTable,
    compute_digests,
    hash_cell,
    hash_labelings,
    load_hashes,
)
from tests.spaces.nasbench101_oracle import cells, module_hash, relabelled


@given(cells(max_vertices=9))
def test_hash_is_the_benchmarks(cell: Cell) -> None:
    assert hash_cell(cell) == module_hash(cell.matrix, cell.ops)


@given(cells(), st.data())
def test_hash_does_not_depend_on_the_order_of_vertices(cell: Cell, data: st.DataObject) -> None:
    assert hash_cell(data.draw(relabelled(cell))) == hash_cell(cell)


@given(cells(), st.data())
def test_hashing_together_is_hashing_one_by_one(cell: Cell, data: st.DataObject) -> None:
    labels = st.lists(st.integers(0, 2), min_size=len(cell.labels), max_size=len(cell.labels)).map(tuple)
    labelings = data.draw(st.lists(labels, min_size=1, max_size=5))
    assert hash_labelings(cell.bits, labelings) == [hash_cell(Cell(cell.bits, labels)) for labels in labelings]


@given(cells().filter(lambda cell: cell.in_space), st.data())
def test_every_valid_cell_within_the_limits_is_in_the_space(nasbench101: NasBench101, cell: Cell, data: st.DataObject) -> None:
    """The space's own representative comes before all others of its class."""
    own = list_cells()[nasbench101.index(hash_cell(cell))]
    assert sorted(own.labels) == sorted(cell.labels)
    other = data.draw(relabelled(cell))
    assert (own.bits, own.labels) <= (other.bits, other.labels)


class TestCache:
    @pytest.fixture
    def hash_table(self, nasbench101: NasBench101, cache: Path) -> HashTable:
        """All hashes, as the session's cache has them: from the benchmark's table, or computed if there is none."""
        assert (cache / CACHE_FILE).exists()
        return nasbench101._hashes()

    @pytest.fixture
    def computations(self, monkeypatch: pytest.MonkeyPatch, hash_table: HashTable) -> list[None]:
        """A list that grows by one entry each time the hashes are computed. Computing them takes no time here."""
        calls: list[None] = []

        def count(_: object) -> npt.NDArray[np.uint8]:
            calls.append(None)
            return hash_table.digests

        monkeypatch.setattr(nasbench101_hashes, "compute_digests", count)
        return calls

    def test_computed_hashes_are_those_that_a_cache_is_checked_against(self, hash_table: HashTable) -> None:
        """The test computes the hashes of some cells of every matrix, about one in 16 of all cells.

        With NASWOT_RAY_SLOW_TESTS=1 it computes all hashes; so does the fixture `nasbench101` if it has no table.
        """
        assert hashlib.sha256(hash_table.digests.tobytes()).hexdigest() == CACHE_SHA256
        every = list_cells()
        starts = np.flatnonzero(np.diff(every.bits, prepend=0))
        step = 1 if os.environ.get("NASWOT_RAY_SLOW_TESTS") else 20
        some = np.unique(np.concatenate([starts, starts[1:] - 1, np.arange(0, len(every), step)]))
        digests = compute_digests(Cells(every.num_vertices[some], every.bits[some], every.labels[some]))
        assert np.array_equal(digests, hash_table.digests[some])

    def test_is_read_once_written(self, hash_table: HashTable, computations: list[None]) -> None:
        table = load_hashes()
        assert not computations
        assert np.array_equal(table.digests, hash_table.digests)
        assert np.array_equal(table.by_hash, hash_table.by_hash)

    @pytest.mark.parametrize(
        "damage", [lambda c: c[:-1], lambda c: b"\0" + c[1:], lambda c: b""], ids=["cut", "changed", "empty"]
    )
    def test_damaged_file_is_replaced(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        hash_table: HashTable,
        computations: list[None],
        damage: Callable[[bytes], bytes],
    ) -> None:
        monkeypatch.setenv("NASWOT_RAY_CACHE", str(tmp_path))
        whole = hash_table.digests.tobytes()
        (tmp_path / CACHE_FILE).write_bytes(damage(whole))
        assert load_hashes().digests.tobytes() == whole
        assert len(computations) == 1
        assert (tmp_path / CACHE_FILE).read_bytes() == whole
        assert [path.name for path in tmp_path.iterdir()] == [CACHE_FILE]

    @pytest.mark.parametrize("plant", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
    def test_what_is_no_file_is_not_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computations: list[None], plant: Callable[[Path], None]
    ) -> None:
        """Reading it would never end."""
        monkeypatch.setenv("NASWOT_RAY_CACHE", str(tmp_path))
        plant(tmp_path / CACHE_FILE)
        load_hashes()
        assert len(computations) == 1

    def test_a_shared_cache_can_be_read_by_others(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computations: list[None]
    ) -> None:
        monkeypatch.setenv("NASWOT_RAY_CACHE", str(tmp_path))
        load_hashes()
        assert stat.S_IMODE((tmp_path / CACHE_FILE).stat().st_mode) == 0o644

    def test_directory_is_made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computations: list[None]) -> None:
        monkeypatch.setenv("NASWOT_RAY_CACHE", str(tmp_path / "a" / "b"))
        load_hashes()
        load_hashes()
        assert len(computations) == 1

    def test_unwritable_directory_is_done_without(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hash_table: HashTable, computations: list[None]
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("NASWOT_RAY_CACHE", str(tmp_path / "file"))
        assert np.array_equal(load_hashes().digests, hash_table.digests)
        assert computations

    def test_broken_off_write_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computations: list[None]
    ) -> None:
        def full(*_: object) -> None:
            raise OSError("No space left on device")

        monkeypatch.setenv("NASWOT_RAY_CACHE", str(tmp_path))
        monkeypatch.setattr(Path, "replace", full)
        load_hashes()
        assert computations
        assert not list(tmp_path.iterdir())


def test_table_finds_every_hash_and_no_other(nasbench101: NasBench101) -> None:
    table = nasbench101._hashes()
    for index in random.Random(0).sample(range(len(nasbench101)), 1000):
        assert table.index(table.hash(index)) == index
        assert table.by_hash[table.rank(table.hash(index))] == index
    for absent in ("0" * 32, "f" * 32, table.hash(0)[:-1] + ("0" if table.hash(0)[-1] != "0" else "1")):
        assert table.index(absent) is None
        assert table.rank(absent) is None

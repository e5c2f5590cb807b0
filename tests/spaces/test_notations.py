"""What people have: values of numpy, named tuples, ranges; and indexes, which every space takes alike."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from naswot_ray.errors import ArchitectureError
from naswot_ray.spaces import Space, get_space
from naswot_ray.spaces.nasbench101 import NasBench101
from naswot_ray.spaces.nds import NdsSpace
from naswot_ray.spaces.notations import plain, whole_number, whole_numbers
from tests.spaces.nds_files import ANYNET, CELL_NET, nds_record, write_nds_json

Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_whole_numbers(value: object) -> None:
    number = whole_number(value)
    assert (type(number), number) == (int, 3)


@pytest.mark.parametrize("value", [True, np.True_, 3.0, np.float32(3), "3", None, [3], (3,), {}])
def test_what_is_no_whole_number(value: object) -> None:
    assert whole_number(value) is None
    assert whole_numbers([1, value]) is None


def test_plain_values() -> None:
    value = {"a": Pair([("x", np.int64(1))], range(2, 4)), 5: np.array([[0, 1]]), "b": (True, None, 0.5, "y")}
    assert plain(value) == {
        "a": {"left": [["x", 1]], "right": [2, 3]},
        "5": [[0, 1]],
        "b": [True, None, 0.5, "y"],
    }


class TestEverySpace:
    @pytest.fixture(params=["nasbench101", "nasbench201", "nats_sss", "nds_darts", "nds_resnext-a"])
    def space(self, request: pytest.FixtureRequest, tmp_path: Path, nasbench101: NasBench101) -> Space:
        match request.param:
            case "nasbench101":
                return nasbench101
            case "nds_darts":
                return NdsSpace("DARTS", str(write_nds_json(tmp_path, "DARTS", [nds_record(CELL_NET)] * 3)))
            case "nds_resnext-a":
                return NdsSpace("ResNeXt-A", str(write_nds_json(tmp_path, "ResNeXt-A", [nds_record(ANYNET)] * 3)))
            case name:
                return get_space(name)

    def test_arch_ids_are_taken_as_they_are(self, space: Space) -> None:
        for position in (0, 1, len(space) // 2, len(space) - 1):
            arch_id = space[position]
            assert space.arch_id_of(arch_id) == arch_id
            assert type(space.arch_id_of(np.str_(arch_id))) is str

    def test_an_index_is_the_benchmarks(self, space: Space) -> None:
        for position in (0, 1, len(space) // 2, len(space) - 1):
            index = space.benchmark_index(space[position])
            assert index is not None
            assert space.arch_id_of(index) == space.arch_id_of(np.int64(index)) == space[position]

    @pytest.mark.parametrize("offset", [-1, None])
    def test_an_index_outside(self, space: Space, offset: int | None) -> None:
        index = len(space) if offset is None else offset
        message = rf"^index {index} is outside of {space.name} \(0\.\.{len(space) - 1}\)$"
        for value in (index, np.int64(index)):
            with pytest.raises(ArchitectureError, match=message):
                space.arch_id_of(value)

    @pytest.mark.parametrize("value", [True, np.True_, 1.0, None, object(), {1, 2}, b"8:8:8:8:8", (), {}, [1, "x", 3]])
    def test_what_is_in_no_notation(self, space: Space, value: object) -> None:
        with pytest.raises(ArchitectureError, match=r"expected |takes the "):
            space.arch_id_of(value)

    @pytest.mark.parametrize("value", ["", "7", "(4, 0, 3, 1, 4, 3)", "8:8", "|none~0|", "0" * 31])
    def test_a_malformed_text(self, space: Space, value: str) -> None:
        with pytest.raises(ArchitectureError, match=f"^{value!r}".replace("|", r"\|").replace("(", r"\(").replace(")", r"\)")):
            space.arch_id_of(value)

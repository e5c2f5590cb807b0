"""NATS-Bench's size space, compared with its official meta file and its published parameter counts."""

from __future__ import annotations

import bz2
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naswot_ray import safe_pickle
from naswot_ray.errors import ArchitectureError
from naswot_ray.network import ops
from naswot_ray.spaces import get_space
from naswot_ray.spaces.nats_sss import CHANNELS, NatsSss, channel_string, parse
from tests.benchmarks.official_nats import SSS

SPACE = get_space("nats_sss")
strings = st.lists(st.sampled_from(CHANNELS), min_size=5, max_size=5).map(channel_string)


def official(path: Path) -> Any:
    return safe_pickle.loads(bz2.decompress(path.read_bytes()))


def test_order_is_the_official_one(nats: Path) -> None:
    assert list(SPACE) == official(nats / SSS / "meta.pickle.pbz2")["meta_archs"]


@pytest.mark.parametrize("index", [0, 11, 284])
def test_params_and_flops_are_the_official_ones(nats: Path, index: int) -> None:
    (results,) = {
        (result["params"], result["flop"])
        for (dataset, _), result in official(nats / SSS / f"{index:06d}.pickle.pbz2")["90"]["all_results"].items()
        if dataset == "cifar10"
    }
    network = SPACE.trained_network(SPACE[index])
    assert (network.params / 1e6, network.flops / 1e6) == results


@given(strings)
def test_index_is_the_inverse_of_getitem(arch_id: str) -> None:
    assert SPACE[SPACE.index(arch_id)] == arch_id
    assert SPACE.benchmark_index(arch_id) == SPACE.index(arch_id)
    assert channel_string(parse(arch_id)) == arch_id


def test_the_space_has_each_string_once() -> None:
    assert len(SPACE) == len(set(SPACE)) == 32_768
    for index in (-1, 32_768):
        with pytest.raises(IndexError):
            SPACE[index]


@given(st.lists(st.sampled_from(CHANNELS), min_size=5, max_size=5))
def test_five_numbers_of_channels(layers: list[int]) -> None:
    expected = channel_string(layers)
    for notation in (layers, tuple(layers), np.array(layers), [np.int32(channels) for channels in layers]):
        assert SPACE.arch_id_of(notation) == expected


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((8, 16, 24, 32), "'8:16:24:32': 4 channel numbers, expected 5"),
        ((8, 16, 24, 32, 7), "'8:16:24:32:7': '7' channels, expected one of 8, 16"),
        ((8, 16, 24, 32, 40.0), r"\[8, 16, 24, 32, 40.0\]: expected 5 numbers of channels, as in \(8, 16, 24, 32, 40\)"),
        ((8, 16, 24, 32, "40"), "expected 5 numbers of channels"),
        ((8, 16, 24, 32, True), "expected 5 numbers of channels"),
    ],
)
def test_other_numbers(layers: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        SPACE.arch_id_of(layers)


@given(strings)
def test_neighbours(arch_id: str) -> None:
    neighbours = SPACE.neighbours(arch_id)
    assert len(set(neighbours)) == 35
    for other in neighbours:
        assert sum(a != b for a, b in zip(parse(arch_id), parse(other), strict=True)) == 1
        assert arch_id in SPACE.neighbours(other)


@pytest.mark.parametrize(
    ("arch_id", "message"),
    [
        ("8:8:8:8", "'8:8:8:8': 4 channel numbers, expected 5 joined by ':'"),
        ("8:8:8:8:8:8", "6 channel numbers, expected 5"),
        ("8:8:8:8:72", "'72' channels, expected one of 8, 16, 24, 32, 40, 48, 56, 64"),
        ("08:8:8:8:8", "'08' channels, expected one of"),
        ("8:8:8:8:", "'' channels, expected one of"),
        ("", "1 channel numbers, expected 5"),
    ],
)
def test_malformed(arch_id: str, message: str) -> None:
    for read in (parse, SPACE.index, SPACE.network, SPACE.neighbours):
        with pytest.raises(ArchitectureError, match=re.escape(message)):
            read(arch_id)


def test_network_follows_the_channels() -> None:
    convolutions = [op for op in SPACE.network("8:16:24:32:40").layers if isinstance(op, ops.Conv)]
    assert [op.out_channels for op in convolutions] == [8] * 6 + [16] * 3 + [24] * 6 + [32] * 3 + [40] * 6
    # With equal channels the cell's skip is an identity and has no layer.
    assert len(SPACE.network("8:8:8:8:8").layers) == 1 + 5 + 3 + 5 + 3 + 5 + 1


def test_the_relu_of_a_projected_skip_is_never_called() -> None:
    """Only the ReLUs of ReLU-Conv-BN blocks (five in a cell, two in a residual block) and the last one count."""
    for arch_id in ("8:8:8:8:8", "8:16:24:32:40"):
        assert SPACE.network(arch_id).num_relus == 3 * 5 + 2 * 2 + 1


def test_settings_are_json_values() -> None:
    assert NatsSss().settings() == {"cells_per_stage": 1, "initialisation": "kaiming_uniform"}
    assert SPACE.isomorphism_class("8:8:8:8:8") is None

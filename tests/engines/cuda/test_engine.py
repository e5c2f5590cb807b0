"""Engine `cuda` gives what `exact` gives, for any group and whatever one of its architectures does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from naswot_ray.engines import exact
from naswot_ray.engines.cuda import engine as engine_module
from naswot_ray.engines.cuda import memory
from naswot_ray.engines.cuda.group import Merged
from naswot_ray.engines.engine import Scores
from naswot_ray.engines.weights import SeededWeights, WeightSource
from naswot_ray.errors import SettingsError
from naswot_ray.measures.kernel import Kernels, log_det
from naswot_ray.network import Network, ops
from naswot_ray.spaces import get_space
from tests.engines.cuda import networks
from tests.engines.cuda.conftest import Size, scores
from tests.engines.forward import kernels_of, score_group
from tests.parity import check

SCORE_TOLERANCE = 1e-3


def _assert_agrees(network: Network, images: torch.Tensor, weights: WeightSource, found: Kernels) -> None:
    kernels = kernels_of(exact.ExactEngine(), network, images, weights)
    for got, wanted, num_units in (
        (found.published, kernels.published, network.num_units),
        (found.paper, kernels.paper, network.num_units_paper),
    ):
        np.testing.assert_array_equal(got.diagonal(), num_units)
        assert np.abs(got - wanted).max() <= max(8, 2e-4 * num_units)
    got_score, wanted_score = log_det(found.published), log_det(kernels.published)
    assert got_score == wanted_score or abs(got_score - wanted_score) <= SCORE_TOLERANCE


@pytest.mark.parametrize("space", ["nasbench201", "nats_sss", "nasbench101"])
def test_spaces_agree_with_exact(make_engine: Any, size: Size, space: str) -> None:
    network = networks.of_space(space, size.height)
    source = networks.given(network)
    _assert_agrees(network, size.images(), source, kernels_of(make_engine(), network, size.images(), source))


@pytest.mark.parametrize("name", ["DARTS_4", "ResNeXt-A_4"])
def test_nds_agrees_with_exact(make_engine: Any, size: Size, name: str) -> None:
    vectors = check.read_vectors(check.VECTORS / "shape_keyed.json")
    case = next(case for case in vectors.cases if case["name"] == name)
    network = check.NETWORKS["nds"]({**case, "hw": size.height})
    weights = check.weights_of(vectors.recipe, network)
    _assert_agrees(network, size.images(), weights, kernels_of(make_engine(), network, size.images(), weights))


def test_every_operation_agrees_with_exact(make_engine: Any, size: Size) -> None:
    network = networks.of_every_operation(size.height)
    source = networks.given(network)
    _assert_agrees(network, size.images(), source, kernels_of(make_engine(), network, size.images(), source))


def test_score_does_not_depend_on_the_group(make_engine: Any, size: Size, monkeypatch: pytest.MonkeyPatch) -> None:
    group = [networks.of_every_operation(size.height), networks.small(size.height), networks.small(size.height, "other")]
    sources = [networks.given(network) for network in group]
    together = score_group(make_engine(), group, size.images(), sources)
    monkeypatch.setattr(engine_module, "LOCKSTEP", 2)
    backwards = score_group(make_engine(), group[::-1], size.images(), sources[::-1])
    assert together == backwards[::-1]
    assert all(math.isfinite(one["naswot"]) for one in scores(together))
    (last,) = scores(score_group(make_engine(), [group[2]], size.images(), [sources[2]]))
    found = scores(together)[2]
    assert (found["naswot"], found["naswot_paper"]) == pytest.approx((last["naswot"], last["naswot_paper"]), abs=1e-9)
    assert (found.num_units, found.num_units_paper) == (last.num_units, last.num_units_paper)


def test_weights_of_a_seed_are_drawn_on_the_device(make_engine: Any, size: Size) -> None:
    nds_like = Network("normal", networks.small(size.height).nodes, networks.small(size.height).output, "normal_fan_out")
    group = [networks.small(size.height), nds_like, networks.small(size.height, "other")]
    engine = make_engine()
    drawn = score_group(engine, group, size.images(), [SeededWeights(network, 3) for network in group])
    copied = score_group(engine, group, size.images(), [networks.given(network, 3) for network in group])
    assert drawn == copied
    assert len({one["naswot"] for one in scores(drawn)}) == 3


def test_singular_kernels(make_engine: Any, size: Size) -> None:
    nothing = get_space("nasbench201").network(networks.NOTHING, input_shape=(3, size.height, size.height))
    group = [networks.without_relu(size.height), networks.small(size.height), nothing]
    sources = [networks.given(network) for network in group]
    engine = make_engine()
    found = scores(score_group(engine, group, size.images(), sources))
    assert [one["naswot"] for one in found] == [-math.inf, pytest.approx(found[1]["naswot"]), -math.inf]
    assert math.isfinite(found[1]["naswot"])
    images = size.images()
    images[2] = images[1]
    assert scores(score_group(engine, group[1:2], images, sources[1:2]))[0]["naswot"] == -math.inf


def test_batches_larger_than_a_program_eliminates(make_engine: Any, size: Size, monkeypatch: pytest.MonkeyPatch) -> None:
    network = networks.small(size.height)
    engine = make_engine()
    (expected,) = scores(score_group(engine, [network], size.images(), [networks.given(network)]))
    monkeypatch.setattr(engine._launches, "MAX_ELIMINATED", size.num_images - 1)
    (found,) = scores(score_group(engine, [network], size.images(), [networks.given(network)]))
    assert found["naswot"] == pytest.approx(expected["naswot"], abs=1e-9)


def test_several_blocks_of_images(make_engine: Any, size: Size) -> None:
    network = networks.small(size.height // 2)
    images = Size(130, size.height // 2).images()
    found = kernels_of(make_engine(), network, images, networks.given(network))
    _assert_agrees(network, images, networks.given(network), found)


@pytest.mark.parametrize(("dtype", "tolerance"), [("tf32", 1e-2), ("bfloat16", 3e-2)])
def test_reduced_precision_is_near(make_engine: Any, size: Size, dtype: str, tolerance: float) -> None:
    network = networks.of_space("nats_sss", size.height)
    source = networks.given(network)
    engine = make_engine(dtype)
    found = kernels_of(engine, network, size.images(), source).published
    assert engine.dtype == dtype
    off = np.abs(found - kernels_of(exact.ExactEngine(), network, size.images(), source).published).max()
    assert 0 < off <= tolerance * network.num_units


def test_group_is_halved_until_it_fits(make_engine: Any, size: Size, monkeypatch: pytest.MonkeyPatch) -> None:
    group = [networks.small(size.height, f"a{i}") for i in range(5)]
    group.insert(2, networks.of_every_operation(size.height))
    sources = [networks.given(network) for network in group]
    engine = make_engine()
    expected = scores(score_group(engine, group, size.images(), sources))
    buffers, tried = memory.Workspace.buffers, []

    def scarce(self: memory.Workspace, merged: Merged, num_images: int) -> memory.Buffers:
        tried.append(len(merged.num_units))
        if merged.sizes["arena"] > room:
            raise torch.OutOfMemoryError("CUDA out of memory, as a test has it")
        return buffers(self, merged, num_images)

    monkeypatch.setattr(memory.Workspace, "buffers", scarce)
    room = 2 * 40 * size.num_images * size.height**2
    found = score_group(engine, group, size.images(), sources)
    assert tried[:2] == [6, 3]
    assert isinstance(found[2], torch.OutOfMemoryError)
    assert [one for i, one in enumerate(found) if i != 2] == [one for i, one in enumerate(expected) if i != 2]


def test_what_one_architecture_raises_is_its_own(make_engine: Any, size: Size) -> None:
    def broken(layer: ops.Weighted) -> torch.Tensor:
        raise LookupError("no such layer")

    small, other = networks.small(size.height), networks.small(2 * size.height, "other")
    sources = [networks.given(small), broken, networks.given(other), lambda layer: torch.zeros(1)]
    found = score_group(make_engine(), [small, small, other, small], size.images(), sources)
    assert isinstance(found[0], Scores)
    assert [type(one) for one in found[1:]] == [LookupError, ValueError, ValueError]
    assert "takes" in str(found[2])


def test_no_networks(make_engine: Any, size: Size) -> None:
    assert score_group(make_engine(), [], size.images(), []) == []


def test_settings_are_checked(make_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"float16.*float32, tf32, bfloat16"):
        make_engine("float16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(SettingsError, match="no CUDA device"):
        make_engine()

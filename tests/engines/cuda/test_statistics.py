"""The statistics of engine `cuda` equal those of `exact`, whatever else is wanted or in the group."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
import torch

from naswot_ray.engines.cuda import engine as engine_module
from naswot_ray.engines.cuda import group as group_module
from naswot_ray.engines.cuda.group import merge
from naswot_ray.engines.cuda.jobs import lower
from naswot_ray.engines.cuda.memory import Workspace
from naswot_ray.engines.engine import scores_of
from naswot_ray.engines.exact import ExactEngine
from naswot_ray.errors import SettingsError
from naswot_ray.measures import DEFAULT_MEASURES, ForwardPass, Statistic, Tolerance, get_measures, measure
from naswot_ray.network import Network
from tests.engines.cuda import networks
from tests.engines.cuda.conftest import Size, scores

STATISTICS = frozenset(Statistic) - {Statistic.ACTIVATIONS}
ALL = get_measures(["all"])


def _assert_agrees(network: Network, images: torch.Tensor, engine: Any) -> ForwardPass:
    """Compare measure by measure and tensor by tensor."""
    source = networks.given(network)
    found: ForwardPass = engine.run_forward(network, images, source, STATISTICS)
    expected = ExactEngine().run_forward(network, images, source, STATISTICS)
    num_tensors = len(expected.tensor_log_dets)
    got, wanted = scores_of(network, found, ALL), scores_of(network, expected, ALL)
    for one in ALL:
        bound = one.tolerance.bound(wanted[one.name], num_tensors)
        assert got[one.name] == wanted[one.name] or abs(got[one.name] - wanted[one.name]) <= bound, one.name
    np.testing.assert_allclose(found.tensor_log_dets, expected.tensor_log_dets, rtol=0, atol=1e-3)
    np.testing.assert_allclose(found.smallest_correlations, expected.smallest_correlations, rtol=1e-3, atol=1e-4)
    assert len(found.covariance_spectra) == num_tensors
    for spectrum, other in zip(found.covariance_spectra, expected.covariance_spectra, strict=True):
        np.testing.assert_allclose(spectrum, other, rtol=0, atol=1e-4 * other.max())
    assert found.patterns.shape == expected.patterns.shape
    assert found.patterns[0] == expected.patterns[0]
    return found


@pytest.mark.parametrize("make_network", [networks.of_every_operation, networks.of_every_value])
def test_every_statistic_agrees_with_exact(
    make_engine: Any, size: Size, make_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine()
    for module in (group_module, engine._launches):
        monkeypatch.setattr(module, "ROWS_PER_SPLIT", 64)  # several splits, and the last one is not full
    _assert_agrees(make_network(size.height), size.images(), engine)


def test_patterns_are_of_the_first_sixteen_images(make_engine: Any, size: Size) -> None:
    found = _assert_agrees(networks.small(size.height), size.images(20), make_engine())
    assert found.patterns[2**15 :].any()


def test_values_depend_on_nothing_else(make_engine: Any, size: Size, monkeypatch: pytest.MonkeyPatch) -> None:
    """No bit depends on what else is in the group, or on what else is wanted."""
    group = [networks.of_every_value(size.height), networks.without_relu(size.height), networks.small(size.height)]
    sources = [networks.given(network) for network in group]
    engine, images = make_engine(), size.images()
    together = [dict(one) for one in scores(engine.score_group(group, images, sources, ALL))]
    assert [len(one) for one in together] == [len(ALL)] * 3
    monkeypatch.setattr(engine_module, "LOCKSTEP", 1)
    for names in (DEFAULT_MEASURES, ("swap", "expressivity"), ("naswot_layerwise", "meco")):
        measures = get_measures(names)
        apart = scores(engine.score_group(group, images, sources, measures))
        assert [dict(one) for one in apart] == [{one.name: values[one.name] for one in measures} for values in together]


def test_images_that_are_the_same(make_engine: Any, size: Size) -> None:
    """Every kernel is singular, and no unit distinguishes two images."""
    network = networks.small(size.height)
    images = size.images()[:1].repeat(size.num_images, 1, 1, 1)
    (found,) = scores(make_engine().score_group([network], images, [networks.given(network)], ALL))
    assert found["naswot"] == -math.inf
    assert found["naswot_layerwise"] == 0
    assert found["swap"] == 2


def test_batches_larger_than_a_program_eliminates(make_engine: Any, size: Size, monkeypatch: pytest.MonkeyPatch) -> None:
    network, engine = networks.small(size.height), make_engine()
    monkeypatch.setattr(engine._launches, "MAX_ELIMINATED", size.num_images - 1)
    _assert_agrees(network, size.images(), engine)


def test_bfloat16_is_near(make_engine: Any, size: Size) -> None:
    network, images = networks.of_every_value(size.height), size.images()
    source = networks.given(network)
    found = make_engine("bfloat16").run_forward(network, images, source, STATISTICS)
    expected = ExactEngine().run_forward(network, images, source, STATISTICS)
    for spectrum, other in zip(found.covariance_spectra, expected.covariance_spectra, strict=True):
        np.testing.assert_allclose(spectrum, other, rtol=0, atol=3e-2 * other.max())
    np.testing.assert_allclose(found.smallest_correlations, expected.smallest_correlations, rtol=0, atol=3e-2)


@pytest.mark.parametrize("statistic", [Statistic.COVARIANCE_SPECTRA, Statistic.SMALLEST_CORRELATIONS])
def test_memory_is_estimated_with_what_is_wanted(size: Size, statistic: Statistic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "ROWS_PER_SPLIT", 16)  # the sums of splits take the most
    workspace = Workspace(torch.device("cpu"), torch.float32)
    for network in (networks.of_every_operation(size.height), networks.of_every_value(size.height)):
        taken, estimated = [], []
        for wanted in ([], [statistic]):
            lowered = lower(network, size.num_images, wanted)
            workspace.release()
            workspace.buffers(merge([lowered], 0), size.num_images)
            taken.append(workspace._memory.nbytes)
            estimated.append(workspace.estimate(lowered, size.num_images, wanted))
        assert 0 < taken[1] - taken[0] <= estimated[1] - estimated[0]


def test_memory_of_kernels_and_patterns_is_estimated(size: Size) -> None:
    n, network = size.num_images, networks.small(size.height)
    workspace = Workspace(torch.device("cpu"), torch.float32)

    def estimated(wanted: Collection[Statistic]) -> int:
        return workspace.estimate(lower(network, n, wanted), n, wanted) - workspace.estimate(lower(network, n), n, ())

    assert estimated([Statistic.TENSOR_LOG_DETS]) == 2 * 4 * n**2
    assert estimated([Statistic.PATTERNS]) == 2**16


def test_what_it_can_be_asked_for(make_engine: Any) -> None:
    @measure(
        version=1,
        statistics=[Statistic.ACTIVATIONS],
        formula="number of tensors",
        source="this test",
        differs="",
        weak="",
        cost="none",
        tolerance=Tolerance(),
    )
    def tensors(forward: ForwardPass) -> float:
        return len(forward.activations)

    engine = make_engine()
    engine.check_measures(ALL)
    with pytest.raises(SettingsError, match="engine cuda cannot compute the measure tensors, which needs activations"):
        engine.check_measures([tensors])

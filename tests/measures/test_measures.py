"""Every measure of this package, compared with its formula in numpy and float64, on networks of every kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from naswot_ray import philox
from naswot_ray.engines.engine import get_engine, scores_of
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.errors import MeasureError, SettingsError
from naswot_ray.measures import DEFAULT_MEASURES, Statistic, all_measures, get_measures, own_measures
from naswot_ray.measures.kernel import log_det
from naswot_ray.network import Network, NetworkBuilder
from tests.network.strategies import networks

IMAGES = torch.from_numpy(philox.normal(("test images",), 20 * 3 * 8 * 8).reshape(20, 3, 8, 8))
Tensors = list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]


def naswot_layerwise(tensors: Tensors) -> float:
    total = 0.0
    for x in tensors:
        codes = (x > 0).reshape(len(x), -1)
        value = log_det(np.array([[(a == b).sum() for b in codes] for a in codes], np.int64))
        total += value if math.isfinite(value) else 0.0
    return total


def swap(tensors: Tensors) -> float:
    return float(len({tuple(unit) for x in tensors for unit in (x[:16] > 0).reshape(len(x[:16]), -1).T}))


def meco(tensors: Tensors) -> float:
    total = 0.0
    for x in tensors:
        channels = x[0].reshape(x.shape[1], -1)
        c = len(channels)
        correlation = np.zeros((c, c))
        for i in range(c):
            for j in range(c):
                a, b = channels[i] - channels[i].mean(), channels[j] - channels[j].mean()
                if np.ptp(channels[i]) > 0 and np.ptp(channels[j]) > 0:
                    correlation[i, j] = a @ b / math.sqrt((a @ a) * (b @ b))
        total += np.linalg.eigvalsh(correlation)[0]
    return total


def expressivity(tensors: Tensors) -> float:
    total = 0.0
    for x in tensors:
        positions = np.moveaxis(x.reshape(len(x), x.shape[1], -1), 1, 2).reshape(-1, x.shape[1])
        eigenvalues = np.linalg.eigvalsh(np.atleast_2d(np.cov(positions.T, bias=True)))
        eigenvalues[eigenvalues < 0] = 0
        if eigenvalues.sum() > 0:
            p = eigenvalues / eigenvalues.sum()
            total -= sum(p_i * math.log(p_i + 1e-8) for p_i in p)
    return total


FORMULAS: dict[str, Callable[[Tensors], float]] = {
    "naswot_layerwise": naswot_layerwise,
    "swap": swap,
    "meco": meco,
    "expressivity": expressivity,
}


def test_every_measure_has_its_formula_here() -> None:
    assert {*FORMULAS, *DEFAULT_MEASURES} == own_measures().keys()


def values_of(
    network: Network, images: torch.Tensor, names: Sequence[str] = tuple(FORMULAS), engine: str = "exact"
) -> dict[str, float]:
    measures = get_measures(names)
    wanted = {statistic for one in measures for statistic in one.statistics}
    forward = get_engine(engine).run_forward(network, images, SeededWeights(network, 0), wanted)
    return dict(scores_of(network, forward, measures))


def tensors_of(network: Network, images: torch.Tensor) -> Tensors:
    forward = get_engine("exact").run_forward(network, images, SeededWeights(network, 0), [Statistic.ACTIVATIONS])
    tensors = [x.double().numpy() for x in forward.activations]
    return [x if x.ndim == 4 else x[:, :, None, None] for x in tensors]


@settings(max_examples=100, deadline=None)
@given(networks(), st.sampled_from([2, 5, 16, 20]))
def test_values_are_those_of_the_formulas(network: Network, num_images: int) -> None:
    images = IMAGES[:num_images]
    tensors, found = tensors_of(network, images), values_of(network, images)
    for name, formula in FORMULAS.items():
        expected = formula(tensors)
        if name == "swap" and any(codes.node is None for codes in network.plan.codes):
            has_all_off = any((~(x[:16] > 0).any(0)).any() for x in tensors)
            expected += 0 if has_all_off else 1  # the pattern of the units that are off for every image
        assert found[name] == pytest.approx(expected, rel=1e-4, abs=1e-4), name


def chain(*widths: int, pool: bool = False, shape: tuple[int, int, int] = (3, 8, 8)) -> Network:
    b = NetworkBuilder(shape)
    x = b.input
    for width in widths:
        x = b.relu(b.batch_norm(b.conv(x, width, 3, padding=1)))
    x = b.relu(b.global_avg_pool(x)) if pool else b.global_avg_pool(x)
    return b.build(b.linear(x, 10), arch_id=f"chain-{widths}")


@pytest.mark.parametrize("engine", ["exact", "fast"])
class TestEdgeCases:
    def test_a_network_without_live_relus(self, engine: str) -> None:
        network = chain()
        assert values_of(network, IMAGES, list(FORMULAS), engine) == dict.fromkeys(values_of(network, IMAGES), 0.0)
        assert values_of(network, IMAGES, ["naswot"], engine) == {"naswot": -math.inf}

    def test_one_channel(self, engine: str) -> None:
        found = values_of(chain(1), IMAGES, list(FORMULAS), engine)
        assert found["meco"] == pytest.approx(1.0)
        assert found["expressivity"] == pytest.approx(0.0, abs=1e-7)

    def test_one_pixel(self, engine: str) -> None:
        """After a global pool, every channel of the first image is constant."""
        with_pool, without = (values_of(chain(4, pool=pool), IMAGES, list(FORMULAS), engine) for pool in (True, False))
        assert with_pool["meco"] == pytest.approx(without["meco"], abs=1e-5)
        assert with_pool["expressivity"] > without["expressivity"]

    def test_images_that_are_the_same(self, engine: str) -> None:
        """Every kernel is singular, and no unit distinguishes two images."""
        found = values_of(chain(4, 4), IMAGES[:1].repeat(20, 1, 1, 1), [*FORMULAS, "naswot"], engine)
        assert found["naswot"] == -math.inf
        assert found["naswot_layerwise"] == 0
        assert found["swap"] <= 2

    def test_images_of_one_colour(self, engine: str) -> None:
        """All channels are constant except at the border. The measures are finite."""
        found = values_of(chain(4, 4), torch.ones(4, 3, 8, 8), list(FORMULAS), engine)
        assert all(map(math.isfinite, found.values()))

    def test_a_tensor_that_is_zero_adds_its_pattern_alone(self, engine: str) -> None:
        def network(zero: bool) -> Network:
            b = NetworkBuilder((3, 8, 8))
            x = b.relu(b.batch_norm(b.conv(b.input, 4, 3, padding=1)))
            parts = [x, b.relu(b.zero(x))] if zero else [x]
            return b.build(b.linear(b.global_avg_pool(b.add(*parts)), 10), arch_id="zero")

        with_zero, without = (values_of(network(zero), IMAGES, list(FORMULAS), engine) for zero in (True, False))
        assert with_zero["swap"] - without["swap"] in (0, 1)
        for name in ("naswot_layerwise", "meco", "expressivity"):
            assert with_zero[name] == without[name]


def test_a_measure_that_fails_alone_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = all_measures()["meco"]
    monkeypatch.setitem(all_measures(), "meco", type(broken)(**{**vars(broken), "take": lambda forward: 1 / 0}))
    network, measures = chain(4), get_measures(["meco", "swap"])
    forward = get_engine("exact").run_forward(network, IMAGES, SeededWeights(network, 0), list(Statistic))
    scores = scores_of(network, forward, measures)
    assert dict(scores) == {"swap": scores["swap"]}
    assert scores.errors == {"meco": "ZeroDivisionError: division by zero"}
    with pytest.raises(MeasureError, match="meco: ZeroDivisionError"):
        scores["meco"]


def test_names() -> None:
    assert [one.name for one in get_measures(["swap", "naswot"])] == ["naswot", "swap"]
    assert [one.name for one in get_measures(["all"])] == list(all_measures())
    with pytest.raises(SettingsError, match=r"unknown measure 'mecco'; .*; did you mean meco\?"):
        get_measures(["mecco"])
    with pytest.raises(SettingsError, match="no measure: expected one of naswot, "):
        get_measures([])


def test_every_measure_of_ours_says_whom_to_cite() -> None:
    assert all(one.citation is not None for one in own_measures().values())


def test_the_page_of_measures_names_every_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "measures.md").read_text()
    for name in own_measures():
        assert f"| `{name}` |" in page

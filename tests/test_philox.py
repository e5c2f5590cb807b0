"""Random numbers: their bits are pinned, because datasets depend on them, and their distributions are what they are called."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naswot_ray import philox

PURPOSE = ("test", 1, "purpose")
MASK = 2**64 - 1


def _philox4x64(key: tuple[int, int], counter: list[int]) -> list[int]:
    """Philox4x64-10, written from the paper (Salmon et al., SC 2011)."""
    k0, k1 = key
    x = counter
    for _ in range(10):
        low0, high0 = (p := 0xD2E7470EE14C6C93 * x[0]) & MASK, p >> 64
        low1, high1 = (p := 0xCA5A826395121157 * x[2]) & MASK, p >> 64
        x = [high1 ^ x[1] ^ k0, low1, high0 ^ x[3] ^ k1, low0]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return x


@pytest.mark.parametrize("stream", [0, 5])
def test_words_are_philox_keyed_by_the_purpose(stream: int) -> None:
    """Another language or a GPU can draw the same: blocks of four words, with the counter's first word starting at 1."""
    digest = hashlib.blake2b(b"test\x001\x00purpose", digest_size=16).digest()
    key = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
    expected = [word for block in (1, 2, 3) for word in _philox4x64(key, [block, stream, 0, 0])]
    assert [int(word) for word in philox.raw_words(PURPOSE, 10, stream=stream)] == expected[:10]


class TestPinnedBits:
    """If one of these fails, every score ever published changes: raise WEIGHTS_VERSION or BATCH_VERSION, or undo the change."""

    def test_words(self) -> None:
        words = philox.raw_words(PURPOSE, 4)
        assert [int(w) for w in words] == [0xC5AA949956EF957D, 0xB3B27C8C332AA3CE, 0xC119494A7E2C1D71, 0x46A078B269FB014]
        assert [int(w) for w in philox.raw_words(PURPOSE, 2, stream=3)] == [0x87F6F649B9E9851, 0xA94ED2FFC54F775]

    def test_uniform(self) -> None:
        first = ["0x1.5bbe560000000p-2", "-0x1.d2ab5c0000000p-3", "0x1.99551c0000000p-3", "-0x1.31360e0000000p-2"]
        assert [float(x).hex() for x in philox.uniform(PURPOSE, 4, bound=0.5)] == first
        digest = "3476a4661fd266b906fb296dcc20c5d82ff35c2a7be4bbb88992dc76de82b646"
        assert _digest(philox.uniform(PURPOSE, 10_001, bound=1 / 3)) == digest

    def test_normal(self) -> None:
        first = ["0x1.b22cb60000000p-3", "-0x1.a780b80000000p-2", "0x1.9fed120000000p-3", "0x1.7de5360000000p-1"]
        assert [float(x).hex() for x in philox.normal(PURPOSE, 4)] == first
        digest = "bb8d5447b051ea4beab53e1fc11a181ae89a3d5ff6ade922bd5383ea374eea00"
        assert _digest(philox.normal(PURPOSE, 10_001)) == digest

    def test_sample(self) -> None:
        assert philox.sample_without_replacement(PURPOSE, 10, 10).tolist() == [3, 4, 5, 7, 6, 1, 2, 9, 0, 8]


def _digest(values: Any) -> str:
    return hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()


DRAWS: list[Callable[..., Any]] = [
    philox.raw_words,
    lambda purpose, count, **stream: philox.uniform(purpose, count, bound=1.0, **stream),
    philox.normal,
]


class TestStreams:
    @pytest.mark.parametrize("draw", DRAWS)
    @given(st.integers(0, 40), st.integers(0, 40))
    def test_more_draws_begin_with_the_fewer(self, draw: Callable[..., Any], count: int, more: int) -> None:
        assert len(draw(PURPOSE, count)) == count
        np.testing.assert_array_equal(draw(PURPOSE, count + more)[:count], draw(PURPOSE, count))

    @pytest.mark.parametrize("draw", DRAWS)
    def test_drawing_leaves_no_trace(self, draw: Callable[..., Any]) -> None:
        before = draw(PURPOSE, 9)
        draw(("another",), 5)
        np.random.default_rng(0).random()
        np.testing.assert_array_equal(draw(PURPOSE, 9), before)

    def test_streams_and_purposes_are_independent(self) -> None:
        purposes = [PURPOSE, ("test", 2, "purpose"), ("test", 1, "purposes"), ("test", "1purpose"), ("test1", "purpose")]
        drawn = [philox.uniform(p, 20_000, bound=1.0, stream=s) for p in purposes for s in range(3)]
        for one, other in itertools.combinations(drawn, 2):
            assert not (one == other).all()
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.04, "5.6 standard deviations"


class TestUniform:
    def test_range_and_moments(self) -> None:
        x = philox.uniform(PURPOSE, 1_000_000, bound=0.25).astype(np.float64)
        assert np.abs(x).max() < 0.25
        assert x.min() < -0.2499 < 0.2499 < x.max()
        assert (x != 0).all()
        assert abs(x.mean()) < 5 * 0.25 / np.sqrt(3e6)
        assert x.var() == pytest.approx(0.25**2 / 3, rel=0.005)
        assert abs(np.mean(x > 0) - 0.5) < 0.0025
        counts, _ = np.histogram(x, bins=50, range=(-0.25, 0.25))
        assert np.abs(counts - 20_000).max() < 5 * np.sqrt(20_000)

    @given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
    def test_is_one_rounded_product_of_an_odd_integer(self, purpose: int, bound: float) -> None:
        (word,) = (int(w) for w in philox.raw_words((purpose,), 1))
        halves = (word & 0xFFFFFFFF, word >> 32)
        signed = [(half - 2**32 if half >= 2**31 else half) >> 7 | 1 for half in halves]
        expected = [np.float32(integer) * np.float32(bound / 2**24) for integer in signed]
        drawn = philox.uniform((purpose,), 2, bound=bound)
        assert drawn.tolist() == expected
        assert drawn.dtype == np.float32
        assert (np.abs(drawn) < np.float32(bound)).all()


class TestNormal:
    def test_moments(self) -> None:
        x = philox.normal(PURPOSE, 1_000_000).astype(np.float64)
        assert abs(x.mean()) < 0.005
        assert x.var() == pytest.approx(1, abs=0.007)
        assert abs((x**3).mean()) < 0.02
        assert (x**4).mean() == pytest.approx(3, abs=0.05)
        assert np.abs(x).max() < 4.33

    @given(st.integers(0, 2**32 - 1))
    def test_is_a_quantile_per_quarter_word(self, purpose: int) -> None:
        (word,) = (int(w) for w in philox.raw_words((purpose,), 1))
        quarters = [(word >> shift) & 0xFFFF for shift in (0, 16, 32, 48)]
        expected = [NormalDist().inv_cdf((quarter + 0.5) / 65536) for quarter in quarters]
        np.testing.assert_allclose(philox.normal((purpose,), 4), expected, rtol=1e-6)


class TestSample:
    @given(st.integers(1, 200), st.data())
    def test_is_distinct_and_within_the_population(self, population: int, data: st.DataObject) -> None:
        count = data.draw(st.integers(0, population))
        sample = philox.sample_without_replacement(PURPOSE, population, count)
        assert len(set(sample.tolist())) == len(sample) == count
        assert set(sample.tolist()) <= set(range(population))

    def test_every_order_is_as_likely(self) -> None:
        seen = [tuple(philox.sample_without_replacement(("order", i), 3, 3).tolist()) for i in range(6000)]
        counts = {order: seen.count(order) for order in itertools.permutations(range(3))}
        assert all(abs(count - 1000) < 150 for count in counts.values())

    def test_every_member_is_as_likely(self) -> None:
        drawn = np.concatenate([philox.sample_without_replacement(("member", i), 10, 2) for i in range(5000)])
        assert np.abs(np.bincount(drawn, minlength=10) - 1000).max() < 150

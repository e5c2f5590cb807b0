"""Rank sums equal ranks counted by hand, with ties, singular kernels and missing values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from naswot_ray.analysis.rank_sums import RANK_SUMS, rank_sum
from naswot_ray.dataset.schema import BASELINES
from naswot_ray.errors import SettingsError
from naswot_ray.measures import own_measures

INF, NAN = np.inf, np.nan


def test_sums_the_logarithms_of_ranks_that_start_at_one() -> None:
    columns = {
        "meco": np.array([0.1, 0.3, 0.2]),
        "naswot": np.array([30.0, 20.0, 10.0]),
        "num_relus": np.array([4.0, 5.0, 6.0]),
    }
    np.testing.assert_allclose(rank_sum("log_rank_sum", columns), np.log([1 * 3 * 1, 3 * 2 * 2, 2 * 1 * 3]))


def test_two_parts_are_summed_likewise() -> None:
    columns = {"meco": np.array([0.1, 0.3, 0.2]), "expressivity": np.array([5.0, 5.0, 1.0])}
    np.testing.assert_allclose(rank_sum("meco_expressivity_rank_sum", columns), np.log([1 * 2.5, 3 * 2.5, 2 * 1]))


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    columns = {"meco": np.array([0.0, 0.0, 1.0]), "naswot": np.ones(3), "num_relus": np.array([2.0, 1.0, 3.0])}
    np.testing.assert_allclose(rank_sum("log_rank_sum", columns), np.log([1.5 * 2 * 2, 1.5 * 2 * 1, 3 * 2 * 3]))


def test_singular_kernels_rank_last_and_tied() -> None:
    columns = {"meco": np.ones(4), "naswot": np.array([-INF, 5.0, -INF, -1e300]), "num_relus": np.ones(4)}
    np.testing.assert_allclose(rank_sum("log_rank_sum", columns), np.log(2.5 * 2.5 * np.array([1.5, 4, 1.5, 3])))


def test_an_architecture_without_a_part_has_no_value_and_no_rank() -> None:
    generator = np.random.default_rng(5)
    parts = RANK_SUMS["log_rank_sum"].parts
    columns = {part: generator.integers(0, 9, 50).astype(float) for part in parts}
    columns["meco"][3] = columns["naswot"][7] = columns["num_relus"][7] = NAN
    found = rank_sum("log_rank_sum", columns)
    kept = np.delete(np.arange(50), [3, 7])
    assert np.isnan(found[[3, 7]]).all()
    np.testing.assert_allclose(found[kept], sum(np.log(rankdata(columns[part][kept])) for part in parts))


def test_a_value_depends_on_the_set_that_it_is_ranked_in() -> None:
    columns = {part: np.array([1.0, 2.0, 3.0]) for part in RANK_SUMS["log_rank_sum"].parts}
    whole = rank_sum("log_rank_sum", columns)
    upper = rank_sum("log_rank_sum", {part: values[1:] for part, values in columns.items()})
    assert upper[0] < whole[1]


def test_a_set_of_no_architectures_has_no_values() -> None:
    assert rank_sum("log_rank_sum", {part: np.array([]) for part in RANK_SUMS["log_rank_sum"].parts}).shape == (0,)


def test_parts_are_measures_and_baselines() -> None:
    for one in RANK_SUMS.values():
        assert set(one.parts) <= {*own_measures(), *BASELINES}
        assert one.name not in {*own_measures(), *BASELINES}


def test_an_unknown_name_and_a_missing_part_are_named() -> None:
    with pytest.raises(SettingsError, match=r"unknown rank sum 'log_ranksum'.*did you mean log_rank_sum"):
        rank_sum("log_ranksum", {})
    with pytest.raises(SettingsError, match=r"log_rank_sum combines .*; meco and num_relus not given"):
        rank_sum("log_rank_sum", {"naswot": np.ones(2)})

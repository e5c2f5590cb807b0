"""What spaces say about themselves."""

from __future__ import annotations

import pytest

from naswot_ray.spaces import Facts, all_spaces, facts_of, get_space

LISTED = ("nasbench101", "nasbench201", "nats_sss")


@pytest.mark.parametrize("name", all_spaces())
def test_every_space_of_ours_says_whom_to_cite_and_whose_terms_hold(name: str) -> None:
    facts = facts_of(name)
    assert facts.citation is not None
    assert facts.source is not None
    assert facts.source.startswith("https://")
    assert facts.terms


@pytest.mark.parametrize("name", LISTED)
def test_arch_ids_look_like_those_of_one_space_alone(name: str) -> None:
    space = get_space(name)
    ids = [space[0], space[len(space) // 2], space[len(space) - 1]]
    for other in all_spaces():
        pattern = facts_of(other).arch_id_pattern
        assert pattern is not None
        assert all(bool(pattern.fullmatch(arch_id)) is (other == name) for arch_id in ids)


def test_a_space_that_says_nothing_or_is_not_installed_is_called_by_its_name() -> None:
    assert facts_of("somebody_elses") == Facts(title="somebody_elses")


def test_facts_are_the_same_before_and_after_a_space_is_opened() -> None:
    assert get_space("nasbench201").facts is facts_of("nasbench201")
    assert facts_of("nds_darts_in").title == "NDS darts_in"

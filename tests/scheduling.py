"""Decides which tests run together on one worker of pytest-xdist, and in which order: `python -m pytest -n auto`.

The tests of a module stay together, so that its fixtures are made once. xdist's own `--dist loadgroup` does not work with
pytest 9.2 (pytest-xdist issue 1386): it marks groups in the names of tests, and these can no longer be changed.
"""

from __future__ import annotations

from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling

_TOGETHER: Final = {
    "tests/faults/sandbox/": "sandbox",
    "tests/faults/": "faults",  # share a head node
    "tests/e2e/": "e2e",  # share another one: with those above they would take longer than all others beside them
}
"""Beginning of a test's name -> its group."""

_APART: Final = {"tests/parity/test_parity.py::test_published_score[": 2}
"""Beginning of a test's name -> how many parts of its parameters, separated by hyphens, belong to the name of its group."""

_FIRST: Final = (
    "sandbox",
    "faults",
    "e2e",
    "tests/engines/cuda/test_engine.py",
    "tests/engines/",
    "tests/run/test_every_space.py",
)
"""Beginnings of the names of groups that take minutes, longest first. If a long one began last, the others would wait for
it."""


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist comes without types
    """Gives whole groups to workers, in the order of `in_order`."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """The group of a test."""
    for beginning, group in _TOGETHER.items():
        if nodeid.startswith(beginning):
            return group
    for beginning, num_parts in _APART.items():
        if nodeid.startswith(beginning):
            return beginning + "-".join(nodeid.removeprefix(beginning).split("-")[:num_parts])
    return nodeid.partition("::")[0]


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """The tests, those of long groups first."""

    def rank(item: pytest.Item) -> int:
        group = group_of(item.nodeid)
        return next((i for i, beginning in enumerate(_FIRST) if group.startswith(beginning)), len(_FIRST))

    return sorted(items, key=rank)

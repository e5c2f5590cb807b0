"""Spaces by name, with their parameters."""

from __future__ import annotations

import re
from typing import Any

import pytest

from naswot_ray import spaces
from naswot_ray.errors import SettingsError
from naswot_ray.spaces import all_spaces, get_space, open_spaces
from naswot_ray.spaces.nasbench201 import NasBench201
from naswot_ray.spaces.nats_sss import NatsSss


class Wide(NatsSss):
    """A space with parameters."""

    name = "wide"

    def __init__(self, width: int = 1, source: str = "") -> None:
        self.width, self.source = width, source


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(all_spaces(), "wide", Wide)


def test_one_object_per_name_and_parameters() -> None:
    assert get_space("wide") is get_space("wide")
    assert get_space("wide", width=2) is get_space("wide", width=2)
    assert get_space("wide", width=2) is not get_space("wide")
    assert isinstance(get_space("nasbench201"), NasBench201)


def test_an_option_goes_to_every_space_that_takes_it() -> None:
    found = open_spaces(["nasbench201", "wide"], ["width=3", "source=a=b"])
    assert list(found) == ["nasbench201", "wide"]
    wide: Any = found["wide"]
    assert (wide.width, wide.source) == (3, "a=b")
    assert open_spaces(["wide"])["wide"] is get_space("wide")


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["nowhere"], [], "unknown space 'nowhere'; there are: "),
        (["nowhere"], ["width=3"], "unknown space 'nowhere'; there are: "),
        (["wide"], ["width"], "--space-option 'width': expected PARAMETER=VALUE"),
        (["wide"], ["width=x"], "--space-option 'width=x': expected a whole number after '='"),
        (["wide"], ["height=3"], "--space-option 'height=3': wide takes source, width"),
        (["nasbench201"], ["width=3"], "--space-option 'width=3': nasbench201 takes no parameters"),
        (["wide", "nasbench201"], ["height=3"], "--space-option 'height=3': wide and nasbench201 take source, width"),
    ],
)
def test_refusals(names: list[str], options: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}"):
        open_spaces(names, options)


def test_a_parameter_that_a_space_does_not_have() -> None:
    with pytest.raises(SettingsError, match=r"^wide has no parameter 'height'; it has: width, source$"):
        get_space("wide", height=3)
    with pytest.raises(SettingsError, match=r"^nasbench201 has no parameter 'height'; it has: none$"):
        get_space("nasbench201", height=3)


def test_every_space_is_listed_under_its_own_name() -> None:
    assert "get_space" in spaces.__all__
    for name in ("nasbench201", "nats_sss"):
        assert all_spaces()[name]().name == name

"""Spaces that other installed packages offer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from naswot_ray.errors import SettingsError
from naswot_ray.spaces import ENTRY_POINTS, all_spaces, check_name, facts_of, get_space
from tests.cli.running import naswot
from tests.packages import install

SOURCE = """
from naswot_ray.spaces import Facts
from naswot_ray.spaces.nats_sss import NatsSss

class Small(NatsSss):
    name = "small"
    facts = Facts(title="a small space")

    def __init__(self, width: int) -> None:
        self.width = width

class Misnamed(NatsSss):
    name = "another"

not_callable = 3

def not_a_space():
    return {}
"""


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Spaces are listed once per process."""
    yield
    all_spaces.cache_clear()
    get_space.cache_clear()


def offer(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str = SOURCE, **spaces: str) -> None:
    install(folder, monkeypatch, f"package_{folder.name.replace('-', '_')}", source, ENTRY_POINTS, **spaces)
    all_spaces.cache_clear()


def test_a_space_is_there_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, monkeypatch, small="Small")
    check_name("small")
    assert facts_of("small").title == "a small space"
    assert len(get_space("small", width=3)) == 32_768
    with pytest.raises(SettingsError, match=r"^small needs a parameter: --space-option width=VALUE$"):
        get_space("small")
    listed = naswot("spaces").stdout
    assert "small: small needs a parameter: --space-option width=VALUE\n  --space-option width=VALUE\n" in listed


@pytest.mark.parametrize(
    ("name", "attribute", "message"),
    [
        ("nats_sss", "Small", "there is a space nats_sss already; give it another name"),
        ("number", "not_callable", "expected a class of a space, found int"),
        ("missing", "Nothing", "cannot be imported: AttributeError: "),
    ],
)
def test_what_is_no_new_space_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, attribute: str, message: str
) -> None:
    offer(tmp_path, monkeypatch, **{name: attribute})
    done = naswot("spaces")
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "attribute", "found"), [("misnamed", "Misnamed", "'another'"), ("none", "not_a_space", "dict")]
)
def test_what_makes_no_space_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, attribute: str, found: str
) -> None:
    offer(tmp_path, monkeypatch, **{name: attribute})
    with pytest.raises(SettingsError, match=f"^naswot_ray.spaces '{name}': expected a space of that name, it makes .*{found}$"):
        get_space(name)


def test_a_module_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, monkeypatch, "import a_module_that_is_not_there\n", broken="Space")
    with pytest.raises(
        SettingsError, match=r"which package \S+ offers as naswot_ray.spaces 'broken', cannot be imported: Module"
    ):
        all_spaces()

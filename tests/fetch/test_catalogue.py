"""The table is consistent, and agrees with the code that reads its files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from naswot_ray.cli import app
from naswot_ray.errors import FetchError
from naswot_ray.fetch.catalogue import CATALOGUE, get_entry
from naswot_ray.images.files import FILES

DOCS = Path(__file__).parents[2] / "docs" / "fetching.md"


@pytest.mark.parametrize("name", CATALOGUE)
def test_addresses_are_encrypted_and_name_the_file(name: str) -> None:
    entry = CATALOGUE[name]
    assert entry.address.startswith("https://")
    if not entry.by_hand:
        assert [file.name for file in entry.files] == [entry.address.rpartition("/")[2]]


@pytest.mark.parametrize("name", CATALOGUE)
def test_whatever_is_downloaded_can_be_verified(name: str) -> None:
    entry = CATALOGUE[name]
    for file in entry.files:
        assert entry.archive or file.digest
        if file.digest:
            whole = {"md5": 32, "sha256": 64}[file.digest.algorithm]
            assert re.fullmatch(rf"[0-9a-f]{{{whole}}}|[0-9a-f]{{5}}", file.digest.hexdigits)
    assert entry.archive or not entry.unpacked


def test_the_digits_in_nats_benchs_names_are_those_of_the_whole_files() -> None:
    for space in ("tss", "sss"):
        (whole,), (simple,) = CATALOGUE[f"nats-{space}-whole"].files, CATALOGUE[f"nats-{space}"].files
        assert whole.digest
        assert whole.name == f"NATS-{space}-v1_0-{whole.digest.hexdigits}.pickle.pbz2"
        assert simple.digest is None or not simple.digest.official
        assert simple.name == f"{CATALOGUE[f'nats-{space}'].unpacked}.tar"


@pytest.mark.parametrize("name", FILES)
def test_images_are_the_files_that_the_reader_looks_for(name: str) -> None:
    files = FILES[name]
    expected = {files.archive: files.archive_md5} if files.archive else files.batches
    assert {file.name: file.digest.hexdigits for file in CATALOGUE[name].files if file.digest} == expected


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_next_command_exists(name: str) -> None:
    program, command, *arguments = shlex.split(CATALOGUE[name].next_command(Path("/a folder") / name))
    assert program == "naswot-ray"
    flags = {flag for p in typer.main.get_command(app).commands[command].params for flag in p.opts}  # type: ignore[attr-defined]
    assert {argument for argument in arguments if argument.startswith("--")} <= flags
    assert [argument for argument in arguments if argument.startswith("/")] == [
        str(Path("/a folder") / name if "--data" in arguments else CATALOGUE[name].path_in(Path("/a folder") / name))
    ]


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_documentation_lists_it(name: str) -> None:
    entry = CATALOGUE[name]
    (row,) = re.findall(rf"^\| `{name}` \|.*$", DOCS.read_text(), re.MULTILINE)
    assert entry.address in row
    assert entry.terms in row
    if len(entry.files) == 1:
        assert f"`{entry.files[0].name}`" in row


def test_unknown_name() -> None:
    with pytest.raises(FetchError, match="nothing to fetch is called 'nasbench'; there are: nasbench101, "):
        get_entry("nasbench")

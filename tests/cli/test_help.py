"""Every command says what it needs, and its help lists every option once, with its meaning."""

from __future__ import annotations

import re

import pytest
from pydantic_core import PydanticUndefined

from naswot_ray.run.options import ScoreOptions
from naswot_ray.spaces import all_spaces
from tests.cli.running import naswot, naswot_process, prints

COMMANDS = ("score", "accuracies", "join", "query", "info", "figures", "report", "fetch", "spaces")


def help_of(*args: str, flag: str = "--help") -> str:
    """The help text without its line breaks and indents."""
    return " ".join(prints(*args, flag).split())


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_help_lists_every_command(flag: str) -> None:
    text = help_of(flag=flag)
    for command in COMMANDS:
        assert f" {command} " in text
    assert "Training-free NASWOT scores" in text


def test_no_command_shows_the_help() -> None:
    result = naswot()
    assert "Usage: naswot-ray" in result.output
    assert result.exit_code == 2


def score_options() -> str:
    """The list of options in the help of `score`."""
    return prints("score", "--help").partition("\nOptions:\n")[2]


@pytest.mark.parametrize("name", ScoreOptions.model_fields)
def test_score_has_every_option_with_its_description_and_default(name: str) -> None:
    field = ScoreOptions.model_fields[name]
    flag = "--" + name.replace("_", "-")
    (about,) = re.findall(rf"^  (?:-o, )?{flag}(?![\w-]).*\n(?:   .*\n)*", score_options(), re.MULTILINE)
    assert field.description
    assert "".join(field.description.split()) in "".join(about.split()), "but for line breaks"
    if field.default is PydanticUndefined:
        assert "[required]" in about
    elif field.default not in (None, False, []):
        default = ",".join(map(str, field.default)) if isinstance(field.default, list) else field.default
        assert f"[default:{default}]" in "".join(about.split())


def test_score_has_no_option_twice_and_none_besides() -> None:
    flags = re.findall(r"^  (?:-\w, )?(--[\w-]+)", score_options(), re.MULTILINE)
    assert len(flags) == len(set(flags))
    assert set(flags) - {"--accuracies", "--map", "--help"} == {"--" + n.replace("_", "-") for n in ScoreOptions.model_fields}


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        (
            "score",
            [
                "--output",
                "[required]",
                "official benchmark file",
                ".parquet or .csv",
                "FIELD=COLUMN",
                "Example: naswot-ray score",
            ],
        ),
        ("accuracies", ["SPACE", "FILE", "--dataset", "--map", "Example: naswot-ray accuracies"]),
        ("join", ["DATASET", "--accuracies", "--map", "--space", "Example: naswot-ray join"]),
        ("query", ["DATASET", "SQL", "table|csv|parquet", "--output", "scores, architectures, accuracies, joined", "Example:"]),
        ("info", ["DATASET", "Exit status 1"]),
        ("figures", ["DATASET", "--output", "[required]", "--colour", "--data", "Example: naswot-ray figures"]),
        ("report", ["DATASET", "--output", "[required]", "It needs no network", "Example: naswot-ray report"]),
        ("fetch", ["NAME", "--cache", "NASWOT_RAY_CACHE", "Default: list what there is", "Example: naswot-ray fetch"]),
        ("spaces", ["List the search spaces"]),
    ],
)
def test_a_command_says_what_it_needs(command: str, needed: list[str]) -> None:
    text = help_of(command)
    assert f"Usage: naswot-ray {command}" in text
    for words in needed:
        assert words in text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["score"], "Missing option '--output'"),
        (["score", "-o", "x", "--limit", "many"], "Invalid value for '--limit'"),
        (["score", "-o", "x", "--limt", "4"], "No such option: --limt"),
        (["join"], "Missing argument 'DATASET'"),
        (["query", "x"], "Missing argument 'SQL'"),
        (["query", "x", "SELECT 1", "--format", "xlsx"], "Invalid value for '--format'"),
        (["info"], "Missing argument 'DATASET'"),
        (["scores"], "No such command 'scores'"),
    ],
)
def test_a_mistyped_command_line(args: list[str], message: str) -> None:
    result = naswot(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert "-h' for help" in result.stderr


def test_spaces_are_listed_with_their_size() -> None:
    text = prints("spaces")
    assert "nasbench201: 15,625 architectures, the first is |avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+" in text
    assert "nasbench101: 423,624 architectures, the first is 043721b9c7fe8c5fad811d47d83132ec" in text
    assert "--space-option stem_channels=16, num_stacks=3, cells_per_stack=3" in text
    assert "these are read from a file (`naswot-ray fetch nds`, or --space-option source=PATH): nds_amoeba, " in text
    assert all(re.search(rf"\b{re.escape(name)}\b", text) for name in all_spaces())


def test_help_needs_neither_torch_nor_ray() -> None:
    done = naswot_process("score", "--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "pyarrow" in imported
    assert not {"torch", "ray"} & imported

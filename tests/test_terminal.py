"""No text can control a terminal, whichever way it gets there."""

from __future__ import annotations

import io

import pytest
from rich.progress import Progress, TextColumn
from rich.table import Table

from naswot_ray.fetch.progress import ConsoleFetchProgress
from naswot_ray.terminal import Terminal, complain, printable

HOSTILE = "a\x1b[2Jb\x1b]0;title\x07c\rd\x9b31me\u202ef\u2066g\x00h\x7f"
SHOWN = "a\\x1b[2Jb\\x1b]0;title"


def shown_by(console: Terminal) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.fixture
def console() -> Terminal:
    console = Terminal()
    console.file = io.StringIO()
    console.size = (300, 25)
    return console


def test_hostile_characters_are_shown_as_escapes() -> None:
    assert printable(HOSTILE) == "a\\x1b[2Jb\\x1b]0;title\\x07c\\rd\\x9b31me\\u202ef\\u2066g\\x00h\\x7f"
    assert printable("|nor_conv_3x3~0|+ ä 字\tτ\n") == "|nor_conv_3x3~0|+ ä 字\tτ\n"
    assert printable("\udcff") == "\\udcff"


def test_a_line_and_a_table(console: Terminal) -> None:
    table = Table(HOSTILE, box=None)
    table.add_row(HOSTILE)
    console.print(HOSTILE)
    console.print(table)
    text = shown_by(console)
    assert text.count(SHOWN) == 3
    assert not set(text) & set("\x1b\x07\x9b\u202e\u2066\r")


def test_markup_and_emoji_are_text(console: Terminal) -> None:
    console.print("[red]x[/red] [link=http://x]y[/link] :skull: [/]")
    assert shown_by(console) == "[red]x[/red] [link=http://x]y[/link] :skull: [/]\n"


def test_a_progress_bar(console: Terminal) -> None:
    with Progress(TextColumn("{task.description}", markup=False), console=console) as bar:
        bar.add_task(f"[red]{HOSTILE}")
    text = shown_by(console)
    assert f"[red]{SHOWN}" in text
    assert not set(text) & set("\x07\x9b\u202e")


def test_a_download(console: Terminal) -> None:
    with ConsoleFetchProgress(console) as progress:
        progress.begin(f"[red]{HOSTILE} :skull:", 10, 0)
    assert f"[red]{SHOWN}" in shown_by(console)
    assert ":skull:" in shown_by(console)


def test_an_error_is_one_line_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    complain(f"error: {HOSTILE}\ncannot open s3://KEY:SECRET@bucket/x: 's3:/KEY:SEC/RET@b', s3://bucket/x, at 10:30")
    text = capsys.readouterr().err
    assert text.startswith(f"error: {SHOWN}")
    assert text.endswith("\\ncannot open s3://bucket/x: 's3:/b', s3://bucket/x, at 10:30\n")
    assert text.count("\n") == 1

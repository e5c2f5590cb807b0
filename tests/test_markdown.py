"""Texts in Markdown are shown literally: they make no HTML and no link, and end no cell or block."""

from __future__ import annotations

import re

import markdown as reference  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naswot_ray.markdown import block, code, escape

TAGS = re.compile(r"<(?!/?(p|code)>)")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script> & more", "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more"),
        ("a|b", "a\\|b"),
        ("[x](http://y) ![x](y)", "[x\\](http://y) ![x\\](y)"),
        ("`x` **y** $z$", "\\`x\\` \\*\\*y\\*\\* \\$z\\$"),
        ("a\nb\x1b[2J", "a b\\\\x1b[2J"),
        ("0.532 [0.510, 0.554]", "0.532 [0.510, 0.554]"),
        ("nds_resnext-a_in", "nds_resnext-a_in"),
        ("_0_ __init__", "\\_0\\_ \\_\\_init\\_\\_"),
    ],
)
def test_a_text_in_a_sentence(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(st.text())
def test_no_text_makes_an_element(text: str) -> None:
    assert not TAGS.search(reference.markdown(f"x {escape(text)} x"))
    assert not TAGS.search(reference.markdown(f"x {code(text)} x"))
    assert "\n" not in escape(text) + code(text)


@given(st.lists(st.text("`~a\n "), min_size=1))
def test_no_line_ends_a_block(lines: list[str]) -> None:
    first, *middle, last = block(lines, "bash").split("\n")
    assert first == f"{last}bash"
    assert "\n".join(middle) == "\n".join(lines)
    assert last not in "\n".join(middle)

"""Reads back what an audit prints."""

from __future__ import annotations


def figures(output: str, measure: str) -> list[str]:
    """What an audit says about one measure: values, agreeing, same engine, bit for bit, largest difference."""
    (line,) = (line for line in output.splitlines() if line.split()[:1] == [measure])
    return line.split()[1:]

"""Writes the tables of columns in dataset.md from the schema: python docs/columns.py"""

from __future__ import annotations

import re
from pathlib import Path

from naswot_ray.dataset import schema
from naswot_ray.measures import own_measures
from naswot_ray.publish.columns import column_table

PAGE = Path(__file__).with_name("dataset.md")


def with_columns(text: str) -> str:
    """The page with the schema's columns between each pair of marks, `<!-- columns of TABLE -->` and `<!-- end -->`."""

    def written(match: re.Match[str]) -> str:
        start, table, end = match.groups()
        return "\n".join([start, "", *column_table(schema.columns_of(table, own_measures())), "", end])

    return re.sub(r"(<!-- columns of (\w+) -->)\n.*?(<!-- end -->)", written, text, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(with_columns(PAGE.read_text("utf-8")), "utf-8")

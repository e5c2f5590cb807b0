"""The columns of a table as Markdown: in the card, and in docs/dataset.md."""

from __future__ import annotations

from collections.abc import Iterable

from naswot_ray import markdown
from naswot_ray.dataset.schema import Column


def column_table(columns: Iterable[Column]) -> list[str]:
    """The lines of a Markdown table with a row for each column: its name, type and meaning."""
    return markdown.table(
        ("column", "type", "meaning"),
        (
            (f"`{column.name}`", f"{column.type}{', never null' if column.required else ''}", markdown.escape(column.meaning))
            for column in columns
        ),
    )

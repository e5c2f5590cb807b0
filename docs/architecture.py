"""Draws architecture.svg from the imports of the package: python docs/architecture.py

A room is a folder of `naswot_ray/`. An arrow goes from a room to one that it imports, unless it also gets there by way of
another one: run imports dataset, but by way of grid as well.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "naswot_ray"
PICTURE = DOCS / "architecture.svg"

ROOMS: Final[dict[str, tuple[float, int, str]]] = {
    "cli": (2.5, 0, "a module a command"),
    "report": (0, 1, "one HTML page"),
    "publish": (0.95, 1, "files for strangers"),
    "audit": (1.9, 1, "rows computed again"),
    "search": (2.85, 1, "by scores, by trainings"),
    "ablation": (3.8, 1, "what moves a score"),
    "benchmarks": (4.75, 1, "official files, read"),
    "analysis": (0.3, 2, "scores and accuracies"),
    "run": (1.4, 2, "driver, workers; Ray"),
    "grid": (2.35, 3, "shards, what is missing"),
    "fetch": (5.15, 3, "files, downloaded"),
    "dataset": (0.95, 4, "schema, parts, joins"),
    "engines": (2.85, 4, "run networks; torch"),
    "measures": (1.9, 5, "what is taken"),
    "spaces": (3.9, 5, "which architectures"),
    "images": (5.15, 5, "batches by seed"),
    "network": (2.85, 6, "graphs of operations"),
}
"""Room -> column and row in which it stands, and what it is about. Every arrow leads down."""

COLUMN, ROW, WIDTH, HEIGHT, MARGIN = 172, 90, 154, 46, 14
"""Pixels: from one column, and one row, to the next; size of a box; around the picture."""


def imports_of(room: str) -> set[str]:
    """The other rooms that the modules of a room import, wherever in them."""
    found: set[str] = set()
    for path in (PACKAGE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {parts[1] for name in names if (parts := name.split("."))[0] == "naswot_ray" and parts[1] in ROOMS}
    return found - {room}


def arrows() -> list[tuple[str, str]]:
    """The imports between rooms that do not follow from others."""
    imported = {room: imports_of(room) for room in ROOMS}

    def reached(room: str) -> set[str]:
        return set().union(*({other} | reached(other) for other in imported[room]))

    return [
        (room, target)
        for room, targets in imported.items()
        for target in sorted(targets)
        if not any(target in reached(other) for other in targets - {target})
    ]


def draw() -> str:
    """The picture as SVG."""
    width = int(MARGIN * 2 + WIDTH + COLUMN * max(column for column, _, _ in ROOMS.values()))
    height = MARGIN * 2 + HEIGHT + ROW * max(row for _, row, _ in ROOMS.values())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" text-anchor="middle">',
        "<title>The rooms of naswot_ray and what each imports</title>",
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#7a8699"/></marker>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for room, target in arrows():
        (x, y), (to_x, to_y) = _top_of(room), _top_of(target)
        middle = (y + HEIGHT + to_y) / 2
        lines.append(
            f'<path d="M{x:g} {y + HEIGHT}C{x:g} {middle:g} {to_x:g} {middle:g} {to_x:g} {to_y}" fill="none" stroke="#7a8699" '
            'stroke-width="1.3" marker-end="url(#head)"/>'
        )
    for room, (_, _, about) in ROOMS.items():
        x, y = _top_of(room)
        lines += [
            f'<rect x="{x - WIDTH / 2:g}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#eef2fb" stroke="#3f51b5"/>',
            f'<text x="{x:g}" y="{y + 19}" font-size="14" font-weight="bold" fill="#1a237e">{room}</text>',
            f'<text x="{x:g}" y="{y + 36}" font-size="11.5" fill="#333333">{about}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def _top_of(room: str) -> tuple[float, int]:
    """The middle of the upper edge of a room's box."""
    column, row, _ = ROOMS[room]
    return round(MARGIN + WIDTH / 2 + column * COLUMN, 1), MARGIN + row * ROW


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")

"""quality.md, the data-quality report for people."""

from __future__ import annotations

from collections.abc import Iterator

from naswot_ray import markdown
from naswot_ray.publish import card, cells
from naswot_ray.publish.contents import Contents
from naswot_ray.publish.measure_sections import COUNTS_EXPLAINED, agreement_table, count_table


def quality_page(contents: Contents) -> str:
    """The whole page."""
    quality = contents.quality
    verdict = "complete" if quality.complete else f"INCOMPLETE: {quality.missing('rows')}"
    lines = [f"# Data quality of {card.title(contents)}", "", f"The dataset is {verdict}.", "", "## Rows against the plan", ""]
    lines += markdown.table(
        ("space", "images", "batch size", "seed", "wanted", "present", "failed", "missing", "not asked for"),
        [
            (
                p.space,
                p.images or "(architectures)",
                "" if p.batch_size is None else str(p.batch_size),
                "" if p.seed is None else str(p.seed),
                *(f"{n:,}" for n in (p.wanted, p.present, p.failed, p.missing, p.unplanned)),
            )
            for p in quality.points
        ],
    )
    lines += [
        "",
        "A row is present if it has every measure that runs asked for, or says why it has not. `failed` counts rows that "
        "failed as a whole and rows of which one measure failed.",
    ]
    lines += ["", "## Rows by status", "", *card.group_table(contents)]
    lines += ["", "## Values by measure", "", *count_table(quality), "", COUNTS_EXPLAINED]
    lines += ["", "## What holds for every row", ""]
    lines += [f"- {markdown.escape(check.statement)} ({check.num_rows:,} rows)" for check in quality.checks]
    lines += ["", "## Ranges", ""]
    lines += markdown.table(
        ("space", "table", "column", "null", "infinite", "min", "max"),
        [
            (
                *(r.space, r.table, markdown.escape(r.column), f"{r.num_null:,}", f"{r.num_infinite:,}"),
                *(cells.significant(value) for value in (r.min, r.max)),
            )
            for r in quality.ranges
        ],
    )
    lines += ["", "## Rank correlation with accuracy", "", *card.tau(contents), *_by_measure(contents)]
    return "\n".join(lines) + "\n"


def _by_measure(contents: Contents) -> Iterator[str]:
    for name in contents.measured:
        if any(agreement.measure == name for agreement in contents.quality.tau):
            yield from ("", *agreement_table(contents.quality, name))

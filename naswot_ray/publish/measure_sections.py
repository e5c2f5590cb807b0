"""What the card tells of each measure: what it is, how many rows have it, and how it agrees with accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from textwrap import shorten
from typing import Final

from naswot_ray import markdown
from naswot_ray.analysis.names import BASELINE_NAMES
from naswot_ray.dataset.schema import BASELINES
from naswot_ray.measures import Measure, Tolerance, all_measures, own_measures
from naswot_ray.publish import cells
from naswot_ray.publish.contents import Contents
from naswot_ray.publish.quality import MeasureCount, Quality
from naswot_ray.publish.rank_agreement import BAND_MARGIN, RankAgreement
from naswot_ray.tolerance import tolerance_in

_COUNTS: Final = ("values", "infinite", "row failed", "failed alone", "not computed")


def measure_sections(contents: Contents) -> str:
    """A section for each measure that has a value in the dataset, and a line on those that have none."""
    sections = [COUNTS_EXPLAINED] if contents.measured else []
    if contents.quality.tau:
        sections.append(
            "A second table has Kendall's tau with trained accuracy, with a 95% interval, beside that of the baselines on the "
            "same architectures; [below](#rank-correlation-with-accuracy) is how it was made."
        )
    sections += [_section(contents, name) for name in contents.measured]
    empty = [f"`{name}`" for name in contents.measures if name not in contents.measured]
    if empty:
        sections.append(
            f"No row has a value of {cells.listed(empty)}: no run has asked for {'it' if len(empty) == 1 else 'them'}, or "
            "every row failed. The columns are there, and null."
        )
    return "\n\n".join(sections)


def count_table(quality: Quality, measure: str | None = None) -> list[str]:
    """A table of the values by space, images and batch size: of one measure, or of all with a column that names it."""
    counts = [count for count in quality.measures if measure in (None, count.measure)]
    named = ("measure",) if measure is None else ()
    header = (*named, "space", "images", "batch size", "seeds", *_COUNTS, "lowest", "median", "highest", "seed to seed")
    return markdown.table(header, ((*((f"`{c.measure}`",) if named else ()), *_count_cells(c)) for c in counts))


COUNTS_EXPLAINED: Final = (
    "A row without a value failed as a whole, or the measure failed alone, or no run has computed it there. Lowest, median and "
    "highest are of the finite values of all seeds. Seed to seed is Pearson's correlation between the finite values of the two "
    "lowest seeds."
)


def tau_table(quality: Quality) -> list[str]:
    """Tau of all measures and baselines side by side; the highest of each row is bold."""
    rows = []
    for key, found in groupby(quality.tau, key=_comparison):
        of_measures = {agreement.measure: agreement for agreement in found}
        largest = max(of_measures.values(), key=lambda agreement: agreement.num_architectures)
        taus = [
            *(of_measures[name].tau.value if name in of_measures else None for name in quality.measured),
            *(largest.baselines[name].value for name in BASELINES),
        ]
        best = max((value for value in taus if value is not None), default=None)
        shown = [f"**{cells.fixed(value)}**" if value is not None and value == best else cells.fixed(value) for value in taus]
        space, images, batch_size, trained_on = key
        numbers = sorted({agreement.num_architectures for agreement in of_measures.values()})
        rows.append(
            (
                *(space, images, str(batch_size), markdown.escape(trained_on)),
                " to ".join(f"{number:,}" for number in dict.fromkeys((numbers[0], numbers[-1]))),
                *shown,
            )
        )
    header = ("space", "images", "batch size", "trained on", "architectures")
    names = [f"`{name}`" for name in quality.measured] + [BASELINE_NAMES[name] for name in BASELINES]
    return markdown.table((*header, *names), rows)


def agreement_table(quality: Quality, measure: str) -> list[str]:
    """Tau of one measure with its interval, beside that of the baselines on the same architectures."""
    found = [agreement for agreement in quality.tau if agreement.measure == measure]
    has_published = any(agreement.published for agreement in found)
    header = ["space", "images", "batch size", "seeds", "trained on", "architectures", f"`{measure}`"]
    header += [BASELINE_NAMES[name] for name in BASELINES]
    header += ["published", "inside the band"] if has_published else []
    return markdown.table(
        header,
        (
            (
                *(a.space, a.images, str(a.batch_size), str(a.num_seeds), markdown.escape(a.trained_on)),
                *(f"{a.num_architectures:,}", cells.tau(a.tau), *(cells.tau(a.baselines[name]) for name in BASELINES)),
                *((cells.band(a), cells.verdict(a)) if has_published else ()),
            )
            for a in found
        ),
    )


AGREEMENT_EXPLAINED: Final = (
    "Kendall's tau-b, signed, with mean test accuracy after the longest training, over all architectures that have the "
    "accuracy and a value at every seed at which the measure was taken; none is filtered out. The measure is the mean over "
    "these seeds, and -inf ranks last. Brackets are 95% intervals over which architectures are in the sample."
)

BAND_EXPLAINED: Final = (
    f"The band is the published figures +- {BAND_MARGIN}: papers differ in label, subset, batch size and seeds (Mellor et al., "
    "2021: batches of 128, about 1,000 networks). Only figures published for `naswot` itself are shown, and none beside noise "
    "or few architectures."
)


def _section(contents: Contents, name: str) -> str:
    quality = contents.quality
    lines = [f"### `{name}`", "", *_what_it_is(contents, name), "", *_gaps(quality, name), ""]
    lines += count_table(quality, name)
    if any(agreement.measure == name for agreement in quality.tau):
        lines += ["", *agreement_table(quality, name)]
    return "\n".join(lines)


def _what_it_is(contents: Contents, name: str) -> Iterator[str]:
    """Its formula, and what else has to be known of it."""
    version, known = contents.measures[name], all_measures().get(name)
    if known is None:
        yield (
            f"Version {version} of a measure that another package offers. It was not installed where this was published, so "
            "nothing more is known here."
        )
        return
    yield f"- Formula: {markdown.escape(known.formula)}."
    yield f"- Version {version}. {_version(known, version)}".rstrip()
    yield f"- Source: {markdown.escape(known.source)}."
    yield f"- {_difference(known)}"
    yield f"- Weak: {markdown.escape(known.weak)}."
    dtype = str(contents.settings.settings.values.get("dtype", "float32"))
    yield f"- {_tolerance(tolerance_in(known, dtype), dtype)}"
    if name not in own_measures():
        yield "- It is a measure of another package, which has to be installed to compute it again."


def _version(known: Measure, version: int) -> str:
    if known.version == version:
        return ""
    return f"The description is that of version {known.version}, which the program that published this computes."


def _difference(known: Measure) -> str:
    if not known.differs:
        return "It is defined as in the published code."
    return (
        f"It is not what the published code computes: {markdown.escape(known.differs)}. Figures published of that code are not "
        "figures of this column."
    )


def _tolerance(tolerance: Tolerance, dtype: str) -> str:
    bounds = []
    if tolerance.absolute:
        bounds.append(f"{tolerance.absolute:g}")
    if tolerance.relative:
        bounds.append(f"{100 * tolerance.relative:g} % of the value")
    if tolerance.per_tensor:
        bounds.append(f"{tolerance.per_tensor:g} for each ReLU tensor")
    if not bounds:
        return "Engines and processors agree exactly."
    more = ", whichever is more" if len(bounds) > 1 else ""
    return f"Two engines, or two kinds of processors, agree within {' or '.join(bounds)}{more}, in {dtype}."


def _gaps(quality: Quality, name: str) -> Iterator[str]:
    """How many rows have no value, and the commonest reasons."""
    counts = [count for count in quality.measures if count.measure == name]
    num_rows = sum(group.num_rows for group in quality.groups)
    failed, alone, open_ = (
        sum(getattr(count, field) for count in counts) for field in ("num_failed", "num_failed_alone", "num_not_computed")
    )
    missing = failed + alone + open_
    if not missing:
        yield f"All {num_rows:,} rows have a value."
        return
    parts = [
        f"{count:,} {told}" if count < missing else told
        for count, told in (
            (failed, "because the whole row failed"),
            (alone, "because this measure failed alone"),
            (open_, "because no run has computed it there"),
        )
        if count
    ]
    yield f"{missing:,} of {num_rows:,} rows have no value, {cells.listed(parts)}."
    reasons = [r for r in quality.reasons if r.measure == name or (r.measure is None and failed)]
    if reasons:
        yield "The commonest reasons:"
        yield ""
        yield from (
            f"- {markdown.escape(shorten(reason.reason, 200))} ({cells.number(reason.num_rows, 'row')})" for reason in reasons
        )


def _count_cells(count: MeasureCount) -> tuple[str, ...]:
    numbers = (count.num_values, count.num_infinite, count.num_failed, count.num_failed_alone, count.num_not_computed)
    return (
        *(count.space, count.images, str(count.batch_size), str(count.num_seeds)),
        *(f"{number:,}" for number in numbers),
        *(cells.significant(value) for value in (count.lowest, count.median, count.highest)),
        cells.fixed(count.seed_correlation),
    )


def _comparison(found: RankAgreement) -> tuple[str, str, int, str]:
    return found.space, found.images, found.batch_size, found.trained_on

"""What the card warns of: what the measures cannot tell, with the dataset's own figures."""

from __future__ import annotations

from collections.abc import Iterator

from naswot_ray import markdown
from naswot_ray.analysis.literature import NASWOT
from naswot_ray.analysis.summary import main_measure
from naswot_ray.publish import cells
from naswot_ray.publish.contents import Contents
from naswot_ray.publish.quality import Quality
from naswot_ray.publish.rank_agreement import RankAgreement, Tau


def limits(contents: Contents) -> Iterator[str]:
    """One sentence or two for each limit."""
    quality = contents.quality
    yield (
        "A measure orders networks of one space at one batch size on one image source. Its values at different batch sizes or "
        "of different spaces cannot be compared: they are sums over different numbers of images, units and tensors."
    )
    singular, rows = (sum(getattr(group, field) for group in quality.groups) for field in ("singular", "num_rows"))
    if singular:
        yield (
            f"{singular:,} of {rows:,} rows have a value that is -inf: two images have the same code, mostly in cells that let "
            "little through, so that K is singular. They rank last; averages over them are -inf too."
        )
    yield from _seeds(quality)
    yield from _baselines(quality)
    if NASWOT in contents.measured:
        yield (
            "In the literature NASWOT is weak on NAS-Bench-101 (tau 0.285), on NDS Amoeba (0.223) and NASNet (0.304), and on "
            "NATS-Bench's size space (Spearman about 0.45, 0.18 and 0.41 on CIFAR-10, CIFAR-100 and ImageNet16-120)."
        )
    yield (
        "The networks are those of the benchmarks' published macro structures, as the table of settings says. A measure says "
        "nothing about other widths, depths, resolutions or training recipes."
    )


def _seeds(quality: Quality) -> Iterator[str]:
    spans = []
    for name in quality.measured:
        found = [c.seed_correlation for c in quality.measures if c.measure == name and c.seed_correlation is not None]
        if found:
            spans.append(f"{' to '.join(dict.fromkeys(map(cells.fixed, (min(found), max(found)))))} for `{name}`")
    if not spans:
        yield "There is one seed only, so the dataset does not tell how much a value depends on random weights and images."
        return
    yield (
        "A value depends on its random weights and images. Between the two lowest seeds Pearson's correlation of the finite "
        f"values is {cells.listed(spans)}. Average over seeds, or say which one."
    )


def _baselines(quality: Quality) -> Iterator[str]:
    """How often a baseline is as good, measure by measure, and how far the main one's tau spreads."""
    beaten = []
    for name in quality.measured:
        found = [agreement for agreement in quality.tau if agreement.measure == name and agreement.tau.value is not None]
        if found:
            beaten.append(f"{sum(map(_is_beaten, found))} of {len(found)} for `{name}`")
    if not beaten:
        return
    yield (
        "Compare simple baselines. In so many of the comparisons with trained accuracy below, parameters, FLOPs or the number "
        f"of layers or ReLU layers order architectures at least as well as the measure: {cells.listed(beaten)}."
    )
    compared = {agreement.measure for agreement in quality.tau}
    main = main_measure(name for name in quality.measured if name in compared)
    known = sorted(
        (a for a in quality.tau if a.measure == main and a.tau.value is not None), key=lambda agreement: _value(agreement.tau)
    )
    if len(known) > 1:
        low, high = (
            f"{cells.fixed(a.tau.value)} at its {end} ({_of(a)})" for a, end in ((known[0], "lowest"), (known[-1], "highest"))
        )
        told = markdown.escape(f"is {low} and {high}.")
        yield f"Agreement with accuracy differs by space and data set: Kendall's tau of `{main}` {told}"


def _is_beaten(found: RankAgreement) -> bool:
    return any(tau.value is not None and tau.value >= _value(found.tau) for tau in found.baselines.values())


def _value(tau: Tau) -> float:
    assert tau.value is not None
    return tau.value


def _of(found: RankAgreement) -> str:
    return f"{found.space}, {found.trained_on}, {found.images} images, batch size {found.batch_size}"

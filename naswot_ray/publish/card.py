"""The dataset card, README.md on the Hugging Face Hub, and the page of the quality report. Every number comes from the data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any, Final

from rich.filesize import decimal

from naswot_ray import markdown
from naswot_ray.dataset import schema
from naswot_ray.publish import literature
from naswot_ray.publish.compaction import PublishedTable
from naswot_ray.publish.contents import Contents
from naswot_ray.publish.examples import first_query, loading
from naswot_ray.publish.quality import BAND_MARGIN, RankAgreement
from naswot_ray.spaces import facts_of
from naswot_ray.tolerance import TOLERANCES

SPLIT: Final = "train"
"""What loaders expect the one split of a table to be called."""

_SIZES: Final = {
    10**3: "n<1K",
    10**4: "1K<n<10K",
    10**5: "10K<n<100K",
    10**6: "100K<n<1M",
    10**7: "1M<n<10M",
    10**8: "10M<n<100M",
}


def title(contents: Contents) -> str:
    """What the dataset is called."""
    names = list(dict.fromkeys(facts_of(space).title for space in contents.spaces))
    return f"NASWOT scores of {_listed(names)}"


def summary(contents: Contents) -> str:
    """What it is, in two sentences."""
    groups = contents.quality.groups
    sizes = {(g.space, g.num_architectures) for g in groups}
    largest = {space: max(n for s, n in sizes if s == space) for space in contents.spaces}
    of = _listed([f"{largest[space]:,} architectures of {facts_of(space).title}" for space in contents.spaces])
    rows = sum(group.num_rows for group in groups)
    batches = _listed([str(n) for n in sorted({group.batch_size for group in groups})])
    images = _listed(sorted({group.images for group in groups}))
    seeds = max(group.num_seeds for group in groups)
    failed = sum(group.failed for group in groups)
    return (
        f"{rows:,} training-free NASWOT scores of {of}: untrained networks on {images} images, batch sizes {batches}, "
        f"{'up to ' if len({g.num_seeds for g in groups}) > 1 else ''}{_number(seeds, 'seed')}."
        + (f" {_number(failed, 'row')} of these failed and {'has' if failed == 1 else 'have'} no score." if failed else "")
    )


def card(contents: Contents) -> str:
    """README.md."""
    template = Template(files("naswot_ray.publish").joinpath("card.md").read_text("utf-8"))
    quality = contents.quality
    return template.substitute(
        title=title(contents),
        licence_yaml="\n".join(_licence_yaml(contents)),
        size_category=_size_category(contents),
        configs_yaml="\n".join(_configs_yaml(contents)),
        first_query=first_query(contents),
        summary=_incomplete(contents)
        + summary(contents)
        + " Baselines (parameters, FLOPs, layers) are in the table of architectures"
        + (", trained accuracies in their own." if contents.has_accuracies else "; trained accuracies are not included."),
        tables="\n".join(_table_row(contents, table) for table in contents.tables),
        loading=loading(contents),
        groups="\n".join(_groups(contents)),
        status_line=f"Rows that failed: {quality.num_failed:,}. Rows that runs were asked for and are not there: "
        f"{quality.num_missing:,}.",
        columns="\n\n".join(
            _columns(contents, name) for name in schema.TABLES if any(t.table == name for t in contents.tables)
        ),
        settings=_settings(contents),
        runs=_runs(contents),
        commands=markdown.block(contents.commands, "bash"),
        dtype=contents.settings.settings.values.get("dtype", "float32"),
        tolerance=f"{TOLERANCES[contents.settings.settings.values.get('dtype', 'float32')]:g}",
        limits="\n".join(f"- {line}" for line in _limits(contents)),
        tau="\n".join(_tau(contents)),
        licence="\n".join(_licence(contents)),
        bibtex="\n\n".join(bibtex(contents)),
        uncited="".join(f"\n{line}\n" for line in _uncited(contents)),
    )


def quality_page(contents: Contents) -> str:
    """quality.md."""
    quality = contents.quality
    verdict = "complete" if quality.complete else f"INCOMPLETE: {quality.missing('rows')}"
    lines = [f"# Data quality of {title(contents)}", "", f"The dataset is {verdict}.", "", "## Rows against the plan", ""]
    lines += _markdown(
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
    lines += ["", "## Scores", "", *_groups(contents), "", "## What holds for every row", ""]
    lines += [f"- {check.statement} ({check.num_rows:,} rows)" for check in quality.checks]
    lines += ["", "## Ranges", ""]
    lines += _markdown(
        ("space", "table", "column", "null", "infinite", "min", "max"),
        [
            (r.space, r.table, r.column, f"{r.num_null:,}", f"{r.num_infinite:,}", _value(r.min), _value(r.max))
            for r in quality.ranges
        ],
    )
    lines += ["", "## Rank correlation with accuracy", "", *_tau(contents)]
    return "\n".join(lines) + "\n"


def bibtex(contents: Contents) -> list[str]:
    """The entries to cite: the score's, and each space's."""
    works = [literature.NASWOT, *(facts_of(space).work for space in contents.spaces)]
    return list(dict.fromkeys(work.bibtex for work in works if work is not None))


def _uncited(contents: Contents) -> Iterable[str]:
    spaces = [markdown.code(space) for space in contents.spaces if facts_of(space).work is None]
    if spaces:
        yield f"No citation is known of {_listed(spaces)}: ask whoever made {'it' if len(spaces) == 1 else 'them'}."


def _licence_yaml(contents: Contents) -> list[str]:
    if not contents.has_accuracies:
        return ["license: mit"]
    return ["license: other", "license_name: mit-and-third-party-accuracies", "license_link: README.md"]


def _size_category(contents: Contents) -> str:
    rows = sum(table.num_rows for table in contents.tables)
    return next((name for limit, name in _SIZES.items() if rows < limit), "100M<n<1B")


def _configs_yaml(contents: Contents) -> list[str]:
    lines = []
    for number, table in enumerate(contents.tables):
        lines += [f"- config_name: {_yaml(table.config)}"]
        lines += ["  default: true"] if number == 0 else []
        lines += ["  data_files:", f"  - split: {SPLIT}", f"    path: {_yaml(contents.pattern_of(table))}"]
    return lines


def _yaml(text: str) -> str:
    """A text as YAML takes it: quoted where it could be a number or a word of YAML's own."""
    return text if re.match(r"(?!(true|false|yes|no|on|off|null|y|n)$)[a-z]", text, re.IGNORECASE) else json.dumps(text)


def _incomplete(contents: Contents) -> str:
    quality = contents.quality
    if quality.complete:
        return ""
    return (
        f"> **INCOMPLETE: {quality.missing(of='of the', planned=' that were planned')}.** "
        "quality.md tells which. Figures below are of the rows that are there.\n\n"
    )


def _table_row(contents: Contents, table: PublishedTable) -> str:
    size = decimal(sum(file.num_bytes for file in contents.files_of(table)))
    return f"| `{table.config}` | {schema.TABLES[table.table]} | {table.num_rows:,} | {len(table.paths)} | {size} |"


def _groups(contents: Contents) -> list[str]:
    header = ("space", "images", "batch size", "architectures", "seeds", "rows", "ok", "singular", "failed")
    rows = [
        (
            *(g.space, g.images, str(g.batch_size), f"{g.num_architectures:,}", str(g.num_seeds)),
            *(f"{n:,}" for n in (g.num_rows, g.ok, g.singular, g.failed)),
            *(_fixed(value, 1) for value in (g.lowest, g.median, g.highest)),
            _fixed(g.seed_correlation, 3),
        )
        for g in contents.quality.groups
    ]
    return [
        *_markdown((*header, "lowest score", "median score", "highest score", "seed to seed"), rows),
        "",
        "Lowest, median and highest are of the finite scores of all seeds; seed to seed is Pearson's correlation between the "
        "finite scores of the two lowest seeds.",
    ]


def _table_names(contents: Contents) -> list[str]:
    return [name for name in schema.TABLES if any(table.table == name for table in contents.tables)]


def _columns(contents: Contents, table: str) -> str:
    rows = [
        (f"`{column.name}`", f"{column.type}{', never null' if column.required else ''}", column.meaning.replace("|", "\\|"))
        for column in schema.columns_of(table, contents.measures)
    ]
    return "\n".join(
        [f"### {table}", "", schema.TABLES[table].capitalize() + ".", "", *_markdown(("column", "type", ""), rows)]
    )


def _settings(contents: Contents) -> str:
    settings = contents.settings.settings
    rows = [("weights", markdown.code(settings.weights)), ("batches", markdown.code(settings.batches))]
    for space in contents.spaces:
        rows += [(space, _named(settings.spaces[space]))]
    for images, values in sorted(settings.images.items()):
        rows += [(f"images {images}", _named(values))]
    rows.append(("fingerprint of all settings", markdown.code(contents.settings.settings.fingerprint)))
    return "\n".join(_markdown(("setting", "value"), rows))


def _runs(contents: Contents) -> str:
    rows = [
        (
            run.run_id,
            f"{run.counts.get('rows', 0):,}",
            "" if run.seconds is None else f"{run.seconds:,.0f} s",
            markdown.escape(", ".join(f"{name} {value}" for name, value in run.versions.items() if value)),
            markdown.escape(_machine(run.hardware)),
        )
        for run in contents.runs
        if run.counts.get("rows")
    ]
    return (
        "\n".join(_markdown(("run", "score rows", "time from its first task on", "versions", "machine"), rows))
        if rows
        else "No run left a record."
    )


def _machine(hardware: Mapping[str, Any]) -> str:
    parts = [f"{hardware.get('processor', 'unknown processor')}", _number(hardware.get("cpus") or 1, "CPU")]
    parts += [_number(hardware[name], name.removesuffix("s")) for name in ("nodes", "actors") if hardware.get(name)]
    return ", ".join([*parts, *([_number(hardware["gpus"], "GPU")] if hardware.get("gpus") else [])])


def _limits(contents: Contents) -> Iterable[str]:
    quality = contents.quality
    singular = sum(group.singular for group in quality.groups)
    rows = sum(group.num_rows for group in quality.groups)
    yield (
        "A score orders networks of one space at one batch size on one image source. Scores of different batch sizes or spaces "
        "cannot be compared: they are sums over different numbers of images and units."
    )
    yield (
        f"{singular:,} of {rows:,} scores are -inf: two images have the same code, mostly in cells that let little through. "
        "They rank last; averages over them are -inf too."
    )
    correlations = [group.seed_correlation for group in quality.groups if group.seed_correlation is not None]
    if correlations:
        span = " to ".join(dict.fromkeys(f"{value:.3f}" for value in (min(correlations), max(correlations))))
        yield (
            f"A score depends on its random weights and images: between the two lowest seeds it correlates by {span} (Pearson, "
            "finite scores, by space, images and batch size). Average over seeds, or say which one."
        )
    else:
        yield "There is one seed only, so the dataset does not tell how much a score depends on random weights and images."
    tau = quality.tau
    if tau:
        beaten = [(found, name) for found in tau for name in _better_baselines(found)]
        num_better = len({(f.space, f.images, f.batch_size, f.trained_on) for f, _ in beaten})
        yield (
            f"Compare simple baselines. In {num_better} of {len(tau)} comparisons with trained accuracy below, parameters, "
            "FLOPs or the number of layers order architectures at least as well as the score."
        )
        known = sorted((found for found in tau if found.tau is not None), key=_tau_or_zero)
        if known:
            low, high = (
                f"{_fixed(t.tau, 3)} at its {end} ({_of(t)})" for t, end in ((known[0], "lowest"), (known[-1], "highest"))
            )
            yield markdown.escape(f"Agreement with accuracy differs by space and data set: Kendall's tau is {low} and {high}.")
    yield (
        "In the literature NASWOT is weak on NAS-Bench-101 (tau 0.285), on NDS Amoeba (0.223) and NASNet (0.304), and on "
        "NATS-Bench's size space (Spearman about 0.45, 0.18 and 0.41 on CIFAR-10, CIFAR-100 and ImageNet16-120)."
    )
    yield (
        "The networks are those of the benchmarks' published macro structures, as the table of settings says. A score says "
        "nothing about other widths, depths, resolutions or training recipes."
    )


def _tau(contents: Contents) -> list[str]:
    if not contents.quality.tau:
        return ["The dataset was not joined with trained accuracies."]
    return [
        *_markdown(
            (
                *("space", "images", "batch size", "trained on", "architectures"),
                *("score", "params", "FLOPs", "layers", "published", "inside the band"),
            ),
            [
                (
                    *(t.space, t.images, str(t.batch_size), markdown.escape(t.trained_on), f"{t.num_architectures:,}"),
                    *(_fixed(value, 3) for value in (t.tau, t.tau_params, t.tau_flops, t.tau_num_layers)),
                    "" if t.published is None else "-".join(dict.fromkeys(f"{value:.3f}" for value in t.published)),
                    {True: "yes", False: "**no**", None: ""}[t.inside],
                )
                for t in contents.quality.tau
            ],
        ),
        "",
        "The score is the mean over seeds, signed; all joined architectures with a score for every seed count, singular ones "
        "rank last; the accuracy is the mean over repeats at the longest training. The band is the published figures +- "
        f"{BAND_MARGIN}: papers differ in "
        "label, subset, batch size and seeds (Mellor et al., 2021: batches of 128, about 1,000 networks). Where scores are of "
        "noise, or architectures are few, none is given.",
    ]


def _licence(contents: Contents) -> Iterable[str]:
    yield "Scores, baselines and this documentation: MIT. No image is in the dataset."
    if not contents.has_accuracies:
        yield "No trained accuracy of a third party is in it either; rank correlations with them are figures of our own."
        return
    yield ""
    yield "The accuracies in the configs `…_accuracies` and `…_joined` are third parties', under their terms:"
    yield ""
    rows = [
        (
            *(s.space, markdown.escape(s.name), markdown.escape(", ".join(s.trained_on)), f"{s.num_rows:,}"),
            *(s.terms, s.address, markdown.code(f"{s.sha256[:16]}…")),
        )
        for s in contents.published_sources
    ]
    yield from _markdown(("space", "source", "trained on", "rows", "licence", "from", "SHA-256"), rows)
    yield ""
    yield "Whoever uses them cites their authors, below."


def _better_baselines(found: RankAgreement) -> list[str]:
    baselines = {"params": found.tau_params, "FLOPs": found.tau_flops, "layers": found.tau_num_layers}
    return [name for name, tau in baselines.items() if tau is not None and found.tau is not None and tau >= found.tau]


def _of(found: RankAgreement) -> str:
    return f"{found.space}, {found.trained_on}, {found.images} images, batch size {found.batch_size}"


def _tau_or_zero(found: RankAgreement) -> float:
    return found.tau or 0.0


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _fixed(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _named(values: Mapping[str, Any]) -> str:
    return markdown.escape(", ".join(f"{name} {_plain(value)}" for name, value in sorted(values.items()) if value is not None))


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

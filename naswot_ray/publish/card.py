"""The dataset card, README.md on the Hugging Face Hub. Every number comes from the data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from string import Template
from typing import Any, Final

from rich.filesize import decimal

from naswot_ray import markdown
from naswot_ray.citation import Citation
from naswot_ray.dataset import schema
from naswot_ray.measures import all_measures
from naswot_ray.publish import measure_sections
from naswot_ray.publish.cells import listed, number
from naswot_ray.publish.columns import column_table
from naswot_ray.publish.compaction import PublishedTable
from naswot_ray.publish.contents import Contents
from naswot_ray.publish.examples import first_query, loading
from naswot_ray.publish.limits import limits
from naswot_ray.spaces import facts_of

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
    return f"Training-free scores of {listed(names)}"


def summary(contents: Contents) -> str:
    """What it is, in a few sentences of plain text."""
    groups = contents.quality.groups
    sizes = {(g.space, g.num_architectures) for g in groups}
    largest = {space: max(n for s, n in sizes if s == space) for space in contents.spaces}
    of = listed([f"{largest[space]:,} architectures of {facts_of(space).title}" for space in contents.spaces])
    rows = sum(group.num_rows for group in groups)
    batches = listed([str(n) for n in sorted({group.batch_size for group in groups})])
    images = listed(sorted({group.images for group in groups}))
    seeds = max(group.num_seeds for group in groups)
    failed = sum(group.failed for group in groups)
    measured = contents.measured
    sentences = [
        f"{number(rows, 'row')} of training-free scores of {of}: untrained networks on {images} images, batch sizes {batches}, "
        f"{'up to ' if len({g.num_seeds for g in groups}) > 1 else ''}{number(seeds, 'seed')}.",
        f"Measures: {listed(measured)}." if measured else "No row has a value of any measure.",
    ]
    if failed:
        sentences.append(f"{number(failed, 'row')} failed and {'has' if failed == 1 else 'have'} no value.")
    if any(count.num_failed_alone or count.num_not_computed for count in contents.quality.measures):
        sentences.append("Some rows lack some of the measures; the card counts them.")
    return " ".join(sentences)


def card(contents: Contents) -> str:
    """README.md."""
    template = Template(files("naswot_ray.publish").joinpath("card.md").read_text("utf-8"))
    quality = contents.quality
    return template.substitute(
        title=title(contents),
        licence_yaml="\n".join(_licence_yaml(contents)),
        tags_yaml="\n".join(f"- {_yaml(name)}" for name in contents.measured),
        size_category=_size_category(contents),
        configs_yaml="\n".join(_configs_yaml(contents)),
        first_query=first_query(contents),
        summary=_incomplete(contents)
        + summary(contents)
        + " Baselines (parameters, FLOPs, layers) are in the table of architectures"
        + (", trained accuracies in their own." if contents.has_accuracies else "; trained accuracies are not included."),
        tables="\n".join(_table_row(contents, table) for table in contents.tables),
        loading=loading(contents),
        groups="\n".join(group_table(contents)),
        status_line=f"Rows that failed: {quality.num_failed:,}. Rows that runs were asked for and that are not there, or lack "
        f"a measure: {quality.num_missing:,}.",
        measures=measure_sections.measure_sections(contents),
        columns="\n\n".join(
            _columns(contents, name) for name in schema.TABLES if any(t.table == name for t in contents.tables)
        ),
        settings=_settings(contents),
        runs=_runs(contents),
        commands=markdown.block(contents.commands, "bash"),
        limits="\n".join(f"- {line}" for line in limits(contents)),
        tau="\n".join(tau(contents)),
        licence="\n".join(_licence(contents)),
        bibtex="\n\n".join(bibtex(contents)),
        uncited="".join(f"\n{line}\n" for line in _uncited(contents)),
    )


def group_table(contents: Contents) -> list[str]:
    """The rows by space, images and batch size, counted by status."""
    return markdown.table(
        ("space", "images", "batch size", "architectures", "seeds", "rows", "ok", "singular", "failed"),
        (
            (
                *(g.space, g.images, str(g.batch_size), f"{g.num_architectures:,}", str(g.num_seeds)),
                *(f"{n:,}" for n in (g.num_rows, g.ok, g.singular, g.failed)),
            )
            for g in contents.quality.groups
        ),
    )


def tau(contents: Contents) -> Iterator[str]:
    """The table of all measures' and baselines' taus, or why there is none."""
    quality = contents.quality
    if not quality.tau:
        yield (
            "None of the dataset's trained accuracies is of a test split and of an architecture with a value."
            if contents.sources
            else "The dataset holds no trained accuracies to compare with."
        )
        return
    yield from measure_sections.tau_table(quality)
    yield ""
    yield measure_sections.AGREEMENT_EXPLAINED
    yield (
        "The baselines here are of the largest of the measures' sets of architectures; beside each measure, above, they are of "
        "its own. Bold is the highest of a row."
    )
    if any(agreement.published for agreement in quality.tau):
        yield measure_sections.BAND_EXPLAINED


def bibtex(contents: Contents) -> list[str]:
    """The BibTeX entries to cite: those of the measures, then those of the spaces."""
    citations = [*map(_citation_of, contents.measured), *(facts_of(space).citation for space in contents.spaces)]
    return list(dict.fromkeys(citation.bibtex for citation in citations if citation is not None))


def _citation_of(measure: str) -> Citation | None:
    known = all_measures().get(measure)
    return None if known is None else known.citation


def _uncited(contents: Contents) -> Iterable[str]:
    measures = [markdown.code(measure) for measure in contents.measured if _citation_of(measure) is None]
    spaces = [markdown.code(space) for space in contents.spaces if facts_of(space).citation is None]
    if uncited := [*measures, *spaces]:
        yield f"No citation is known for {listed(uncited)}: ask whoever made {'it' if len(uncited) == 1 else 'them'}."


def _licence_yaml(contents: Contents) -> list[str]:
    if not contents.has_accuracies:
        return ["license: mit"]
    return ["license: other", "license_name: mit-and-third-party-accuracies", "license_link: README.md"]


def _size_category(contents: Contents) -> str:
    rows = sum(table.num_rows for table in contents.tables)
    return next((name for limit, name in _SIZES.items() if rows < limit), "100M<n<1B")


def _configs_yaml(contents: Contents) -> list[str]:
    lines = []
    for table in contents.tables:
        lines += [f"- config_name: {_yaml(table.config)}"]
        lines += [] if len(lines) > 1 else ["  default: true"]
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
        "quality.md tells which. Figures below are of what is there.\n\n"
    )


def _table_row(contents: Contents, table: PublishedTable) -> str:
    size = decimal(sum(file.num_bytes for file in contents.files_of(table)))
    return f"| `{table.config}` | {schema.TABLES[table.table]} | {table.num_rows:,} | {len(table.paths)} | {size} |"


def _columns(contents: Contents, table: str) -> str:
    what = schema.TABLES[table].capitalize()
    return "\n".join([f"### {table}", "", f"{what}.", "", *column_table(contents.columns_of(table))])


def _settings(contents: Contents) -> str:
    settings = contents.settings.settings
    rows = [("weights", markdown.code(settings.weights)), ("batches", markdown.code(settings.batches))]
    for space in contents.spaces:
        rows += [(space, _named(settings.spaces[space]))]
    for images, values in sorted(settings.images.items()):
        rows += [(f"images {images}", _named(values))]
    rows.append(("fingerprint of all settings", markdown.code(contents.settings.settings.fingerprint)))
    return "\n".join(markdown.table(("setting", "value"), rows))


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
        "\n".join(markdown.table(("run", "score rows", "time from its first task on", "versions", "machine"), rows))
        if rows
        else "No run left a record."
    )


def _machine(hardware: Mapping[str, Any]) -> str:
    parts = [f"{hardware.get('processor', 'unknown processor')}", number(hardware.get("cpus") or 1, "CPU")]
    parts += [number(hardware[name], name.removesuffix("s")) for name in ("nodes", "actors") if hardware.get(name)]
    return ", ".join([*parts, *([number(hardware["gpus"], "GPU")] if hardware.get("gpus") else [])])


def _licence(contents: Contents) -> Iterable[str]:
    yield "Measures, baselines and this documentation: MIT. No image is in the dataset."
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
    yield from markdown.table(("space", "source", "trained on", "rows", "licence", "from", "SHA-256"), rows)
    yield ""
    yield "Whoever uses them cites their authors, below."


def _named(values: Mapping[str, Any]) -> str:
    return markdown.escape(", ".join(f"{name} {_plain(value)}" for name, value in sorted(values.items()) if value is not None))


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

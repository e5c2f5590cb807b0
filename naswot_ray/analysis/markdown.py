"""An analysis as Markdown: the tables that a reader looks at first, with what they were made of."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import Any

from naswot_ray.analysis.analyse import Analysis
from naswot_ray.analysis.published import PUBLISHED, published
from naswot_ray.dataset.label import Label, main_labels
from naswot_ray.markdown import escape

Row = Mapping[str, Any]
Table = tuple[Sequence[str], list[list[str]]]

PREDICTOR_NAMES = {
    "score": "score",
    "score_paper": "score, ReLUs once",
    "params": "params",
    "flops": "FLOPs",
    "num_layers": "layers",
}
_NONE = "-"
_NOTHING: Row = {"value": None, "low": None, "high": None}
_GROUP = ("space", "dataset", "split", "epochs", "images", "batch_size")


class Figures:
    """The numbers of an analysis by what they are of."""

    def __init__(self, analysis: Analysis) -> None:
        self.rows: list[Row] = analysis.rows.to_pylist()
        self._by_key = {(*(row[name] for name in _GROUP), row["seed"], row["predictor"], *_what(row)): row for row in self.rows}

    def get(self, group: tuple[Any, ...], seed: int | None, predictor: str, measure: str, **what: Any) -> Row:
        """One number's row; an empty one where there is none."""
        key = (*group, seed, predictor, measure, what.get("given"), what.get("top_percent"), what.get("top_k"))
        row: Row = self._by_key.get(key, _NOTHING)
        return row

    def groups(self) -> list[tuple[Any, ...]]:
        """(space, dataset, split, epochs, images, batch size) of all rows, in order."""
        return list(dict.fromkeys(tuple(row[name] for name in _GROUP) for row in self.rows))

    def main_groups(self) -> list[tuple[Any, ...]]:
        """Those on the test split after the longest training of each space and dataset."""
        main = {
            (space, *astuple(label))
            for space, groups in itertools.groupby(self.groups(), lambda group: group[0])
            for label in main_labels(Label(*group[1:4]) for group in groups)
        }
        return [group for group in self.groups() if group[:4] in main]

    def seeds(self, group: tuple[Any, ...]) -> list[int]:
        """The seeds of a group."""
        rows = (row for row in self.rows if tuple(row[name] for name in _GROUP) == group)
        return sorted({row["seed"] for row in rows if row["seed"] is not None})


def _what(row: Row) -> tuple[Any, ...]:
    top_k = None if row["measure"] == "recall" else row["top_k"]
    return row["measure"], row["given"], row["top_percent"], top_k


def main_tables(figures: Figures) -> list[tuple[str, str, Table]]:
    """(title, published figures, table) of each space and dataset: tau of the mean score over seeds, and of baselines."""
    header = ["images", "batch size", "seeds", "networks", "singular", "failed", "tau of score [95%]"]
    header += ["params", "FLOPs", "layers", "score | params", "score | FLOPs"]
    tables: list[tuple[str, str, Table]] = []
    for (space, dataset, split, epochs), groups in itertools.groupby(figures.main_groups(), lambda group: group[:4]):
        rows = []
        for group in groups:
            row = figures.get(group, None, "score", "tau")
            others = [figures.get(group, None, name, "tau") for name in ("params", "flops", "num_layers")]
            others += [figures.get(group, None, "score", "tau", given=name) for name in ("params", "flops")]
            counts = [f"{row[name]:,}" for name in ("num_seeds", "num_architectures", "num_singular", "num_failed")]
            rows.append([group[4], str(group[5]), *counts, _interval(row), *map(_number, others)])
        theirs = "; ".join(str(p) for p in published(space, dataset, "score", "tau")) or "nothing"
        tables.append(
            (f"{space}, {dataset} {split} after {epochs} epochs", f"Published tau of the score: {theirs}.", (header, rows))
        )
    return tables


def published_table(figures: Figures) -> Table:
    """Each published figure of the spaces and datasets there are, beside ours at the batch size nearest to it."""
    rows = []
    there = figures.main_groups()
    for p in PUBLISHED:
        groups = [g for g in there if (g[0], g[1]) == (p.space, p.dataset)]
        if groups:
            wanted = p.batch_size or 64
            group = min(groups, key=lambda g: (g[4] == "noise", abs(g[5] - wanted)))
            row = figures.get(group, None, p.predictor, p.measure)
            num_seeds = row.get("num_seeds", 1)
            seeds = f", mean over {num_seeds} seeds" if num_seeds > 1 and p.predictor == "score" else ""
            ours = (
                f"{_number(row)} ({row.get('num_architectures', 0):,} architectures, {group[4]}, batch size {group[5]}{seeds})"
            )
            rows.append([p.space, p.dataset, PREDICTOR_NAMES[p.predictor], p.measure, str(p), ours])
    return ("space", "dataset", "predictor", "measure", "published", "here"), rows


def correlation_table(figures: Figures, group: tuple[Any, ...]) -> Table:
    """All correlations of all predictors, mean over seeds."""
    header = ["predictor", "tau", "Spearman", "Pearson"]
    header += [f"{measure} given {name}" for measure in ("tau", "Spearman") for name in ("params", "FLOPs")]
    rows = []
    for name, shown in PREDICTOR_NAMES.items():
        plain = [figures.get(group, None, name, measure) for measure in ("tau", "spearman", "pearson")]
        given = [figures.get(group, None, name, m, given=z) for m in ("tau", "spearman") for z in ("params", "flops")]
        if any(row["value"] is not None for row in plain):
            rows.append([shown, *map(_interval, plain), *map(_interval, given)])
    return header, rows


def top_table(figures: Figures, group: tuple[Any, ...]) -> Table:
    """How good the top of each ranking is, mean over seeds."""
    columns: dict[str, tuple[str, dict[str, Any]]] = {
        f"recall top {p:g}%": ("recall", {"top_percent": p}) for p in (1.0, 5.0, 10.0)
    }
    columns |= {f"mean accuracy of top {k}": ("mean_accuracy", {"top_k": k}) for k in (1, 10, 100)}
    columns |= {f"best of top {k}": ("best_accuracy", {"top_k": k}) for k in (10, 100, 1000)}
    columns |= {"nDCG@100": ("ndcg", {"top_k": 100}), "nDCG": ("ndcg", {})}
    rows = []
    for name, shown in PREDICTOR_NAMES.items():
        found = [figures.get(group, None, name, measure, **what) for measure, what in columns.values()]
        if any(row["value"] is not None for row in found):
            digits = [2 if "accuracy" in measure else 3 for measure, _ in columns.values()]
            rows.append([shown, *(_number(row, d) for row, d in zip(found, digits, strict=True))])
    return ("predictor", *columns), rows


def ablation_table(figures: Figures) -> Table:
    """Tau of the score by image source and batch size: of each seed, their mean and spread, and of the mean score."""
    header = (
        "space",
        "dataset",
        "images",
        "batch size",
        "tau of each seed",
        "mean ± std",
        "tau of the mean score",
        "Spearman of the mean score",
    )
    rows = []
    for group in figures.main_groups():
        by_seed = [figures.get(group, seed, "score", "tau") for seed in figures.seeds(group)]
        most = max((row["num_architectures"] for row in by_seed), default=0)
        # Over seeds that have all architectures: a spread is not to be of subsets.
        defined = [row["value"] for row in by_seed if row["value"] is not None and row["num_architectures"] == most]
        spread = f"{statistics.mean(defined):.3f} ± {statistics.stdev(defined):.3f}" if len(defined) > 1 else _NONE
        listed = ", ".join(
            _number(row) + ("" if row["num_architectures"] == most else f" (of {row['num_architectures']:,})")
            for row in by_seed
        )
        mean = [_number(figures.get(group, None, "score", measure)) for measure in ("tau", "spearman")]
        rows.append([group[0], group[1], group[4], str(group[5]), listed, spread, *mean])
    return header, rows


def stability_table(pairs: Iterable[Row]) -> Table:
    """How far scores of different seeds, batch sizes and image sources agree."""
    header = ("space", "between", "pairs", "architectures", "mean tau", "lowest tau", "mean Spearman", "lowest Spearman")
    rows = []
    for (space, between), found in itertools.groupby(pairs, lambda pair: (pair["space"], _between(pair))):
        same = list(found)
        sizes = sorted({pair["num_architectures"] for pair in same})
        sizes_text = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        cells = []
        for name in ("tau", "spearman"):
            values = [pair[name] for pair in same if pair[name] is not None]
            cells += [f"{statistics.mean(values):.3f}", f"{min(values):.3f}"] if values else [_NONE, _NONE]
        rows.append([space, between, str(len(same)), sizes_text, *cells])
    return header, rows


def _between(pair: Row) -> str:
    match pair["compared"]:
        case "seed":
            return f"seeds, {pair['images']}, batch size {pair['batch_size']}"
        case "batch_size":
            return f"batch sizes {pair['batch_size']} and {pair['other_batch_size']}, {pair['images']}"
        case _:
            return f"{pair['images']} and {pair['other_images']}, batch size {pair['batch_size']}"


def render(analysis: Analysis, source: str) -> str:
    """The whole document.

    Args:
        analysis: of a dataset.
        source: where the dataset lies, for people.
    """
    return "\n".join(_lines(analysis, source)) + "\n"


def _lines(analysis: Analysis, source: str) -> Iterator[str]:
    figures = Figures(analysis)
    yield f"# Analysis of {escape(source)}"
    yield ""
    yield (
        f"Label: {analysis.repeats} over repeats of accuracy in percent. Correlations are signed and over all architectures "
        "with a score and an accuracy: nothing is filtered. Singular kernels (score -inf) rank last, tied; Pearson's r leaves "
        "them out. Architectures with a failed row are left out and counted. Brackets: 95% intervals over architectures."
    )
    for title, theirs, table in main_tables(figures):
        yield from _section(f"Kendall's tau: {title}", table)
        yield from ("", theirs)
    yield ""
    yield (
        "Test split after the longest training; mean score over seeds, of the architectures that have a score for every seed. "
        "`score | params` is the partial tau of score and accuracy given params."
    )
    yield from _section("Beside the published figures", published_table(figures))
    yield ""
    yield (
        "Here: the batch size nearest to the published one (64 where the source gives none), real images before noise. Papers "
        "differ in label, subset, batch, seed and implementation; compare where these are the same."
    )
    yield from _section("By batch size, image source and seed", ablation_table(figures))
    yield ""
    yield "A seed draws both the initialisation and the minibatch, so the spread over seeds is of the two together."
    yield from _section("How far scores agree with themselves", stability_table(analysis.stability.to_pylist()))
    for group in figures.main_groups():
        space, dataset, split, epochs, images, batch_size = group
        title = f"{space}, {dataset} {split} after {epochs} epochs; {images}, batch size {batch_size}"
        yield from _section(title, correlation_table(figures, group))
        yield from ("", *_table(*top_table(figures, group)))


def _section(title: str, table: Table) -> Iterator[str]:
    yield from ("", f"## {escape(title)}", "")
    yield from _table(*table) if table[1] else ("Nothing of the kind in this dataset.",)


def _table(header: Sequence[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(map(escape, header))} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(map(escape, row))} |"


def _number(row: Row, digits: int = 3) -> str:
    return _NONE if row["value"] is None else f"{row['value']:.{digits}f}"


def _interval(row: Row) -> str:
    if row["value"] is None or row["low"] is None:
        return _number(row)
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"

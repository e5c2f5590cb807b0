"""An analysis as Markdown: the tables that a reader looks at first, and what they were made of."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from naswot_ray.analysis.analyse import Analysis
from naswot_ray.analysis.literature import NASWOT, PUBLISHED, published
from naswot_ray.analysis.metrics import GIVEN
from naswot_ray.analysis.names import BASELINE_NAMES
from naswot_ray.analysis.rank_sums import RANK_SUMS
from naswot_ray.dataset.label import Label, main_labels
from naswot_ray.dataset.schema import BASELINES
from naswot_ray.markdown import escape

Row = Mapping[str, Any]
Table = tuple[Sequence[str], list[list[str]]]

_NONE = "-"
_NOTHING: Row = {"value": None, "low": None, "high": None}
_GROUP = ("space", "dataset", "split", "epochs", "images", "batch_size")


@dataclass(frozen=True)
class MainTable:
    """What is shown first of one space, label and image source: every predictor at one batch size.

    Attributes:
        title: the space, the label, the image source and the batch size.
        table: a row for each predictor.
        published: what papers tell of `naswot`; empty where the dataset has no value of it.
    """

    title: str
    table: Table
    published: str


class Figures:
    """The numbers of an analysis by what they are of."""

    def __init__(self, analysis: Analysis) -> None:
        self.rows: list[Row] = analysis.rows.to_pylist()
        self._by_key = {(*(row[name] for name in _GROUP), row["seed"], row["predictor"], *_what(row)): row for row in self.rows}
        self._seeds: dict[tuple[Any, ...], dict[str, list[int]]] = {}
        for row in self.rows:
            seeds = self._seeds.setdefault(tuple(row[name] for name in _GROUP), {}).setdefault(row["predictor"], [])
            if row["seed"] is not None and row["seed"] not in seeds:
                seeds.append(row["seed"])

    def get(self, group: tuple[Any, ...], seed: int | None, predictor: str, metric: str, **what: Any) -> Row:
        """One number's row; an empty one where there is none."""
        key = (*group, seed, predictor, metric, what.get("given"), what.get("top_percent"), what.get("top_k"))
        row: Row = self._by_key.get(key, _NOTHING)
        return row

    def groups(self) -> list[tuple[Any, ...]]:
        """(space, dataset, split, epochs, images, batch size) of all rows, sorted."""
        return sorted(self._seeds)

    def predictors(self, group: tuple[Any, ...]) -> list[str]:
        """The predictors of a group: measures in the dataset's order, rank sums, baselines."""
        return list(self._seeds[group])

    def seeds(self, group: tuple[Any, ...], predictor: str) -> list[int]:
        """The seeds on which a predictor has a value."""
        return self._seeds[group].get(predictor, [])

    def main_groups(self) -> list[tuple[Any, ...]]:
        """Those on the test split after the longest training of each space and dataset."""
        main = {
            (space, *astuple(label))
            for space, groups in itertools.groupby(self.groups(), lambda group: group[0])
            for label in main_labels(Label(*group[1:4]) for group in groups)
        }
        return [group for group in self.groups() if group[:4] in main]

    def first_groups(self) -> list[tuple[Any, ...]]:
        """Of the main groups, for each space, label and image source the batch size with the most architectures.

        The largest one where several have as many.
        """

        def size(group: tuple[Any, ...]) -> tuple[int, int]:
            counts = [self.get(group, None, name, "tau").get("num_architectures", 0) for name in self.predictors(group)]
            return max(counts, default=0), group[5]

        return [max(found, key=size) for _, found in itertools.groupby(self.main_groups(), lambda group: group[:5])]


def _what(row: Row) -> tuple[Any, ...]:
    top_k = None if row["metric"] == "recall" else row["top_k"]
    return row["metric"], row["given"], row["top_percent"], top_k


def main_tables(figures: Figures) -> list[MainTable]:
    """Kendall's tau of every predictor, mean over seeds, for each space, label and image source at one batch size."""
    header = ["predictor", "tau [95%]", *(f"given {BASELINE_NAMES[name]}" for name in GIVEN), "Spearman"]
    header += ["seeds", "networks", "singular", "missing"]
    tables = []
    for group in figures.first_groups():
        rows = []
        for name in figures.predictors(group):
            row = figures.get(group, None, name, "tau")
            others = [figures.get(group, None, name, "tau", given=given) for given in GIVEN]
            others.append(figures.get(group, None, name, "spearman"))
            counts = [f"{row[count]:,}" for count in ("num_seeds", "num_architectures", "num_singular", "num_missing")]
            if name in BASELINES:
                counts[0] = _NONE
            rows.append([_called(name), _interval(row), *map(_number, others), *counts])
        theirs = ""
        if NASWOT in figures.predictors(group):
            found = "; ".join(str(one) for one in published(group[0], group[1], NASWOT, "tau"))
            theirs = f"Published tau of {NASWOT}: {found or 'nothing'}."
        tables.append(MainTable(_title(group), (header, rows), theirs))
    return tables


def published_table(figures: Figures) -> Table:
    """Each published figure of the spaces and datasets there are, beside ours at the batch size nearest to it."""
    rows = []
    there = figures.main_groups()
    for one in PUBLISHED:
        groups = [g for g in there if (g[0], g[1]) == (one.space, one.dataset) and one.predictor in figures.predictors(g)]
        if groups:
            wanted = one.batch_size or 64
            group = min(groups, key=lambda g: (g[4] == "noise", abs(g[5] - wanted)))
            row = figures.get(group, None, one.predictor, one.metric)
            num_seeds = row.get("num_seeds", 1)
            seeds = f", mean over {num_seeds} seeds" if num_seeds > 1 and one.predictor not in BASELINES else ""
            ours = (
                f"{_number(row)} ({row.get('num_architectures', 0):,} architectures, {group[4]}, batch size {group[5]}{seeds})"
            )
            rows.append([one.space, one.dataset, _called(one.predictor), one.metric, str(one), ours])
    return ("space", "dataset", "predictor", "metric", "published", "here"), rows


def correlation_table(figures: Figures, group: tuple[Any, ...]) -> Table:
    """All correlations of all predictors, mean over seeds."""
    header = ["predictor", "tau", "Spearman", "Pearson"]
    header += [f"{metric} given {BASELINE_NAMES[name]}" for metric in ("tau", "Spearman") for name in GIVEN]
    rows = []
    for name in figures.predictors(group):
        plain = [figures.get(group, None, name, metric) for metric in ("tau", "spearman", "pearson")]
        given = [figures.get(group, None, name, metric, given=z) for metric in ("tau", "spearman") for z in GIVEN]
        if any(row["value"] is not None for row in plain):
            rows.append([_called(name), *map(_interval, plain), *map(_interval, given)])
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
    for name in figures.predictors(group):
        found = [figures.get(group, None, name, metric, **what) for metric, what in columns.values()]
        if any(row["value"] is not None for row in found):
            digits = [2 if "accuracy" in metric else 3 for metric, _ in columns.values()]
            rows.append([_called(name), *(_number(row, d) for row, d in zip(found, digits, strict=True))])
    return ("predictor", *columns), rows


def ablation_table(figures: Figures) -> Table:
    """Tau by image source and batch size: of each seed, their mean and spread, and of the mean over seeds."""
    header = ["space", "dataset", "predictor", "images", "batch size", "tau of each seed", "mean ± std"]
    header += ["tau of the mean over seeds", "Spearman of the mean over seeds"]
    rows = []
    for (space, dataset, *_), groups in itertools.groupby(figures.main_groups(), lambda group: group[:4]):
        of_label = list(groups)
        for name in dict.fromkeys(name for group in of_label for name in figures.predictors(group) if name not in BASELINES):
            for group in (group for group in of_label if name in figures.predictors(group)):
                by_seed = [figures.get(group, seed, name, "tau") for seed in figures.seeds(group, name)]
                mean = [_number(figures.get(group, None, name, metric)) for metric in ("tau", "spearman")]
                rows.append([space, dataset, _called(name), group[4], str(group[5]), *_spread(by_seed), *mean])
    return header, rows


def _spread(by_seed: Sequence[Row]) -> tuple[str, str]:
    """The values of all seeds as a list, and their mean and standard deviation.

    Only the seeds that have all architectures count in the latter, since a spread is not to be of subsets.
    """
    most = max((row["num_architectures"] for row in by_seed), default=0)
    defined = [row["value"] for row in by_seed if row["value"] is not None and row["num_architectures"] == most]
    spread = f"{statistics.mean(defined):.3f} ± {statistics.stdev(defined):.3f}" if len(defined) > 1 else _NONE
    listed = (
        _number(row) + ("" if row["num_architectures"] == most else f" (of {row['num_architectures']:,})") for row in by_seed
    )
    return ", ".join(listed), spread


def stability_table(pairs: Iterable[Row]) -> Table:
    """How far the values of a predictor on different seeds, batch sizes and image sources agree."""
    header = ["space", "predictor", "between", "pairs", "architectures"]
    header += ["mean tau", "lowest tau", "mean Spearman", "lowest Spearman"]
    rows = []
    of_what = itertools.groupby(pairs, lambda pair: (pair["space"], pair["predictor"], _between(pair)))
    for (space, predictor, between), found in of_what:
        same = list(found)
        sizes = sorted({pair["num_architectures"] for pair in same})
        sizes_text = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        cells = []
        for name in ("tau", "spearman"):
            values = [pair[name] for pair in same if pair[name] is not None]
            cells += [f"{statistics.mean(values):.3f}", f"{min(values):.3f}"] if values else [_NONE, _NONE]
        rows.append([space, predictor, between, str(len(same)), sizes_text, *cells])
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


def describe_missing(analysis: Analysis) -> list[str]:
    """A line for each space some of whose measures have no value, and are in no table."""
    return [f"{space}: no joined row has a value of {', '.join(names)}" for space, names in analysis.without.items() if names]


def _lines(analysis: Analysis, source: str) -> Iterator[str]:
    figures = Figures(analysis)
    yield f"# Analysis of {escape(source)}"
    yield ""
    yield (
        f"Accuracies are in percent, the {analysis.repeats} over repeats. Correlations are signed and over all architectures "
        "with a value and an accuracy: nothing is filtered. A value of -inf (a singular kernel) ranks last, tied; Pearson's r "
        "leaves it out. Architectures that lack a value are left out of that predictor's numbers and counted as missing. "
        "Brackets: 95% intervals over architectures."
    )
    for name in dict.fromkeys(row["predictor"] for row in figures.rows if row["predictor"] in RANK_SUMS):
        yield ""
        yield (
            f"`{name}` is a rank sum: the {RANK_SUMS[name].meaning}. The architectures are those of the joined rows. It is a "
            "function of this set of architectures, not of one network, and a combination of this project's own."
        )
    for line in describe_missing(analysis):
        yield from ("", f"{escape(line)}.")
    for main in main_tables(figures):
        yield from _section(f"Kendall's tau: {main.title}", main.table)
        if main.published:
            yield from ("", main.published)
    yield ""
    yield (
        "Test split after the longest training; mean over seeds, of the architectures that have a value for every seed. "
        "`given params` is the partial tau of predictor and accuracy given params. Other batch sizes are below."
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
    yield from _section("How far values agree with themselves", stability_table(analysis.stability.to_pylist()))
    for group in figures.main_groups():
        yield from _section(_title(group), correlation_table(figures, group))
        yield from ("", *_table(*top_table(figures, group)))


def _title(group: tuple[Any, ...]) -> str:
    space, dataset, split, epochs, images, batch_size = group
    return f"{space}, {Label(dataset, split, epochs).told}; {images}, batch size {batch_size}"


def _called(predictor: str) -> str:
    return BASELINE_NAMES.get(predictor, predictor)


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

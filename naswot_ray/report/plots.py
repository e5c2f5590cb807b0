"""Prepares the plots of one space: its points as columns, and densities if there are more points than the page can hold."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from naswot_ray.analysis.columns import Column, Points, Values, rank_correlation
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.report.cells import pack_cell
from naswot_ray.report.rounding import rounded_apart

MAX_POINTS: Final = 20_000
"""The most points of a space that the page holds. If a space has more, the page holds a sample: the best by every measure and
accuracy, and others in the order of the SHA-256 of their arch_id, so that the sample is the same every time."""

NUM_BEST: Final = 100
NUM_BINS: Final = 64

_DIGITS: Final = {"measure": 3, "baseline": 0, "accuracy": 2}


def plot_of(dataset: Dataset, points: Points, measure: str | None = None) -> dict[str, Any]:
    """Make the plot of a space, as JSON values.

    Args:
        dataset: the dataset that holds the points.
        points: the points of the space.
        measure: the measure that the plot shows first, as in `Points.main_column`. If the points have no value of it, the plot
            starts as if none had been named.

    Returns:
        the plot. A column has one number for each of `arch_ids`. `taus` has an entry for every two columns, over all
        architectures even if `arch_ids` are only a sample; `densities` then counts all architectures, and is empty otherwise.
    """
    columns = {key: column for key, column in points.columns.items() if np.isfinite(column.values).any()}
    chosen = _sample(points)
    accuracy, main = points.main_accuracy, points.main_column(measure) or points.main_column()
    keys = {id(column): key for key, column in columns.items()}
    cells = [points.architectures[i] for i in chosen]
    return {
        "space": points.space,
        "images": points.images,
        "num_architectures": len(points.arch_ids),
        "arch_ids": [points.arch_ids[i] for i in chosen],
        "cells": [pack_cell(cell) for cell in cells] if points.space == "nasbench101" else None,
        "columns": [
            {
                "key": key,
                "kind": column.kind,
                "name": column.name,
                "label": column.label,
                "measure": column.measure,
                "batch_size": column.batch_size,
                "sql": column.sql,
                "num_missing": int(np.count_nonzero(np.isnan(column.values))),
                "num_singular": int(np.count_nonzero(np.isneginf(column.values))),
                "values": rounded_apart(column.values[chosen], _DIGITS[column.kind]),
            }
            for key, column in columns.items()
        ],
        "taus": (taus := [{"x": x, "y": y, **_tau(columns[x], columns[y])} for x, y in _pairs(columns)]),
        "densities": _densities(columns, taus) if len(chosen) < len(points.arch_ids) else [],
        "start": {
            "x": keys.get(id(main)),
            "y": keys.get(id(accuracy))
            or next((key for key in ("params", "num_layers") if key in columns), keys.get(id(main))),
            "colour": "params" if accuracy is not None and "params" in columns else keys.get(id(main)),
        },
        "from": _source(dataset, points),
    }


def _source(dataset: Dataset, points: Points) -> str:
    """The FROM clause by which a DuckDB query finds what the columns are computed from."""
    if points.main_accuracy is not None and dataset.files("joined"):
        return dataset.read_parquet("joined")
    source = f"{dataset.read_parquet('scores')} AS scores"
    if dataset.files("architectures"):
        source += f" LEFT JOIN {dataset.read_parquet('architectures')} AS architectures USING (space, arch_id)"
    if points.main_accuracy is not None:
        means = f"FROM {dataset.read_parquet('accuracies')} WHERE seed IS NULL"
        source += (
            f" LEFT JOIN (SELECT space, arch_id, dataset, split, epochs, accuracy {means}) AS accuracies USING (space, arch_id)"
        )
    return source


def _sample(points: Points) -> npt.NDArray[np.int64]:
    """Positions of the points that the page holds, in ascending order."""
    num_points = len(points.arch_ids)
    if num_points <= MAX_POINTS:
        return np.arange(num_points)
    best: set[int] = set()
    for column in (*points.of_kind("measure").values(), *points.of_kind("accuracy").values()):
        ranked = np.argsort(np.where(np.isnan(column.values), -np.inf, column.values), kind="stable")
        best |= set(ranked[-NUM_BEST:].tolist())
    drawn = sorted(range(num_points), key=lambda i: hashlib.sha256(points.arch_ids[i].encode()).digest())
    others = [i for i in drawn if i not in best][: MAX_POINTS - len(best)]
    return np.array(sorted([*best, *others]))


def _pairs(columns: dict[str, Column]) -> Iterator[tuple[str, str]]:
    return itertools.combinations_with_replacement(columns, 2)


def _tau(x: Column, y: Column) -> dict[str, Any]:
    """Kendall's tau of two columns (None if a column has no order), the number of architectures, and how many are singular."""
    tau, num_both = rank_correlation(x.values, y.values)
    singular = (np.isneginf(x.values) | np.isneginf(y.values)) & ~np.isnan(x.values) & ~np.isnan(y.values)
    return {"tau": None if math.isnan(tau) else tau, "n": num_both, "num_singular": int(np.count_nonzero(singular))}


def _densities(columns: dict[str, Column], taus: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Count all architectures in a grid of bins for every two columns, and add Kendall's tau.

    The bins leave out the lowest hundredth of each column.
    """
    found = []
    for tau in taus:
        x, y = tau["x"], tau["y"]
        both = np.isfinite(columns[x].values) & np.isfinite(columns[y].values)
        if x == y or not both.any():
            continue
        (low_x, high_x), (low_y, high_y) = (_range(columns[key].values[both]) for key in (x, y))
        counts, _, _ = np.histogram2d(
            columns[x].values[both], columns[y].values[both], NUM_BINS, [[low_x, high_x], [low_y, high_y]]
        )
        ranges = {"x_range": [low_x, high_x], "y_range": [low_y, high_y]}
        found.append({**tau, **ranges, "counts": counts.T.astype(int).ravel().tolist()})
    return found


def _range(values: Values) -> tuple[float, float]:
    low, high = float(np.quantile(values, 0.01)), float(values.max())
    return (low, high) if low < high else (low - 0.5, high + 0.5)

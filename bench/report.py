"""Tables, Parquet files and the picture of what bench/engines.py measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.contestants import PUBLISHED

_STAGES = pa.map_(pa.string(), pa.float64())


@dataclass(frozen=True)
class Measurement:
    """One network scored by one engine.

    Attributes:
        space, batch_size: where it belongs.
        network: position among the space's samples.
        arch_id: its key.
        engine: who scored it.
        turn: position among the engines that scored this network one after the other.
        cpu_seconds, wall_seconds: what it took.
        gflop: 1e9 floating-point operations of one forward pass over the batch, convolutions alone.
        stages: seconds by stage, where the engine tells.
    """

    space: str
    batch_size: int
    network: int
    arch_id: str
    engine: str
    turn: int
    cpu_seconds: float
    wall_seconds: float
    gflop: float
    stages: dict[str, float]


@dataclass(frozen=True)
class Summary:
    """All networks of a space by one engine.

    Attributes:
        num: networks measured.
        cpu_mean, cpu_median, wall_mean, wall_median: seconds a network.
        ratio: seconds of the published procedure over this engine's, summed over the networks that both ran on; CPU seconds,
            on a GPU those on the wall. None without a published one.
        gflops: GFLOP/s, of the operations that one forward pass needs.
        share_of_peak: of what a matrix product reaches.
        start_mib, peak_mib: resident memory before the first network and at most; `gpu_mib` of tensors on the GPU.
        stages: share of the seconds on the wall by stage, where the engine tells; `rest` is in none of its stages.
    """

    space: str
    batch_size: int
    engine: str
    num: int
    cpu_mean: float
    cpu_median: float
    wall_mean: float
    wall_median: float
    ratio: float | None
    gflops: float
    share_of_peak: float
    start_mib: float | None
    peak_mib: float | None
    gpu_mib: float | None
    stages: dict[str, float]


def summarise(
    measurements: Iterable[Measurement],
    memory: Mapping[tuple[str, int, str], Mapping[str, float]],
    peak_gflops: float,
    *,
    on_wall: bool,
) -> list[Summary]:
    """Summaries in the order of the first measurements."""
    grouped: dict[tuple[str, int, str], list[Measurement]] = {}
    for m in measurements:
        grouped.setdefault((m.space, m.batch_size, m.engine), []).append(m)

    def seconds(m: Measurement) -> float:
        return m.wall_seconds if on_wall else m.cpu_seconds

    summaries = []
    for key, found in grouped.items():
        published = {m.network: seconds(m) for m in grouped.get((*key[:2], PUBLISHED), [])}
        common = [m for m in found if m.network in published]
        ratio = sum(published[m.network] for m in common) / sum(map(seconds, common)) if common else None
        total = sum(map(seconds, found))
        gflops = sum(m.gflop for m in found) / total
        cpu, wall = [m.cpu_seconds for m in found], [m.wall_seconds for m in found]
        named = dict.fromkeys(stage for m in found for stage in m.stages)
        stages = {stage: sum(m.stages.get(stage, 0.0) for m in found) / sum(wall) for stage in named}
        if stages:
            stages["rest"] = 1 - sum(stages.values())
        mib = memory.get(key, {})
        summaries.append(
            Summary(
                *key,
                num=len(found),
                cpu_mean=statistics.fmean(cpu),
                cpu_median=statistics.median(cpu),
                wall_mean=statistics.fmean(wall),
                wall_median=statistics.median(wall),
                ratio=ratio,
                gflops=gflops,
                share_of_peak=gflops / peak_gflops,
                start_mib=mib.get("start_mib"),
                peak_mib=mib.get("peak_mib"),
                gpu_mib=mib.get("gpu_mib"),
                stages=stages,
            )
        )
    return summaries


def print_tables(summaries: Sequence[Summary], peak_gflops: float, *, on_wall: bool) -> None:
    """Print a Markdown table for each batch size."""
    ratio_of = "wall" if on_wall else "CPU"
    for batch_size, found in groupby(summaries, key=lambda s: s.batch_size):
        print(f"\nBatch size {batch_size}; ratio of {ratio_of} seconds; peak: fp32 GEMM, {peak_gflops:.1f} GFLOP/s\n")
        print(
            "| space | engine | networks | CPU s, mean | median | wall s, mean | median | x published | GFLOP/s | of peak "
            "| MiB at first | at most | by stage |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
        for s in found:
            memory = [f"{mib:,.0f}" if mib is not None else "" for mib in (s.start_mib, s.peak_mib)]
            if s.gpu_mib is not None:
                memory[1] += f" (GPU {s.gpu_mib:,.0f})"
            cells = [
                s.space,
                s.engine,
                str(s.num),
                *(f"{seconds:.4f}" for seconds in (s.cpu_mean, s.cpu_median, s.wall_mean, s.wall_median)),
                f"{s.ratio:.2f}" if s.ratio is not None else "",
                f"{s.gflops:.1f}",
                f"{s.share_of_peak:.0%}",
                *memory,
                ", ".join(f"{stage} {share:.0%}" for stage, share in s.stages.items() if abs(share) >= 0.005),
            ]
            print(f"| {' | '.join(cells)} |")


def write_measurements(measurements: Iterable[Measurement], folder: Path, facts: Mapping[str, str]) -> None:
    """Write `measurements.parquet`."""
    _write([asdict(m) for m in measurements], folder / "measurements.parquet", facts)


def write_summary(summaries: Iterable[Summary], folder: Path, facts: Mapping[str, str]) -> None:
    """Write `summary.parquet`."""
    _write([asdict(s) for s in summaries], folder / "summary.parquet", facts)


def plot(summaries: Sequence[Summary], path: Path) -> None:
    """Bars of the ratio to the published procedure: a panel for each batch size, a group for each space. Readable in grey."""
    import matplotlib as mpl  # noqa: PLC0415  only with --output

    mpl.use("Agg")
    mpl.rcParams |= {"svg.hashsalt": "naswot-ray", "font.size": 9, "hatch.linewidth": 0.6}
    import matplotlib.pyplot as plt  # noqa: PLC0415

    shown = [s for s in summaries if s.ratio is not None and s.engine != PUBLISHED]
    if not shown:
        return
    batch_sizes, spaces, engines = (
        list(dict.fromkeys(getattr(s, key) for s in shown)) for key in ("batch_size", "space", "engine")
    )
    figure, panels = plt.subplots(
        len(batch_sizes), 1, figsize=(8.5, 2.6 * len(batch_sizes)), sharex=True, layout="constrained", squeeze=False
    )
    styles = list(zip(("#DDDDDD", "#E69F00", "#0072B2", "#222222"), ("", "//", "", ".."), strict=True))
    width = 0.8 / len(engines)
    for panel, batch_size in zip(panels[:, 0], batch_sizes, strict=True):
        for number, engine in enumerate(engines):
            colour, hatch = styles[number % len(styles)]
            mine = {s.space: s.ratio or 0.0 for s in shown if (s.batch_size, s.engine) == (batch_size, engine)}
            places = np.arange(len(spaces)) + (number - (len(engines) - 1) / 2) * width
            heights = [mine.get(space, np.nan) for space in spaces]
            bars = panel.bar(places, heights, width, color=colour, hatch=hatch, edgecolor="black", linewidth=0.6, label=engine)
            panel.bar_label(bars, fmt="%.3g", fontsize=7, padding=1)
        panel.set_yscale("log")
        panel.set_ylim(1, 2 * max(s.ratio or 1.0 for s in shown))
        panel.set_ylabel("times as fast as published")
        panel.set_title(f"batch size {batch_size}", loc="left")
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
    panels[-1, 0].set_xticks(range(len(spaces)), spaces, rotation=30, ha="right")
    panels[0, 0].legend(frameon=False, ncols=len(engines), loc="lower right", bbox_to_anchor=(1, 1))
    figure.savefig(path, metadata={"Date": None})


def _write(rows: list[dict[str, object]], path: Path, facts: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([row | {"stages": None} for row in rows])
    stages = pa.array([list(row["stages"].items()) for row in rows if isinstance(row["stages"], dict)], _STAGES)
    table = table.set_column(table.column_names.index("stages"), "stages", stages)
    pq.write_table(table.replace_schema_metadata(dict(facts)), path)

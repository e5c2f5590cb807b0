"""Launches the kernels of a merged group one after the other on the current stream, without waiting for any of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from naswot_ray import philox
from naswot_ray.engines.cuda import draws
from naswot_ray.engines.cuda.draws import Drawing
from naswot_ray.engines.cuda.eigenvalues import covariance_spectra, smallest_correlations
from naswot_ray.engines.cuda.group import Launch, Merged
from naswot_ray.engines.cuda.kernels import channels, combine, convolve, gram, weights
from naswot_ray.engines.cuda.memory import Buffers
from naswot_ray.engines.cuda.results import Found
from naswot_ray.engines.cuda.tables import BLOCK_M, PRODUCT_ROWS, ROWS_PER_SPLIT, IntArray, Kind, Lowered, pixel_block
from naswot_ray.measures.statistics import PATTERN_IMAGES, Statistic

MAX_ELIMINATED = 128
"""The largest number of images for which one program can hold K in registers as float64."""


@dataclass(frozen=True, slots=True)
class Tables:
    """A group's job tables on the device, each flat, int64."""

    jobs: dict[Kind, torch.Tensor]
    terms: torch.Tensor
    grams: torch.Tensor
    num_units: torch.Tensor
    tensor_units: torch.Tensor
    uniform: torch.Tensor
    uniform_tiles: torch.Tensor
    normal: torch.Tensor
    normal_tiles: torch.Tensor


def copy_tables(merged: Merged, drawings: Sequence[Drawing], device: torch.device) -> Tables:
    """Copy all tables that a group's kernels read to the device, in one asynchronous transfer."""
    arrays: dict[str, IntArray] = {name: getattr(merged, name) for name in ("terms", "grams", "num_units", "tensor_units")}
    arrays["uniform"], arrays["uniform_tiles"] = _draw_rows([d.uniform for d in drawings], merged.bases["weights"], "uniform")
    arrays["normal"], arrays["normal_tiles"] = _draw_rows([d.normal for d in drawings], merged.bases["weights"], "normal")
    flat = [array.ravel() for array in (*arrays.values(), *merged.jobs.values())]
    host = torch.from_numpy(np.concatenate(flat))
    if device.type == "cuda":
        host = host.pin_memory()
    copied = host.to(device, non_blocking=True).split([len(array) for array in flat])
    named = dict(zip(arrays, copied[: len(arrays)], strict=True))
    return Tables(jobs=dict(zip(merged.jobs, copied[len(arrays) :], strict=True)), **named)


def _draw_rows(tables: Sequence[IntArray], bases: IntArray, distribution: str) -> tuple[IntArray, IntArray]:
    rows = np.concatenate(tables)
    rows[:, 3] += np.repeat(bases, [len(table) for table in tables])
    return rows, draws.tiles_of(rows, distribution)


def draw_weights(
    tables: Tables, merged: Merged, drawings: Sequence[Drawing], buffers: Buffers, quantiles: torch.Tensor
) -> None:
    """Fill the weights of all architectures."""
    for rows, tiles, is_normal in (
        (tables.uniform, tables.uniform_tiles, False),
        (tables.normal, tables.normal_tiles, True),
    ):
        if len(tiles):
            grid = (len(tiles) // 2,)
            blocks = (draws.BLOCK, is_normal, weights.COLUMNS)
            weights.draw[grid](buffers.weights, quantiles, rows, tiles, *blocks, num_warps=8)
    for base, one in zip(merged.bases["weights"].tolist(), drawings, strict=True):
        for place, weight in one.given:
            buffers.weights[base + place : base + place + len(weight)].copy_(weight)


def quantiles_on(device: torch.device) -> torch.Tensor:
    """The table from which normally distributed weights are picked, shape (65536,), float32."""
    return torch.from_numpy(philox.normal_quantiles()).to(device)


def run(merged: Merged, tables: Tables, buffers: Buffers, num_images: int, precision: str) -> None:
    """Run all architectures up to their codes. The images and the weights must be in place."""
    for launch in merged.launches:
        match launch.kind:
            case Kind.COMBINE | Kind.POOL:
                _run_elementwise(launch, tables, buffers, num_images)
            case Kind.COVARIANCE:
                _run_covariance(launch, tables, buffers, num_images)
            case Kind.FIRST_IMAGE:
                _copy_first(launch, tables, buffers)
            case _:
                _run_reducing(launch, tables, buffers, num_images, precision)


def _run_elementwise(launch: Launch, tables: Tables, buffers: Buffers, num_images: int) -> None:
    block, blocks, pixels, aligned = launch.shape
    block_p = pixel_block(block, pixels)
    grid = (-(-pixels // block_p), launch.num_jobs, num_images * blocks)
    jobs = tables.jobs[launch.kind]
    if launch.kind == Kind.POOL:
        blocks_of = (block_p, block, bool(aligned), combine.POOL_COLUMNS)
        combine.pool[grid](buffers.arena, jobs, launch.first_job, num_images, *blocks_of, num_warps=8)
        return
    combine.combine[grid](
        buffers.arena,
        buffers.stats,
        buffers.words,
        tables.terms,
        jobs,
        launch.first_job,
        num_images,
        pixels,
        block_p,
        block,
        bool(aligned),
        combine.COLUMNS,
        combine.TERM_COLUMNS,
        num_warps=8,
    )


def _run_reducing(launch: Launch, tables: Tables, buffers: Buffers, num_images: int, precision: str) -> None:
    block, blocks, pixels, variant = launch.shape
    rows, tiles, jobs, first = pixels * num_images, launch.tiles(num_images), tables.jobs[launch.kind], launch.first_job
    grid = (tiles, launch.num_jobs, blocks)
    block_m, columns = BLOCK_M, convolve.COLUMNS
    arena, partials = buffers.arena, buffers.partials
    options: dict[str, Any] = {"num_warps": 8 if block >= 64 else 4}
    match launch.kind:
        case Kind.CONVOLVE:
            block_k, flat, aligned = variant >> 2, bool(variant & 2), bool(variant & 1)
            convolve.convolve[grid](
                arena, buffers.weights, partials, jobs, first, tiles, num_images,
                block_m, block, block_k, flat, aligned, precision, columns, **options,
            )  # fmt: skip
        case Kind.CONVOLVE_GROUPS:
            convolve.convolve_groups[grid](
                arena, buffers.weights, partials, jobs, first, tiles, num_images,
                block_m, block, bool(variant), columns, **options,
            )  # fmt: skip
        case _:
            columns = convolve.MEASURE_COLUMNS
            convolve.measure[grid](arena, partials, jobs, first, tiles, rows, block_m, block, columns, **options)
    block_t = min(128, 2048 // block)
    convolve.finalise[(launch.num_jobs, blocks)](
        partials, buffers.stats, jobs, first, tiles, rows, block_m, block, block_t, columns, **options
    )


def _run_covariance(launch: Launch, tables: Tables, buffers: Buffers, num_images: int) -> None:
    block, blocks, pixels, _ = launch.shape
    rows, splits, jobs, first = pixels * num_images, launch.splits(num_images), tables.jobs[launch.kind], launch.first_job
    options: dict[str, Any] = {"num_warps": 8 if block == 64 else 4}
    channels.multiply[(splits, launch.num_jobs, blocks**2)](
        buffers.arena, buffers.stats, buffers.partials, jobs, first, rows,
        ROWS_PER_SPLIT, PRODUCT_ROWS, block, channels.COLUMNS, **options,
    )  # fmt: skip
    channels.finish[(launch.num_jobs, blocks**2)](
        buffers.partials, buffers.stats, buffers.covariances, jobs, first, rows, splits, block, channels.COLUMNS, **options
    )


def _copy_first(launch: Launch, tables: Tables, buffers: Buffers) -> None:
    block, blocks, pixels, _ = launch.shape
    block_p = pixel_block(block, pixels)
    grid = (-(-pixels // block_p), launch.num_jobs, blocks)
    jobs = tables.jobs[launch.kind]
    columns = channels.FIRST_COLUMNS
    channels.copy_first[grid](buffers.arena, buffers.firsts, jobs, launch.first_job, pixels, block_p, block, columns)


def find(
    group: Sequence[Lowered],
    merged: Merged,
    tables: Tables,
    buffers: Buffers,
    num_images: int,
    wanted: Collection[Statistic],
) -> Found:
    """Compute the wanted statistics from codes and values.

    Only eigenvalues make the host wait, since their solver reports whether it converged.
    """
    by_tensor = Statistic.TENSOR_LOG_DETS in wanted
    distances = tensor_distances = pivots = tensor_pivots = occurs = num_on = spectra = smallest = None
    if by_tensor or Statistic.KERNELS in wanted or Statistic.LOG_DETS in wanted:
        distances, tensor_distances = hamming_distances(merged, tables, buffers, num_images, by_tensor=by_tensor)
        if num_images <= MAX_ELIMINATED:
            if Statistic.LOG_DETS in wanted:
                pivots = eliminate(distances, tables.num_units)
            if tensor_distances is not None:
                tensor_pivots = eliminate(tensor_distances, tables.tensor_units)
    if Statistic.PATTERNS in wanted:
        occurs, num_on = mark_patterns(merged, tables, buffers, num_images)
    if Statistic.COVARIANCE_SPECTRA in wanted:
        parts = _by_architecture(buffers.covariances, merged.bases["covariances"])
        spectra = torch.cat([covariance_spectra(one.covariances, part) for one, part in zip(group, parts, strict=True)])
    if Statistic.SMALLEST_CORRELATIONS in wanted:
        parts = _by_architecture(buffers.firsts, merged.bases["firsts"])
        smallest = torch.cat([smallest_correlations(one.firsts, part) for one, part in zip(group, parts, strict=True)])
    return Found(distances, pivots, tensor_distances, tensor_pivots, occurs, num_on, spectra, smallest)


def _by_architecture(buffer: torch.Tensor, bases: IntArray) -> list[torch.Tensor]:
    return [buffer[base:] for base in bases.tolist()]


def hamming_distances(
    merged: Merged, tables: Tables, buffers: Buffers, num_images: int, *, by_tensor: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Compute the Hamming distances of all codes.

    Returns:
        the sums over each network of distance times multiplicity, shape (architectures, 2, n, n), int64; and with `by_tensor`
        the distances of each coded tensor, shape (tensors, n, n), int32.
    """
    shape, device = (num_images, num_images), tables.grams.device
    distances = torch.zeros(len(merged.num_units), 2, *shape, dtype=torch.int64, device=device)
    of_tensors = torch.zeros(len(merged.tensor_units), *shape, dtype=torch.int32, device=device) if by_tensor else None
    if len(merged.grams):
        block = min(128, max(16, 1 << (num_images - 1).bit_length()))
        blocks = -(-num_images // block)
        grid = (len(merged.grams), blocks, blocks)
        options: dict[str, Any] = {"num_warps": 8 if block == 128 else 4}
        gram.add_distances[grid](
            distances, distances if of_tensors is None else of_tensors, buffers.words, tables.grams, num_images,
            block, 4, blocks == 1, by_tensor, gram.COLUMNS, **options,
        )  # fmt: skip
    return distances, of_tensors


def eliminate(distances: torch.Tensor, num_units: torch.Tensor) -> torch.Tensor:
    """Compute the pivots of the kernels `num_units - distances`.

    Args:
        distances: shape (..., n, n), n <= `MAX_ELIMINATED`.
        num_units: number of units of each kernel, flat.

    Returns:
        shape (..., n), float64.
    """
    n = distances.shape[-1]
    pivots = torch.empty(distances.shape[:-1], dtype=torch.float64, device=distances.device)
    block = max(16, 1 << (n - 1).bit_length())
    options: dict[str, Any] = {"num_warps": 32 if block == 128 else 4}
    if len(num_units):
        gram.eliminate[(len(num_units),)](pivots, distances, num_units, n, block, **options)
    return pivots


def mark_patterns(merged: Merged, tables: Tables, buffers: Buffers, num_images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Find which sign patterns the units have.

    Returns:
        whether each pattern but 0 occurs, shape (architectures, 2^16), int8; and how many units are on for at least one image
        of the pattern, shape (architectures,), int64.
    """
    num_architectures, device = len(merged.num_units), tables.grams.device
    occurs = torch.zeros(num_architectures, 1 << PATTERN_IMAGES, dtype=torch.int8, device=device)
    counts = torch.zeros(num_architectures, dtype=torch.int64, device=device)
    if len(merged.grams):
        gram.mark_patterns[(len(merged.grams),)](
            occurs, counts, buffers.words, tables.grams, num_images, PATTERN_IMAGES, 32, gram.COLUMNS
        )
    return occurs, counts

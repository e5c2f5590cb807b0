"""Kernels for the values that live ReLUs read: covariances of channels, and copies of the first image's values.

A job is one tensor of one architecture, and one row of a table. What it computes depends on its row alone, not on the other
jobs of the launch.
"""

import triton
import triton.language as tl

COLUMNS = 6
"""Columns of a job: channels, place of the means, place of the inverse standard deviations (-1: not normalised), place of the
tensor, the tensor's channels per pixel, place of the covariance."""

FIRST_COLUMNS = 4
"""Columns of a job of `copy_first`: channels, place of the tensor, the tensor's channels per pixel, place of the copy."""


@triton.jit(do_not_specialize=["first_job", "rows"])
def multiply(
    arena,
    stats,
    partials,
    jobs,
    first_job,
    rows,
    ROWS_PER_SPLIT: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_C: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Multiply channels, less their means, by each other and sum over a split's rows in float32. A row is a pixel of an image.

    `partials` has the shape (job, split, channels, channels), and only the blocks of its lower triangle are written. Means are
    subtracted first, so no digits are lost where they are large. Grid: (splits, jobs, blocks of channels squared).
    """
    split = tl.program_id(0)
    number = tl.program_id(1)
    job = jobs + (first_job + number).to(tl.int64) * COLUMNS
    channels = tl.load(job + 0).to(tl.int32)
    means = stats + tl.load(job + 1)
    source = arena + tl.load(job + 3)
    pixel = tl.load(job + 4).to(tl.int32)
    blocks = tl.cdiv(channels, BLOCK_C)
    row_block = tl.program_id(2) // blocks
    column_block = tl.program_id(2) % blocks
    if column_block <= row_block:
        i = row_block * BLOCK_C + tl.arange(0, BLOCK_C)
        j = column_block * BLOCK_C + tl.arange(0, BLOCK_C)
        mean_i = tl.load(means + i, mask=i < channels, other=0.0)
        mean_j = tl.load(means + j, mask=j < channels, other=0.0)
        acc = tl.zeros([BLOCK_C, BLOCK_C], tl.float32)
        for m0 in range(0, tl.minimum(rows - split * ROWS_PER_SPLIT, ROWS_PER_SPLIT), BLOCK_M):
            m = split * ROWS_PER_SPLIT + m0 + tl.arange(0, BLOCK_M)
            i_there = (m < rows)[:, None] & (i < channels)[None, :]
            j_there = (m < rows)[:, None] & (j < channels)[None, :]
            a = tl.load(source + m[:, None] * pixel + i[None, :], mask=i_there, other=0.0).to(tl.float32)
            b = tl.load(source + m[:, None] * pixel + j[None, :], mask=j_there, other=0.0).to(tl.float32)
            a = tl.where(i_there, a - mean_i[None, :], 0.0)
            b = tl.where(j_there, b - mean_j[None, :], 0.0)
            acc = tl.dot(tl.trans(a), b, acc, input_precision="ieee")
        width = blocks * BLOCK_C
        at = partials + (number.to(tl.int64) * tl.num_programs(0) + split) * width * width
        tl.store(at + i[:, None] * width + j[None, :], acc)


@triton.jit(do_not_specialize=["first_job", "rows", "splits"])
def finish(partials, stats, covariances, jobs, first_job, rows, splits, BLOCK_C: tl.constexpr, COLUMNS: tl.constexpr):
    """Add up the splits in float64, in order, and scale them to covariances. Grid: (jobs, blocks squared)."""
    number = tl.program_id(0)
    job = jobs + (first_job + number).to(tl.int64) * COLUMNS
    channels = tl.load(job + 0).to(tl.int32)
    inverses = tl.load(job + 2)
    target = covariances + tl.load(job + 5)
    blocks = tl.cdiv(channels, BLOCK_C)
    row_block = tl.program_id(1) // blocks
    column_block = tl.program_id(1) % blocks
    if column_block <= row_block:
        i = row_block * BLOCK_C + tl.arange(0, BLOCK_C)
        j = column_block * BLOCK_C + tl.arange(0, BLOCK_C)
        width = blocks * BLOCK_C
        first = partials + number.to(tl.int64) * splits * width * width
        total = tl.zeros([BLOCK_C, BLOCK_C], tl.float64)
        for split in range(splits):
            total += tl.load(first + split * width * width + i[:, None] * width + j[None, :]).to(tl.float64)
        scaled = tl.where(inverses >= 0, channels, 0)
        inverse_i = tl.load(stats + inverses + i, mask=i < scaled, other=1.0).to(tl.float64)
        inverse_j = tl.load(stats + inverses + j, mask=j < scaled, other=1.0).to(tl.float64)
        total = total / rows.to(tl.float64) * inverse_i[:, None] * inverse_j[None, :]
        # Write both triangles, since a solver may read either.
        lower = (i < channels)[:, None] & (j[None, :] <= i[:, None])
        tl.store(target + i[:, None] * channels + j[None, :], total, mask=lower)
        tl.store(target + j[None, :] * channels + i[:, None], total, mask=lower)


@triton.jit(do_not_specialize=["first_job", "pixels"])
def copy_first(arena, firsts, jobs, first_job, pixels, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr, COLUMNS: tl.constexpr):
    """Copy the first image's values as (pixels, channels). Grid: (tiles of pixels, jobs, blocks of channels)."""
    job = jobs + (first_job + tl.program_id(1)).to(tl.int64) * COLUMNS
    channels = tl.load(job + 0).to(tl.int32)
    source = arena + tl.load(job + 1)
    pixel = tl.load(job + 2).to(tl.int32)
    target = firsts + tl.load(job + 3)
    p = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    c = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)
    mask = (p < pixels)[:, None] & (c < channels)[None, :]
    value = tl.load(source + p[:, None] * pixel + c[None, :], mask=mask, other=0.0)
    tl.store(target + p[:, None] * channels + c[None, :], value, mask=mask)

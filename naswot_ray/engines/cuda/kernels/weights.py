"""Draws weights on the device, bit for bit as `naswot_ray.philox` does."""

import triton
import triton.language as tl

COLUMNS = 9
"""Columns of a job: the two words of the key, stream, place of the layer's weights, their number, input channels of a group,
taps, output channels, and the bits of the float32 scale."""


@triton.jit
def draw(weights, quantiles, jobs, tiles, BLOCK: tl.constexpr, NORMAL: tl.constexpr, COLUMNS: tl.constexpr):
    """Draw those weights of one layer that `BLOCK` counters of Philox4x64-10 give, and store them as (tap, input, output).

    `tiles` holds the job of each program, and its number within the job.
    """
    program = tl.program_id(0)
    job = jobs + tl.load(tiles + 2 * program) * COLUMNS
    key0 = tl.load(job + 0).to(tl.uint64, bitcast=True)
    key1 = tl.load(job + 1).to(tl.uint64, bitcast=True)
    stream = tl.load(job + 2).to(tl.uint64, bitcast=True)
    out = weights + tl.load(job + 3)
    count = tl.load(job + 4)
    in_channels = tl.load(job + 5).to(tl.int32)
    taps = tl.load(job + 6).to(tl.int32)
    out_channels = tl.load(job + 7).to(tl.int32)
    scale = tl.load(job + 8).to(tl.int32).to(tl.float32, bitcast=True)

    block = tl.load(tiles + 2 * program + 1) * BLOCK + tl.arange(0, BLOCK)
    zero = tl.zeros([BLOCK], tl.uint64)
    # NumPy's generator increments its counter before it draws.
    c0 = (block + 1).to(tl.uint64, bitcast=True)
    c1 = zero + stream
    c2 = zero
    c3 = zero
    k0 = zero + key0
    k1 = zero + key1
    m0 = tl.full([BLOCK], 0xD2E7470EE14C6C93, tl.uint64)
    m1 = tl.full([BLOCK], 0xCA5A826395121157, tl.uint64)
    w0 = tl.full([BLOCK], 0x9E3779B97F4A7C15, tl.uint64)
    w1 = tl.full([BLOCK], 0xBB67AE8584CAA73B, tl.uint64)
    for _ in tl.static_range(10):
        high0 = tl.umulhi(m0, c0)
        low0 = m0 * c0
        high1 = tl.umulhi(m1, c2)
        low1 = m1 * c2
        c0 = high1 ^ c1 ^ k0
        c1 = low1
        c2 = high0 ^ c3 ^ k1
        c3 = low0
        k0 = k0 + w0
        k1 = k1 + w1
    for w in tl.static_range(4):
        if w == 0:
            word = c0
        elif w == 1:
            word = c1
        elif w == 2:
            word = c2
        else:
            word = c3
        if NORMAL:
            for q in tl.static_range(4):
                quarter = ((word >> (16 * q)) & 0xFFFF).to(tl.int32)
                value = tl.load(quantiles + quarter) * scale
                index = block * 16 + (4 * w + q)
                _store(out, index, value, count, in_channels, taps, out_channels)
        else:
            for h in tl.static_range(2):
                half = ((word >> (32 * h)) & 0xFFFFFFFF).to(tl.uint32).to(tl.int32, bitcast=True)
                value = ((half >> 7) | 1).to(tl.float32) * scale
                index = block * 8 + (2 * w + h)
                _store(out, index, value, count, in_channels, taps, out_channels)


@triton.jit
def _store(out, index, value, count, in_channels, taps, out_channels):
    """Store weights whose numbers follow the order of a layer's weight (output, input, tap)."""
    inside = index < count
    at = index.to(tl.int32)
    tap = at % taps
    rest = at // taps
    source = rest % in_channels
    target = rest // in_channels
    tl.store(out + (tap * in_channels + source) * out_channels + target, value, mask=inside)

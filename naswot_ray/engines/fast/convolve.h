// Convolutions. Dense and grouped ones sum over taps (input channel, kernel row, kernel column) and keep a tile of output channels
// by pixels in registers. Depthwise ones work plane by plane.
#pragma once

#include <vector>

#include "lanes.h"

namespace naswot {

struct Convolution {
    int in_channels, out_channels;
    int kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w, dilation, groups;
    const float* weights;  // [out_channels][in_channels / groups][kernel_h][kernel_w]

    int group_inputs() const { return in_channels / groups; }
    int group_outputs() const { return out_channels / groups; }
    int taps() const { return group_inputs() * kernel_h * kernel_w; }
    bool depthwise() const { return group_inputs() == 1 && group_outputs() == 1; }
};

// Size of the register tile. With 32 registers of 64 bytes there is room for 24 accumulators of one register each; with 16
// registers of 32 bytes for 6 accumulators of two registers each.
#if defined(__AVX512F__)
constexpr int TILE_CHANNELS = 6, TILE_PIXELS = 4;
#else
constexpr int TILE_CHANNELS = 3, TILE_PIXELS = 2;
#endif

// How many of `count` output channels the tile that begins at channel `first` computes. Tiles differ by one channel at most.
inline int tile_channels(int first, int count) {
    const int tiles = (count + TILE_CHANNELS - 1) / TILE_CHANNELS;
    const int small = count / tiles, rest = count % tiles;  // the first `rest` tiles have one more
    return first < rest * (small + 1) ? small + 1 : small;
}

template <int CO, int P>
inline void accumulate(const float* in, const ptrdiff_t* tap_offsets, int taps, const float* weights, ptrdiff_t step, Lanes (&acc)[CO][P]) {
    for (int k = 0; k < taps; k++) {
        const float* source = in + tap_offsets[k];
        Lanes x[P];
#pragma GCC unroll 8
        for (int p = 0; p < P; p++) x[p] = load(source + p * step);
#pragma GCC unroll 8
        for (int c = 0; c < CO; c++) {
            const Lanes w = broadcast(weights[k * CO + c]);
#pragma GCC unroll 8
            for (int p = 0; p < P; p++) acc[c][p] += w * x[p];
        }
    }
}

template <int CO, int P>
inline void convolve_tile(const float* in, const ptrdiff_t* tap_offsets, int taps, const float* weights, ptrdiff_t step, float* out,
                          ptrdiff_t out_plane, Lanes* sums, Lanes* squares) {
    Lanes acc[CO][P] = {};
    accumulate<CO, P>(in, tap_offsets, taps, weights, step, acc);
#pragma GCC unroll 8
    for (int c = 0; c < CO; c++) {
        Lanes s = sums[c], q = squares[c];
#pragma GCC unroll 8
        for (int p = 0; p < P; p++) {
            store(out + c * out_plane + p * LANES, acc[c][p]);
            s += acc[c][p];
            q += acc[c][p] * acc[c][p];
        }
        sums[c] = s;
        squares[c] = q;
    }
}

// Computes a row of pixels of CO output channels.
template <int CO>
inline void convolve_row(const float* in, const ptrdiff_t* tap_offsets, int taps, const float* weights, ptrdiff_t step, float* out,
                         ptrdiff_t out_plane, int width, Moments* moments) {
    Lanes sums[CO] = {}, squares[CO] = {};
    int x = 0;
    for (; x + TILE_PIXELS <= width; x += TILE_PIXELS)
        convolve_tile<CO, TILE_PIXELS>(in + x * step, tap_offsets, taps, weights, step, out + x * LANES, out_plane, sums, squares);
    for (; x < width; x++)
        convolve_tile<CO, 1>(in + x * step, tap_offsets, taps, weights, step, out + x * LANES, out_plane, sums, squares);
    if (moments)
        for (int c = 0; c < CO; c++) moments[c].add(sums[c], squares[c]);
}

// Returns the weights in the order in which tiles read them: [tile][tap][channel of the tile].
inline std::vector<float> packed_weights(const Convolution& op) {
    std::vector<float> packed(size_t(op.out_channels) * op.taps());
    float* to = packed.data();
    const int taps = op.taps(), outputs = op.group_outputs();
    for (int g = 0; g < op.groups; g++)
        for (int first = 0, co; first < outputs; first += co) {
            co = tile_channels(first, outputs);
            const float* from = op.weights + size_t(g * outputs + first) * taps;
            for (int k = 0; k < taps; k++)
                for (int c = 0; c < co; c++) *to++ = from[size_t(c) * taps + k];
        }
    return packed;
}

// Dense and grouped convolutions. `in` and `out` begin at the first channel that is read and written.
inline void convolve(const Convolution& op, const float* packed, const Planes& in, const Planes& out, Moments* moments) {
    const int taps = op.taps(), outputs = op.group_outputs(), inputs = op.group_inputs();
    std::vector<ptrdiff_t> offsets(taps);
    for (int i = 0, k = 0; i < inputs; i++)
        for (int r = 0; r < op.kernel_h; r++)
            for (int s = 0; s < op.kernel_w; s++, k++)
                offsets[k] = i * in.plane + r * op.dilation * in.row + ptrdiff_t(s) * op.dilation * LANES;
    // A 1x1 convolution may run over the ends of rows, so the whole image is treated as one row.
    const bool flat = op.kernel_h == 1 && op.kernel_w == 1 && op.stride_h == 1 && op.stride_w == 1 && in.padding == 0 && out.padding == 0;
    const int height = flat ? 1 : out.height, width = flat ? out.height * out.width : out.width;
    const ptrdiff_t step = ptrdiff_t(op.stride_w) * LANES;
    for (int y = 0; y < height; y++) {
        const float* weights = packed;
        for (int g = 0; g < op.groups; g++) {
            const float* source = in.at(g * inputs, y * op.stride_h - op.padding_h, -op.padding_w);
            for (int first = 0, co; first < outputs; first += co) {
                co = tile_channels(first, outputs);
                const int channel = g * outputs + first;
                float* target = out.at(channel, y, 0);
                Moments* m = moments ? moments + channel : nullptr;
                switch (co) {
#define CASE(CO) \
    case CO: convolve_row<CO>(source, offsets.data(), taps, weights, step, target, out.plane, width, m); break;
                    CASE(1) CASE(2) CASE(3)
#if defined(__AVX512F__)
                    CASE(4) CASE(5) CASE(6)
#endif
#undef CASE
                }
                weights += size_t(co) * taps;
            }
        }
    }
}

inline void convolve_depthwise(const Convolution& op, const Planes& in, const Planes& out, Moments* moments) {
    const int taps = op.kernel_h * op.kernel_w;
    std::vector<ptrdiff_t> offsets(taps);
    for (int r = 0, k = 0; r < op.kernel_h; r++)
        for (int s = 0; s < op.kernel_w; s++, k++) offsets[k] = r * op.dilation * in.row + ptrdiff_t(s) * op.dilation * LANES;
    const ptrdiff_t step = ptrdiff_t(op.stride_w) * LANES;
    constexpr int P = 2 * TILE_PIXELS;
    for (int c = 0; c < op.out_channels; c++) {
        const float* weights = op.weights + size_t(c) * taps;
        for (int y = 0; y < out.height; y++) {
            const float* source = in.at(c, y * op.stride_h - op.padding_h, -op.padding_w);
            float* target = out.at(c, y, 0);
            Lanes sums[1] = {}, squares[1] = {};
            int x = 0;
            for (; x + P <= out.width; x += P)
                convolve_tile<1, P>(source + x * step, offsets.data(), taps, weights, step, target + x * LANES, out.plane, sums, squares);
            for (; x < out.width; x++)
                convolve_tile<1, 1>(source + x * step, offsets.data(), taps, weights, step, target + x * LANES, out.plane, sums, squares);
            if (moments) moments[c].add(sums[0], squares[0]);
        }
    }
}

}  // namespace naswot

// Computes 3x3 convolutions of stride 1 by Winograd's minimal filtering F(m x m, 3x3) (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", CVPR 2016), which takes (m + 2)^2 multiplications for m^2 pixels instead of 9 m^2.
//
// With m = 2 it interpolates at 0, 1, -1, and its rounding error is smaller than that of the plain sum. With m = 4 it interpolates
// at 0, 1, -1, 1/2, -2, the points with the least error (Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd
// Convolution for Deep Neural Networks", ACM TOMS 2020), and its error is three to four times that of the plain sum. Weights are
// transformed in double precision.
#pragma once

#include <algorithm>
#include <vector>

#include "convolve.h"
#include "lanes.h"

namespace naswot {

constexpr ptrdiff_t CHUNK_FLOATS = 16 * 1024;  // about what one row of positions of a chunk takes, close to the size of an L1 cache

// One dimension of F(M, 3): products with rows of the matrices B^T (`input`), G (`weights`) and A^T (`output`).
template <int M>
struct Filtering;

template <>
struct Filtering<2> {
    static constexpr int T = 4;

    template <int R>
    static Lanes input(const Lanes* d) {
        if constexpr (R == 0) return d[0] - d[2];
        if constexpr (R == 1) return d[1] + d[2];
        if constexpr (R == 2) return d[2] - d[1];
        if constexpr (R == 3) return d[1] - d[3];
    }

    static void weights(const Doubles* g, Doubles* u) {
        u[0] = g[0];
        u[1] = (g[0] + g[1] + g[2]) * 0.5;
        u[2] = (g[0] - g[1] + g[2]) * 0.5;
        u[3] = g[2];
    }

    static void output(const Lanes* m, Lanes* y) {
        y[0] = m[0] + m[1] + m[2];
        y[1] = m[1] - m[2] - m[3];
    }
};

template <>
struct Filtering<4> {
    static constexpr int T = 6;

    template <int R>
    static Lanes input(const Lanes* d) {
        if constexpr (R == 0) return 2.0f * (d[0] + d[4] - 2.0f * d[2]) + 3.0f * (d[3] - d[1]);
        if constexpr (R == 1) return 2.0f * (d[4] - d[1]) + (5.0f * d[3] + d[2]);
        if constexpr (R == 2) return (5.0f * d[2] - d[3]) - 2.0f * (d[1] + d[4]);
        if constexpr (R == 3) return 2.0f * (d[1] - d[3]) + (d[2] - d[4]);
        if constexpr (R == 4) return (d[1] - d[3]) - 2.0f * (d[2] - d[4]);
        if constexpr (R == 5) return 2.0f * (d[1] + d[5] - 2.0f * d[3]) + 3.0f * (d[4] - d[2]);
    }

    static void weights(const Doubles* g, Doubles* u) {
        u[0] = g[0] * 0.5;
        u[1] = (g[0] + g[1] + g[2]) * (1.0 / 6);
        u[2] = (g[0] - g[1] + g[2]) * (1.0 / 6);
        u[3] = (16.0 * g[0] + 8.0 * g[1] + 4.0 * g[2]) * (1.0 / 15);
        u[4] = (g[0] - 2.0 * g[1] + 4.0 * g[2]) * (1.0 / 30);
        u[5] = g[2] * 0.5;
    }

    static void output(const Lanes* m, Lanes* y) {
        const Lanes even = m[1] + m[2], odd = m[1] - m[2];
        y[0] = m[0] + even + (m[3] + m[4]);
        y[1] = odd + (0.5f * m[3] - 2.0f * m[4]);
        y[2] = even + (0.25f * m[3] + 4.0f * m[4]);
        y[3] = odd + (0.125f * m[3] - 8.0f * m[4]) + m[5];
    }
};

// Returns the M of the filtering that suits a convolution, or 0 if none does.
inline int winograd_tile(const Convolution& op, const Planes& out) {
    if (op.kernel_h != 3 || op.kernel_w != 3 || op.stride_h != 1 || op.stride_w != 1 || op.dilation != 1 || op.padding_h != 1 ||
        op.padding_w != 1)
        return 0;
    // The transforms cost about 16 operations for each input channel and 36 for each output channel. They save about 10 for each
    // pair of an input and an output channel.
    if (16 * op.group_inputs() + 36 * op.group_outputs() >= 9 * op.group_inputs() * op.group_outputs()) return 0;
    if (out.height % 4 == 0 && out.width % 4 == 0) return 4;
    return out.height % 2 == 0 && out.width % 2 == 0 ? 2 : 0;
}

// How the tiles of an image are divided into chunks: a chunk is some tiles of one row, or some whole rows of tiles.
template <int M>
struct Chunks {
    static constexpr int T = Filtering<M>::T;
    int rows, columns;                  // size of a chunk, in tiles
    ptrdiff_t channel;                  // floats from a channel to the next
    ptrdiff_t v_position, m_position;   // floats from a position of a transformed tile to the next

    Chunks(const Convolution& op, const Planes& out) {
        const int tile_rows = out.height / M, tile_columns = out.width / M;
        const int tiles = std::max(TILE_PIXELS, int(CHUNK_FLOATS / (T * LANES * ptrdiff_t(op.in_channels))));
        const int cuts = (tile_columns + tiles - 1) / tiles;
        columns = (tile_columns + cuts - 1) / cuts;
        rows = columns < tile_columns ? 1 : std::clamp(tiles / columns, 1, tile_rows);
        channel = ptrdiff_t(rows) * columns * LANES;
        // The extra vector keeps this off a power of two, where all positions of a tile would compete for one set of the cache.
        v_position = op.in_channels * channel + LANES;
        m_position = op.out_channels * channel + LANES;
    }

    size_t floats() const { return T * v_position + T * T * m_position; }
};

// Returns the floats from the weights of a position to those of the next.
inline size_t winograd_position(const Convolution& op) { return size_t(op.out_channels) * op.group_inputs() + LANES; }

// Computes G w G^T of eight filters w, and writes eight floats for each position.
template <int M>
inline void transform_filters(const float* const (&filters)[8], float* to, size_t position) {
    constexpr int T = Filtering<M>::T;
    Doubles columns[3][T];
    for (int s = 0; s < 3; s++) {
        Doubles column[3];
        for (int r = 0; r < 3; r++)
            for (int i = 0; i < 8; i++) column[r][i] = filters[i][3 * r + s];
        Filtering<M>::weights(column, columns[s]);
    }
    for (int r = 0; r < T; r++) {
        const Doubles row[3] = {columns[0][r], columns[1][r], columns[2][r]};
        Doubles u[T];
        Filtering<M>::weights(row, u);
        for (int s = 0; s < T; s++) {
            const HalfLanes rounded = __builtin_convertvector(u[s], HalfLanes);
            std::memcpy(to + (T * r + s) * position, &rounded, sizeof rounded);
        }
    }
}

// Returns the transformed weights as [position][group][tile of output channels][input channel][channel of the tile].
template <int M>
std::vector<float> winograd_weights(const Convolution& op) {
    constexpr int T = Filtering<M>::T;
    const int inputs = op.group_inputs(), outputs = op.group_outputs();
    const size_t position = winograd_position(op);
    std::vector<float> packed(T * T * position + LANES);
    float* to = packed.data();
    const float* filters[8];
    int held = 0;
    for (int g = 0; g < op.groups; g++)
        for (int first = 0, co; first < outputs; first += co) {
            co = tile_channels(first, outputs);
            for (int i = 0; i < inputs; i++)
                for (int c = 0; c < co; c++) {
                    filters[held++] = op.weights + (size_t(g * outputs + first + c) * inputs + i) * 9;
                    if (held == 8) {
                        transform_filters<M>(filters, to, position);
                        to += held;
                        held = 0;
                    }
                }
        }
    // The last call writes eight filters even if fewer are left; each position has room for the surplus at its end.
    std::fill(filters + held, filters + 8, op.weights);
    if (held > 0) transform_filters<M>(filters, to, position);
    return packed;
}

// Computes row R of the positions of V[position][tile] = B^T d B for some tiles of one channel. Each d is a tile of pixels; the
// first one begins at `in`, the next ones M pixels to the right each.
template <int M, int R>
inline void transform_inputs(const float* in, ptrdiff_t row, int tiles, float* v, ptrdiff_t position) {
    using F = Filtering<M>;
    const auto column = [&](int x) {
        Lanes d[F::T];  // the compiler drops the loads that row R does not need
#pragma GCC unroll 8
        for (int i = 0; i < F::T; i++) d[i] = load(in + i * row + x * LANES);
        return F::template input<R>(d);
    };
    Lanes e[F::T] = {column(0), column(1)};
    for (int t = 0; t < tiles; t++) {
#pragma GCC unroll 8
        for (int i = 2; i < F::T; i++) e[i] = column(M * t + i);
        float* to = v + t * LANES;
        store(to, F::template input<0>(e));
        store(to + position, F::template input<1>(e));
        store(to + 2 * position, F::template input<2>(e));
        store(to + 3 * position, F::template input<3>(e));
        if constexpr (F::T == 6) {
            store(to + 4 * position, F::template input<4>(e));
            store(to + 5 * position, F::template input<5>(e));
        }
        e[0] = e[M];
        e[1] = e[M + 1];
    }
}

// Computes A^T m A of each tile of one channel, which gives M rows of pixels.
template <int M>
inline void transform_outputs(const float* m, ptrdiff_t position, int tiles, float* out, ptrdiff_t row, Moments* moments) {
    using F = Filtering<M>;
    Lanes sum = {}, squares = {};
    for (int t = 0; t < tiles; t++) {
        Lanes half[M][F::T];
#pragma GCC unroll 8
        for (int s = 0; s < F::T; s++) {
            Lanes column[F::T], y[M];
#pragma GCC unroll 8
            for (int r = 0; r < F::T; r++) column[r] = load(m + (F::T * r + s) * position + t * LANES);
            F::output(column, y);
#pragma GCC unroll 8
            for (int r = 0; r < M; r++) half[r][s] = y[r];
        }
#pragma GCC unroll 8
        for (int r = 0; r < M; r++) {
            Lanes y[M];
            F::output(half[r], y);
#pragma GCC unroll 8
            for (int s = 0; s < M; s++) {
                store(out + r * row + (M * t + s) * LANES, y[s]);
                sum += y[s];
                squares += y[s] * y[s];
            }
        }
    }
    if (moments) moments->add(sum, squares);
}

template <int CO, int P>
inline void multiply_tile(const float* v, const ptrdiff_t* input_offsets, int inputs, const float* weights, float* m, ptrdiff_t m_channel) {
    Lanes acc[CO][P] = {};
    accumulate<CO, P>(v, input_offsets, inputs, weights, LANES, acc);
#pragma GCC unroll 8
    for (int c = 0; c < CO; c++)
#pragma GCC unroll 8
        for (int p = 0; p < P; p++) store(m + c * m_channel + p * LANES, acc[c][p]);
}

template <int CO>
inline void multiply_row(const float* v, const ptrdiff_t* input_offsets, int inputs, const float* weights, float* m, ptrdiff_t m_channel,
                         int tiles) {
    int t = 0;
    for (; t + TILE_PIXELS <= tiles; t += TILE_PIXELS)
        multiply_tile<CO, TILE_PIXELS>(v + t * LANES, input_offsets, inputs, weights, m + t * LANES, m_channel);
    for (; t < tiles; t++) multiply_tile<CO, 1>(v + t * LANES, input_offsets, inputs, weights, m + t * LANES, m_channel);
}

// Computes all output channels of one position of a chunk.
inline void multiply(const Convolution& op, const float* weights, const float* v, const ptrdiff_t* input_offsets, float* m, ptrdiff_t channel,
                     int tiles) {
    const int inputs = op.group_inputs(), outputs = op.group_outputs();
    for (int g = 0; g < op.groups; g++) {
        const float* from = v + g * inputs * channel;
        for (int first = 0, co; first < outputs; first += co) {
            co = tile_channels(first, outputs);
            float* to = m + (g * outputs + first) * channel;
            switch (co) {
#define CASE(CO) \
    case CO: multiply_row<CO>(from, input_offsets, inputs, weights, to, channel, tiles); break;
                CASE(1) CASE(2) CASE(3)
#if defined(__AVX512F__)
                CASE(4) CASE(5) CASE(6)
#endif
#undef CASE
            }
            weights += size_t(co) * inputs;
        }
    }
}

// Convolves. `in` begins at the first channel that is read; `buffer` has room for Chunks<M>::floats() floats.
template <int M>
void convolve_winograd(const Convolution& op, const float* packed, const Planes& in, const Planes& out, Moments* moments, float* buffer) {
    constexpr int T = Filtering<M>::T;
    const Chunks<M> chunks(op, out);
    const int tile_rows = out.height / M, tile_columns = out.width / M;
    const size_t weights_position = winograd_position(op);
    float* v = buffer;
    float* m = buffer + T * chunks.v_position;
    std::vector<ptrdiff_t> input_offsets(op.group_inputs());
    for (size_t i = 0; i < input_offsets.size(); i++) input_offsets[i] = ptrdiff_t(i) * chunks.channel;
    for (int y = 0; y < tile_rows; y += chunks.rows)
        for (int x = 0; x < tile_columns; x += chunks.columns) {
            const int rows = std::min(chunks.rows, tile_rows - y), columns = std::min(chunks.columns, tile_columns - x);
            for (int r = 0; r < T; r++) {
                for (int c = 0; c < op.in_channels; c++)
                    for (int i = 0; i < rows; i++) {
                        const float* from = in.at(c, M * (y + i) - 1, M * x - 1);
                        float* to = v + c * chunks.channel + ptrdiff_t(i) * columns * LANES;
                        switch (r) {
#define CASE(R) \
    case R: transform_inputs<M, R>(from, in.row, columns, to, chunks.v_position); break;
                            CASE(0) CASE(1) CASE(2) CASE(3)
                            default:
                                if constexpr (T == 6) {
                                    switch (r) { CASE(4) CASE(5) }
                                }
#undef CASE
                        }
                    }
                for (int s = 0; s < T; s++) {
                    const int position = T * r + s;
                    // Fetch the memory of the results while they are being computed.
                    for (int c = op.out_channels * position / (T * T); c < op.out_channels * (position + 1) / (T * T); c++)
                        for (int i = 0; i < M * rows; i++)
                            for (int k = 0; k < M * columns; k++) __builtin_prefetch(out.at(c, M * y + i, M * x + k), 1, 2);
                    multiply(op, packed + position * weights_position, v + s * chunks.v_position, input_offsets.data(),
                             m + position * chunks.m_position, chunks.channel, rows * columns);
                }
            }
            for (int c = 0; c < op.out_channels; c++)
                for (int i = 0; i < rows; i++)
                    transform_outputs<M>(m + c * chunks.channel + ptrdiff_t(i) * columns * LANES, chunks.m_position, columns,
                                         out.at(c, M * (y + i), M * x), out.row, moments ? moments + c : nullptr);
        }
}

}  // namespace naswot

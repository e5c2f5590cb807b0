// Sums up the products of all pairs of channels over pixels and images, which is the main work of a covariance.
#pragma once

#include <utility>

#include "pairs.h"

namespace naswot {

// Size of the register tile. With 32 registers of 64 bytes there is room for 16 accumulators of one register each; with 16
// registers of 32 bytes for 4 accumulators of two registers each.
#if defined(__AVX512F__)
constexpr int PRODUCT_TILE = 4;
#else
constexpr int PRODUCT_TILE = 2;
#endif
constexpr int TILE_PRODUCTS = PRODUCT_TILE * PRODUCT_TILE;

// Divides channels into tiles of nearly equal size. Tile t begins at channel begin(t).
struct ProductTiles {
    int channels, count;

    explicit ProductTiles(int channels) : channels(channels), count((channels + PRODUCT_TILE - 1) / PRODUCT_TILE) {}

    int begin(int tile) const { return int(int64_t(tile) * channels / count); }
    int size(int tile) const { return begin(tile + 1) - begin(tile); }
    // Number of sums of products. The sums of tiles (i, j), j <= i, follow those of (i, j - 1); within them, the sum of channels r
    // of tile i and s of tile j is at r * PRODUCT_TILE + s.
    size_t num_sums() const { return size_t(count) * (count + 1) / 2 * TILE_PRODUCTS; }
};

// Adds the sum over lanes of each accumulator to `to`.
__attribute__((always_inline)) inline void add_lane_sums(Lanes (&acc)[TILE_PRODUCTS], double* to) {
#if defined(__AVX512F__)
    // Adds up in a tree: each step adds the halves of two vectors and keeps both results as one vector.
    __m512 v[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) v[i] = (__m512)acc[i];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        v[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[i], v[i + 8], 0x44), _mm512_shuffle_f32x4(v[i], v[i + 8], 0xee));
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        v[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[i], v[i + 4], 0x88), _mm512_shuffle_f32x4(v[i], v[i + 4], 0xdd));
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
        v[i] = _mm512_add_ps(_mm512_shuffle_ps(v[i], v[i + 2], 0x44), _mm512_shuffle_ps(v[i], v[i + 2], 0xee));
    v[0] = _mm512_add_ps(_mm512_shuffle_ps(v[0], v[1], 0x88), _mm512_shuffle_ps(v[0], v[1], 0xdd));
    // The steps leave accumulator i in the lane whose number has i's bits in the order 4, 8, 1, 2 instead of 8, 4, 2, 1.
    const __m512i lanes = _mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
    const __m512 sums = _mm512_permutexvar_ps(lanes, v[0]);
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(sums));
    const __m512d high = _mm512_cvtps_pd(_mm512_castps512_ps256(_mm512_shuffle_f32x4(sums, sums, 0xee)));
    _mm512_storeu_pd(to, _mm512_add_pd(_mm512_loadu_pd(to), low));
    _mm512_storeu_pd(to + 8, _mm512_add_pd(_mm512_loadu_pd(to + 8), high));
#else
    for (int i = 0; i < TILE_PRODUCTS; i++) {
        float sums[LANES];
        std::memcpy(sums, &acc[i], sizeof sums);
        for (int half = LANES / 2; half > 0; half /= 2)
            for (int lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
        to[i] += double(sums[0]);
    }
#endif
}

template <int I, int J, bool DIAGONAL, class Item>
void add_tile(const Item* a, const Item* b, ptrdiff_t channel, int length, double* to) {
    Lanes acc[TILE_PRODUCTS] = {};
    for (int p = 0; p < length; p++) {
        Item x[I], y[J];
#pragma GCC unroll 4
        for (int i = 0; i < I; i++) x[i] = a[i * channel + p];
#pragma GCC unroll 4
        for (int j = 0; j < J; j++) y[j] = DIAGONAL ? x[j] : b[j * channel + p];
#pragma GCC unroll 4
        for (int i = 0; i < I; i++)
#pragma GCC unroll 4
            for (int j = 0; j < (DIAGONAL ? i + 1 : J); j++) add_products(acc[i * PRODUCT_TILE + j], x[i], y[j]);
    }
    add_lane_sums(acc, to);
}

template <int I, class Item>
void add_tile(int size, bool diagonal, const Item* a, const Item* b, ptrdiff_t channel, int length, double* to) {
    if (diagonal) return add_tile<I, I, true>(a, b, channel, length, to);
    switch (size) {
        case 1: return add_tile<I, 1, false>(a, b, channel, length, to);
        case 2: return add_tile<I, 2, false>(a, b, channel, length, to);
#if defined(__AVX512F__)
        case 3: return add_tile<I, 3, false>(a, b, channel, length, to);
        case 4: return add_tile<I, 4, false>(a, b, channel, length, to);
#endif
    }
}

// Adds the products of all pairs of channels over `length` items to `sums`, which has ProductTiles::num_sums() entries. The items
// of the next channel begin `channel` items later.
template <class Item>
void add_products_of(const Item* items, ptrdiff_t channel, int channels, int length, double* sums) {
    const ProductTiles tiles(channels);
    for (int i = 0; i < tiles.count; i++)
        for (int j = 0; j <= i; j++, sums += TILE_PRODUCTS) {
            const Item* a = items + tiles.begin(i) * channel;
            const Item* b = items + tiles.begin(j) * channel;
            switch (tiles.size(i)) {
                case 1: add_tile<1>(tiles.size(j), i == j, a, b, channel, length, sums); break;
                case 2: add_tile<2>(tiles.size(j), i == j, a, b, channel, length, sums); break;
#if defined(__AVX512F__)
                case 3: add_tile<3>(tiles.size(j), i == j, a, b, channel, length, sums); break;
                case 4: add_tile<4>(tiles.size(j), i == j, a, b, channel, length, sums); break;
#endif
            }
        }
}

// Calls `see(i, j, sum)` for all channels j <= i, row by row.
template <class See>
void for_each_product(const double* sums, int channels, const See& see) {
    const ProductTiles tiles(channels);
    for (int t = 0; t < tiles.count; t++)
        for (int r = 0; r < tiles.size(t); r++) {
            const double* tile = sums + size_t(t) * (t + 1) / 2 * TILE_PRODUCTS + r * PRODUCT_TILE;
            const int i = tiles.begin(t) + r;
            for (int u = 0; u <= t; u++, tile += TILE_PRODUCTS)
                for (int s = 0; s < tiles.size(u) && tiles.begin(u) + s <= i; s++) see(i, tiles.begin(u) + s, tile[s]);
        }
}

}  // namespace naswot

// Vectors of sixteen images side by side, the unit of all computation here.
//
// A tensor of a batch is stored as [block of 16 images][channel][row][column][image of the block]. One vector operation therefore
// does the same thing to sixteen images, whatever the number of channels: a depthwise convolution, a pool or an odd number of
// channels vectorises as well as anything else. GCC's and clang's vector extensions compile this for any processor. Where a
// processor has no vectors of this width, the compiler uses several narrower ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace naswot {

constexpr int LANES = 16;

// How many vectors ahead memory is prefetched: about as many as are processed while one arrives from a farther cache or from DRAM.
constexpr int AHEAD = 64;

typedef float Lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t LaneBits __attribute__((vector_size(4 * LANES)));
typedef float HalfLanes __attribute__((vector_size(2 * LANES)));
typedef double Doubles __attribute__((vector_size(4 * LANES)));  // has as many entries as HalfLanes
typedef uint16_t Mask;                                            // has a bit for each image of a block

inline Lanes load(const float* p) {
    Lanes v;
    std::memcpy(&v, __builtin_assume_aligned(p, 64), sizeof v);
    return v;
}

inline void store(float* p, Lanes v) { std::memcpy(__builtin_assume_aligned(p, 64), &v, sizeof v); }

inline Lanes broadcast(float x) { return Lanes{} + x; }

inline Lanes largest(Lanes a, Lanes b) {
#if defined(__AVX512F__)
    return (Lanes)_mm512_max_ps((__m512)a, (__m512)b);  // the same, where the compiler may not see it
#else
    return a > b ? a : b;
#endif
}

inline Mask positive(Lanes v) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_GT_OQ);
#elif defined(__AVX2__)
    __m256 halves[2];
    std::memcpy(halves, &v, sizeof v);
    const __m256 zero = _mm256_setzero_ps();
    const int low = _mm256_movemask_ps(_mm256_cmp_ps(halves[0], zero, _CMP_GT_OQ));
    return Mask(low | _mm256_movemask_ps(_mm256_cmp_ps(halves[1], zero, _CMP_GT_OQ)) << 8);
#else
    const LaneBits greater = v > 0.0f;
    unsigned mask = 0;
    for (int i = 0; i < LANES; i++) mask |= unsigned(greater[i] & 1) << i;
    return Mask(mask);
#endif
}

// Sums of values and of their squares in double precision, lane by lane. A row is added up in single precision first; rows are
// short enough for that.
struct Moments {
    double sum[LANES];
    double squares[LANES];

    void add(Lanes row_sum, Lanes row_squares) {
        for (int i = 0; i < LANES; i++) {
            sum[i] += double(row_sum[i]);
            squares[i] += double(row_squares[i]);
        }
    }
};

// Where one block of images of a tensor lies in memory.
struct Planes {
    float* data;     // first pixel of channel 0 behind the padding
    ptrdiff_t row;   // floats from a row to the next
    ptrdiff_t plane; // floats from a channel to the next
    int height, width, padding;

    float* at(int channel, int y, int x) const { return data + channel * plane + y * row + ptrdiff_t(x) * LANES; }
};

// Writes the zeros that pad the channels of a tensor.
inline void zero_padding(const Planes& t, int offset, int channels) {
    const int p = t.padding;
    if (p == 0) return;
    const size_t edge = size_t(p) * LANES * sizeof(float);
    for (int c = offset; c < offset + channels; c++) {
        std::memset(t.at(c, -p, -p), 0, p * t.row * sizeof(float));
        std::memset(t.at(c, t.height, -p), 0, p * t.row * sizeof(float));
        for (int y = 0; y < t.height; y++) {
            std::memset(t.at(c, y, -p), 0, edge);
            std::memset(t.at(c, y, t.width), 0, edge);
        }
    }
}

}  // namespace naswot

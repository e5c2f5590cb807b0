// Turns codes into a kernel: collects the bits of each image, then counts the Hamming distance of each pair of images.
#pragma once

#include <vector>

#include "lanes.h"

namespace naswot {

// Transposes the bits of one block of images: masks[unit] holds a bit for each image, words[image * stride + unit / 64] a bit for
// each unit. `units` is a multiple of 64.
inline void transpose_masks(const Mask* masks, size_t units, uint64_t* words, size_t stride) {
#if defined(__AVX512BW__)
    for (size_t u = 0; u < units; u += 64) {
        __m512i low = _mm512_loadu_si512(masks + u), high = _mm512_loadu_si512(masks + u + 32);
        for (int i = LANES - 1; i >= 0; i--) {
            words[i * stride + u / 64] = uint64_t(_mm512_movepi16_mask(low)) | uint64_t(_mm512_movepi16_mask(high)) << 32;
            low = _mm512_add_epi16(low, low);
            high = _mm512_add_epi16(high, high);
        }
    }
#else
    for (size_t u = 0; u < units; u += 64) {
        uint64_t found[LANES] = {};
        for (int chunk = 0; chunk < 8; chunk++)
            for (int half = 0; half < 2; half++) {
                // Three exchanges transpose an 8x8 bit matrix (Warren, Hacker's Delight, section 7-3).
                uint64_t m = 0, t;
                for (int k = 0; k < 8; k++) m |= uint64_t(uint8_t(masks[u + 8 * chunk + k] >> (8 * half))) << (8 * k);
                t = (m ^ (m >> 7)) & 0x00AA00AA00AA00AAull, m ^= t ^ (t << 7);
                t = (m ^ (m >> 14)) & 0x0000CCCC0000CCCCull, m ^= t ^ (t << 14);
                t = (m ^ (m >> 28)) & 0x00000000F0F0F0F0ull, m ^= t ^ (t << 28);
                for (int k = 0; k < 8; k++) found[8 * half + k] |= uint64_t(uint8_t(m >> (8 * k))) << (8 * chunk);
            }
        for (int i = 0; i < LANES; i++) words[i * stride + u / 64] = found[i];
    }
#endif
}

// Computes the Hamming distances between four codes and four others. Their words begin at a and at b; the next code of each four
// begins `stride` words later.
inline void hamming_4x4(const uint64_t* a, const uint64_t* b, size_t stride, int64_t (&distances)[4][4]) {
#if defined(__AVX512VPOPCNTDQ__)
    __m512i sums[4][4];
    for (auto& row : sums)
        for (__m512i& sum : row) sum = _mm512_setzero_si512();
    for (size_t w = 0; w < stride; w += 8) {
        // Words past the end of a code are read as zeros in both, so they add nothing.
        const __mmask8 there = stride - w >= 8 ? 0xff : __mmask8((1u << (stride - w)) - 1);
        __m512i x[4], y[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            x[i] = _mm512_maskz_loadu_epi64(there, a + i * stride + w);
            y[i] = _mm512_maskz_loadu_epi64(there, b + i * stride + w);
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) sums[i][j] = _mm512_add_epi64(sums[i][j], _mm512_popcnt_epi64(_mm512_xor_si512(x[i], y[j])));
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) distances[i][j] = _mm512_reduce_add_epi64(sums[i][j]);
#else
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            int64_t sum = 0;
            for (size_t w = 0; w < stride; w++) sum += __builtin_popcountll(a[i * stride + w] ^ b[j * stride + w]);
            distances[i][j] = sum;
        }
#endif
}

// Adds the agreements of a tensor's codes to both kernels, shape (n, n): `multiplicity` times to `published`, `num_relus` times to
// `paper`. `words` has to cover a whole number of blocks of images. The agreements themselves go to the lower triangle of `own`,
// shape (n, n), if that is not null.
inline void add_agreements(const uint64_t* words, size_t stride, int64_t units, int n, int64_t multiplicity, int64_t num_relus,
                           int64_t* published, int64_t* paper, int32_t* own) {
    for (int i = 0; i < n; i += 4)
        for (int j = 0; j <= i; j += 4) {
            int64_t distances[4][4];
            hamming_4x4(words + i * stride, words + j * stride, stride, distances);
            for (int k = i; k < i + 4 && k < n; k++)
                for (int l = j; l < j + 4 && l < n; l++) {
                    const int64_t agree = units - distances[k - i][l - j];
                    published[size_t(k) * n + l] += multiplicity * agree;
                    paper[size_t(k) * n + l] += num_relus * agree;
                    if (own && l <= k) own[size_t(k) * n + l] = int32_t(agree);
                    if (i != j) {
                        published[size_t(l) * n + k] += multiplicity * agree;
                        paper[size_t(l) * n + k] += num_relus * agree;
                    }
                }
        }
}

}  // namespace naswot

// Covariances are summed up from pairs: the values of two neighbouring pixels, for sixteen images each.
//
// Where the processor can multiply bfloat16 numbers in pairs, values are rounded to bfloat16, which doubles the speed. Rounding to
// 8 bits puts a value off by a random 2^-9 of itself at most. That adds a millionth to a channel's variance and averages out
// between channels, provided that values are centred first. Over only a few values it does not average out: there, and on
// every other processor, values keep single precision.
#pragma once

#include "lanes.h"

namespace naswot {

#if defined(__AVX512BF16__)

typedef __m512bh Pair;

inline Pair make_pair(Lanes first, Lanes second) { return _mm512_cvtne2ps_pbh((__m512)second, (__m512)first); }

inline void add_products(Lanes& sum, const Pair& a, const Pair& b) { sum = (Lanes)_mm512_dpbf16_ps((__m512)sum, a, b); }

#else

struct Pair {
    Lanes first, second;
};

inline Pair make_pair(Lanes first, Lanes second) { return Pair{first, second}; }

inline void add_products(Lanes& sum, const Pair& a, const Pair& b) { sum += a.first * b.first + a.second * b.second; }

#endif

// Returns how many floats of memory a pair takes.
constexpr ptrdiff_t pair_floats(bool precise) { return precise ? 2 * LANES : sizeof(Pair) / sizeof(float); }

inline void add_products(Lanes& sum, const Lanes& a, const Lanes& b) { sum += a * b; }

}  // namespace naswot

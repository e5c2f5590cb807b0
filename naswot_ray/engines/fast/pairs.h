// What a covariance is summed up from: the values of two pixels side by side, for sixteen images each.
//
// Where the processor multiplies bfloat16 numbers in pairs, they are rounded to these: it does twice as many a second. A value
// that is rounded to 8 bits is off by a random 2^-9 of itself at most, which adds a millionth to a channel's variance and
// averages out between channels; so values are to be centred first. Over a few values it does not average out: there, and
// on every other processor, values stay what they are.
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

// Floats that two pixels take, and where they are.
constexpr ptrdiff_t pair_floats(bool precise) { return precise ? 2 * LANES : sizeof(Pair) / sizeof(float); }

inline void add_products(Lanes& sum, const Lanes& a, const Lanes& b) { sum += a * b; }

}  // namespace naswot

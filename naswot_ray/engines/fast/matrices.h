// Helpers for working on many small symmetric matrices at once. Each lane of a vector holds one matrix, and all of them take the
// same steps.
#pragma once

#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>

#include "lanes.h"

namespace naswot {

constexpr int DOUBLE_LANES = LANES / 2;  // entries of Doubles

inline Doubles doubles(double x) { return Doubles{} + x; }

inline Doubles square_root(Doubles x) {
#if defined(__AVX512F__)
    return (Doubles)_mm512_sqrt_pd((__m512d)x);
#else
    for (int lane = 0; lane < DOUBLE_LANES; lane++) x[lane] = std::sqrt(x[lane]);
    return x;
#endif
}

inline Lanes square_root(Lanes x) {
#if defined(__AVX512F__)
    return (Lanes)_mm512_sqrt_ps((__m512)x);
#else
    for (int lane = 0; lane < LANES; lane++) x[lane] = std::sqrt(x[lane]);
    return x;
#endif
}

inline bool any(LaneBits condition) {
    int32_t found = 0;
    for (int lane = 0; lane < LANES; lane++) found |= condition[lane];
    return found != 0;
}

// Returns where row i of a lower triangle begins.
inline size_t triangle(size_t i) { return i * (i + 1) / 2; }

// Memory for vectors, aligned as they need it.
template <class Vector>
class Vectors {
    std::unique_ptr<Vector, decltype(&std::free)> data_;

public:
    explicit Vectors(size_t size) : data_(static_cast<Vector*>(std::aligned_alloc(64, (size + 1) * sizeof(Vector))), std::free) {
        if (!data_) throw std::bad_alloc();
    }
    Vector* data() { return data_.get(); }
};

}  // namespace naswot

// Many small symmetric matrices at once: one in each lane of a vector, so that every step is the same for all of them.
#pragma once

#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>

#include "lanes.h"

namespace naswot {

constexpr int MATRICES = 8;  // lanes of Doubles

typedef int64_t DoubleBits __attribute__((vector_size(4 * LANES)));

inline Doubles doubles(double x) { return Doubles{} + x; }

inline Doubles square_root(Doubles x) {
#if defined(__AVX512F__)
    return (Doubles)_mm512_sqrt_pd((__m512d)x);
#else
    for (int lane = 0; lane < MATRICES; lane++) x[lane] = std::sqrt(x[lane]);
    return x;
#endif
}

inline bool any(DoubleBits condition) {
    int64_t found = 0;
    for (int lane = 0; lane < MATRICES; lane++) found |= condition[lane];
    return found != 0;
}

// Where row i of a lower triangle begins.
inline size_t triangle(size_t i) { return i * (i + 1) / 2; }

// Memory for vectors of doubles.
class DoublesBuffer {
    std::unique_ptr<Doubles, decltype(&std::free)> data_;

public:
    explicit DoublesBuffer(size_t size) : data_(static_cast<Doubles*>(std::aligned_alloc(64, (size + 1) * sizeof(Doubles))), std::free) {
        if (!data_) throw std::bad_alloc();
    }
    Doubles* data() { return data_.get(); }
};

}  // namespace naswot

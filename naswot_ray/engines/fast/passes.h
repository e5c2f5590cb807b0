// Passes over memory that are not convolutions: combinations of tensors, pools, shifts.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "lanes.h"

namespace naswot {

// A summand of a combination, for one row of one channel: max((x - mean) * scale, floor).
struct RowTerm {
    const float* x;
    Lanes mean, scale, floor;
    Mask* codes;  // of the value before the maximum; may be null
};

struct RowTargets {
    float* total;      // these may be null
    float* rectified;
    Mask* codes;
};

// `present` is all ones but for the lanes of a last block that hold no image.
template <int NUM_TERMS>
inline void combine_row(const RowTerm* terms, const RowTargets& to, int width, LaneBits present) {
    for (int x = 0; x < width; x++) {
        Lanes total = {};
#pragma GCC unroll 4
        for (int t = 0; t < NUM_TERMS; t++) {
            __builtin_prefetch(terms[t].x + (x + AHEAD) * LANES, 0, 2);
            Lanes v = (load(terms[t].x + x * LANES) - terms[t].mean) * terms[t].scale;
            v = (Lanes)((LaneBits)v & present);
            if (terms[t].codes) terms[t].codes[x] = positive(v);
            v = largest(v, terms[t].floor);
            total = t == 0 ? v : total + v;
        }
        if (to.codes) to.codes[x] = positive(total);
        if (to.total) __builtin_prefetch(to.total + (x + AHEAD) * LANES, 1, 2);
        if (to.total) store(to.total + x * LANES, total);
        if (to.rectified) store(to.rectified + x * LANES, largest(total, Lanes{}));
    }
}

// Any number of terms: some at a time, what they add up to being the first term of the next.
inline void combine_row(std::vector<RowTerm>& terms, const RowTargets& to, int width, LaneBits present, float* buffer) {
    RowTerm* first = terms.data();
    int left = int(terms.size());
    while (left > 4) {
        combine_row<4>(first, RowTargets{buffer, nullptr, nullptr}, width, present);
        first += 3;
        left -= 3;
        *first = RowTerm{buffer, Lanes{}, broadcast(1), broadcast(-std::numeric_limits<float>::infinity()), nullptr};
    }
    switch (left) {
        case 0: combine_row<0>(first, to, width, present); break;
        case 1: combine_row<1>(first, to, width, present); break;
        case 2: combine_row<2>(first, to, width, present); break;
        case 3: combine_row<3>(first, to, width, present); break;
        case 4: combine_row<4>(first, to, width, present); break;
    }
}

// Average over the pixels of a window that are not padding, or their maximum: first down the columns, then along the row.
// `buffer` holds a row with its padding.
template <bool MAXIMUM>
inline void pool(const Planes& in, const Planes& out, int channels, int kernel, int stride, int padding, float* buffer) {
    const Lanes nothing = MAXIMUM ? broadcast(-std::numeric_limits<float>::infinity()) : Lanes{};
    const auto join = [](Lanes a, Lanes b) { return MAXIMUM ? largest(a, b) : a + b; };
    for (int x = 0; x < padding; x++) {
        store(buffer + x * LANES, nothing);
        store(buffer + (padding + in.width + x) * LANES, nothing);
    }
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < out.height; y++) {
            const int top = std::max(0, y * stride - padding), bottom = std::min(in.height, y * stride - padding + kernel);
            for (int x = 0; x < in.width; x++) {
                Lanes v = nothing;
                for (int r = top; r < bottom; r++) v = join(v, load(in.at(c, r, x)));
                store(buffer + (padding + x) * LANES, v);
            }
            for (int x = 0; x < out.width; x++) {
                Lanes v = nothing;
                for (int s = 0; s < kernel; s++) v = join(v, load(buffer + (x * stride + s) * LANES));
                if (!MAXIMUM) {
                    const int left = std::max(0, x * stride - padding), right = std::min(in.width, x * stride - padding + kernel);
                    v /= broadcast(float((bottom - top) * (right - left)));
                }
                store(out.at(c, y, x), v);
            }
        }
}

// Up and to the left by one pixel.
inline void shift(const Planes& in, const Planes& out, int channels) {
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < out.height; y++)
            for (int x = 0; x < out.width; x++)
                store(out.at(c, y, x), y + 1 < in.height && x + 1 < in.width ? load(in.at(c, y + 1, x + 1)) : Lanes{});
}

inline void add_moments(const Planes& t, int offset, int channels, Moments* moments) {
    for (int c = offset; c < offset + channels; c++)
        for (int y = 0; y < t.height; y++) {
            Lanes sum = {}, squares = {};
            for (int x = 0; x < t.width; x++) {
                const Lanes v = load(t.at(c, y, x));
                sum += v;
                squares += v * v;
            }
            moments[c].add(sum, squares);
        }
}

}  // namespace naswot

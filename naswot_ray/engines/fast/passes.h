// Pools, shifts and moments: the passes over memory that are neither convolutions nor combinations.
#pragma once

#include <algorithm>
#include <limits>

#include "lanes.h"

namespace naswot {

// Takes the average or the maximum over the pixels of a window that are not padding: first down the columns, then along the row.
// `buffer` has room for a row with its padding.
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

// Moves images up and to the left by one pixel; the pixels that become free are zero.
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

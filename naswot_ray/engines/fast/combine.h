// Combines rows of tensors: scales, shifts, rectifies and adds them, and takes the sign bits, all in one pass.
#pragma once

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "lanes.h"
#include "pairs.h"

namespace naswot {

// Where the values of a row with codes are stored. Some statistics need the values and not just their signs.
struct RowValues {
    float* pairs;   // receives values less `centre`, for the covariance; may be null
    bool precise;   // whether `pairs` holds single precision numbers
    Lanes floor;    // 0 if max(value, 0) is stored instead of the value; otherwise -infinity
    Lanes centre;   // 0 in lanes that hold no image
    Lanes sum;      // sum of what went to `pairs`
    float* first;   // receives the values of the block's first image; may be null
};

// A summand of a combination, for one row of one channel: max((x - mean) * scale, floor).
struct RowTerm {
    const float* x;
    Lanes mean, scale, floor;
    Mask* codes;        // receives the signs of the value before the maximum; may be null
    RowValues* values;  // receives that value; may be null
};

struct RowTargets {
    float* total;      // any of these may be null
    float* rectified;
    Mask* codes;
    RowValues* values;
};

// Stores pixels x and x + 1 of a row. LAST: the row ends with x, and zeros are stored for x + 1.
template <bool LAST>
inline void keep(RowValues& to, int x, Lanes first, Lanes second) {
    first = largest(first, to.floor);
    second = LAST ? Lanes{} : largest(second, to.floor);
    if (to.first) {
        to.first[x] = first[0];
        if (!LAST) to.first[x + 1] = second[0];
    }
    if (!to.pairs) return;
    first -= to.centre;
    if (!LAST) second -= to.centre;
    if (to.precise) {
        store(to.pairs + x * LANES, first);
        store(to.pairs + (x + 1) * LANES, second);
        to.sum += first + second;
    } else {
        const Pair pair = make_pair(first, second);
        reinterpret_cast<Pair*>(to.pairs)[x / 2] = pair;
        // Sum the rounded values: the mean that is later taken off the products must be the mean of what was multiplied.
        add_products(to.sum, pair, make_pair(broadcast(1), broadcast(1)));
    }
}

// Calls `f` with each number of the sequence as a compile-time constant.
template <class F, int... N>
inline void for_each_constant(std::integer_sequence<int, N...>, const F& f) {
    (f(std::integral_constant<int, N>()), ...);
}

// Combines up to four terms. `present` is zero in the lanes of a last block that hold no image, and all ones elsewhere.
// VALUES: whether any `values` are not null.
template <bool VALUES, int NUM_TERMS>
inline void combine_row(const RowTerm* row_terms, const RowTargets& targets, int width, LaneBits present) {
    // Local copies stay in registers, since the compiler knows that no store below can change them.
    const RowTargets to = targets;
    std::array<RowTerm, NUM_TERMS> terms;
    std::copy(row_terms, row_terms + NUM_TERMS, terms.begin());
    // Computes pixel x. The values of the terms, followed by the total, go to `seen`.
    const auto combine_pixel = [&](int x, Lanes* seen) {
        Lanes total = {};
#pragma GCC unroll 4
        for (int t = 0; t < NUM_TERMS; t++) {
            __builtin_prefetch(terms[t].x + (x + AHEAD) * LANES, 0, 2);
            Lanes v = (load(terms[t].x + x * LANES) - terms[t].mean) * terms[t].scale;
            v = (Lanes)((LaneBits)v & present);
            if (terms[t].codes) terms[t].codes[x] = positive(v);
            if (VALUES) seen[t] = v;
            v = largest(v, terms[t].floor);
            total = t == 0 ? v : total + v;
        }
        if (VALUES) seen[NUM_TERMS] = total;
        if (to.codes) to.codes[x] = positive(total);
        if (to.total) __builtin_prefetch(to.total + (x + AHEAD) * LANES, 1, 2);
        if (to.total) store(to.total + x * LANES, total);
        if (to.rectified) store(to.rectified + x * LANES, largest(total, Lanes{}));
    };
    if constexpr (!VALUES) {
        for (int x = 0; x < width; x++) combine_pixel(x, nullptr);
    } else {
        constexpr std::make_integer_sequence<int, NUM_TERMS + 1> TERMS_AND_TOTAL{};
        RowValues* kept[NUM_TERMS + 1];
        RowValues values[NUM_TERMS + 1];
        for_each_constant(TERMS_AND_TOTAL, [&](auto t) {
            kept[t] = to.values;
            if constexpr (t < NUM_TERMS) kept[t] = terms[t].values;
            values[t] = kept[t] ? *kept[t] : RowValues{};
        });
        int x = 0;
        for (; x + 1 < width; x += 2) {
            Lanes first[NUM_TERMS + 1], second[NUM_TERMS + 1];
            combine_pixel(x, first);
            combine_pixel(x + 1, second);
            for_each_constant(TERMS_AND_TOTAL, [&](auto t) {
                if (kept[t]) keep<false>(values[t], x, first[t], second[t]);
            });
        }
        if (x < width) {
            Lanes last[NUM_TERMS + 1];
            combine_pixel(x, last);
            for_each_constant(TERMS_AND_TOTAL, [&](auto t) {
                if (kept[t]) keep<true>(values[t], x, last[t], Lanes{});
            });
        }
        for_each_constant(TERMS_AND_TOTAL, [&](auto t) {
            if (kept[t]) kept[t]->sum = values[t].sum;
        });
    }
}

// Combines any number of terms, a few at a time. The sum of each few becomes the first term of the next.
template <bool VALUES>
inline void combine_row(std::vector<RowTerm>& terms, const RowTargets& to, int width, LaneBits present, float* buffer) {
    RowTerm* first = terms.data();
    int left = int(terms.size());
    while (left > 4) {
        combine_row<VALUES, 4>(first, RowTargets{buffer, nullptr, nullptr, nullptr}, width, present);
        first += 3;
        left -= 3;
        *first = RowTerm{buffer, Lanes{}, broadcast(1), broadcast(-std::numeric_limits<float>::infinity()), nullptr, nullptr};
    }
    switch (left) {
        case 0: combine_row<VALUES, 0>(first, to, width, present); break;
        case 1: combine_row<VALUES, 1>(first, to, width, present); break;
        case 2: combine_row<VALUES, 2>(first, to, width, present); break;
        case 3: combine_row<VALUES, 3>(first, to, width, present); break;
        case 4: combine_row<VALUES, 4>(first, to, width, present); break;
    }
}

}  // namespace naswot

// Computes log det of many kernels at once, by Cholesky's factorisation. Kernels that are nearly singular are left to
// measures/kernel.py, which decides in integers whether they are.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "matrices.h"

namespace naswot {

// How far from singular a kernel must be to be trusted, in units of the rounding error of n terms. The limit is ten times as
// strict as in kernel.py: here the condition number is estimated by solving one system, there by solving several.
constexpr double WELL_CONDITIONED = 1e4;

// Computes entries (i..i+R, j..j+S) of the factor from those to their left and above. Diagonal entries are stored as reciprocals.
// Never inlined, so that it has all registers to itself.
template <int R, int S, bool DIAGONAL>
__attribute__((noinline)) void factorise_tile(Doubles* matrix, int i, int j) {
    const Doubles *x[R], *y[S];
    Doubles acc[R][S];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        x[r] = matrix + triangle(i + r);
#pragma GCC unroll 4
        for (int s = 0; s < S; s++) acc[r][s] = !DIAGONAL || s <= r ? x[r][j + s] : Doubles{};
    }
#pragma GCC unroll 4
    for (int s = 0; s < S; s++) y[s] = matrix + triangle(j + s);
    for (int k = 0; k < j; k++) {
        Doubles a[R], b[S];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) a[r] = x[r][k];
#pragma GCC unroll 4
        for (int s = 0; s < S; s++) b[s] = y[s][k];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int s = 0; s < S; s++) acc[r][s] -= a[r] * b[s];
    }
#pragma GCC unroll 4
    for (int s = 0; s < S; s++)
#pragma GCC unroll 4
        for (int r = DIAGONAL ? s : 0; r < R; r++) {
#pragma GCC unroll 4
            for (int t = 0; t < s; t++) acc[r][s] -= acc[r][t] * (DIAGONAL ? acc[s][t] : y[s][j + t]);
            if (DIAGONAL && r == s)
                acc[r][s] = 1.0 / square_root(acc[r][s]);  // not finite unless the pivot is positive; compute() notices it
            else
                acc[r][s] *= DIAGONAL ? acc[s][s] : y[s][j + s];
            matrix[triangle(i + r) + j + s] = acc[r][s];
        }
}

// Replaces the lower triangle of A by that of L, where A = L L^T, with reciprocals on the diagonal.
inline void factorise(Doubles* matrix, int n) {
    constexpr int T = 4;
    int j = 0;
    for (; j + T <= n; j += T) {
        factorise_tile<T, T, true>(matrix, j, j);
        int i = j + T;
        for (; i + T <= n; i += T) factorise_tile<T, T, false>(matrix, i, j);
        for (; i < n; i++) factorise_tile<1, T, false>(matrix, i, j);
    }
    for (; j < n; j++) {
        factorise_tile<1, 1, true>(matrix, j, j);
        for (int i = j + 1; i < n; i++) factorise_tile<1, 1, false>(matrix, i, j);
    }
}

// Returns a lower bound of the largest row sum of A^-1, which is close to it in practice: the largest entry of the solution of
// A z = e, where e consists of 1 and -1, chosen such that z grows (Cline, Moler, Stewart and Wilkinson, "An Estimate for the
// Condition Number of a Matrix", 1979).
inline Doubles estimate_inverse(const Doubles* factor, int n, Doubles* z) {
    for (int i = 0; i < n; i++) {
        const Doubles* row = factor + triangle(i);
        Doubles sum = {};
        for (int k = 0; k < i; k++) sum += row[k] * z[k];
        z[i] = (sum > 0.0 ? -1.0 - sum : 1.0 - sum) * row[i];
    }
    Doubles most = {};
    for (int i = n - 1; i >= 0; i--) {
        const Doubles* row = factor + triangle(i);
        const Doubles found = z[i] * row[i];
        for (int k = 0; k < i; k++) z[k] -= row[k] * found;
        const Doubles size = found < 0.0 ? -found : found;
        most = size > most ? size : most;
    }
    return most;
}

// Computes log det of DOUBLE_LANES kernels at once.
class LogDets {
    int n_;
    Vectors<Doubles> matrix_, solution_;

public:
    explicit LogDets(int n) : n_(n), matrix_(triangle(n)), solution_(n) {}

    // Whether two images have the same code, which makes a kernel singular.
    static bool has_twins(const int32_t* kernel, int n) {
        int twins = 0;
        for (int i = 1; i < n; i++)
            // All diagonal entries equal the number of units; so does the entry of two images with the same code.
            for (int k = 0; k < i; k++) twins += kernel[size_t(i) * n + k] == kernel[0];
        return twins > 0;
    }

    // Reads the lower triangle of each kernel, shape (n, n). `trusted` becomes false where a kernel is too near singular.
    void compute(const int32_t* const (&kernels)[DOUBLE_LANES], double (&log_dets)[DOUBLE_LANES], bool (&trusted)[DOUBLE_LANES]) {
        Doubles* matrix = matrix_.data();
        typedef int32_t Integers __attribute__((vector_size(sizeof(int32_t) * DOUBLE_LANES)));
        for (int i = 0; i < n_; i++)
            for (int k = 0; k <= i; k++) {
                const size_t at = size_t(i) * n_ + k;
                const Integers entry = {kernels[0][at], kernels[1][at], kernels[2][at], kernels[3][at],
                                        kernels[4][at], kernels[5][at], kernels[6][at], kernels[7][at]};
                matrix[triangle(i) + k] = __builtin_convertvector(entry, Doubles);
            }
        const Doubles norm = double(n_) * matrix[0];  // an upper bound of the row sums: no entry exceeds the diagonal
        factorise(matrix, n_);
        // A pivot is at most the number of units, so a product of this few neither overflows nor underflows.
        constexpr int PIVOTS = 16;
        Doubles product = doubles(1);
        std::fill(log_dets, log_dets + DOUBLE_LANES, 0.0);
        for (int i = 0; i < n_; i++) {
            product *= matrix[triangle(i) + i];
            if (i % PIVOTS == PIVOTS - 1 || i == n_ - 1) {
                for (int lane = 0; lane < DOUBLE_LANES; lane++) log_dets[lane] -= 2 * std::log(product[lane]);
                product = doubles(1);
            }
        }
        const Doubles condition = norm * estimate_inverse(matrix, n_, solution_.data());
        const double limit = 1 / (WELL_CONDITIONED * n_ * std::numeric_limits<double>::epsilon());
        for (int lane = 0; lane < DOUBLE_LANES; lane++) trusted[lane] = condition[lane] < limit && std::isfinite(log_dets[lane]);
    }
};

enum Trust : uint8_t { DOUBTFUL, TRUSTED };

// Computes log det of `count` kernels: -inf for one with two equal codes, DOUBTFUL for one that is too near singular.
inline void find_log_dets(const int32_t* kernels, int64_t count, int n, double* log_dets, uint8_t* trust) {
    std::vector<int64_t> left;
    for (int64_t t = 0; t < count; t++) {
        log_dets[t] = -std::numeric_limits<double>::infinity();
        trust[t] = TRUSTED;
        if (!LogDets::has_twins(kernels + t * n * n, n)) left.push_back(t);
    }
    if (left.empty()) return;
    LogDets batch(n);
    for (size_t first = 0; first < left.size(); first += DOUBLE_LANES) {
        const int32_t* there[DOUBLE_LANES];
        double found[DOUBLE_LANES];
        bool trusted[DOUBLE_LANES];
        // Lanes without a matrix of their own repeat the last one.
        for (size_t lane = 0; lane < DOUBLE_LANES; lane++) there[lane] = kernels + left[std::min(first + lane, left.size() - 1)] * n * n;
        batch.compute(there, found, trusted);
        for (size_t lane = 0; lane < DOUBLE_LANES && first + lane < left.size(); lane++) {
            log_dets[left[first + lane]] = found[lane];
            trust[left[first + lane]] = trusted[lane] ? TRUSTED : DOUBTFUL;
        }
    }
}

}  // namespace naswot

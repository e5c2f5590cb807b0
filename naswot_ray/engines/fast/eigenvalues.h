// Eigenvalues of many symmetric matrices at once: Householder's reduction to tridiagonal form (EISPACK, tred1), then the QL
// method without square roots (Reinsch, "A Stable, Rational QL Algorithm", 1973; EISPACK, tqlrat; LAPACK, dsterf).
//
// Single precision is enough: it puts an eigenvalue off by some 1e-6 of the largest one, and a measure's tolerance is 1e-3 of the
// sum over its tensors. It takes half the time of double precision, since a vector holds twice as many numbers.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "matrices.h"

namespace naswot {

// A square below this counts as 0 in a matrix whose largest entry is about 1: its reciprocal might be infinite.
constexpr float NOTHING = 1e-30f;

// Returns the sum over k < length of a[k] b[k]. Four partial sums keep the multipliers busy.
inline Lanes dot(const Lanes* a, const Lanes* b, int length) {
    Lanes sums[4] = {};
    int k = 0;
    for (; k + 4 <= length; k += 4)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) sums[i] += a[k + i] * b[k + i];
    for (; k < length; k++) sums[0] += a[k] * b[k];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// A reflection I - u u^T / h turns A into A - u q^T - q u^T.
struct Reflection {
    const Lanes *u, *q;
};

// Updates R rows of A from row j on by a reflection, up to column `length`, and adds what they contribute to p = A u. Since A is
// symmetric, an entry of row r counts for p of its row and for p of its column. Both are done in one pass, because reading a
// matrix that is too large for the nearest cache takes the most time.
template <int R>
inline void update_rows(Lanes* matrix, int j, int length, const Reflection& by, const Lanes* u, Lanes* p) {
    Lanes* row[R];
    Lanes sum[R] = {}, weight[R], by_u[R], by_q[R];
    for (int r = 0; r < R; r++) {
        row[r] = matrix + triangle(j + r);
        weight[r] = u[j + r];
        by_u[r] = by.u[j + r];
        by_q[r] = by.q[j + r];
    }
    for (int k = 0; k < length; k++) {
        const Lanes uk = u[k], by_uk = by.u[k], by_qk = by.q[k];
        Lanes pk = p[k];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const Lanes a = row[r][k] - by_u[r] * by_qk - by_q[r] * by_uk;
            row[r][k] = a;
            sum[r] += a * uk;
            pk += a * weight[r];
        }
        p[k] = pk;
    }
    // Do the same for the triangle at the end of these rows.
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int s = 0; s <= r; s++) {
            const Lanes a = row[r][j + s] - by_u[r] * by_q[s] - by_q[r] * by_u[s];
            row[r][j + s] = a;
            sum[r] += a * weight[s];
            if (s < r) sum[s] += a * weight[r];
        }
    }
    for (int r = 0; r < R; r++) p[j + r] = sum[r];
}

// Subtracts u q^T + q u^T of a reflection from A in the leading i rows and columns, and computes p = A u, on the lower triangle.
inline void update(Lanes* matrix, int i, const Reflection& by, const Lanes* u, Lanes* p) {
    constexpr int R = 4;
    int j = 0;
    for (; j + R <= i; j += R) update_rows<R>(matrix, j, j, by, u, p);
    for (; j < i; j++) update_rows<1>(matrix, j, j, by, u, p);
}

// Writes the diagonal of the tridiagonal form, and the squares of its off-diagonal: squares[i] is that of the entry between i - 1
// and i. Destroys the matrix. A row that is zero to the left of its last two entries needs no reflection, so rows of zeros at the
// end of a matrix do not change the others. `q` has room for two columns.
inline void tridiagonalise(Lanes* matrix, int n, Lanes* diagonal, Lanes* squares, Lanes* q) {
    std::fill(q, q + 2 * n, Lanes{});
    Reflection last{q, q};  // the rows before i still have to be updated by it
    for (int i = n - 1; i > 0; i--) {
        Lanes* u = matrix + triangle(i);  // the row's entries become the vector of the reflection
        for (int k = 0; k <= i; k++) u[k] -= last.u[i] * last.q[k] + last.q[i] * last.u[k];
        const Lanes rest = dot(u, u, i - 1), f = u[i - 1], norm = rest + f * f;
        diagonal[i] = u[i];
        squares[i] = norm;
        const LaneBits reflects = rest > NOTHING;
        const Lanes root = square_root(norm), g = f > 0.0f ? -root : root;
        u[i - 1] = reflects ? f - g : Lanes{};
        const Lanes reciprocal = 1.0f / (reflects ? norm - f * g : broadcast(1));
        for (int k = 0; k < i - 1; k++) u[k] = reflects ? u[k] : Lanes{};
        Lanes* next = last.q == q ? q + n : q;
        update(matrix, i, last, u, next);
        const Lanes half = 0.5f * reciprocal * (reciprocal * dot(u, next, i));  // the reciprocal's square might be infinite
        for (int k = 0; k < i; k++) next[k] = next[k] * reciprocal - half * u[k];
        last = Reflection{u, next};
    }
    // The first two rows need no reflection.
    diagonal[0] = matrix[0];
    squares[0] = Lanes{};
}

// Replaces the diagonals of tridiagonal matrices by their eigenvalues, in no particular order. Returns which matrices did not
// converge. A matrix's eigenvalues depend neither on the other lanes nor on zeros at its end: a step that meets zeros begins
// anew, exactly, behind them.
inline LaneBits find_tridiagonal(Lanes* diagonal, Lanes* squares, int n) {
    constexpr int MOST_STEPS = 60;
    constexpr float NEGLIGIBLE = 2e-7f;  // relative to the largest entry
    Lanes largest = {};
    for (int i = 0; i < n; i++) {
        const Lanes square = diagonal[i] * diagonal[i] + squares[i];
        largest = square > largest ? square : largest;
    }
    LaneBits failed = {};
    const Lanes negligible = largest * (NEGLIGIBLE * NEGLIGIBLE);
    // Steps repeat until the entry between l and l + 1 is negligible in all matrices; then l rises.
    for (int l = 0; l + 1 < n; l++)
        for (int step = 0;; step++) {
            const LaneBits active = squares[l + 1] > negligible;
            if (step == MOST_STEPS) failed |= active;
            if (step == MOST_STEPS || !any(active)) break;
            // Wilkinson's shift: the eigenvalue of the leading two rows and columns that is nearer to the first entry.
            const Lanes root = square_root(active ? squares[l + 1] : broadcast(1));
            const Lanes t = (diagonal[l + 1] - diagonal[l]) / (2.0f * root), s = square_root(t * t + 1.0f);
            const Lanes shift = active ? diagonal[l] - root / (t < 0.0f ? t - s : t + s) : Lanes{};
            Lanes cosine = broadcast(1), sine = {}, gamma = diagonal[n - 1] - shift, p = gamma * gamma;
            for (int i = n - 2; i >= l; i--) {
                // The next step has to wait for one addition, one division and two products.
                const Lanes square = squares[i + 1], before = cosine, old = gamma, entry = diagonal[i] - shift;
                const LaneBits turns = square > 0.0f, has_length = p > NOTHING;
                p = naswot::largest(p, broadcast(NOTHING));
                const Lanes r = p + square, reciprocal = 1.0f / r, inverse = 1.0f / p, turned = p * entry - square * old;
                if (i != n - 2) squares[i + 2] = active ? sine * r : squares[i + 2];
                cosine = turns ? p * reciprocal : broadcast(1);
                sine = square * reciprocal;
                gamma = turns ? turned * reciprocal : entry;
                diagonal[i + 1] = active ? old + (diagonal[i] - gamma) : diagonal[i + 1];
                // gamma^2 / cosine
                p = (turns ? turned * inverse : gamma) * gamma;
                p = turns & ~has_length ? before * square : p;
            }
            squares[l + 1] = active ? sine * p : squares[l + 1];
            diagonal[l] = active ? shift + gamma : diagonal[l];
        }
    return failed;
}

// Eigenvalues of positive semi-definite matrices, ascending, those of the next matrix behind. `lower`: their lower triangles row
// by row, likewise. What does not converge becomes not a number, and what has more than `most` rows.
inline void find_eigenvalues(const double* lower, const int64_t* sizes, int64_t count, int64_t most, double* eigenvalues) {
    std::vector<const double*> matrices(count);
    std::vector<double*> results(count);
    std::vector<int64_t> order;
    for (int64_t t = 0; t < count; t++) {
        matrices[t] = lower;
        results[t] = eigenvalues;
        if (sizes[t] <= most)
            order.push_back(t);
        else
            std::fill(eigenvalues, eigenvalues + sizes[t], std::numeric_limits<double>::quiet_NaN());
        lower += triangle(sizes[t]);
        eigenvalues += sizes[t];
    }
    // Matrices of about the same size share a vector. The smaller ones are filled up with zeros at their ends.
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return sizes[a] > sizes[b]; });
    const int64_t num_taken = int64_t(order.size()), longest = order.empty() ? 0 : sizes[order[0]];
    Vectors<Lanes> matrix(triangle(longest)), diagonal(longest), squares(longest), q(2 * longest);
    for (int64_t first = 0; first < num_taken; first += LANES) {
        const int there = int(std::min<int64_t>(LANES, num_taken - first)), n = int(sizes[order[first]]);
        const double* from[LANES];
        double scale[LANES], reciprocal[LANES];  // so that the squares of entries are neither too small nor too large
        for (int lane = 0; lane < LANES; lane++) {
            const int64_t member = order[first + std::min(lane, there - 1)];  // lanes without a matrix of their own repeat the last one
            from[lane] = matrices[member];
            scale[lane] = std::numeric_limits<double>::min();
            for (int64_t i = 0; i < sizes[member]; i++) scale[lane] = std::max(scale[lane], from[lane][triangle(i) + i]);
            reciprocal[lane] = 1 / scale[lane];
        }
        float* to = reinterpret_cast<float*>(matrix.data());
        const size_t common = triangle(sizes[order[first + there - 1]]), whole = triangle(n);
        for (size_t k = 0; k < common; k++)
            for (int lane = 0; lane < LANES; lane++) to[k * LANES + lane] = float(from[lane][k] * reciprocal[lane]);
        std::fill(to + common * LANES, to + whole * LANES, 0.0f);
        for (int lane = 0; lane < there; lane++)
            for (size_t k = common; k < triangle(sizes[order[first + lane]]); k++) to[k * LANES + lane] = float(from[lane][k] * reciprocal[lane]);
        tridiagonalise(matrix.data(), n, diagonal.data(), squares.data(), q.data());
        const LaneBits failed = find_tridiagonal(diagonal.data(), squares.data(), n);
        for (int lane = 0; lane < there; lane++) {
            double* result = results[order[first + lane]];
            const int size = int(sizes[order[first + lane]]);
            for (int i = 0; i < size; i++)
                result[i] = failed[lane] ? std::numeric_limits<double>::quiet_NaN() : scale[lane] * double(diagonal.data()[i][lane]);
            if (!failed[lane]) std::sort(result, result + size);
        }
    }
}

}  // namespace naswot

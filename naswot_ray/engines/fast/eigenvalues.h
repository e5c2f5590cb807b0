// Eigenvalues of many symmetric matrices at once: Householder's reduction to tridiagonal form (EISPACK, tred1), then the QL
// method without square roots (Reinsch, "A Stable, Rational QL Algorithm", 1973; EISPACK, tqlrat; LAPACK, dsterf).
//
// Single precision is enough: it puts an eigenvalue off by some 1e-6 of the largest one, and a measure's tolerance is 1e-3 of the
// sum over its tensors. It takes half the time of double precision, since a vector holds twice as many numbers.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
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

// R rows of A from j on, all entries before column `length`: what they add to p = A u. Row r gives its own sum, and adds to those
// of the columns.
template <int R>
inline void multiply_rows(const Lanes* matrix, int j, int length, const Lanes* u, Lanes* p) {
    const Lanes* row[R];
    Lanes sum[R] = {}, weight[R];
    for (int r = 0; r < R; r++) {
        row[r] = matrix + triangle(j + r);
        weight[r] = u[j + r];
    }
    for (int k = 0; k < length; k++) {
        const Lanes uk = u[k];
        Lanes pk = p[k];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const Lanes a = row[r][k];
            sum[r] += a * uk;
            pk += a * weight[r];
        }
        p[k] = pk;
    }
    for (int r = 0; r < R; r++) p[j + r] += sum[r];
}

// p = A u for the leading i rows and columns, of which the lower triangle is there.
inline void multiply(const Lanes* matrix, int i, const Lanes* u, Lanes* p) {
    constexpr int R = 4;
    std::fill(p, p + i, Lanes{});
    int j = 0;
    for (; j + R <= i; j += R) {
        multiply_rows<R>(matrix, j, j, u, p);
        for (int r = 0; r < R; r++) {  // the triangle at the end of these rows
            const Lanes* row = matrix + triangle(j + r);
            for (int s = 0; s < r; s++) {
                p[j + r] += row[j + s] * u[j + s];
                p[j + s] += row[j + s] * u[j + r];
            }
            p[j + r] += row[j + r] * u[j + r];
        }
    }
    for (; j < i; j++) multiply_rows<1>(matrix, j, j, u, p), p[j] += matrix[triangle(j) + j] * u[j];
}

// A -= u q^T + q u^T for the leading i rows and columns.
inline void subtract_outer(Lanes* matrix, int i, const Lanes* u, const Lanes* q) {
    constexpr int R = 4;
    int j = 0;
    for (; j + R <= i; j += R) {
        Lanes* row[R];
        for (int r = 0; r < R; r++) row[r] = matrix + triangle(j + r);
        for (int k = 0; k <= j; k++) {
            const Lanes uk = u[k], qk = q[k];
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) row[r][k] -= u[j + r] * qk + q[j + r] * uk;
        }
        for (int r = 1; r < R; r++)
            for (int s = 1; s <= r; s++) row[r][j + s] -= u[j + r] * q[j + s] + q[j + r] * u[j + s];
    }
    for (; j < i; j++) {
        Lanes* row = matrix + triangle(j);
        for (int k = 0; k <= j; k++) row[k] -= u[j] * q[k] + q[j] * u[k];
    }
}

// The diagonal, and the squares of what is beside it: squares[i] belongs to entries i - 1 and i. Destroys the matrix. A row of
// zeros to the left of its last two entries needs no reflection, so rows of zeros at the end of a matrix leave the others alone.
inline void tridiagonalise(Lanes* matrix, int n, Lanes* diagonal, Lanes* squares, Lanes* q) {
    for (int i = n - 1; i > 0; i--) {
        Lanes* u = matrix + triangle(i);  // the row's entries become the vector of the reflection
        const Lanes rest = dot(u, u, i - 1), f = u[i - 1], norm = rest + f * f;
        diagonal[i] = u[i];
        squares[i] = norm;
        const LaneBits reflects = rest > NOTHING;
        if (!any(reflects)) continue;
        const Lanes root = square_root(norm), g = f > 0.0f ? -root : root;
        u[i - 1] = reflects ? f - g : Lanes{};
        const Lanes reciprocal = 1.0f / (reflects ? norm - f * g : broadcast(1));
        for (int k = 0; k < i - 1; k++) u[k] = reflects ? u[k] : Lanes{};
        multiply(matrix, i, u, q);
        const Lanes half = 0.5f * reciprocal * (reciprocal * dot(u, q, i));  // the reciprocal's square might be infinite
        for (int k = 0; k < i; k++) q[k] = q[k] * reciprocal - half * u[k];
        subtract_outer(matrix, i, u, q);
    }
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
            p = p > NOTHING ? p : Lanes{};
            for (int i = n - 2; i >= l; i--) {
                // Both divisions at once: the next p is gamma^2 / cosine.
                const Lanes square = squares[i + 1], r = p + square, before = cosine, old = gamma;
                const LaneBits turns = p > 0.0f;
                const Lanes inverse_cosine = r / (turns ? p : broadcast(1));
                if (i != n - 2) squares[i + 2] = active ? sine * r : squares[i + 2];
                const LaneBits turned = (r > NOTHING) & (square > 0.0f);
                const Lanes reciprocal = 1.0f / (turned ? r : broadcast(1));
                cosine = turned ? p * reciprocal : broadcast(1);
                sine = turned ? square * reciprocal : Lanes{};
                gamma = cosine * (diagonal[i] - shift) - sine * old;
                diagonal[i + 1] = active ? old + (diagonal[i] - gamma) : diagonal[i + 1];
                p = turns ? gamma * gamma * inverse_cosine : before * square;
                p = p > NOTHING ? p : Lanes{};
            }
            squares[l + 1] = active ? sine * p : squares[l + 1];
            diagonal[l] = active ? shift + gamma : diagonal[l];
        }
    return failed;
}

// Finds the eigenvalues of positive semi-definite matrices.
//
// `lower` holds their lower triangles row by row, one matrix after the other, and `sizes` their numbers of rows. `eigenvalues`
// receives the eigenvalues of each matrix in ascending order, one matrix after the other; NaN for a matrix that does not converge.
inline void find_eigenvalues(const double* lower, const int64_t* sizes, int64_t count, double* eigenvalues) {
    std::vector<const double*> matrices(count);
    std::vector<double*> results(count);
    std::vector<int64_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    for (int64_t t = 0; t < count; t++) {
        matrices[t] = lower;
        results[t] = eigenvalues;
        lower += triangle(sizes[t]);
        eigenvalues += sizes[t];
    }
    // Matrices of about the same size share a vector. The smaller ones are filled up with zeros at their ends.
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return sizes[a] > sizes[b]; });
    const int most = count > 0 ? int(sizes[order[0]]) : 0;
    Vectors<Lanes> matrix(triangle(most)), diagonal(most), squares(most), q(most);
    for (int64_t first = 0; first < count; first += LANES) {
        const int there = int(std::min<int64_t>(LANES, count - first)), n = int(sizes[order[first]]);
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

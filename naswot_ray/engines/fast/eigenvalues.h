// Eigenvalues of many symmetric matrices at once: Householder's reduction to tridiagonal form (EISPACK, tred1), then the QL
// method without square roots (Reinsch, "A Stable, Rational QL Algorithm", 1973; EISPACK, tqlrat; LAPACK, dsterf).
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "matrices.h"

namespace naswot {

// Sum over k < length of a[k] b[k], with enough sums to keep the multipliers busy.
inline Doubles dot(const Doubles* a, const Doubles* b, int length) {
    Doubles sums[4] = {};
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
inline void multiply_rows(const Doubles* matrix, int j, int length, const Doubles* u, Doubles* p) {
    const Doubles* row[R];
    Doubles sum[R] = {}, weight[R];
    for (int r = 0; r < R; r++) {
        row[r] = matrix + triangle(j + r);
        weight[r] = u[j + r];
    }
    for (int k = 0; k < length; k++) {
        const Doubles uk = u[k];
        Doubles pk = p[k];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const Doubles a = row[r][k];
            sum[r] += a * uk;
            pk += a * weight[r];
        }
        p[k] = pk;
    }
    for (int r = 0; r < R; r++) p[j + r] += sum[r];
}

// p = A u for the leading i rows and columns, of which the lower triangle is there.
inline void multiply(const Doubles* matrix, int i, const Doubles* u, Doubles* p) {
    constexpr int R = 4;
    std::fill(p, p + i, Doubles{});
    int j = 0;
    for (; j + R <= i; j += R) {
        multiply_rows<R>(matrix, j, j, u, p);
        for (int r = 0; r < R; r++) {  // the triangle at the end of these rows
            const Doubles* row = matrix + triangle(j + r);
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
inline void subtract_outer(Doubles* matrix, int i, const Doubles* u, const Doubles* q) {
    constexpr int R = 4;
    int j = 0;
    for (; j + R <= i; j += R) {
        Doubles* row[R];
        for (int r = 0; r < R; r++) row[r] = matrix + triangle(j + r);
        for (int k = 0; k <= j; k++) {
            const Doubles uk = u[k], qk = q[k];
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) row[r][k] -= u[j + r] * qk + q[j + r] * uk;
        }
        for (int r = 1; r < R; r++)
            for (int s = 1; s <= r; s++) row[r][j + s] -= u[j + r] * q[j + s] + q[j + r] * u[j + s];
    }
    for (; j < i; j++) {
        Doubles* row = matrix + triangle(j);
        for (int k = 0; k <= j; k++) row[k] -= u[j] * q[k] + q[j] * u[k];
    }
}

// The diagonal, and the squares of what is beside it: squares[i] belongs to entries i - 1 and i. Destroys the matrix. A row of
// zeros to the left of its last two entries needs no reflection, so rows of zeros at the end of a matrix leave the others alone.
inline void tridiagonalise(Doubles* matrix, int n, Doubles* diagonal, Doubles* squares, Doubles* q) {
    for (int i = n - 1; i > 0; i--) {
        Doubles* u = matrix + triangle(i);  // the row's entries become the vector of the reflection
        const Doubles rest = dot(u, u, i - 1), f = u[i - 1], norm = rest + f * f;
        diagonal[i] = u[i];
        squares[i] = norm;
        const DoubleBits reflects = rest > 0.0;
        if (!any(reflects)) continue;
        const Doubles root = square_root(norm), g = f > 0.0 ? -root : root;
        u[i - 1] = reflects ? f - g : Doubles{};
        const Doubles reciprocal = 1.0 / (reflects ? norm - f * g : doubles(1));
        for (int k = 0; k < i - 1; k++) u[k] = reflects ? u[k] : Doubles{};  // what is so small that its square is 0
        multiply(matrix, i, u, q);
        const Doubles half = 0.5 * reciprocal * reciprocal * dot(u, q, i);
        for (int k = 0; k < i; k++) q[k] = q[k] * reciprocal - half * u[k];
        subtract_outer(matrix, i, u, q);
    }
    diagonal[0] = matrix[0];
    squares[0] = Doubles{};
}

// The eigenvalues of tridiagonal matrices in the place of the diagonal, in no order. Returns false if one does not converge.
inline bool find_tridiagonal(Doubles* diagonal, Doubles* squares, int n) {
    constexpr int MOST_STEPS = 60;
    constexpr double NEGLIGIBLE = 1e-14;  // beside the largest entry
    Doubles largest = {};
    for (int i = 0; i < n; i++) {
        const Doubles square = diagonal[i] * diagonal[i] + squares[i];
        largest = square > largest ? square : largest;
    }
    const Doubles negligible = largest * (NEGLIGIBLE * NEGLIGIBLE);
    // What is between entries l and l + 1 is made negligible in all matrices, then l rises.
    for (int l = 0; l + 1 < n; l++)
        for (int step = 0;; step++) {
            const DoubleBits active = squares[l + 1] > negligible;
            if (!any(active)) break;
            if (step == MOST_STEPS) return false;
            // Wilkinson's shift: the eigenvalue of the leading two rows and columns that is nearer to the first entry.
            const Doubles root = square_root(active ? squares[l + 1] : doubles(1));
            const Doubles t = (diagonal[l + 1] - diagonal[l]) / (2.0 * root), s = square_root(t * t + 1.0);
            const Doubles shift = active ? diagonal[l] - root / (t < 0.0 ? t - s : t + s) : Doubles{};
            Doubles cosine = doubles(1), sine = {}, gamma = diagonal[n - 1] - shift, p = gamma * gamma;
            for (int i = n - 2; i >= l; i--) {
                const Doubles square = squares[i + 1], r = p + square, before = cosine, old = gamma;
                if (i != n - 2) squares[i + 2] = active ? sine * r : squares[i + 2];
                const DoubleBits some = r > 0.0;
                const Doubles reciprocal = 1.0 / (some ? r : doubles(1));
                cosine = some ? p * reciprocal : doubles(1);
                sine = some ? square * reciprocal : Doubles{};
                gamma = cosine * (diagonal[i] - shift) - sine * old;
                diagonal[i + 1] = active ? old + (diagonal[i] - gamma) : diagonal[i + 1];
                const DoubleBits turned = cosine > 0.0;
                p = turned ? gamma * gamma / (turned ? cosine : doubles(1)) : before * square;
            }
            squares[l + 1] = active ? sine * p : squares[l + 1];
            diagonal[l] = active ? shift + gamma : diagonal[l];
        }
    return true;
}

// Eigenvalues of matrices, ascending, those of the next matrix behind. `lower`: their lower triangles row by row, likewise. What
// does not converge becomes not a number.
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
    // Those of about one size together: the smaller ones are filled up with zeros at their ends.
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return sizes[a] > sizes[b]; });
    const int most = count > 0 ? int(sizes[order[0]]) : 0;
    DoublesBuffer matrix(triangle(most)), diagonal(most), squares(most), q(most);
    for (int64_t first = 0; first < count; first += MATRICES) {
        const int there = int(std::min<int64_t>(MATRICES, count - first)), n = int(sizes[order[first]]);
        std::fill(matrix.data(), matrix.data() + triangle(n), Doubles{});
        for (int lane = 0; lane < there; lane++) {
            const double* from = matrices[order[first + lane]];
            double* to = reinterpret_cast<double*>(matrix.data()) + lane;
            for (size_t k = 0; k < triangle(sizes[order[first + lane]]); k++) to[k * MATRICES] = from[k];
        }
        tridiagonalise(matrix.data(), n, diagonal.data(), squares.data(), q.data());
        const bool converged = find_tridiagonal(diagonal.data(), squares.data(), n);
        for (int lane = 0; lane < there; lane++) {
            double* to = results[order[first + lane]];
            const int size = int(sizes[order[first + lane]]);
            for (int i = 0; i < size; i++) to[i] = converged ? diagonal.data()[i][lane] : std::numeric_limits<double>::quiet_NaN();
            if (converged) std::sort(to, to + size);
        }
    }
}

}  // namespace naswot

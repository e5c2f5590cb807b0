// Draws weights: the same bits as naswot_ray/philox.py, which says how and why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace naswot {

// Philox4x64-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011), as numpy.random.Philox counts: from 1.
inline void philox(const uint64_t (&key)[2], uint64_t counter, uint64_t stream, uint64_t (&words)[4]) {
    uint64_t x[4] = {counter, stream, 0, 0}, k0 = key[0], k1 = key[1];
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        const unsigned __int128 a = (unsigned __int128)x[0] * 0xD2E7470EE14C6C93ull, b = (unsigned __int128)x[2] * 0xCA5A826395121157ull;
        x[0] = uint64_t(b >> 64) ^ x[1] ^ k0;
        x[1] = uint64_t(b);
        x[2] = uint64_t(a >> 64) ^ x[3] ^ k1;
        x[3] = uint64_t(a);
        k0 += 0x9E3779B97F4A7C15ull;
        k1 += 0xBB67AE8584CAA73Bull;
    }
    for (int i = 0; i < 4; i++) words[i] = x[i];
}

// Cuts the words of a stream into integers of type Piece, the lowest bits first, and calls `make(pieces, first, count)` for one
// run of `count` pieces after the other; `first` is the number of the run's first piece.
template <class Piece, class Make>
inline void draw(const uint64_t (&key)[2], uint64_t stream, int64_t count, const Make& make) {
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
    constexpr int BLOCKS = 64;
    constexpr int64_t RUN = BLOCKS * 4 * sizeof(uint64_t) / sizeof(Piece);
    uint64_t words[BLOCKS][4];
    Piece pieces[RUN];
    uint64_t counter = 1;
    for (int64_t first = 0; first < count; first += RUN) {
        const int64_t there = count - first < RUN ? count - first : RUN;
        const int64_t blocks = (there * int64_t(sizeof(Piece)) + 31) / 32;
        for (int64_t b = 0; b < blocks; b++) philox(key, counter++, stream, words[b]);
        std::memcpy(pieces, words, sizeof words);
        make(pieces, first, there);
    }
}

}  // namespace naswot

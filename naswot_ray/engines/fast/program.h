// The records of a program as encoding.py writes them, and the memory in which it is executed.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "lanes.h"

namespace naswot {

enum Opcode { CONVOLVE, AVERAGE_POOL, MAXIMUM_POOL, SHIFT, COMBINE };
enum Flag { NORMALISED = 1, RECTIFIED = 2, POSITIVE = 4 };  // flags of a term; POSITIVE: statistics are taken of max(value, 0)
enum Stage {
    STAGE_CONVOLVE,
    STAGE_DEPTHWISE,
    STAGE_COMBINE,
    STAGE_POOL,
    STAGE_GRAM,
    STAGE_PATTERNS,
    STAGE_COVARIANCE,
    STAGE_CORRELATION,
    NUM_STAGES
};

struct Tensor {
    int64_t base, block_stride;  // in floats
    int64_t channels, height, width, padding;
    int64_t statistics;          // where the mean and scale of its first channel are; -1: it has none
};

struct Codes {
    int64_t base;  // place of the first block's masks, in masks; the other blocks follow
    int64_t units, multiplicity, num_relus, phase;
    int64_t number;              // number of the tensor among those whose codes are computed
    int64_t channels, pixels;
    int64_t precise;             // whether values are kept in single precision (pairs.h)
    int64_t kept, kept_stride;   // where values that come in pieces are kept (-1: not kept), and the distance to the next block; in floats
    int64_t kept_pairs;          // pairs from a channel of the kept values to the next
    int64_t first;               // where the first image's values are, in floats; -1: not wanted
    int64_t covariance;          // where the lower triangle of the covariance goes, in doubles
    int64_t correlation;         // where that of the correlation goes, in doubles; -1: not wanted
};

constexpr int PATTERN_BYTES = (1 << LANES) / 8;

// What was found of a network; null for what is not wanted. `Codes` says where in an array a tensor's part is.
struct Results {
    int64_t *published, *paper;  // kernels, shape (n, n), added to
    int32_t* tensor_kernels;     // shape (tensors, n, n), of each the lower triangle
    // 2^16 bits, the lowest first, that tell which patterns occur: few enough for the nearest cache. Of every other unit, and then
    // of the rest: neighbours often have the same pattern, and would wait for each other.
    uint8_t* patterns;
    double* covariances;         // lower triangles
    double* correlations;        // lower triangles
};

// A batch and the places of everything in its memory.
struct Batch {
    int num_images, num_blocks;
    const float *images, *weights;
    float* arena;   // tensors
    Mask* masks;
    float* values;  // first the bands of a combination's values, `band_floats` each, then the values that are kept
    int64_t band_floats;
    const Tensor* tensors;
    const Codes* codes;
    Results results;

    // Returns one block of a tensor from a channel on.
    Planes planes(int64_t number, int block, int64_t channel = 0) const {
        const Tensor& t = tensors[number];
        Planes p;
        p.height = int(t.height);
        p.width = int(t.width);
        p.padding = int(t.padding);
        p.row = (t.width + 2 * t.padding) * LANES;
        p.plane = p.row * (t.height + 2 * t.padding);
        // Nothing is written to the images.
        float* memory = number == 0 ? const_cast<float*>(images) : arena;
        p.data = memory + t.base + block * t.block_stride + t.padding * (p.row + LANES) + channel * p.plane;
        return p;
    }

    static int64_t padded_units(const Codes& codes) { return (codes.units + 63) / 64 * 64; }

    Mask* masks_at(int64_t number, int64_t unit, int block) const {
        return number < 0 ? nullptr : masks + codes[number].base + block * padded_units(codes[number]) + unit;
    }

    float* kept_values(const Codes& of, int block) const { return values + of.kept + block * of.kept_stride; }
};

class Stopwatch {
    using Clock = std::chrono::steady_clock;
    Clock::time_point last_ = Clock::now();

public:
    double lap() {
        const Clock::time_point now = Clock::now();
        const double seconds = std::chrono::duration<double>(now - last_).count();
        last_ = now;
        return seconds;
    }
};

// Memory for vectors. It loses its content when it grows.
class AlignedFloats {
    std::unique_ptr<float, decltype(&std::free)> data_{nullptr, std::free};
    size_t size_ = 0;

public:
    void reserve(size_t size) {
        if (size <= size_) return;
        size = (size + 15) / 16 * 16;
        data_.reset(static_cast<float*>(std::aligned_alloc(64, size * sizeof(float))));
        if (!data_) throw std::bad_alloc();
        size_ = size;
    }
    float* data() { return data_.get(); }
};

}  // namespace naswot

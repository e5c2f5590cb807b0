// Executes the program of a network (naswot_ray/network/program.py), as encoded by encoding.py, on a batch.
//
// A phase is done block by block: all its instructions for sixteen images, then for the next sixteen, so that most of what an
// instruction reads is still in a cache. At the end of a phase the statistics of what it convolved are there.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "convolve.h"
#include "draw.h"
#include "gram.h"
#include "lanes.h"
#include "passes.h"
#include "winograd.h"

namespace naswot {

enum Opcode { CONVOLVE, AVERAGE_POOL, MAXIMUM_POOL, SHIFT, COMBINE };
enum Flag { NORMALISED = 1, RECTIFIED = 2 };
enum Stage { STAGE_CONVOLVE, STAGE_DEPTHWISE, STAGE_COMBINE, STAGE_POOL, STAGE_GRAM, NUM_STAGES };

struct Tensor {
    int64_t base, block_stride;  // in floats
    int64_t channels, height, width, padding;
    int64_t statistics;          // of its first channel; -1 without
};

struct Codes {
    int64_t base;  // in masks; those of the next block follow
    int64_t units, multiplicity, num_relus, phase;
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

// Memory for vectors; what it held is lost when it grows.
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

class Run {
    const int64_t* program_;
    const Tensor* tensors_;
    const Codes* codes_;
    int64_t num_codes_, num_phases_;
    int n_, num_blocks_;
    const float* images_;
    const float* weights_;
    float* arena_;
    Mask* masks_;
    double* seconds_;
    std::vector<Moments> moments_;
    std::vector<float> mean_, scale_;
    std::vector<uint64_t> words_;
    std::vector<std::vector<float>> packed_;
    AlignedFloats row_buffer_, transformed_;
    std::vector<RowTerm> row_terms_;

public:
    Run(const int64_t* program, int n, const float* images, const float* weights, float* arena, Mask* masks, double* seconds)
        : n_(n), num_blocks_((n + LANES - 1) / LANES), images_(images), weights_(weights), arena_(arena), masks_(masks), seconds_(seconds) {
        const int64_t num_tensors = program[0], num_channels = program[3], longest_row = program[4];
        num_codes_ = program[1];
        num_phases_ = program[2];
        tensors_ = reinterpret_cast<const Tensor*>(program + 5);
        codes_ = reinterpret_cast<const Codes*>(tensors_ + num_tensors);
        program_ = reinterpret_cast<const int64_t*>(codes_ + num_codes_);
        moments_.resize(num_channels);
        mean_.resize(num_channels);
        scale_.resize(num_channels);
        row_buffer_.reserve(size_t(longest_row) * LANES);
    }

    void execute(int64_t* published, int64_t* paper) {
        if (Moments* moments = moments_of(0)) {
            for (int block = 0; block < num_blocks_; block++) add_moments(planes(0, block), 0, int(tensors_[0].channels), moments);
            finish_statistics(tensors_[0], 0, tensors_[0].channels);
        }
        const int64_t* at = program_;
        for (int64_t phase = 0; phase < num_phases_; phase++) {
            const int64_t num_instructions = at[0], length = at[1];
            pack_weights(at + 2, num_instructions);
            for (int block = 0; block < num_blocks_; block++) {
                const int64_t* instruction = at + 2;
                for (int64_t i = 0; i < num_instructions; i++) {
                    Stopwatch watch;
                    const Stage stage = execute(instruction + 1, block, packed_[i]);
                    seconds_[stage] += watch.lap();
                    instruction += instruction[0];
                }
            }
            finish_statistics(at + 2, num_instructions);
            at += length;
            Stopwatch watch;
            for (int64_t c = 0; c < num_codes_; c++)
                if (codes_[c].phase == phase) add_codes(codes_[c], published, paper);
            seconds_[STAGE_GRAM] += watch.lap();
        }
    }

private:
    Planes planes(int64_t number, int block) const {
        const Tensor& t = tensors_[number];
        Planes p;
        p.height = int(t.height);
        p.width = int(t.width);
        p.padding = int(t.padding);
        p.row = (t.width + 2 * t.padding) * LANES;
        p.plane = p.row * (t.height + 2 * t.padding);
        // Nothing is written to the images.
        float* memory = number == 0 ? const_cast<float*>(images_) : arena_;
        p.data = memory + t.base + block * t.block_stride + t.padding * (p.row + LANES);
        return p;
    }

    // The channels of a tensor from `offset` on, as a tensor.
    static Planes from(Planes p, int64_t offset) {
        p.data += offset * p.plane;
        return p;
    }

    Moments* moments_of(int64_t number) {
        return tensors_[number].statistics < 0 ? nullptr : moments_.data() + tensors_[number].statistics;
    }

    // Instructions: [length, opcode, ...]. Convolve: input, offset, output, in_channels, out_channels, kernel, stride and padding
    // of the height and the width each, dilation, groups, place of the weights.
    Convolution convolution(const int64_t* a) const {
        return Convolution{int(a[4]), int(a[5]), int(a[6]), int(a[7]), int(a[8]), int(a[9]),
                           int(a[10]), int(a[11]), int(a[12]), int(a[13]), weights_ + a[14]};
    }

    void pack_weights(const int64_t* instruction, int64_t num_instructions) {
        Stopwatch watch;
        packed_.assign(num_instructions, {});
        for (int64_t i = 0; i < num_instructions; i++, instruction += instruction[0])
            if (instruction[1] == CONVOLVE) {
                const Convolution op = convolution(instruction + 1);
                const Planes out = planes(instruction[4], 0);
                switch (winograd_tile(op, out)) {
                    case 4:
                        packed_[i] = winograd_weights<4>(op);
                        transformed_.reserve(Chunks<4>(op, out).floats());
                        break;
                    case 2:
                        packed_[i] = winograd_weights<2>(op);
                        transformed_.reserve(Chunks<2>(op, out).floats());
                        break;
                    default:
                        if (!op.depthwise()) packed_[i] = packed_weights(op);
                }
            }
        seconds_[STAGE_CONVOLVE] += watch.lap();
    }

    Stage execute(const int64_t* a, int block, const std::vector<float>& packed) {
        switch (a[0]) {
            case CONVOLVE: {
                const Convolution op = convolution(a);
                const Planes in = from(planes(a[1], block), a[2]), out = planes(a[3], block);
                zero_padding(out, 0, op.out_channels);
                if (op.depthwise()) {
                    convolve_depthwise(op, in, out, moments_of(a[3]));
                    return STAGE_DEPTHWISE;
                }
                switch (winograd_tile(op, out)) {
                    case 4: convolve_winograd<4>(op, packed.data(), in, out, moments_of(a[3]), transformed_.data()); break;
                    case 2: convolve_winograd<2>(op, packed.data(), in, out, moments_of(a[3]), transformed_.data()); break;
                    default: convolve(op, packed.data(), in, out, moments_of(a[3]));
                }
                return STAGE_CONVOLVE;
            }
            case AVERAGE_POOL:
            case MAXIMUM_POOL:
            case SHIFT: {  // input, offset, output, kernel, stride, padding
                const Planes in = from(planes(a[1], block), a[2]), out = planes(a[3], block);
                const int channels = int(tensors_[a[3]].channels);
                zero_padding(out, 0, channels);
                row_buffer_.reserve((in.width + 2 * (a[0] == SHIFT ? 0 : a[6])) * LANES);
                float* row = row_buffer_.data();
                if (a[0] == AVERAGE_POOL) pool<false>(in, out, channels, int(a[4]), int(a[5]), int(a[6]), row);
                if (a[0] == MAXIMUM_POOL) pool<true>(in, out, channels, int(a[4]), int(a[5]), int(a[6]), row);
                if (a[0] == SHIFT) shift(in, out, channels);
                if (Moments* moments = moments_of(a[3])) add_moments(out, 0, channels, moments);
                return STAGE_POOL;
            }
            default: combine(a, block); return STAGE_COMBINE;
        }
    }

    // Combine: channels, height, width, then tensor (or codes, or -1) and offset of the total, the rectified total and the codes,
    // the number of terms, and for each of them: tensor, offset, flags, codes (or -1) and offset.
    void combine(const int64_t* a, int block) {
        const int channels = int(a[1]), height = int(a[2]), width = int(a[3]);
        const int64_t num_terms = a[10];
        const int64_t* terms = a + 11;
        Planes total{}, rectified{};
        bool flat = true;
        if (a[4] >= 0) {
            total = from(planes(a[4], block), a[5]);
            zero_padding(total, 0, channels);
            flat &= total.padding == 0;
        }
        if (a[6] >= 0) {
            rectified = from(planes(a[6], block), a[7]);
            zero_padding(rectified, 0, channels);
            flat &= rectified.padding == 0;
        }
        std::vector<Planes> sources(num_terms);
        for (int64_t t = 0; t < num_terms; t++) {
            sources[t] = from(planes(terms[5 * t], block), terms[5 * t + 1]);
            flat &= sources[t].padding == 0;
        }
        LaneBits present;
        for (int i = 0; i < LANES; i++) present[i] = block * LANES + i < n_ ? -1 : 0;
        const int rows = flat ? 1 : height, length = flat ? height * width : width;
        for (int c = 0; c < channels; c++)
            for (int y = 0; y < rows; y++) {
                const ptrdiff_t unit = (ptrdiff_t(c) * height + y) * width;
                row_terms_.resize(num_terms);
                for (int64_t t = 0; t < num_terms; t++) {
                    const int64_t* term = terms + 5 * t;
                    RowTerm& row = row_terms_[t];
                    const bool normalised = term[2] & NORMALISED;
                    const int64_t channel = normalised ? tensors_[term[0]].statistics + term[1] + c : 0;
                    row.x = sources[t].at(c, y, 0);
                    row.mean = broadcast(normalised ? mean_[channel] : 0.0f);
                    row.scale = broadcast(normalised ? scale_[channel] : 1.0f);
                    row.floor = broadcast(term[2] & RECTIFIED ? 0.0f : -std::numeric_limits<float>::infinity());
                    row.codes = masks_at(term[3], term[4] * height * width + unit, block);
                }
                const RowTargets to{a[4] < 0 ? nullptr : total.at(c, y, 0), a[6] < 0 ? nullptr : rectified.at(c, y, 0),
                                    masks_at(a[8], a[9] * height * width + unit, block)};
                combine_row(row_terms_, to, length, present, row_buffer_.data());
            }
        if (a[4] >= 0 && moments_of(a[4])) add_moments(planes(a[4], block), int(a[5]), channels, moments_of(a[4]));
        if (a[6] >= 0 && moments_of(a[6])) add_moments(planes(a[6], block), int(a[7]), channels, moments_of(a[6]));
    }

    static int64_t padded_units(const Codes& codes) { return (codes.units + 63) / 64 * 64; }

    Mask* masks_at(int64_t number, int64_t unit, int block) const {
        return number < 0 ? nullptr : masks_ + codes_[number].base + block * padded_units(codes_[number]) + unit;
    }

    void finish_statistics(const int64_t* instruction, int64_t num_instructions) {
        for (int64_t i = 0; i < num_instructions; i++, instruction += instruction[0]) {
            const int64_t* a = instruction + 1;
            if (a[0] == COMBINE) {
                if (a[4] >= 0) finish_statistics(tensors_[a[4]], a[5], a[1]);
                if (a[6] >= 0) finish_statistics(tensors_[a[6]], a[7], a[1]);
            } else {
                finish_statistics(tensors_[a[3]], 0, tensors_[a[3]].channels);
            }
        }
    }

    void finish_statistics(const Tensor& t, int64_t offset, int64_t channels) {
        if (t.statistics < 0) return;
        const double count = double(n_) * double(t.height * t.width);
        for (int64_t c = t.statistics + offset; c < t.statistics + offset + channels; c++) {
            double sum = 0, squares = 0;
            for (int i = 0; i < LANES; i++) {
                sum += moments_[c].sum[i];
                squares += moments_[c].squares[i];
            }
            const double mean = sum / count, variance = std::max(0.0, squares / count - mean * mean);
            mean_[c] = float(mean);
            scale_[c] = float(1 / std::sqrt(variance + 1e-5));
        }
    }

    void add_codes(const Codes& codes, int64_t* published, int64_t* paper) {
        const int64_t units = padded_units(codes), stride = units / 64;
        words_.resize(size_t(num_blocks_) * LANES * stride);
        for (int block = 0; block < num_blocks_; block++) {
            Mask* masks = masks_ + codes.base + block * units;
            std::memset(masks + codes.units, 0, (units - codes.units) * sizeof(Mask));
            transpose_masks(masks, units, words_.data() + size_t(block) * LANES * stride, stride);
        }
        add_agreements(words_.data(), stride, codes.units, n_, codes.multiplicity, codes.num_relus, published, paper);
    }
};

}  // namespace naswot

// `images` is tensor 0, laid out like the others; all memory is aligned to 64 bytes. `published` and `paper`, shape (n, n), are
// added to; `seconds`, one for each stage, too. Returns 0, or 1 if there is not enough memory.
extern "C" int naswot_run(const int64_t* program, int64_t n, const float* images, const float* weights, float* arena, uint16_t* masks,
                           int64_t* published, int64_t* paper, double* seconds) {
    try {
        naswot::Run(program, int(n), images, weights, arena, masks, seconds).execute(published, paper);
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}

// random.uniform: `scale` is the bound times 2^-24.
extern "C" void naswot_draw_uniform(uint64_t key0, uint64_t key1, uint64_t stream, int64_t count, float scale, float* drawn) {
    naswot::draw<int32_t>({key0, key1}, stream, count, [=](const int32_t* pieces, int64_t first, int64_t there) {
        for (int64_t i = 0; i < there; i++) drawn[first + i] = float((pieces[i] >> 7) | 1) * scale;
    });
}

// random.normal times `scale`; `quantiles` has an entry for each 16 bits.
extern "C" void naswot_draw_normal(uint64_t key0, uint64_t key1, uint64_t stream, int64_t count, float scale, const float* quantiles,
                                   float* drawn) {
    naswot::draw<uint16_t>({key0, key1}, stream, count, [=](const uint16_t* pieces, int64_t first, int64_t there) {
        for (int64_t i = 0; i < there; i++) drawn[first + i] = quantiles[pieces[i]] * scale;
    });
}

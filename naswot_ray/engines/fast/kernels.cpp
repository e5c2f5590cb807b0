// Executes the program of a network (naswot_ray/network/program.py), as encoded by encoding.py, on a batch.
//
// A phase runs block by block: all its instructions for sixteen images, then all for the next sixteen, so that most of what an
// instruction reads is still in a cache. At the end of a phase the statistics of the tensors that it computed are complete.
#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "combination.h"
#include "convolve.h"
#include "draw.h"
#include "eigenvalues.h"
#include "gram.h"
#include "lanes.h"
#include "log_det.h"
#include "passes.h"
#include "program.h"
#include "winograd.h"

namespace naswot {

class Run {
    Batch batch_;
    const int64_t* program_;
    int64_t num_codes_, num_phases_;
    double* seconds_;
    std::vector<Moments> moments_;
    std::vector<float> mean_, scale_;
    std::vector<uint64_t> words_;
    std::vector<std::vector<float>> packed_;
    AlignedFloats row_buffer_, transformed_;
    std::vector<ChannelSums> sums_;  // one entry for each coded tensor, filled while it is computed
    Combiner combiner_;

public:
    // Layout of `program`: the numbers of tensors, codes, phases and normalised channels, the pixels of the longest row and the
    // floats of a band; then all tensors, all codes and all phases. A phase: its number of instructions, its length in words, its
    // instructions.
    Run(const int64_t* program, const Batch& batch, double* seconds)
        : batch_(batch), num_codes_(program[1]), num_phases_(program[2]), seconds_(seconds), moments_(program[3]), mean_(program[3]),
          scale_(program[3]), sums_(program[1]), combiner_(batch_, mean_, scale_, sums_, program[4]) {
        batch_.band_floats = program[5];
        batch_.tensors = reinterpret_cast<const Tensor*>(program + 6);
        batch_.codes = reinterpret_cast<const Codes*>(batch_.tensors + program[0]);
        program_ = reinterpret_cast<const int64_t*>(batch_.codes + num_codes_);
    }

    void execute() {
        if (Moments* moments = moments_of(0)) {
            const Tensor& images = batch_.tensors[0];
            for (int block = 0; block < batch_.num_blocks; block++) add_moments(batch_.planes(0, block), 0, int(images.channels), moments);
            finish_statistics(images, 0, images.channels);
        }
        const int64_t* at = program_;
        for (int64_t phase = 0; phase < num_phases_; phase++) {
            const int64_t num_instructions = at[0], length = at[1];
            pack_weights(at + 2, num_instructions);
            for (int block = 0; block < batch_.num_blocks; block++) {
                const int64_t* instruction = at + 2;
                for (int64_t i = 0; i < num_instructions; i++) {
                    Stopwatch watch;
                    const Stage stage = execute(instruction + 1, block, packed_[i]);
                    seconds_[stage] += watch.lap();
                    instruction += instruction[0];
                }
                for (int64_t c = 0; c < num_codes_; c++)
                    if (batch_.codes[c].phase == phase) add_kept_values(c, block);
            }
            finish_statistics(at + 2, num_instructions);
            at += length;
            for (int64_t c = 0; c < num_codes_; c++)
                if (batch_.codes[c].phase == phase) finish_codes(c);
        }
    }

private:
    Moments* moments_of(int64_t number) {
        const int64_t first = batch_.tensors[number].statistics;
        return first < 0 ? nullptr : moments_.data() + first;
    }

    // Layout of an instruction: [length, opcode, ...]. A convolution's operands: input, first channel, output, in_channels,
    // out_channels, then kernel, stride and padding (height and width of each), dilation, groups, place of the weights.
    Convolution convolution(const int64_t* a) const {
        return Convolution{int(a[4]), int(a[5]), int(a[6]), int(a[7]), int(a[8]), int(a[9]),
                           int(a[10]), int(a[11]), int(a[12]), int(a[13]), batch_.weights + a[14]};
    }

    void pack_weights(const int64_t* instruction, int64_t num_instructions) {
        Stopwatch watch;
        packed_.assign(num_instructions, {});
        for (int64_t i = 0; i < num_instructions; i++, instruction += instruction[0])
            if (instruction[1] == CONVOLVE) {
                const Convolution op = convolution(instruction + 1);
                const Planes out = batch_.planes(instruction[4], 0);
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
                const Planes in = batch_.planes(a[1], block, a[2]), out = batch_.planes(a[3], block);
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
                const Planes in = batch_.planes(a[1], block, a[2]), out = batch_.planes(a[3], block);
                const int channels = int(batch_.tensors[a[3]].channels);
                zero_padding(out, 0, channels);
                row_buffer_.reserve((in.width + 2 * (a[0] == SHIFT ? 0 : a[6])) * LANES);
                float* row = row_buffer_.data();
                if (a[0] == AVERAGE_POOL) pool<false>(in, out, channels, int(a[4]), int(a[5]), int(a[6]), row);
                if (a[0] == MAXIMUM_POOL) pool<true>(in, out, channels, int(a[4]), int(a[5]), int(a[6]), row);
                if (a[0] == SHIFT) shift(in, out, channels);
                if (Moments* moments = moments_of(a[3])) add_moments(out, 0, channels, moments);
                return STAGE_POOL;
            }
            default: {
                const double seconds = combiner_.execute(a, block);
                seconds_[STAGE_COVARIANCE] += seconds;
                seconds_[STAGE_COMBINE] -= seconds;
                for (const int64_t place : {4, 6})
                    if (a[place] >= 0 && moments_of(a[place]))
                        add_moments(batch_.planes(a[place], block), int(a[place + 1]), int(a[1]), moments_of(a[place]));
                return STAGE_COMBINE;
            }
        }
    }

    void finish_statistics(const int64_t* instruction, int64_t num_instructions) {
        for (int64_t i = 0; i < num_instructions; i++, instruction += instruction[0]) {
            const int64_t* a = instruction + 1;
            if (a[0] == COMBINE) {
                if (a[4] >= 0) finish_statistics(batch_.tensors[a[4]], a[5], a[1]);
                if (a[6] >= 0) finish_statistics(batch_.tensors[a[6]], a[7], a[1]);
            } else {
                finish_statistics(batch_.tensors[a[3]], 0, batch_.tensors[a[3]].channels);
            }
        }
    }

    void finish_statistics(const Tensor& t, int64_t offset, int64_t channels) {
        if (t.statistics < 0) return;
        const double count = double(batch_.num_images) * double(t.height * t.width);
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

    // Adds the products of values that had to be kept until all pieces of their tensor were computed.
    void add_kept_values(int64_t number, int block) {
        const Codes& codes = batch_.codes[number];
        if (codes.kept < 0) return;
        Stopwatch watch;
        sums_[number].add_products_of(batch_.kept_values(codes, block), codes.precise, codes.kept_pairs, int(codes.kept_pairs));
        seconds_[STAGE_COVARIANCE] += watch.lap();
    }

    // Computes the results of a coded tensor once all of it has been computed.
    void finish_codes(int64_t number) {
        const Codes& codes = batch_.codes[number];
        const Results& results = batch_.results;
        Stopwatch watch;
        add_codes(codes);
        seconds_[STAGE_GRAM] += watch.lap();
        if (results.patterns) {
            const Mask* masks = batch_.masks_at(number, 0, 0);
            const auto mark = [&](int64_t unit, uint8_t* bits) { bits[masks[unit] / 8] |= uint8_t(1 << (masks[unit] % 8)); };
            int64_t unit = 0;
            for (; unit + 1 < codes.units; unit += 2) {
                mark(unit, results.patterns);
                mark(unit + 1, results.patterns + PATTERN_BYTES);
            }
            if (unit < codes.units) mark(unit, results.patterns);
            seconds_[STAGE_PATTERNS] += watch.lap();
        }
        if (results.covariances) {
            sums_[number].write_covariance(double(batch_.num_images) * double(codes.pixels), results.covariances + codes.covariance);
            sums_[number] = ChannelSums();
            seconds_[STAGE_COVARIANCE] += watch.lap();
        }
        if (results.correlations && codes.first >= 0) {
            correlate(batch_.values + codes.first, int(codes.channels), int(codes.pixels), results.correlations + codes.correlation);
            seconds_[STAGE_CORRELATION] += watch.lap();
        }
    }

    void add_codes(const Codes& codes) {
        const int64_t units = Batch::padded_units(codes), stride = units / 64;
        const int n = batch_.num_images;
        words_.resize(size_t(batch_.num_blocks) * LANES * stride);
        for (int block = 0; block < batch_.num_blocks; block++) {
            Mask* masks = batch_.masks + codes.base + block * units;
            std::memset(masks + codes.units, 0, (units - codes.units) * sizeof(Mask));
            transpose_masks(masks, units, words_.data() + size_t(block) * LANES * stride, stride);
        }
        const Results& results = batch_.results;
        int32_t* own = results.tensor_kernels ? results.tensor_kernels + codes.number * n * n : nullptr;
        add_agreements(words_.data(), stride, codes.units, n, codes.multiplicity, codes.num_relus, results.published, results.paper, own);
    }
};

}  // namespace naswot

// Runs an encoded program on a batch of n images.
//
// `images` is tensor 0, laid out like the others. All memory is aligned to 64 bytes. `results` says which results are wanted and
// where they go. The seconds that each stage takes are added to `seconds`. Returns 0, or 1 if there is not enough memory.
extern "C" int naswot_run(const int64_t* program, int64_t n, const float* images, const float* weights, float* arena, uint16_t* masks,
                          float* values, const naswot::Results* results, double* seconds) {
    try {
        naswot::Batch batch{};
        batch.num_images = int(n);
        batch.num_blocks = int((n + naswot::LANES - 1) / naswot::LANES);
        batch.images = images;
        batch.weights = weights;
        batch.arena = arena;
        batch.masks = masks;
        batch.values = values;
        batch.results = *results;
        naswot::Run(program, batch, seconds).execute();
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}

// Returns how many floats of memory a pair of pixels takes (pairs.h).
extern "C" int64_t naswot_pair_floats() { return naswot::pair_floats(false); }

// Computes log det of kernels, shape (count, n, n), reading the lower triangle of each. Where `trusted` becomes 0, kernel.py has
// to compute it instead.
extern "C" int naswot_log_dets(const int32_t* kernels, int64_t count, int64_t n, double* log_dets, uint8_t* trusted) {
    try {
        naswot::find_log_dets(kernels, count, int(n), log_dets, trusted);
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}

// Eigenvalues of symmetric matrices, given by their lower triangles, one after the other; not numbers for those of more rows
// than `most`.
extern "C" int naswot_eigenvalues(const double* lower, const int64_t* sizes, int64_t count, int64_t most, double* eigenvalues) {
    try {
        naswot::find_eigenvalues(lower, sizes, count, most, eigenvalues);
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}

// Draws uniform weights as philox.py does. `scale` is the bound times philox.UNIFORM_UNIT.
extern "C" void naswot_draw_uniform(uint64_t key0, uint64_t key1, uint64_t stream, int64_t count, float scale, float* drawn) {
    naswot::draw<int32_t>({key0, key1}, stream, count, [=](const int32_t* pieces, int64_t first, int64_t there) {
        for (int64_t i = 0; i < there; i++) drawn[first + i] = float((pieces[i] >> 7) | 1) * scale;
    });
}

// Draws normal weights as philox.py does, times `scale`. `quantiles` has 2^16 entries, one for each value of 16 bits.
extern "C" void naswot_draw_normal(uint64_t key0, uint64_t key1, uint64_t stream, int64_t count, float scale, const float* quantiles,
                                   float* drawn) {
    naswot::draw<uint16_t>({key0, key1}, stream, count, [=](const uint16_t* pieces, int64_t first, int64_t there) {
        for (int64_t i = 0; i < there; i++) drawn[first + i] = quantiles[pieces[i]] * scale;
    });
}

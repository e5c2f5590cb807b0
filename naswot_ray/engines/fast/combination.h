// A combination adds tensors up and computes everything else that depends on the sum on the way. combine.h handles one row of it.
#pragma once

#include <algorithm>
#include <vector>

#include "combine.h"
#include "passes.h"
#include "program.h"
#include "values.h"

namespace naswot {

// Executes combinations, one block of images after the other.
//
// Words of an instruction:
//   [1..3]    channels, height, width
//   [4..9]    three places, each as index and first channel: the total, the rectified total, the codes (index -1: not wanted)
//   [10, 11]  pixels of a band, number of terms
//   then five for each term: tensor, first channel, flags, index of its codes (-1: none), first channel of these codes
class Combiner {
    const Batch& batch_;
    const std::vector<float>&mean_, &scale_;  // one entry for each normalised channel
    std::vector<ChannelSums>& sums_;          // one entry for each coded tensor
    AlignedFloats row_buffer_, first_row_;
    std::vector<RowTerm> row_terms_;

    // Where the values of a term, or of the total, go if they have codes.
    struct Target {
        int64_t codes = -1, offset = 0;  // index of the codes, and their first channel that is written here
        bool kept = false;               // whether all values are kept, or only those of one band
        float* pairs = nullptr;          // pairs of the first channel; null if not wanted
        ptrdiff_t channel = 0;           // pairs from a channel to the next
        bool centred = false;            // whether there is a centre; without one the sum of values is not needed
        RowValues row{};
    };

    // One combination on one block of images.
    struct Work {
        int channels, height, width, block;
        int64_t num_terms;
        const int64_t *codes, *terms;
        Planes total{}, rectified{};
        bool has_total, has_rectified, flat = true;
        std::vector<Planes> sources;
        LaneBits present;

        const int64_t* term(int64_t t) const { return terms + 5 * t; }
        // Index and first channel of the codes of term t; t = num_terms means the total.
        const int64_t* codes_of(int64_t t) const { return t < num_terms ? term(t) + 3 : codes; }
        bool has_flag(int64_t t, Flag flag) const { return t < num_terms && (term(t)[2] & flag); }
    };

public:
    Combiner(const Batch& batch, const std::vector<float>& mean, const std::vector<float>& scale, std::vector<ChannelSums>& sums,
             int64_t longest_row)
        : batch_(batch), mean_(mean), scale_(scale), sums_(sums) {
        row_buffer_.reserve(size_t(longest_row) * LANES);
        first_row_.reserve(size_t(longest_row) * LANES);
    }

    // Returns the seconds spent on products of values, so that the caller can book them as covariance.
    double execute(const int64_t* a, int block) {
        Work work;
        work.block = block;
        work.channels = int(a[1]), work.height = int(a[2]), work.width = int(a[3]);
        work.codes = a + 8;
        work.num_terms = a[11];
        work.terms = a + 12;
        work.has_total = a[4] >= 0;
        work.has_rectified = a[6] >= 0;
        if (work.has_total) work.total = open_target(work, a[4], a[5]);
        if (work.has_rectified) work.rectified = open_target(work, a[6], a[7]);
        for (int64_t t = 0; t < work.num_terms; t++) {
            work.sources.push_back(batch_.planes(work.term(t)[0], block, work.term(t)[1]));
            work.flat &= work.sources[t].padding == 0;
        }
        for (int i = 0; i < LANES; i++) work.present[i] = block * LANES + i < batch_.num_images ? -1 : 0;
        const Results& results = batch_.results;
        if (results.covariances || (results.correlations && block == 0)) return combine_bands(work, int(a[10]));
        combine_all(work);
        return 0;
    }

private:
    Planes open_target(Work& work, int64_t tensor, int64_t offset) {
        const Planes planes = batch_.planes(tensor, work.block, offset);
        zero_padding(planes, 0, work.channels);
        work.flat &= planes.padding == 0;
        return planes;
    }

    // Fills row_terms_ for the row of channel c that begins at (y, x), without codes.
    void set_terms(const Work& work, int c, int y, int x) {
        row_terms_.resize(work.num_terms);
        for (int64_t t = 0; t < work.num_terms; t++) {
            const int64_t* term = work.term(t);
            RowTerm& row = row_terms_[t];
            const bool normalised = work.has_flag(t, NORMALISED);
            const int64_t channel = normalised ? batch_.tensors[term[0]].statistics + term[1] + c : 0;
            row.x = work.sources[t].at(c, y, x);
            row.mean = broadcast(normalised ? mean_[channel] : 0.0f);
            row.scale = broadcast(normalised ? scale_[channel] : 1.0f);
            row.floor = broadcast(term[2] & RECTIFIED ? 0.0f : -std::numeric_limits<float>::infinity());
            row.codes = nullptr;
            row.values = nullptr;
        }
    }

    // Fills row_terms_ with codes, and returns where the results go.
    RowTargets set_row(const Work& work, int c, int y, int x) {
        set_terms(work, c, y, x);
        const int64_t unit = (int64_t(c) * work.height + y) * work.width + x, plane = int64_t(work.height) * work.width;
        const auto masks = [&](const int64_t* place) { return batch_.masks_at(place[0], place[1] * plane + unit, work.block); };
        for (int64_t t = 0; t < work.num_terms; t++) row_terms_[t].codes = masks(work.codes_of(t));
        return RowTargets{work.has_total ? work.total.at(c, y, x) : nullptr, work.has_rectified ? work.rectified.at(c, y, x) : nullptr,
                          masks(work.codes), nullptr};
    }

    void combine_all(const Work& work) {
        const int rows = work.flat ? 1 : work.height, length = work.flat ? work.height * work.width : work.width;
        for (int c = 0; c < work.channels; c++)
            for (int y = 0; y < rows; y++) {
                const RowTargets to = set_row(work, c, y, 0);
                combine_row<false>(row_terms_, to, length, work.present, row_buffer_.data());
            }
    }

    // Works band by band: computes `band` pixels of all channels, then multiplies them by each other while they are in the cache.
    double combine_bands(Work& work, int band) {
        std::vector<Target> targets;  // one for each term, then one for the total
        for (int64_t t = 0; t <= work.num_terms; t++) {
            targets.push_back(target(work, t));
            // All pieces of a tensor must pair the same pixels.
            work.flat &= !targets[t].kept || work.width % 2 == 0;
        }
        const int rows = work.flat ? 1 : work.height, length = work.flat ? work.height * work.width : work.width;
        const int band_rows = work.flat ? 1 : std::max(1, band / length), band_length = work.flat ? std::min(band, length) : length;
        double seconds = 0;
        for (int top = 0; top < rows; top += band_rows)
            for (int left = 0; left < length; left += band_length) {
                const int bottom = std::min(rows, top + band_rows), right = std::min(length, left + band_length);
                const int row_pairs = (right - left + 1) / 2, band_pairs = (bottom - top) * row_pairs;
                for (Target& target : targets)
                    if (!target.kept) target.channel = band_pairs;
                for (int c = 0; c < work.channels; c++)
                    for (int y = top; y < bottom; y++) {
                        RowTargets to = set_row(work, c, y, left);
                        for (int64_t t = 0; t <= work.num_terms; t++) {
                            Target& target = targets[t];
                            const int pair = target.kept ? y * row_pairs + left / 2 : (y - top) * row_pairs;
                            RowValues* values = begin_row(work, target, c, y * work.width + left, pair);
                            (t < work.num_terms ? row_terms_[t].values : to.values) = values;
                        }
                        combine_row<true>(row_terms_, to, right - left, work.present, row_buffer_.data());
                        for (const Target& target : targets)
                            if (target.pairs && target.centred)
                                sums_[target.codes].values[target.offset + c].add(target.row.sum);
                    }
                Stopwatch watch;
                for (const Target& target : targets)
                    if (target.pairs && !target.kept)
                        sums_[target.codes].add_products_of(target.pairs, target.row.precise, target.channel, band_pairs);
                seconds += watch.lap();
            }
        return seconds;
    }

    // Where the values of term t go; t = num_terms means the total.
    Target target(const Work& work, int64_t t) {
        Target target;
        target.codes = work.codes_of(t)[0];
        target.offset = work.codes_of(t)[1];
        if (target.codes < 0) return target;
        const Codes& codes = batch_.codes[target.codes];
        const bool positive = work.has_flag(t, POSITIVE);
        target.row.floor = broadcast(positive ? 0.0f : -std::numeric_limits<float>::infinity());
        // A normalised channel already has the mean 0.
        target.centred = !work.has_flag(t, NORMALISED) || positive;
        if (!batch_.results.covariances) return target;
        target.kept = codes.kept >= 0;
        target.row.precise = codes.precise;
        target.channel = codes.kept_pairs;
        target.pairs = target.kept ? batch_.kept_values(codes, work.block) + target.offset * codes.kept_pairs * pair_floats(codes.precise)
                                   : batch_.values + t * batch_.band_floats;
        if (sums_[target.codes].values.empty()) sums_[target.codes] = ChannelSums(int(codes.channels));
        if (work.block == 0 && !work.has_flag(t, NORMALISED)) find_centres(work, t, sums_[target.codes].centres.data() + target.offset);
        return target;
    }

    // Points a target at the row of channel c that begins at `pixel`, whose first pair has the number `pair`.
    RowValues* begin_row(const Work& work, Target& target, int c, int pixel, int pair) {
        if (target.codes < 0) return nullptr;
        const Codes& codes = batch_.codes[target.codes];
        RowValues& row = target.row;
        row.pairs = target.pairs ? target.pairs + (c * target.channel + pair) * pair_floats(row.precise) : nullptr;
        row.sum = Lanes{};
        row.centre = target.pairs ? (Lanes)((LaneBits)broadcast(sums_[target.codes].centres[target.offset + c]) & work.present) : Lanes{};
        row.first = !batch_.results.correlations || codes.first < 0 || work.block > 0
                        ? nullptr
                        : batch_.values + codes.first + (target.offset + c) * first_image_stride(codes.pixels) + pixel;
        return &row;
    }

    // Estimates the mean of each channel of term t (or of the total) by the mean of its first row. Values less such a centre are
    // small, so that rounding them loses little.
    void find_centres(const Work& work, int64_t t, float* centres) {
        for (int c = 0; c < work.channels; c++) {
            set_terms(work, c, 0, 0);
            const float* row = first_row_.data();
            if (t < work.num_terms)
                row = row_terms_[t].x;
            else
                combine_row<false>(row_terms_, RowTargets{first_row_.data(), nullptr, nullptr, nullptr}, work.width, work.present,
                                   row_buffer_.data());
            Lanes sum = {};
            int num_present = 0;
            for (int x = 0; x < work.width; x++) sum += load(row + x * LANES);
            for (int lane = 0; lane < LANES; lane++) num_present += work.present[lane] & 1;
            centres[c] = float(sum_of_lanes((Lanes)((LaneBits)sum & work.present)) / (num_present * work.width));
        }
    }
};

}  // namespace naswot

// Statistics of the values of a tensor that ReLUs read: the covariance of its channels over all images and pixels, and their
// correlation over the pixels of the first image.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "products.h"

namespace naswot {

inline double sum_of_lanes(Lanes v) {
    double sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += double(v[lane]);
    return sum;
}

// A sum in double precision, lane by lane.
struct LaneSums {
    double lanes[LANES] = {};

    void add(Lanes row) {
        for (int lane = 0; lane < LANES; lane++) lanes[lane] += double(row[lane]);
    }
    double total() const { return std::accumulate(lanes, lanes + LANES, 0.0); }
};

// Sums of a tensor's values and of their products. A centre has been subtracted from each channel's values.
struct ChannelSums {
    std::vector<double> products;
    std::vector<LaneSums> values;
    std::vector<float> centres;

    explicit ChannelSums(int channels = 0) : products(ProductTiles(channels).num_sums()), values(channels), centres(channels) {}

    // Adds the products of all channels over `length` pairs of pixels. The pairs of the next channel begin `channel` pairs later.
    void add_products_of(const float* pairs, bool precise, ptrdiff_t channel, int length) {
        const int channels = int(values.size());
        if (precise)
            naswot::add_products_of(reinterpret_cast<const Lanes*>(pairs), 2 * channel, channels, 2 * length, products.data());
        else
            naswot::add_products_of(reinterpret_cast<const Pair*>(pairs), channel, channels, length, products.data());
    }

    // Writes the lower triangle of the covariance. `count`: how many values a channel has.
    void write_covariance(double count, double* lower) const {
        std::vector<double> totals;
        for (const LaneSums& sums : values) totals.push_back(sums.total());
        for_each_product(products.data(), int(values.size()), [&](int i, int j, double sum) {
            *lower++ = (sum - totals[i] * totals[j] / count) / count;
        });
    }
};

// Returns the floats from a channel of the first image to the next, a whole number of vectors.
inline ptrdiff_t first_image_stride(int64_t pixels) { return (pixels + LANES - 1) / LANES * LANES; }

// Writes the lower triangle of the correlation of channels. A constant channel has the correlation 0 with every channel, itself
// included. Destroys the values.
inline void correlate(float* values, int channels, int pixels, double* lower) {
    const ptrdiff_t stride = first_image_stride(pixels);
    std::vector<bool> constant(channels);
    for (int c = 0; c < channels; c++) {
        float* channel = values + c * stride;
        std::fill(channel + pixels, channel + stride, channel[0]);
        Lanes sum = {};
        LaneBits differs = {};
        for (ptrdiff_t p = 0; p < stride; p += LANES) {
            sum += load(channel + p);
            differs |= load(channel + p) != channel[0];
        }
        int32_t some = 0;
        for (int lane = 0; lane < LANES; lane++) some |= differs[lane];
        constant[c] = some == 0;
        const double padding = double(stride - pixels) * double(channel[0]);
        const Lanes mean = broadcast(float((sum_of_lanes(sum) - padding) / pixels));
        for (ptrdiff_t p = 0; p < stride; p += LANES) store(channel + p, load(channel + p) - mean);
        std::fill(channel + pixels, channel + stride, 0.0f);
    }
    std::vector<double> products(ProductTiles(channels).num_sums()), scale(channels);
    const int length = int(stride / LANES);
    add_products_of(reinterpret_cast<const Lanes*>(values), length, channels, length, products.data());
    for_each_product(products.data(), channels, [&](int i, int j, double sum) {
        if (i == j) scale[i] = constant[i] ? 0 : 1 / std::sqrt(sum);
    });
    for_each_product(products.data(), channels, [&](int i, int j, double sum) { *lower++ = sum * scale[i] * scale[j]; });
}

}  // namespace naswot

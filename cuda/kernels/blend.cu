// Front-to-back blending: a tile a block, a pixel a thread.
//   GABORSPLAT_BYTES  write the first 3 channels over the background as bytes, and nothing else
#include "tile.h"

#ifndef GABORSPLAT_BYTES
#define GABORSPLAT_BYTES 0
#endif

GABORSPLAT_BEGIN

/// M splats, D channels, F numbers of modulation.
struct BlendArguments {
    const S* means2d;               // [M, 2]
    const S* conics;                // [M, 3]
    const S* opacities;             // [M]
    const S* cutoffs;               // [M]
    const S* colors;                // [M, D]
    const S* screen;                // [M, F]
    const std::int32_t* splat_ids;  // [instances] by tile, then by depth
    const std::int64_t* offsets;    // [tiles + 1] into splat_ids
    S* image;                       // [C, height, width, D]
    S* transmittance;               // [C, height, width]
    std::uint8_t* bytes;            // [C, height, width, 3] 255 for 1
    S alpha_min;
    S alpha_max;
    S transmittance_min;
    S background_red;
    S background_green;
    S background_blue;
    int width;
    int height;
};

HD void store_bytes(const BlendArguments& p, std::int64_t pixel, const S* image, S transmittance) {
    const S background[3] = {p.background_red, p.background_green, p.background_blue};
    for (int k = 0; k < 3; ++k) {
        S color = fma_(transmittance, background[k], image[k]);
        color = min_(max_(color, S(0)), S(1));
        p.bytes[3 * pixel + k] = std::uint8_t(fma_(color, S(255), S(0.5)));
    }
}

constexpr int kBatch = fitting_batch(kTileThreads, int(sizeof(S)) * (kRecord + 2) + 4);

static_assert(kTileThreads == 256, "the launch bounds below");

KERNEL(blend, BlendArguments, 256) {
    SHARED(S, records, kRecord * kBatch);
    SHARED(S, slopes, 2 * kBatch);
    SHARED(std::int32_t, ids, kBatch);
    using Record = RecordView<decltype(records)>;
    const Place place = find_place(p.width, p.height);
    const Thresholds<S> limits = {p.alpha_min, p.alpha_max, p.transmittance_min};
    const int thread = int(threadIdx.x);
    Vec2<S> pixel = pixel_of(place);
    S transmittance = S(1), image[kChannels] = {};
    for (std::int64_t begin = p.offsets[place.tile], end = p.offsets[place.tile + 1]; begin < end;
         begin += kBatch) {
        // Nobody overwrites the batch before all have done with the last one.
        if (!__syncthreads_or(is_open(pixel))) break;
        int count = int(end - begin < kBatch ? end - begin : kBatch);
        if (thread < count) {
            ids[thread] = p.splat_ids[begin + thread];
            load_record(p, p.splat_ids[begin + thread], thread, records, slopes);
        }
        __syncthreads();
        for (int group = 0; group < count; group += int(kWarp)) {
            if (!__any_sync(kAllLanes, is_open(pixel))) break;
            for (unsigned left = touching(place, group, count, records, slopes); left != 0;) {
                int at = group + take_first(left);
                Record record(records, at);
                Reach reach;
                if (!reaches(record, pixel, reach)) continue;
                S alpha = find_alpha(record, pixel, reach).raw_alpha;
                Contribution<S> c = composite(alpha, transmittance, true, limits);
                if (c.blended) {
                    ColorView<Record> colors(record, p.colors, kCachedColors > 0 ? 0 : ids[at]);
                    transmittance = c.next;
#pragma unroll
                    for (int k = 0; k < kChannels; ++k)
                        image[k] = fma_(c.weight, colors[k], image[k]);
                } else if (c.counts) {
                    close(pixel);
                }
            }
        }
    }
    if (!place.inside) return;
#if GABORSPLAT_BYTES
    store_bytes(p, place.pixel, image, transmittance);
#else
    for (int k = 0; k < kChannels; ++k) p.image[kChannels * place.pixel + k] = image[k];
    p.transmittance[place.pixel] = transmittance;
#endif
}

GABORSPLAT_END

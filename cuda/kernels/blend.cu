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

// Splats that a block takes at a time: static shared memory ends at 48 KB.
constexpr int kBytesOfSplat = int(sizeof(S)) * kRecordFields + 4;
constexpr int kBatch = kBytesOfSplat * kTileThreads <= 49152 ? kTileThreads : kTileThreads / 2;

static_assert(kTileThreads == 256, "the launch bounds below");

KERNEL(blend, BlendArguments, 256) {
    SHARED(S, records, kRecordFields * kBatch);
    SHARED(std::int32_t, ids, kBatch);
    const Place place = find_place(p.width, p.height);
    const Thresholds<S> limits = {p.alpha_min, p.alpha_max, p.transmittance_min};
    const int thread = int(threadIdx.x);
    bool open = place.inside;
    S transmittance = S(1), image[kChannels] = {};
    for (std::int64_t begin = p.offsets[place.tile], end = p.offsets[place.tile + 1]; begin < end;
         begin += kBatch) {
        // Nobody overwrites the batch before all have done with the last one.
        if (!__syncthreads_or(open)) break;
        int count = int(end - begin < kBatch ? end - begin : kBatch);
        if (thread < count) {
            ids[thread] = p.splat_ids[begin + thread];
            load_record(p, p.splat_ids[begin + thread], kBatch, thread, records);
        }
        __syncthreads();
        for (int group = 0; group < count; group += int(kWarp)) {
            if (!__any_sync(kAllLanes, open)) break;
            int mine = group + int(lane_number());
            bool touched =
                mine < count && RecordView<decltype(records)>{records, kBatch, mine}.touches(place);
            unsigned left = __ballot_sync(kAllLanes, touched);
            for (; left != 0; left &= left - 1) {
                int at = group + __ffs(int(left)) - 1;
                RecordView<decltype(records)> record = {records, kBatch, at};
                PixelAlpha alpha;
                if (!open || !find_alpha(record, place, alpha)) continue;
                Contribution<S> c = composite(alpha.raw_alpha, transmittance, open, limits);
                open = still_open(open, c.counts, c.blended);
                if (!c.blended) continue;
                transmittance = c.next;
#pragma unroll
                for (int k = 0; k < kChannels; ++k)
                    image[k] = fma_(c.weight, record.color(p.colors, ids[at], k), image[k]);
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

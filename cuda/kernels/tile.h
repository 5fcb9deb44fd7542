// A tile of the image: a block of threads, whose warps have 8 x 4 pixels each, a pixel a lane.
#pragma once

#include "../math/compositing.h"
#include "device.h"

GABORSPLAT_BEGIN

constexpr int kTileThreads = kTileSize * kTileSize;
constexpr int kTileWarps = kTileThreads / int(kWarp);
constexpr int kPatchWidth = 8, kPatchHeight = 4;  // [px] of a warp
constexpr int kPatchesAcross = kTileSize / kPatchWidth;

/// Where this block, this warp and this thread stand.
struct Place {
    int tile, camera;
    int patch_x, patch_y;  // first pixel of the warp
    int x, y;              // pixel
    bool inside;           // the image
    std::int64_t pixel;    // among those of all cameras
};

HD Place find_place(int width, int height) {
    int across = tiles_along(width), tiles = across * tiles_along(height);
    Place place;
    place.tile = int(blockIdx.x);
    place.camera = place.tile / tiles;
    int in_camera = place.tile % tiles, warp = int(threadIdx.x / kWarp), lane = int(lane_number());
    place.patch_x = in_camera % across * kTileSize + warp % kPatchesAcross * kPatchWidth;
    place.patch_y = in_camera / across * kTileSize + warp / kPatchesAcross * kPatchHeight;
    place.x = place.patch_x + lane % kPatchWidth;
    place.y = place.patch_y + lane / kPatchWidth;
    place.inside = place.x < width && place.y < height;
    place.pixel = (std::int64_t(place.camera) * height + place.y) * width + place.x;
    return place;
}

// What the walk needs to know of a splat: numbers that lie in shared memory one after another for
// all splats of a batch, so that lanes which look at splats side by side meet no bank twice.
constexpr int kCachedColors = kChannels <= 4 ? kChannels : 0;  // more are read where they are
enum RecordField {
    kMeanX,
    kMeanY,
    kPeak,
    kXX,
    kXY,
    kYY,
    kDrop,  // no pixel where log_alpha is this far under its peak gets alpha_min
    kSlopeX,
    kSlopeY,
    kColor,
    kScreenFields = kColor + kCachedColors,
    kRecordFields = kScreenFields + Kind::kScreen
};

/// The splats of a blend; `Arguments` of both kernels have these fields.
template <class Arguments, class Records>
HD void load_record(const Arguments& p, std::int64_t splat, int batch, int at, Records& records) {
    const S* c = p.conics + 3 * splat;
    Sym2<S> conic = {c[0], c[1], c[2]};
    LogAlpha<S> f = log_alpha(conic, p.opacities[splat]);
    Vec2<S> slope = ridge_slopes(conic);
    records[kMeanX * batch + at] = p.means2d[2 * splat];
    records[kMeanY * batch + at] = p.means2d[2 * splat + 1];
    records[kPeak * batch + at] = f.peak;
    records[kXX * batch + at] = f.xx;
    records[kXY * batch + at] = f.xy;
    records[kYY * batch + at] = f.yy;
    records[kDrop * batch + at] = S(kLog2E) * p.cutoffs[splat];
    records[kSlopeX * batch + at] = slope.x;
    records[kSlopeY * batch + at] = slope.y;
    for (int k = 0; k < kCachedColors; ++k)
        records[(kColor + k) * batch + at] = p.colors[kChannels * splat + k];
    for (int k = 0; k < Kind::kScreen; ++k)
        records[(kScreenFields + k) * batch + at] = p.screen[Kind::kScreen * splat + k];
}

/// One splat of the batch in shared memory.
template <class Records>
struct RecordView {
    Records& records;
    int batch, at;

    HD S get(int field) const { return records[field * batch + at]; }
    HD Vec2<S> mean() const { return {get(kMeanX), get(kMeanY)}; }
    HD LogAlpha<S> log_alpha() const { return {get(kPeak), get(kXX), get(kXY), get(kYY)}; }
    HD S drop() const { return get(kDrop); }

    /// Whether it may touch the pixels of a warp.
    HD bool touches(const Place& place) const {
        Vec2<S> low = Vec2<S>{S(place.patch_x) + S(0.5), S(place.patch_y) + S(0.5)} - mean();
        Vec2<S> high = low + Vec2<S>{S(kPatchWidth - 1), S(kPatchHeight - 1)};
        return highest(log_alpha(), Vec2<S>{get(kSlopeX), get(kSlopeY)}, low, high) >= -drop();
    }
    HD S color(const S* colors, std::int64_t splat, int k) const {
        return kCachedColors > 0 ? get(kColor + k) : colors[kChannels * splat + k];
    }
    HD void screen(S* out) const {
        for (int k = 0; k < Kind::kScreen; ++k) out[k] = get(kScreenFields + k);
    }
};

/// Opacity times envelope, and times modulation, of a splat at a pixel.
struct PixelAlpha {
    Vec2<S> d;  // from the mean
    S envelope, raw_alpha;
    Kind::Waves<S> waves;
};

/// False where it is too faint to be seen, whatever the modulation: found before any exponential.
template <class Record>
HD bool find_alpha(const Record& record, const Place& place, PixelAlpha& out) {
    Vec2<S> pixel = {S(place.x) + S(0.5), S(place.y) + S(0.5)};
    LogAlpha<S> f = record.log_alpha();
    out.d = pixel - record.mean();
    S power = quadratic(f, out.d);
    if (!(power >= -record.drop())) return false;
    out.envelope = out.raw_alpha = exp2_(f.peak + power);
    if (Kind::kWaves > 0) {
        S screen[Kind::kScreen > 0 ? Kind::kScreen : 1];
        record.screen(screen);
        out.waves = Kind::waves_at(screen, pixel);
        out.raw_alpha = out.envelope * Kind::modulation(screen, out.waves);
    }
    return true;
}

GABORSPLAT_END

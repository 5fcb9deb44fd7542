// Which splats touch which tile, front to back.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "../math/tile_extent.h"
#include "../passes/tiles.h"
#include "../threads/scratch.h"
#include "../threads/thread_pool.h"
#include "bins.h"

GABORSPLAT_BEGIN

/// Consecutive parts of `count` things, for threads to take, of at least 2^shift each. How many
/// depends on these alone.
class Parts {
  public:
    Parts(std::int64_t count, int shift) : count_(count), shift_(shift) {
        while (count > (std::int64_t(32) << shift_)) ++shift_;
    }

    std::int64_t count() const { return (count_ + size() - 1) >> shift_; }

    /// The part that holds a thing.
    std::int64_t of(std::int64_t index) const { return index >> shift_; }

    /// Calls body(part, begin, end) for every part. Parts that run at the same time lie apart:
    /// neighbours write to the same lines of cache.
    template <class Body>
    void run(const Body& body) const {
        constexpr std::int64_t kStripes = 4;
        std::int64_t stripe = (count() + kStripes - 1) / kStripes;
        parallel_for(kStripes * stripe, [&](std::int64_t i) {
            std::int64_t part = i % kStripes * stripe + i / kStripes;
            if (part < count()) body(part, part * size(), std::min(count_, (part + 1) * size()));
        });
    }

  private:
    std::int64_t size() const { return std::int64_t(1) << shift_; }

    std::int64_t count_;
    int shift_;
};

/// A splat's tiles take long enough to find that small parts are worth a thread's waking.
inline Parts parts_of_splats(std::int64_t count) { return {count, 12}; }

/// Sorting does little with an entry and waits for all threads many times.
inline Parts parts_of_entries(std::int64_t count) { return {count, 15}; }

/// Where each part of a stable counting sort puts its first entry of every key: counts[part][key]
/// become places from `next` on. Returns the place after the last.
template <class Count>
std::int64_t find_places(std::vector<Count>* counts, std::int64_t parts, std::int64_t keys,
                         std::int64_t next = 0, std::int64_t* offsets = nullptr) {
    for (std::int64_t key = 0; key < keys; ++key) {
        if (offsets) offsets[key] = next;
        for (std::int64_t part = 0; part < parts; ++part)
            next += std::exchange(counts[part][key], static_cast<Count>(next));
    }
    if (offsets) offsets[keys] = next;
    return next;
}

/// A run of tiles in one tile row that one splat touches.
struct Span {
    std::int32_t splat;
    std::int32_t tile;  // first one, counted within the camera
    std::int32_t count;
};

template <class S>
struct DepthEntry {
    // The depth's bits, whose order is that of the values since depths are positive.
    std::conditional_t<sizeof(S) == 4, std::uint32_t, std::uint64_t> key;
    std::int32_t splat;
    std::int32_t span;  // first one of the splat in its part
};

template <class S>
struct BinWorkspace {
    std::vector<DepthEntry<S>> entries, sorted;
    std::vector<std::vector<DepthEntry<S>>> found;  // by part of the splats, as the next
    std::vector<std::vector<Span>> spans;
    std::vector<std::vector<std::int32_t>> counts;  // by part of the entries, then by digit or tile
};

/// Makes `parts` hold at least `count`.
template <class T>
void at_least(std::vector<T>& parts, std::int64_t count) {
    if (static_cast<std::int64_t>(parts.size()) < count) parts.resize(count);
}

/// Radix sort by depth, of as many bits as the depths differ in.
template <class S>
void sort_by_depth(BinWorkspace<S>& work) {
    constexpr int kDigit = 13;
    constexpr std::int64_t kKeys = 1 << kDigit;
    std::vector<DepthEntry<S>>&entries = work.entries, &sorted = work.sorted;
    if (entries.size() < 2) return;
    auto [low, high] = std::minmax_element(entries.begin(), entries.end(),
                                           [](auto& a, auto& b) { return a.key < b.key; });
    auto least = low->key, range = static_cast<decltype(low->key)>(high->key - low->key);
    Parts parts = parts_of_entries(entries.size());
    at_least(work.counts, parts.count());
    sorted.resize(entries.size());
    for (unsigned shift = 0; shift < 8 * sizeof(range) && range >> shift != 0; shift += kDigit) {
        auto digit = [&](const DepthEntry<S>& e) {
            return ((e.key - least) >> shift) & (kKeys - 1);
        };
        parts.run([&](std::int64_t part, std::int64_t begin, std::int64_t end) {
            work.counts[part].assign(kKeys, 0);
            for (std::int64_t i = begin; i < end; ++i) ++work.counts[part][digit(entries[i])];
        });
        find_places(work.counts.data(), parts.count(), kKeys);
        parts.run([&](std::int64_t part, std::int64_t begin, std::int64_t end) {
            std::int32_t* place = work.counts[part].data();
            for (std::int64_t i = begin; i < end; ++i)
                sorted[place[digit(entries[i])]++] = entries[i];
        });
        std::swap(entries, sorted);
    }
}

template <class S>
class Binner {
  public:
    explicit Binner(const BinArguments<S>& p)
        : p_(p), in_(p.in), across_(tiles_along(p.in.width)), down_(tiles_along(p.in.height)) {}

    Bins run() {
        Kept<BinWorkspace<S>> work;
        Bins bins;
        std::int64_t tiles = std::int64_t(across_) * down_;
        bins.offsets = OwnedArray<std::int64_t>(in_.cameras * tiles + 1);
        bins.offsets[0] = 0;
        if (p_.slots) {
            bins.first_slot = OwnedArray<std::int64_t>(in_.cameras * in_.splats + 1);
            bins.first_slot[0] = 0;
        }
        for (std::int64_t camera = 0; camera < in_.cameras; ++camera)
            add_camera(camera, *work, bins);
        return bins;
    }

  private:
    void add_camera(std::int64_t camera, BinWorkspace<S>& work, Bins& bins) const {
        find_spans(camera, work, bins);
        sort_by_depth(work);
        Parts parts = parts_of_entries(work.entries.size());
        std::int64_t tiles = std::int64_t(across_) * down_;
        at_least(work.counts, parts.count());
        parts.run([&](std::int64_t part, std::int64_t begin, std::int64_t end) {
            work.counts[part].assign(tiles, 0);
            std::int32_t* counts = work.counts[part].data();
            for_spans(camera, work, begin, end, [&](const Span& span) {
                for (int k = 0; k < span.count; ++k) ++counts[span.tile + k];
            });
        });
        std::int64_t* offsets = bins.offsets.begin() + camera * tiles;
        std::int64_t total =
            find_places(work.counts.data(), parts.count(), tiles, offsets[0], offsets);
        if (total > std::numeric_limits<std::int32_t>::max())
            throw std::length_error("the splats touch more than 2^31 tiles");
        bins.splat_ids.grow(total);
        if (p_.slots) bins.slots.grow(total);
        // Counting sort by tile; stable, so each tile keeps the order of depth.
        parts.run([&](std::int64_t part, std::int64_t begin, std::int64_t end) {
            std::int32_t* places = work.counts[part].data();
            std::int64_t slot = 0, splat = -1;
            for_spans(camera, work, begin, end, [&](const Span& span) {
                if (p_.slots && span.splat != splat) slot = bins.first_slot[splat = span.splat];
                for (int k = 0; k < span.count; ++k) {
                    std::int64_t at = places[span.tile + k]++;
                    bins.splat_ids[at] = span.splat;
                    if (p_.slots) bins.slots[at] = static_cast<std::int32_t>(slot++);
                }
            });
        });
    }

    /// Lists the spans of every visible splat, the splats that have any, and how many tiles are in
    /// them. Counting and emitting read the same spans, so they cannot disagree.
    void find_spans(std::int64_t camera, BinWorkspace<S>& work, Bins& bins) const {
        Parts parts = parts_of_splats(in_.splats);
        at_least(work.spans, parts.count());
        at_least(work.found, parts.count());
        parts.run([&](std::int64_t part, std::int64_t begin, std::int64_t end) {
            std::vector<Span>& spans = work.spans[part];
            std::vector<DepthEntry<S>>& found = work.found[part];
            spans.clear();
            found.clear();
            for (std::int64_t i = camera * in_.splats + begin; i < camera * in_.splats + end; ++i) {
                DepthEntry<S> entry = {{}, std::int32_t(i), std::int32_t(spans.size())};
                std::int64_t tiles = in_.visible[i] == 0 ? 0 : add_spans(entry.splat, spans);
                if (p_.slots) bins.first_slot[i + 1] = tiles;
                if (tiles == 0) continue;
                std::memcpy(&entry.key, p_.depths + i, sizeof entry.key);
                found.push_back(entry);
            }
            spans.push_back({-1, 0, 0});  // ends the last splat's
        });
        work.entries.clear();
        for (std::int64_t part = 0; part < parts.count(); ++part)
            work.entries.insert(work.entries.end(), work.found[part].begin(),
                                work.found[part].end());
        if (p_.slots) {
            std::int64_t* first = bins.first_slot.begin() + camera * in_.splats;
            for (std::int64_t i = 0; i < in_.splats; ++i) first[i + 1] += first[i];
        }
    }

    /// visit(span) for all spans of the entries from `begin` to `end`.
    template <class Visit>
    void for_spans(std::int64_t camera, const BinWorkspace<S>& work, std::int64_t begin,
                   std::int64_t end, const Visit& visit) const {
        constexpr std::int64_t kAhead = 16;
        Parts splats = parts_of_splats(in_.splats);
        auto first = [&](std::int64_t i) {
            const DepthEntry<S>& entry = work.entries[i];
            return work.spans[splats.of(entry.splat - camera * in_.splats)].data() + entry.span;
        };
        for (std::int64_t i = begin; i < end; ++i) {
            const Span* ahead = first(std::min(i + kAhead, end - 1));
            __builtin_prefetch(ahead);
            const std::int32_t splat = work.entries[i].splat;
            for (const Span* span = first(i); span->splat == splat; ++span) visit(*span);
        }
    }

    /// Notes the tiles of one splat; returns their number.
    std::int64_t add_spans(std::int32_t splat, std::vector<Span>& spans) const {
        const S *mean = in_.means2d + 2 * splat, *conic = in_.conics + 3 * splat;
        const std::int32_t* radius = in_.radii + 2 * splat;
        TileExtent<double> extent({mean[0], mean[1]}, {double(radius[0]), double(radius[1])},
                                  {conic[0], conic[1], conic[2]}, in_.cutoffs[splat],
                                  in_.exact != 0, across_, down_);
        std::int64_t tiles = 0;
        extent.for_rows([&](int row, int begin, int end) {
            spans.push_back({splat, row * across_ + begin, end - begin});
            tiles += end - begin;
        });
        return tiles;
    }

    const BinArguments<S>& p_;
    const TileInputs<S>& in_;
    int across_, down_;
};

/// Splats of equal depth keep the order of their indices. Throws std::bad_alloc when the lists do
/// not fit in memory, and std::length_error when they have 2^31 entries or more.
template <class S>
Bins bin(const BinArguments<S>& params) {
    return Binner<S>(params).run();
}

GABORSPLAT_END

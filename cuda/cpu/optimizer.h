// The step of a fit: gradients of splats, and what is done along them, a block of splats at a time.
#pragma once

#include "../math/optimizer.h"
#include "../passes/launch.h"
#include "shade.h"

GABORSPLAT_BEGIN

template <class S>
void begin_step(const BeginStepArguments<S>& p) {
    decide_step(p);
}

/// Steps of Adam for numbers that lie together.
template <class S>
void step_numbers(S* __restrict__ values, S* __restrict__ avg, S* __restrict__ avg_sq,
                  const S* __restrict__ gradients, std::int64_t count, const AdamRates<S>& rates) {
    for (std::int64_t i = 0; i < count; ++i) {
        AdamState<S> next = adam({values[i], {avg[i], avg_sq[i]}}, gradients[i], rates);
        values[i] = next.value, avg[i] = next.moments.first, avg_sq[i] = next.moments.second;
    }
}

/// The same for numbers whose moments are bytes; `first` is the place of the first one in its
/// array.
template <class S>
void step_harmonics(S* __restrict__ values, std::uint8_t* __restrict__ quotients,
                    std::uint8_t* __restrict__ roots, const S* __restrict__ gradients, int count,
                    std::uint32_t first, const HarmonicStep<S>& step,
                    const MissedSteps<S>& missed) {
    for (int i = 0; i < count; ++i)
        values[i] = step_harmonic(step, missed, values[i], gradients[i], first + std::uint32_t(i),
                                  quotients[i], roots[i]);
}

template <class S>
void shade_step(const ShadeStepArguments<S>& p) {
    using V = typename Rows<S>::V;
    const ShadeInputs<S>& in = p.given.in;
    if (p.step.counters[kOpen] == 0) return;
    const int harmonics = (in.degree + 1) * (in.degree + 1), rest = 3 * (in.sh_coeffs - 1);
    Vec3<S> centre = camera_centre(in.viewmats);
    Vec3<V> position = {V(centre.x), V(centre.y), V(centre.z)};
    const auto first = harmonic_step(p.step, kSh0), others = harmonic_step(p.step, kShRest);
    auto step_splat = [&](std::int64_t i, const S* gradients) {
        step_harmonics(p.next_sh0 + 3 * i, in.late.sh0_quotients + 3 * i, p.sh0_roots + 3 * i,
                       gradients, 3, std::uint32_t(3 * i), first, missed_steps(p, i, kSh0));
        step_harmonics(p.next_sh_rest + rest * i, in.late.sh_rest_quotients + rest * i,
                       p.sh_rest_roots + rest * i, gradients + 3, 3 * (harmonics - 1),
                       std::uint32_t(rest * i), others, missed_steps(p, i, kShRest));
        in.late.last_steps[i] = std::int32_t(p.step.counters[kClock]);
    };
    for_blocks(in.splats, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
        auto wanted = [&](std::int64_t i) { return p.given.visible[i] != 0; };
        for_packs<S>(begin, end, wanted, [&](const Rows<S>& rows) {
            PackHarmonics<S> now(in, rows);
            auto v = shade_vjp(
                in.degree, rows.load3(in.means) - position, [&](int j) { return now.load(j); },
                rows.load3(p.given.colors), rows.load3(p.given.v_colors));
            rows.store(p.v_means, 3, 0, v.direction.x);
            rows.store(p.v_means, 3, 1, v.direction.y);
            rows.store(p.v_means, 3, 2, v.direction.z);
            S basis[16][V::kSize], color[3][V::kSize], gradients[48];
            for (int j = 0; j < harmonics; ++j) v.basis[j].store(basis[j]);
            v.color.x.store(color[0]);
            v.color.y.store(color[1]);
            v.color.z.store(color[2]);
            for (int lane = 0; lane < rows.count(); ++lane) {
                for (int n = 0; n < 3 * harmonics; ++n)
                    gradients[n] = basis[n / 3][lane] * color[n % 3][lane];
                step_splat(rows.splat(lane), gradients);
            }
        });
    });
}

/// The step of a block of splats.
template <class Kind, class S>
class ProjectStep {
  public:
    ProjectStep(const ProjectStepArguments<S>& p, std::int64_t begin, std::int64_t end)
        : p_(p), given_(p.given), begin_(begin), end_(end) {}

    void run(const View<typename Rows<S>::V>& view) {
        sums_.clear(0, end_ - begin_);
        auto visible = [&](std::int64_t i) { return given_.visible[i] != 0; };
        for_packs<S>(begin_, end_, visible, [&](const Rows<S>& rows) {
            GradientPack<Kind, S> v(given_, 0, rows, view);
            v.splats.mean = v.splats.mean + rows.load3(given_.v_directions);
            sums_.add(rows.within_block(), v);
        });
        for (std::int64_t i = begin_; i < end_; ++i) {
            std::int64_t row = i - begin_;
            regularize(p_, i, sums_.opacities[row], sums_.scales + 3 * row);
            if (finite(row)) continue;
            sums_.clear(row, row + 1);
            __atomic_store_n(p_.step.counters + kBroken, 1, __ATOMIC_RELAXED);
        }
        if (!p_.step.visible_only)
            step(begin_, end_);
        else
            for (std::int64_t i = begin_; i < end_; ++i)
                if (visible(i)) step(i, i + 1);
        for (std::int64_t i = begin_; i < end_; ++i) add_noise(p_, i);
    }

  private:
    static constexpr int kWaves = Kind::kWaves, kNumbers = 11 + 5 * kWaves;

    bool finite(std::int64_t row) const {
        S sum = sums_.opacities[row];  // which no number that is not bounded leaves bounded
        auto add = [&](const S* numbers, int width) {
            for (int k = 0; k < width; ++k) sum += abs_(numbers[row * width + k]);
        };
        add(sums_.means, 3);
        add(sums_.quats, 4);
        add(sums_.scales, 3);
        add(sums_.frequencies, 3 * kWaves);
        add(sums_.coefficients, 2 * kWaves);
        return bounded(sum);
    }

    /// Adam for splats from `begin` to `end`.
    void step(std::int64_t begin, std::int64_t end) {
        auto take = [&](Parameter parameter, int width, S* values, S* avg, S* avg_sq,
                        const S* gradients) {
            std::int64_t at = begin * width;
            step_numbers(values + at, avg + at, avg_sq + at, gradients + (begin - begin_) * width,
                         (end - begin) * width, adam_rates(p_.step, parameter));
        };
        take(kMeans, 3, p_.next_means, p_.means_avg, p_.means_avg_sq, sums_.means);
        take(kQuats, 4, p_.next_quats, p_.quats_avg, p_.quats_avg_sq, sums_.quats);
        take(kScales, 3, p_.next_scales, p_.scales_avg, p_.scales_avg_sq, sums_.scales);
        take(kOpacities, 1, p_.next_opacities, p_.opacities_avg, p_.opacities_avg_sq,
             sums_.opacities);
        take(kFrequencies, 3 * kWaves, p_.next_frequencies, p_.frequencies_avg,
             p_.frequencies_avg_sq, sums_.frequencies);
        take(kCoefficients, 2 * kWaves, p_.next_coefficients, p_.coefficients_avg,
             p_.coefficients_avg_sq, sums_.coefficients);
    }

    const ProjectStepArguments<S>& p_;
    const ProjectGradientInputs<S>& given_;
    std::int64_t begin_, end_;
    S numbers_[kBlock * kNumbers];
    GradientRows<S> sums_{numbers_,
                          numbers_ + 3 * kBlock,
                          numbers_ + 7 * kBlock,
                          numbers_ + 10 * kBlock,
                          numbers_ + 11 * kBlock,
                          numbers_ + (11 + 3 * kWaves) * kBlock,
                          kWaves};
};

template <class Kind, class S>
void project_step(const ProjectStepArguments<S>& p) {
    if (p.step.counters[kOpen] == 0) return;
    auto view = load_view<typename Rows<S>::V>(p.given.in, 0);
    for_blocks(p.given.in.splats, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
        ProjectStep<Kind, S>(p, begin, end).run(view);
    });
}

template <class S>
void finish_step(const FinishStepArguments<S>& p) {
    tell_step(p);
    for (int back = 1; back < kMissedSteps; ++back) miss_step(p, back);
}

template <class S>
void catch_up(const CatchUpArguments<S>& p) {
    for_blocks(p.splats, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
        for (std::int64_t at = begin * p.size; at < end * p.size; ++at)
            make_good(p, at, at / p.size);
    });
}

GABORSPLAT_END

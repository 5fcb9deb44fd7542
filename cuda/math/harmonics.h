// Real spherical harmonics up to degree 3, in the order and with the signs of 3DGS.
#pragma once

#include "dual.h"
#include "linalg.h"

GABORSPLAT_BEGIN

/// The constant harmonic, sqrt(1 / 4 pi).
constexpr double kShC0 = 0.28209479177387814;

/// Basis functions of degree 0..degree at the unit vector d: values[(degree + 1)^2]. Constants
/// are the usual normalisations, e.g. sqrt(3 / 4 pi).
template <class S>
HD void harmonics(int degree, const Vec3<S>& d, S* values) {
    const S &x = d.x, &y = d.y, &z = d.z;
    values[0] = S(kShC0);
    if (degree < 1) return;
    values[1] = S(-0.4886025119029199) * y;
    values[2] = S(0.4886025119029199) * z;
    values[3] = S(-0.4886025119029199) * x;
    if (degree < 2) return;
    S xx = x * x, yy = y * y, zz = z * z;
    values[4] = S(1.0925484305920792) * (x * y);
    values[5] = S(-1.0925484305920792) * (y * z);
    values[6] = S(0.31539156525252005) * (S(2) * zz - xx - yy);
    values[7] = S(-1.0925484305920792) * (x * z);
    values[8] = S(0.5462742152960396) * (xx - yy);
    if (degree < 3) return;
    values[9] = S(-0.5900435899266435) * (y * (S(3) * xx - yy));
    values[10] = S(2.890611442640554) * (x * y * z);
    values[11] = S(-0.4570457994644658) * (y * (S(4) * zz - xx - yy));
    values[12] = S(0.3731763325901154) * (z * (S(2) * zz - S(3) * xx - S(3) * yy));
    values[13] = S(-0.4570457994644658) * (x * (S(4) * zz - xx - yy));
    values[14] = S(1.445305721320277) * (z * (xx - yy));
    values[15] = S(-0.5900435899266435) * (x * (xx - S(3) * yy));
}

/// x, but 0 where it is negative. What is not bounded stays, for the caller to cull.
template <class S>
HD S ramp(S x) {
    return select((x < S(0)) & bounded(x), S(0), x);
}

/// Colour of a splat seen along the (not normalised) direction: 0.5 + sum_j sh_j Y_j, at least 0.
/// sh(j) gives the coefficients of the j-th harmonic.
template <class S, class Coefficients>
HD Vec3<S> shade(int degree, Vec3<S> direction, const Coefficients& sh) {
    Vec3<S> d = (S(1) / sqrt_(dot(direction, direction))) * direction;
    S basis[16];
    harmonics(degree, d, basis);
    S half = S(0.5);
    Vec3<S> color = {half, half, half};
    for (int j = 0; j < (degree + 1) * (degree + 1); ++j) color = color + basis[j] * sh(j);
    return {ramp(color.x), ramp(color.y), ramp(color.z)};
}

/// Gradient of `shade`. `color` is its result: a channel at its lower bound passes nothing.
template <class S>
struct ShadeGradient {
    Vec3<S> direction;
    Vec3<S> color;  // that of the j-th harmonic's coefficients is basis[j] times this
    S basis[16];
};
template <class S, class Coefficients>
HD ShadeGradient<S> shade_vjp(int degree, Vec3<S> direction, const Coefficients& sh, Vec3<S> color,
                              Vec3<S> v_color) {
    ShadeGradient<S> out;
    S zero = S(0);
    out.color = {select(color.x > zero, v_color.x, zero), select(color.y > zero, v_color.y, zero),
                 select(color.z > zero, v_color.z, zero)};
    S inverse = S(1) / sqrt_(dot(direction, direction));
    Vec3<S> d = inverse * direction;
    using D = Dual<S, 3>;
    D basis[16];
    harmonics(degree, Vec3<D>{D::variable(d.x, 0), D::variable(d.y, 1), D::variable(d.z, 2)},
              basis);
    Vec3<S> v_unit = {zero, zero, zero};
    for (int j = 0; j < (degree + 1) * (degree + 1); ++j) {
        out.basis[j] = basis[j].value;
        const S* g = basis[j].partial;
        v_unit = v_unit + dot(out.color, sh(j)) * Vec3<S>{g[0], g[1], g[2]};
    }
    out.direction = inverse * (v_unit - dot(v_unit, d) * d);
    return out;
}

GABORSPLAT_END

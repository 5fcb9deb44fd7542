// From a 3D covariance to the ellipse it leaves on the image (EWA splatting, Zwicker et al. 2001).
#pragma once

#include "linalg.h"

GABORSPLAT_BEGIN

/// The image of a splat's envelope. `basis` maps whitened space to pixels; every projected
/// quantity follows from it (docs/mathematics.md, 2).
template <class S>
struct Footprint {
    Mat23<S> basis;      // B = P R S [px per sigma]
    Sym2<S> covariance;  // B B^T + eps2d I [px^2]
    Sym2<S> conic;       // its inverse [px^-2]
    S determinant;       // of the covariance [px^4]
    S sharpness;         // det(B B^T) / determinant, in [0, 1]
};

template <class S>
HD Footprint<S> footprint(const Mat23<S>& basis, S eps2d) {
    Sym2<S> raw = {dot(basis.row0, basis.row0), dot(basis.row0, basis.row1),
                   dot(basis.row1, basis.row1)};
    // Cauchy-Binet: the squared minors of B. xx yy - xy^2 cancels for long thin splats, this
    // cannot, and the dilation then keeps the determinant above eps2d^2.
    Vec3<S> minors = cross(basis.row0, basis.row1);
    S raw_determinant = dot(minors, minors);
    S determinant = raw_determinant + eps2d * (raw.xx + raw.yy) + eps2d * eps2d;
    Sym2<S> covariance = {raw.xx + eps2d, raw.xy, raw.yy + eps2d};
    S inverse = S(1) / determinant;
    Sym2<S> conic = {inverse * covariance.yy, -inverse * covariance.xy, inverse * covariance.xx};
    return {basis, covariance, conic, determinant, raw_determinant * inverse};
}

/// Gradient of the footprint to its basis. `v_conic` is that of the full symmetric matrix: its xy
/// stands at both off-diagonal places.
template <class S>
HD Mat23<S> footprint_vjp(const Footprint<S>& f, Sym2<S> v_conic, S v_sharpness, S eps2d) {
    Sym2<S> v_covariance = S(-1) * sandwich(f.conic, v_conic);
    // d det(A) = tr(adj(A) dA), for the covariance with and without dilation.
    S v = v_sharpness / f.determinant;
    Sym2<S> dilated = {f.covariance.yy, -f.covariance.xy, f.covariance.xx};
    Sym2<S> raw = {dilated.xx - eps2d, dilated.xy, dilated.yy - eps2d};
    v_covariance = v_covariance + v * (raw + (-f.sharpness) * dilated);
    return (S(2) * v_covariance) * f.basis;
}

/// Mip-Splatting's factor on the opacity, so that dilation keeps a splat's total light
/// (Yu et al. 2024, eq. 9).
template <class S>
HD S compensation(S sharpness, S minimum) {
    return sqrt_(max_(sharpness, minimum));
}
template <class S>
HD S compensation_vjp(S sharpness, S minimum, S v) {
    return select(sharpness > minimum, v * S(0.5) / sqrt_(sharpness), S(0));
}

GABORSPLAT_END

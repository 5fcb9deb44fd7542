// The colour of each splat as it is seen from the eye, a pixel a splat: once, as a corner of its
// quad would have it done four times. Halves, in words.

uniform usampler2D u_geometry;
uniform usampler2D u_harmonics;  // 6 texels an entry of the palette
uniform uint u_count, u_width;
uniform vec3 u_eye;
out uvec2 words;

#if COEFFS > 0
vec3 viewDependent(uint entry, vec3 d) {
    float x = d.x, y = d.y, z = d.z, xx = x * x, yy = y * y, zz = z * z;
    float basis[16];
    basis[0] = -0.4886025119029199 * y;
    basis[1] = 0.4886025119029199 * z;
    basis[2] = -0.4886025119029199 * x;
#if COEFFS > 3
    basis[3] = 1.0925484305920792 * (x * y);
    basis[4] = -1.0925484305920792 * (y * z);
    basis[5] = 0.31539156525252005 * (2. * zz - xx - yy);
    basis[6] = -1.0925484305920792 * (x * z);
    basis[7] = 0.5462742152960396 * (xx - yy);
#endif
#if COEFFS > 8
    basis[8] = -0.5900435899266435 * (y * (3. * xx - yy));
    basis[9] = 2.890611442640554 * (x * y * z);
    basis[10] = -0.4570457994644658 * (y * (4. * zz - xx - yy));
    basis[11] = 0.3731763325901154 * (z * (2. * zz - 3. * xx - 3. * yy));
    basis[12] = -0.4570457994644658 * (x * (4. * zz - xx - yy));
    basis[13] = 1.445305721320277 * (z * (xx - yy));
    basis[14] = -0.5900435899266435 * (x * (xx - 3. * yy));
#endif
    // Eight halves a texel; r g b of the first coefficient, then of the next.
    float halves[48];
    for (int t = 0; 8 * t < 3 * COEFFS; ++t) {
        uvec4 four = texel(u_harmonics, 6u * entry + uint(t));
        for (int w = 0; w < 4; ++w) {
            vec2 two = unpackHalf2x16(four[w]);
            halves[8 * t + 2 * w] = two.x;
            halves[8 * t + 2 * w + 1] = two.y;
        }
    }
    vec3 sum = vec3(0.);
    for (int j = 0; j < COEFFS; ++j)
        sum += basis[j] * vec3(halves[3 * j], halves[3 * j + 1], halves[3 * j + 2]);
    return sum;
}
#endif

void main() {
    uint splat = uint(gl_FragCoord.y) * u_width + uint(gl_FragCoord.x);
    words = uvec2(0u);
    if (splat >= u_count) return;
    uvec4 third = texel(u_geometry, 3u * splat + 2u);
    vec3 color = vec3(unpackHalf2x16(third.x), unpackHalf2x16(third.y).x);
#if COEFFS > 0
    uvec4 first = texel(u_geometry, 3u * splat);
    color += viewDependent(first.w, normalize(uintBitsToFloat(first.xyz) - u_eye));
#endif
    color = clamp(color, 0., LARGEST_HALF);
    words = uvec2(packHalf2x16(color.rg), packHalf2x16(vec2(color.b, 0.)));
}

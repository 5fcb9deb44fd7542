// The programs of the GPU. Formulas and their order are those of docs/mathematics.md, sections 2
// and 3; numbers are float32, as in the rasterizer.

// Splats of an instance: drawing so many instances of one splat takes longer than the splats.
export const BATCH = 1024;

const HEADER = "#version 300 es\nprecision highp float;\nprecision highp int;\nprecision highp usampler2D;\n";

// What the fragment shader needs to know of a splat.
const VARYINGS = `
flat DIR vec2 v_mean;      // [px], y down
flat DIR vec4 v_envelope;  // log2 of opacity times envelope: peak + y x^2 + z x y + w y^2
flat DIR vec4 v_color;     // a: constant part of the modulation
#if WAVES > 0
flat DIR vec4 v_wave0;     // frequency [cycles/px], cosine, sine
#endif
#if WAVES > 1
flat DIR vec4 v_wave1;
#endif
#if WAVES > 2
flat DIR vec4 v_wave2;
flat DIR vec4 v_wave3;
#endif
`;

const TEXEL = `
uvec4 texel(usampler2D table, uint i) {
    uint width = uint(textureSize(table, 0).x);
    return texelFetch(table, ivec2(i % width, i / width), 0);
}
`;

const SPLAT_VERTEX = `
uniform usampler2D u_geometry;   // 3 texels a splat: draw/texels.js
uniform usampler2D u_waves;      // a texel a wave
uniform usampler2D u_colors;     // what COLOR_FRAGMENT has made
uniform vec2 u_size, u_focal, u_centre;  // [px]
uniform mat3 u_rotation;         // world to camera
uniform vec3 u_translation;
uniform float u_near, u_unit;
uniform bool u_antialiased;
uniform usampler2D u_order;      // numbers of splats, from the nearest to the farthest
uniform uint u_ordered;          // how many


mat3 rotation(vec4 q) {  // wxyz, of length 1
    float w = q.x, x = q.y, y = q.z, z = q.w;
    return mat3(1. - 2. * (y * y + z * z), 2. * (x * y + w * z), 2. * (x * z - w * y),
                2. * (x * y - w * z), 1. - 2. * (x * x + z * z), 2. * (y * z + w * x),
                2. * (x * z + w * y), 2. * (y * z - w * x), 1. - 2. * (x * x + y * y));
}

#if WAVES > 0
// Frequency on the image, and amplitudes damped by how much of the wave runs along the ray. What is
// taken from the constant part is added to rest.
vec4 projectedWave(uint i, vec3 row0, vec3 row1, vec3 conic, inout float rest, inout float peak) {
    uvec4 words = texel(u_waves, i);
    vec2 xy = unpackHalf2x16(words.x), za = unpackHalf2x16(words.y);
    float sine = unpackHalf2x16(words.z).x;
    vec3 kappa = vec3(xy, za.x);
    vec2 r = vec2(dot(row0, kappa), dot(row1, kappa));
    vec2 f = vec2(conic.x * r.x + conic.y * r.y, conic.y * r.x + conic.z * r.y);
    float damping = exp(-19.739208802178716 * max(dot(kappa, kappa) - dot(r, f), 0.));
    rest -= za.y;
    vec2 amplitude = damping * vec2(za.y, sine);
    peak += length(amplitude);
    return vec4(f, amplitude);
}
#endif

void main() {
    gl_Position = vec4(0., 0., -2., 1.);  // culled, until all guards are passed
    uint place = uint(gl_InstanceID) * BATCH + uint(gl_VertexID >> 2);
    if (place >= u_ordered) return;
    uint splat = texel(u_order, place).x;
    uvec4 first = texel(u_geometry, 3u * splat);
    vec3 mean = uintBitsToFloat(first.xyz);
    vec3 point = u_rotation * mean + u_translation;
    if (!(point.z > u_near)) return;

    uvec4 second = texel(u_geometry, 3u * splat + 1u);
    vec4 q = normalize(vec4(unpackSnorm2x16(second.x), unpackSnorm2x16(second.y)));
    vec2 scaleXY = unpackHalf2x16(second.z), scaleZAndOpacity = unpackHalf2x16(second.w);
    vec3 scale = u_unit * vec3(scaleXY, scaleZAndOpacity.x);
    float opacity = scaleZAndOpacity.y;

    // B = J W R S; slopes are held within 0.3 tan(fov/2) of the image.
    vec2 slope = clamp(point.xy / point.z, -(u_centre + 0.15 * u_size) / u_focal,
                       (1.15 * u_size - u_centre) / u_focal);
    mat3 axes = u_rotation * rotation(q);
    vec2 pixels = u_focal / point.z;
    vec3 alongX = vec3(axes[0].x, axes[1].x, axes[2].x), alongY = vec3(axes[0].y, axes[1].y, axes[2].y);
    vec3 alongZ = vec3(axes[0].z, axes[1].z, axes[2].z);
    vec3 row0 = pixels.x * (alongX - slope.x * alongZ) * scale;
    vec3 row1 = pixels.y * (alongY - slope.y * alongZ) * scale;

    float xx = dot(row0, row0), xy = dot(row0, row1), yy = dot(row1, row1);
    vec3 minors = cross(row0, row1);
    float sharp = dot(minors, minors);
    float determinant = sharp + EPS2D * (xx + yy) + EPS2D * EPS2D;
    xx += EPS2D;
    yy += EPS2D;
    vec3 conic = vec3(yy, -xy, xx) / determinant;
    if (u_antialiased) opacity *= sqrt(sharp / determinant);

    float rest = 1., peak = 0.;
#if WAVES > 0
    v_wave0 = projectedWave(uint(WAVES) * splat, row0, row1, conic, rest, peak);
#endif
#if WAVES > 1
    v_wave1 = projectedWave(uint(WAVES) * splat + 1u, row0, row1, conic, rest, peak);
#endif
#if WAVES > 2
    v_wave2 = projectedWave(uint(WAVES) * splat + 2u, row0, row1, conic, rest, peak);
    v_wave3 = projectedWave(uint(WAVES) * splat + 3u, row0, row1, conic, rest, peak);
#endif
    peak += abs(rest);
    // Where the envelope has fallen so far, nothing reaches ALPHA_MIN any more.
    float cutoff = log(opacity * peak / ALPHA_MIN) * 1.0001 + 1e-3;
    if (!(cutoff > 0.)) return;

    // A rectangle along the axes of the ellipse. The small eigenvalue by the determinant: by the
    // difference it would cancel for needles.
    float middle = 0.5 * (xx + yy), apart = 0.5 * (xx - yy);
    float large = middle + sqrt(apart * apart + xy * xy), small = determinant / large;
    vec2 axis = apart > 0. ? vec2(large - yy, xy) : vec2(xy, large - xx);
    axis = dot(axis, axis) > 0. ? normalize(axis) : vec2(1., 0.);
    vec2 corner = vec2(gl_VertexID & 1, (gl_VertexID >> 1) & 1) * 2. - 1.;
    corner *= sqrt(2. * cutoff * vec2(large, small));
    vec2 mean2d = u_focal * point.xy / point.z + u_centre;
    vec2 at = mean2d + corner.x * axis + corner.y * vec2(-axis.y, axis.x);

    uvec4 color = texel(u_colors, splat);
    v_mean = mean2d;
    v_envelope = vec4(log2(opacity), vec3(-0.5 * conic.x, -conic.y, -0.5 * conic.z) * 1.4426950408889634);
    v_color = vec4(unpackHalf2x16(color.x), unpackHalf2x16(color.y).x, rest);
    gl_Position = vec4(2. * at.x / u_size.x - 1., 1. - 2. * at.y / u_size.y, 0., 1.);
}
`;

// The colour of each splat as it is seen from the eye, a pixel a splat: once, as a corner of its
// quad would have it done four times. Halves, in words.
const COLOR_FRAGMENT = `
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
`;

const SPLAT_FRAGMENT = `
uniform float u_height;  // [px]
out vec4 pixel;

#if WAVES > 0
float wave(vec4 w, vec2 d) {
    float turns = dot(w.xy, d);
    float angle = 6.283185307179586 * (turns - round(turns));
    return w.z * cos(angle) + w.w * sin(angle);
}
#endif

void main() {
    vec2 d = vec2(gl_FragCoord.x, u_height - gl_FragCoord.y) - v_mean;
    float modulation = v_color.a;
#if WAVES > 0
    modulation += wave(v_wave0, d);
#endif
#if WAVES > 1
    modulation += wave(v_wave1, d);
#endif
#if WAVES > 2
    modulation += wave(v_wave2, d) + wave(v_wave3, d);
#endif
    float power = d.x * (v_envelope.y * d.x + v_envelope.z * d.y) + v_envelope.w * d.y * d.y;
    float alpha = min(exp2(v_envelope.x + power) * modulation, ALPHA_MAX);
    if (!(alpha >= ALPHA_MIN)) discard;
    pixel = vec4(alpha * v_color.rgb, alpha);
}
`;

const WHOLE_VERTEX = `
out vec2 v_place;
void main() {
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
    v_place = 2. * corner;
    gl_Position = vec4(4. * corner - 1., 0., 1.);
}
`;

// What was blended, over the background.
const SHOW_FRAGMENT = `
uniform sampler2D u_picture;  // a: transmittance
uniform vec3 u_background;
in vec2 v_place;
out vec4 pixel;
void main() {
    vec4 picture = texture(u_picture, v_place);
    pixel = vec4(picture.rgb + picture.a * u_background, 1.);
}
`;

const defined = (values) =>
  Object.entries(values).map(([name, value]) => `#define ${name} ${value}\n`).join("");

// Sources of the program that draws splats with so many waves. constants: EPS2D, ALPHA_MIN and
// ALPHA_MAX of the rasterizer.
export function splatSources(waves, constants) {
  const start = HEADER + defined({ ...constants, BATCH: `${BATCH}u`, WAVES: waves });
  return {
    vertex: start + VARYINGS.replaceAll("DIR", "out") + TEXEL + SPLAT_VERTEX,
    fragment: start + VARYINGS.replaceAll("DIR", "in") + SPLAT_FRAGMENT,
  };
}

// Of the program that finds colours by so many harmonics beyond the constant one.
export function colorSources(coefficients) {
  const start = HEADER + defined({ COEFFS: coefficients, LARGEST_HALF: "65504." });
  return { vertex: HEADER + WHOLE_VERTEX, fragment: start + TEXEL + COLOR_FRAGMENT };
}

export const SHOW_SOURCES = { vertex: HEADER + WHOLE_VERTEX, fragment: HEADER + SHOW_FRAGMENT };

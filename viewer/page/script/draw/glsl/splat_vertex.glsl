// Where a splat is in the picture, and what of it is seen there: a corner of its quad.

uniform usampler2D u_geometry;   // 3 texels a splat: draw/texels.js
uniform usampler2D u_waves;      // a texel a wave
uniform usampler2D u_colors;     // what color_fragment.glsl has made
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

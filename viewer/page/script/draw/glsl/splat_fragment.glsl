// A pixel of a splat.

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

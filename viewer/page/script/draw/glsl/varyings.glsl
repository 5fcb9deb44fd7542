// What the fragment shader needs to know of a splat.
flat DIRECTION vec2 v_mean;      // [px], y down
flat DIRECTION vec4 v_envelope;  // log2 of opacity times envelope: peak + y x^2 + z x y + w y^2
flat DIRECTION vec4 v_color;     // a: constant part of the modulation
#if WAVES > 0
flat DIRECTION vec4 v_wave0;     // frequency [cycles/px], cosine, sine
#endif
#if WAVES > 1
flat DIRECTION vec4 v_wave1;
#endif
#if WAVES > 2
flat DIRECTION vec4 v_wave2;
flat DIRECTION vec4 v_wave3;
#endif

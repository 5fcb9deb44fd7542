// The programs of the GPU, from the texts in glsl/. Formulas and their order are those of
// docs/mathematics.md, sections 2 and 3; numbers are float32, as in the rasterizer.

// Splats of an instance: drawing so many instances of one splat takes longer than the splats.
export const BATCH = 1024;

const HEADER = "#version 300 es\nprecision highp float;\nprecision highp int;\nprecision highp sampler2D;\nprecision highp usampler2D;\n";

const defined = (values) =>
  Object.entries(values).map(([name, value]) => `#define ${name} ${value}\n`).join("");

// Sources of programs.
export class Shaders {
  // texts: by the names of files in glsl/. constants: EPS2D, ALPHA_MIN and
  // ALPHA_MAX of the rasterizer, as text.
  constructor(texts, constants) {
    this.texts = texts;
    this.start = HEADER + defined({ ...constants, BATCH: `${BATCH}u`, LARGEST_HALF: "65504." });
  }

  // For all of a picture.
  whole(fragment) {
    return { vertex: HEADER + this.texts.whole_vertex, fragment: this.start + fragment };
  }

  // Draws splats with so many waves.
  splats(waves) {
    const { varyings, texel, splat_vertex, splat_fragment } = this.texts;
    const start = this.start + defined({ WAVES: waves });
    return {
      vertex: start + varyings.replaceAll("DIRECTION", "out") + texel + splat_vertex,
      fragment: start + varyings.replaceAll("DIRECTION", "in") + splat_fragment,
    };
  }

  // Finds colours by so many harmonics beyond the constant one.
  colors(coefficients) {
    const { texel, color_fragment } = this.texts;
    return this.whole(defined({ COEFFS: coefficients }) + texel + color_fragment);
  }

  // Shows what was blended.
  show() {
    return this.whole(this.texts.show_fragment);
  }
}

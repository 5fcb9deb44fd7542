// Small pieces of WebGL2: programs, tables of words, and the picture that is drawn into.

const WIDEST = 4096; // of tables [texels]

export class NoWebGL extends Error {}

// A linked program with the places of its uniforms.
export function program(gl, { vertex, fragment }) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
    gl.deleteShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost())
      throw new NoWebGL(`a shader does not compile: ${gl.getShaderInfoLog(shader)}`);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS) && !gl.isContextLost())
    throw new NoWebGL(`shaders do not link: ${gl.getProgramInfoLog(made)}`);
  const places = {};
  const count = gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS) ?? 0;
  for (let i = 0; i < count; i++) {
    const { name } = gl.getActiveUniform(made, i);
    places[name] = gl.getUniformLocation(made, name);
  }
  return { made, places };
}

// A texture of words, in rows of one width. Raises RangeError.
function table(gl, texels, format) {
  const most = gl.getParameter(gl.MAX_TEXTURE_SIZE);
  const width = Math.min(most, WIDEST);
  const height = Math.max(1, Math.ceil(texels / width));
  if (height > most)
    throw new RangeError(`this scene has ${texels} texels, and this GPU holds ${width * most}`);
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER])
    gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
  gl.texStorage2D(gl.TEXTURE_2D, 1, format, width, height);
  return { texture, width, height };
}

// Puts so many texels into the bound texture: whole rows, and what is left.
function upload(gl, { width }, format, words, texels, ofTexel) {
  const rows = Math.floor(texels / width);
  const parts = [[0, width, rows], [rows, texels - rows * width, 1]];
  for (const [row, columns, height] of parts)
    if (columns && height)
      gl.texSubImage2D(
        gl.TEXTURE_2D, 0, 0, row, columns, height, format, gl.UNSIGNED_INT, words,
        row * width * ofTexel);
}

// A texture of words, four a texel. Raises RangeError.
export function wordTable(gl, words) {
  const made = table(gl, words.length / 4, gl.RGBA32UI);
  upload(gl, made, gl.RGBA_INTEGER, words, words.length / 4, 4);
  return made.texture;
}

// Numbers of splats, in the order in which they are drawn.
export class OrderTable {
  constructor(gl, count) {
    this.gl = gl;
    Object.assign(this, table(gl, count, gl.R32UI));
  }

  fill(order, count) {
    this.gl.bindTexture(this.gl.TEXTURE_2D, this.texture);
    upload(this.gl, this, this.gl.RED_INTEGER, order, count, 1);
  }

  free() {
    this.gl.deleteTexture(this.texture);
  }
}

// Colours of splats, two words each, which a program writes.
export class ColorTable {
  constructor(gl, count) {
    this.gl = gl;
    this.count = count;
    Object.assign(this, table(gl, count, gl.RG32UI));
    this.frame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    gl.framebufferTexture2D(
      gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.texture, 0);
    this.eye = null; // of the colours that are there
  }

  free() {
    this.gl.deleteFramebuffer(this.frame);
    this.gl.deleteTexture(this.texture);
  }
}

// What splats are blended into: halves where the GPU can, as 8 bits lose what is faint.
export class Target {
  constructor(gl) {
    this.gl = gl;
    this.size = [0, 0];
    const halves =
      gl.getExtension("EXT_color_buffer_float") || gl.getExtension("EXT_color_buffer_half_float");
    this.format = halves ? gl.RGBA16F : gl.RGBA8;
    this.frame = gl.createFramebuffer();
    this.texture = null;
  }

  // Makes it that large; what was in it is lost then.
  resize(width, height) {
    if (this.size[0] === width && this.size[1] === height) return;
    const gl = this.gl;
    gl.deleteTexture(this.texture);
    this.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER])
      gl.texParameteri(gl.TEXTURE_2D, side, gl.LINEAR);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T])
      gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    gl.texStorage2D(gl.TEXTURE_2D, 1, this.format, width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    gl.framebufferTexture2D(
      gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.texture, 0);
    this.size = [width, height];
  }
}

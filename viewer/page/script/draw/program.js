// Small pieces of WebGL2: programs, tables of words, and the picture that is drawn into.

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

// A texture of words, four a texel, in rows of one width. Raises RangeError.
export function wordTable(gl, words) {
  const most = gl.getParameter(gl.MAX_TEXTURE_SIZE);
  const width = Math.min(most, 4096);
  const texels = words.length / 4;
  const height = Math.max(1, Math.ceil(texels / width));
  if (height > most)
    throw new RangeError(`this scene has ${texels} texels, and this GPU holds ${width * most}`);
  const table = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, table);
  for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER])
    gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
  gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA32UI, width, height);
  const whole = Math.floor(texels / width);
  const upload = (row, columns, rows, from) => {
    if (columns && rows)
      gl.texSubImage2D(
        gl.TEXTURE_2D, 0, 0, row, columns, rows, gl.RGBA_INTEGER, gl.UNSIGNED_INT, words, from);
  };
  upload(0, width, whole, 0);
  upload(whole, texels - whole * width, 1, 4 * whole * width);
  return table;
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

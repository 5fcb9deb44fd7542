// Draws splats with WebGL2.

import { ColorTable, NoWebGL, OrderTable, Target, program, wordTable } from "./program.js";
import { BATCH } from "./shaders.js";

const GEOMETRY_UNIT = 0;
const WAVES_UNIT = 1;
const HARMONICS_UNIT = 2;
const ORDER_UNIT = 3;
const COLORS_UNIT = 4;
const PICTURE_UNIT = 5;

export class Renderer {
  // shaders: Shaders. Raises NoWebGL.
  constructor(canvas, shaders) {
    this.canvas = canvas;
    this.shaders = shaders;
    this.gl = canvas.getContext("webgl2", {
      alpha: false, antialias: false, depth: false, stencil: false,
      powerPreference: "high-performance",
    });
    if (!this.gl) throw new NoWebGL("this browser, or its GPU, has no WebGL2");
    this.scene = null;
    this.ordered = 0;
    this.prepare();
  }

  // Makes everything on the GPU: at first, and after its context was lost.
  prepare() {
    const gl = this.gl;
    this.target = new Target(gl);
    this.show = program(gl, this.shaders.show());
    this.quads = quads(gl);
    this.nothing = gl.createVertexArray();
    this.programs = new Map();
    this.order = null;
    this.colors = null;
    this.tables = [];
    if (this.scene) this.load(this.scene);
  }

  // scene: words and numbers from the worker. Raises RangeError, and has no scene then.
  load(scene) {
    this.unload();
    try {
      this.fill(scene);
    } catch (error) {
      this.unload();
      throw error;
    }
    this.scene = scene;
  }

  unload() {
    for (const table of this.tables) this.gl.deleteTexture(table);
    this.order?.free();
    this.colors?.free();
    this.tables = [];
    this.order = null;
    this.colors = null;
    this.ordered = 0;
    this.scene = null;
  }

  fill(scene) {
    const gl = this.gl;
    this.order = new OrderTable(gl, scene.count);
    this.colors = new ColorTable(gl, scene.count);
    for (const words of [scene.geometry, scene.waveWords, scene.harmonics])
      this.tables.push(wordTable(gl, words));
    this.paint = program(gl, this.shaders.colors((scene.degree + 1) ** 2 - 1));
    // Both now, so that switching does not stall.
    for (const waves of new Set([scene.waves, 0])) this.programOf(waves);
    if (gl.getError() === gl.OUT_OF_MEMORY)
      throw new RangeError("this scene is larger than the memory of this GPU");
  }

  programOf(waves) {
    if (!this.programs.has(waves))
      this.programs.set(waves, program(this.gl, this.shaders.splats(waves)));
    return this.programs.get(waves);
  }

  // order: the numbers of splats, count of them, from the nearest to the farthest.
  setOrder(order, count) {
    this.order.fill(order, count);
    this.ordered = count;
  }

  // Draws into the target: view as look/camera.js gives it; split: the part of the width, from
  // the left, in which waves are drawn.
  draw(view, split) {
    const gl = this.gl;
    const [width, height] = view.size;
    gl.activeTexture(gl.TEXTURE0 + PICTURE_UNIT);
    this.target.resize(width, height);
    if (this.scene && this.ordered) this.color(view.eye);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target.frame);
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (!this.scene || !this.ordered) return;
    const seam = Math.round(split * width);
    const parts = this.scene.waves === 0 ? [[0, 0, width]]
      : [[this.scene.waves, 0, seam], [0, seam, width]];
    gl.enable(gl.BLEND);
    gl.enable(gl.SCISSOR_TEST);
    // Front to back: colour is added as far as light still comes through, which is kept in alpha.
    gl.blendFuncSeparate(gl.DST_ALPHA, gl.ONE, gl.ZERO, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindVertexArray(this.quads);
    this.bind();
    for (const [waves, from, to] of parts) {
      if (to <= from) continue;
      gl.scissor(from, 0, to - from, height);
      this.useSplats(this.programOf(waves), view);
      const batches = Math.ceil(this.ordered / BATCH);
      gl.drawElementsInstanced(gl.TRIANGLES, 6 * BATCH, gl.UNSIGNED_SHORT, 0, batches);
    }
    gl.disable(gl.BLEND);
    gl.disable(gl.SCISSOR_TEST);
  }

  // Tables to their units.
  bind() {
    const gl = this.gl;
    [...this.tables, this.order.texture, this.colors.texture].forEach((table, unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, table);
    });
  }

  // Finds the colours as they are seen from the eye.
  color(eye) {
    const gl = this.gl;
    const { colors, paint: { made, places } } = this;
    if (colors.eye?.every((each, axis) => each === eye[axis])) return;
    colors.eye = [...eye];
    this.bind();
    // What is written to may not be bound for reading.
    gl.activeTexture(gl.TEXTURE0 + COLORS_UNIT);
    gl.bindTexture(gl.TEXTURE_2D, null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, colors.frame);
    gl.viewport(0, 0, colors.width, colors.height);
    gl.useProgram(made);
    gl.uniform1i(places.u_geometry, GEOMETRY_UNIT);
    gl.uniform1i(places.u_harmonics ?? null, HARMONICS_UNIT);
    gl.uniform1ui(places.u_count, colors.count);
    gl.uniform1ui(places.u_width, colors.width);
    gl.uniform3fv(places.u_eye ?? null, eye);
    gl.bindVertexArray(this.nothing);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  useSplats({ made, places }, view) {
    const gl = this.gl;
    gl.useProgram(made);
    gl.uniform1i(places.u_geometry, GEOMETRY_UNIT);
    gl.uniform1i(places.u_waves ?? null, WAVES_UNIT);
    gl.uniform1i(places.u_order, ORDER_UNIT);
    gl.uniform1i(places.u_colors, COLORS_UNIT);
    gl.uniform1ui(places.u_ordered, this.ordered);
    gl.uniform2fv(places.u_size, view.size);
    gl.uniform2fv(places.u_focal, view.focal);
    gl.uniform2fv(places.u_centre, view.centre);
    gl.uniformMatrix3fv(places.u_rotation, true, view.rotation);
    gl.uniform3fv(places.u_translation, view.translation);
    gl.uniform1f(places.u_near, this.scene.nearPlane);
    gl.uniform1f(places.u_unit, this.scene.unit);
    gl.uniform1i(places.u_antialiased, this.scene.antialiased ? 1 : 0);
    gl.uniform1f(places.u_height, view.size[1]);
  }

  // Shows on the canvas what was drawn.
  present(background) {
    const gl = this.gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    this.compose(background);
  }

  compose(background) {
    const gl = this.gl;
    gl.useProgram(this.show.made);
    gl.activeTexture(gl.TEXTURE0 + PICTURE_UNIT);
    gl.bindTexture(gl.TEXTURE_2D, this.target.texture);
    gl.uniform1i(this.show.places.u_picture, PICTURE_UNIT);
    gl.uniform3fv(this.show.places.u_background, background);
    gl.bindVertexArray(this.nothing);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  // What was drawn, over the background: r g b a bytes, rows from the top.
  pixels(background) {
    const gl = this.gl;
    const [width, height] = this.target.size;
    gl.activeTexture(gl.TEXTURE0 + PICTURE_UNIT);
    const shown = new Target(gl);
    shown.format = gl.RGBA8;
    shown.resize(width, height);
    gl.viewport(0, 0, width, height);
    this.compose(background);
    const bytes = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
    gl.deleteTexture(shown.texture);
    gl.deleteFramebuffer(shown.frame);
    const row = 4 * width;
    const turned = new Uint8Array(bytes.length);
    for (let y = 0; y < height; y++)
      turned.set(bytes.subarray(y * row, (y + 1) * row), (height - 1 - y) * row);
    return turned;
  }
}

// The corners of a batch of splats, 4 a splat, as two triangles each.
function quads(gl) {
  const corners = new Uint16Array(6 * BATCH);
  for (let i = 0; i < BATCH; i++)
    corners.set([0, 1, 2, 2, 1, 3].map((corner) => 4 * i + corner), 6 * i);
  const made = gl.createVertexArray();
  gl.bindVertexArray(made);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, corners, gl.STATIC_DRAW);
  gl.bindVertexArray(null);
  return made;
}

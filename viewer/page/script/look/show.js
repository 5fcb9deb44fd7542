// What is drawn when: the camera, the loop of frames and the size of pictures.

import { Camera } from "./camera.js";
import { Resolution } from "./resolution.js";

const REST = 180; // [ms] after the last motion, from which on the picture is still
const DEFAULT_FOV = Math.PI / 3;
const DOWN = [0, -1, 0]; // what is up where nothing says so: y points down in captures
const LOOKS_FROM = 0.35; // height of an overview
const LARGEST = 4096; // side of a picture [px]

// From where most of a scene is seen.
export function overviewOf({ centre, radius, up }) {
  const above = up ?? DOWN;
  const ahead = Math.abs(above[2]) < 0.9 ? [0, 0, 1] : [1, 0, 0];
  const along = ahead.map((each, axis) => each - LOOKS_FROM * above[axis]);
  const distance = (1.4 * radius) / Math.sin(DEFAULT_FOV / 2) / Math.hypot(...along);
  const eye = centre.map((each, axis) => each - distance * along[axis]);
  return new Camera({ eye, target: centre, up: above, fov: DEFAULT_FOV });
}

export class Show {
  // stage: what draws; canvas: where; drawn: called with the view of each frame.
  constructor(stage, canvas, drawn) {
    this.stage = stage;
    this.canvas = canvas;
    this.drawn = drawn;
    this.camera = new Camera({ eye: [0, 0, -1], target: [0, 0, 0], up: DOWN, fov: DEFAULT_FOV });
    this.start = this.camera.copy();
    this.split = 1; // part of the width in which waves are drawn
    this.movers = []; // functions of seconds: whether they have moved the camera
    this.resolution = new Resolution();
    this.movedAt = -Infinity;
    this.lastFrame = null;
    this.scheduled = false;
    this.frames = 0;
    new ResizeObserver(() => this.request()).observe(canvas);
  }

  goHome() {
    this.camera = this.start.copy();
    this.moved();
  }

  moved() {
    this.movedAt = performance.now();
    this.request();
  }

  // Draws another frame soon.
  request() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame((now) => this.frame(now));
  }

  frame(now) {
    this.scheduled = false;
    const interval = this.lastFrame === null ? 0 : now - this.lastFrame;
    const seconds = Math.min(interval, 100) / 1000;
    const moving = this.movers.map((move) => move(seconds)).some(Boolean);
    if (moving) this.movedAt = performance.now();
    const still = performance.now() - this.movedAt > REST;
    if (!still && interval) this.resolution.shown(interval);
    const share = still ? 1 : this.resolution.share;
    const [width, height] = this.canvasSize();
    const view = this.camera.view(...[width, height].map((side) => Math.max(1, Math.round(share * side))));
    this.stage.keepSorted(view, still);
    this.stage.draw(view, this.split);
    this.drawn(this.camera.view(width, height));
    this.frames++;
    // Until it is still, and has been drawn so.
    this.lastFrame = still ? null : now;
    if (!still) this.request();
  }

  // Of the canvas in device pixels, which it has from now on.
  canvasSize() {
    const ratio = globalThis.devicePixelRatio || 1;
    const size = [this.canvas.clientWidth, this.canvas.clientHeight].map((side) =>
      Math.max(1, Math.min(LARGEST, Math.round(ratio * side))));
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1])
      [this.canvas.width, this.canvas.height] = size;
    return size;
  }
}

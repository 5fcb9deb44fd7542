// A camera that looks from an eye at a target, and what a renderer wants to know of one. Axes are
// those of captures: x right, y down, z forward.

import { add, cross, dot, length, scaled, subtract, turned, unit } from "./vectors.js";

const STEEPEST = 0.05; // [rad] between the line of sight and what is up

// fov: vertical [rad].
export class Camera {
  constructor({ eye, target, up, fov }) {
    this.eye = [...eye];
    this.target = [...target];
    this.up = unit(up);
    this.fov = fov;
  }

  copy() {
    return new Camera(this);
  }

  // Right, down and forward, of length 1.
  axes() {
    const forward = unit(subtract(this.target, this.eye));
    const right = unit(cross(forward, this.up));
    return [right, cross(forward, right), forward];
  }

  distance() {
    return length(subtract(this.target, this.eye));
  }

  // Around the target: about what is up, and up or down.
  orbit(aside, over) {
    const spoke = this.turnedSight(scaled(this.sight(), -1), aside, over);
    this.eye = add(this.target, spoke);
  }

  // Turns the head.
  look(aside, over) {
    this.target = add(this.eye, this.turnedSight(this.sight(), aside, over));
  }

  sight() {
    return subtract(this.target, this.eye);
  }

  turnedSight(line, aside, over) {
    const level = turned(line, this.up, aside);
    const right = unit(cross(this.sight(), this.up));
    const tilted = turned(level, turned(right, this.up, aside), over);
    const angle = Math.acos(Math.max(-1, Math.min(1, dot(unit(tilted), this.up))));
    return angle > STEEPEST && angle < Math.PI - STEEPEST ? tilted : level;
  }

  // Eye and target, along right, down and forward.
  move(right, down, forward) {
    const [x, y, z] = this.axes();
    const step = add(add(scaled(x, right), scaled(y, down)), scaled(z, forward));
    this.eye = add(this.eye, step);
    this.target = add(this.target, step);
  }

  // Nearer to the target, or farther from it.
  zoom(factor) {
    this.eye = add(this.target, scaled(this.sight(), -factor));
  }

  // For a picture of width and height [px].
  view(width, height) {
    const axes = this.axes();
    const focal = (0.5 * height) / Math.tan(0.5 * this.fov);
    return {
      size: [width, height],
      focal: [focal, focal],
      centre: [0.5 * width, 0.5 * height],
      rotation: axes.flat(),
      translation: axes.map((axis) => -dot(axis, this.eye)),
      eye: this.eye,
    };
  }
}

// The view of a camera as the rasterizer has it: world_to_camera as 16 numbers by rows.
export function viewOf({ worldToCamera: m, focal, centre, size }) {
  const rows = [0, 4, 8].map((at) => m.slice(at, at + 3));
  const translation = [m[3], m[7], m[11]];
  const eye = [0, 1, 2].map((axis) => -dot(rows.map((row) => row[axis]), translation));
  return { size, focal, centre, rotation: rows.flat(), translation, eye };
}

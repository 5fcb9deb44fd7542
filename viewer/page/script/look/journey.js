// A camera path: keyframes of eye, target, up and field of view, at even times.

import { Camera } from "./camera.js";
import { add, scaled } from "./vectors.js";

// Between b and c, of which a and d are the neighbours (Catmull-Rom).
function between([a, b, c, d], t) {
  const parts = [
    scaled(a, -0.5 * t + t * t - 0.5 * t * t * t),
    scaled(b, 1 - 2.5 * t * t + 1.5 * t * t * t),
    scaled(c, 0.5 * t + 2 * t * t - 1.5 * t * t * t),
    scaled(d, -0.5 * t * t + 0.5 * t * t * t),
  ];
  return parts.reduce(add);
}

export class Journey {
  constructor({ keyframes, seconds }) {
    this.keyframes = keyframes;
    this.seconds = seconds;
  }

  // The camera after so many seconds; null behind the end.
  at(seconds) {
    const { keyframes } = this;
    if (seconds > this.seconds) return null;
    const last = keyframes.length - 1;
    const place = (seconds / this.seconds) * last;
    const first = Math.floor(place);
    const near = [-1, 0, 1, 2].map((step) => keyframes[Math.max(0, Math.min(last, first + step))]);
    const of = (name) => between(near.map((key) => key[name]), place - first);
    const fovs = near.map((key) => [key.fov, 0, 0]);
    return new Camera({
      eye: of("eye"), target: of("target"), up: of("up"), fov: between(fovs, place - first)[0],
    });
  }
}

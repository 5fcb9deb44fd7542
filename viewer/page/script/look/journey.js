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
  constructor({ keyframes, seconds, loop }) {
    this.keyframes = keyframes;
    this.seconds = seconds;
    this.loop = loop;
  }

  // The camera after so many seconds; null behind the end.
  at(seconds) {
    const { keyframes, loop } = this;
    if (!loop && seconds > this.seconds) return null;
    const spans = loop ? keyframes.length : keyframes.length - 1;
    const place = ((seconds / this.seconds) % 1) * spans;
    const first = Math.floor(place);
    const near = [-1, 0, 1, 2].map((step) => keyframes[this.indexOf(first + step)]);
    const of = (name) => between(near.map((key) => key[name]), place - first);
    const fovs = near.map((key) => [key.fov, 0, 0]);
    return new Camera({
      eye: of("eye"), target: of("target"), up: of("up"), fov: between(fovs, place - first)[0],
    });
  }

  indexOf(number) {
    const count = this.keyframes.length;
    return this.loop ? (number + count) % count : Math.max(0, Math.min(count - 1, number));
  }
}

// The scene on the canvas: worker, renderer, and which order belongs to which view.

import { Renderer } from "./draw/renderer.js";
import { viewOf } from "./look/camera.js";

const TURN_UNSORTED = 0.9999; // cosine between two lines of sight that may share an order
const BLACK = [0, 0, 0];

export class Stage {
  // shaders: Shaders; worker: one that runs worker.js; changed: called when there is something new to draw.
  // Raises NoWebGL.
  constructor(canvas, shaders, worker, changed) {
    this.renderer = new Renderer(canvas, shaders);
    this.canvas = canvas;
    this.worker = worker;
    this.changed = changed;
    this.background = BLACK;
    this.waiting = new Map(); // what is called with the answer to a message
    this.last = 0; // message
    this.sorting = false;
    this.sortedFor = null; // view of the order that is drawn
    this.spare = null; // an order to be filled
    this.lost = false;
    this.sortTook = 0; // [ms]
    worker.onmessage = ({ data }) => this.answered(data);
    worker.onerror = () => {
      for (const { reject } of this.waiting.values()) reject(new Error("the page's worker failed"));
      this.waiting.clear();
    };
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault(); // so that it may come back
      this.lost = true;
    });
    canvas.addEventListener("webglcontextrestored", () => {
      this.lost = false;
      this.renderer.prepare();
      this.sortedFor = null;
      this.changed();
    });
  }

  get scene() {
    return this.renderer.scene;
  }

  ask(message, moved = []) {
    const id = ++this.last;
    this.worker.postMessage({ ...message, id }, moved);
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  answered({ kind, id, line, ...answer }) {
    const asked = this.waiting.get(id);
    this.waiting.delete(id);
    if (kind === "refused") asked?.reject(new Error(line));
    else asked?.resolve(answer);
  }

  // Shows the splats of a file, an ArrayBuffer. Rejects with a line for people.
  async open(name, bytes) {
    const { scene } = await this.ask({ kind: "read", name, bytes }, [bytes]);
    this.renderer.load(scene);
    this.background = scene.background ?? BLACK;
    this.sortedFor = null;
    this.spare = null;
    this.changed();
    return scene;
  }

  async sort(view) {
    this.sorting = true;
    const row = [...view.rotation.slice(6), view.translation[2]];
    const scene = this.scene;
    const spare = this.spare;
    this.spare = null;
    const moved = spare ? [spare.buffer] : [];
    const { order, count, took } = await this.ask({ kind: "sort", row, order: spare }, moved);
    this.sorting = false;
    if (scene !== this.scene || this.lost) return;
    this.renderer.setOrder(order, count);
    this.spare = order;
    this.sortedFor = view;
    this.sortTook = took;
    this.changed();
  }

  // Asks for another order if the view needs one; exactly: also for a small turn.
  keepSorted(view, exactly) {
    if (!this.scene || this.sorting || this.lost) return;
    if (this.sortedFor && !needsOrder(this.sortedFor, view, exactly, this.scene.radius)) return;
    this.sort(view);
  }

  // Draws and shows; split: the part of the width in which waves are drawn.
  draw(view, split) {
    if (this.lost) return;
    this.renderer.draw(view, split);
    this.renderer.present(this.background);
  }

  // The picture of a camera of the rasterizer, in its own order, as r g b a bytes from the top.
  async pictureOf(camera, waves = true) {
    const view = viewOf(camera);
    while (this.sorting) await new Promise((resolve) => setTimeout(resolve, 1));
    await this.sort(view);
    this.renderer.draw(view, waves ? 1 : 0);
    const bytes = this.renderer.pixels(camera.background ?? this.background);
    this.sortedFor = null;
    return bytes;
  }
}

function needsOrder(before, view, exactly, radius) {
  const turn = [6, 7, 8].reduce((sum, i) => sum + before.rotation[i] * view.rotation[i], 0);
  const moved = Math.hypot(...[0, 1, 2].map((i) => before.eye[i] - view.eye[i]));
  if (exactly) return turn < 1 - 1e-12 || moved > 0;
  return turn < TURN_UNSORTED || moved > 0.02 * radius;
}

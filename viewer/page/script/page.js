// The page: everything on it is put together here.

import { NoWebGL } from "./draw/program.js";
import { Shaders } from "./draw/shaders.js";
import { Bar, Divider } from "./look/bar.js";
import { Camera } from "./look/camera.js";
import { Controls } from "./look/controls.js";
import { Journey } from "./look/journey.js";
import { Marks } from "./look/marks.js";
import { hideProgress, say, showProgress } from "./look/notice.js";
import { part } from "./look/part.js";
import { Show, overviewOf } from "./look/show.js";
import { bytesBeside, embeddedBytes } from "./source.js";
import { Stage } from "./stage.js";

const MOST_BYTES = 2 ** 31; // of a file that is opened

// What is in an element as gzip in base64: a Response.
function unpacked(name) {
  const bytes = Uint8Array.from(atob(part(name).textContent.trim()), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
}

async function workerOf(script) {
  const url = URL.createObjectURL(new Blob([await script.blob()], { type: "text/javascript" }));
  const worker = new Worker(url);
  URL.revokeObjectURL(url);
  return worker;
}

class Page {
  constructor(facts, shaders, worker) {
    this.facts = facts;
    const canvas = part("canvas");
    this.stage = new Stage(canvas, shaders, worker, () => this.show.request());
    this.marks = new Marks(part("marks"), facts.cameras ?? []);
    this.show = new Show(this.stage, canvas, (view) => this.marks.draw(view, this.stage.scene?.radius ?? 1));
    this.controls = new Controls(canvas, () => this.show.camera, () => {
      this.stay();
      this.show.moved();
    });
    this.show.movers.push((seconds) => this.controls.step(seconds), (seconds) => this.travel(seconds));
    this.waves = true;
    this.divider = new Divider(() => this.split());
    this.journey = facts.path ? new Journey(facts.path) : null;
    this.travelled = null; // seconds along the path
    this.bar = new Bar(this.actions());
    this.offer();
    this.acceptFiles();
  }

  actions() {
    return {
      waves: () => {
        this.waves = !this.waves;
        this.split();
        return this.waves;
      },
      split: () => {
        this.divider.show(!this.divider.shown);
        this.split();
        return this.divider.shown;
      },
      fly: () => (this.controls.flying = !this.controls.flying),
      cameras: () => {
        this.marks.shown = !this.marks.shown;
        this.show.request();
        return this.marks.shown;
      },
      path: () => {
        this.travelled = this.travelled === null ? 0 : null;
        this.show.moved();
        return this.travelled !== null;
      },
      home: () => {
        this.stay();
        this.show.goHome();
      },
      full: () => {
        if (document.fullscreenElement) document.exitFullscreen();
        else document.documentElement.requestFullscreen?.().catch(() => {});
      },
      keys: () => !(part("keys").hidden = !part("keys").hidden),
      open: () => part("file").click(),
    };
  }

  // Buttons for what this scene has.
  offer() {
    const waves = Boolean(this.stage.scene?.waves);
    if (!waves) this.divider.show(false);
    this.bar.offer("waves", waves);
    this.bar.offer("split", waves);
    this.bar.offer("cameras", Boolean(this.facts.cameras?.length));
    this.bar.offer("path", Boolean(this.journey));
    this.bar.offer("open", Boolean(this.facts.opens));
    this.bar.offer("full", Boolean(document.fullscreenEnabled));
  }

  split() {
    this.show.split = this.waves ? (this.divider.shown ? this.divider.place : 1) : 0;
    this.show.request();
  }

  // Along the path; whether that moves the camera.
  travel(seconds) {
    if (this.travelled === null) return false;
    this.travelled += seconds;
    const camera = this.journey.at(this.travelled);
    if (camera) this.show.camera = camera;
    else this.travelled = null;
    this.bar.mark("path", camera !== null);
    return camera !== null;
  }

  // Leaves the path.
  stay() {
    this.travelled = null;
    this.bar.mark("path", false);
  }

  // Reads and shows a file; bytes: a promise of an ArrayBuffer.
  async load(name, bytes) {
    say("");
    try {
      const whole = await bytes;
      showProgress("Unpacking", null);
      const scene = await this.stage.open(name, whole);
      this.entered(scene);
    } catch (error) {
      say(`${name}: ${error.message}`);
    } finally {
      hideProgress();
    }
  }

  entered(scene) {
    const start = this.facts.start;
    this.show.start = start ? new Camera(start) : overviewOf(scene);
    this.controls.radius = scene.radius;
    this.offer();
    this.split();
    this.show.goHome();
    document.body.classList.add("ready");
  }

  // By the button or by drag and drop.
  acceptFiles() {
    if (!this.facts.opens) return;
    const open = (file) => {
      if (!file) return;
      if (file.size > MOST_BYTES) say(`${file.name}: is larger than 2 GB`);
      else this.load(file.name, file.arrayBuffer());
    };
    part("file").addEventListener("change", (event) => open(event.target.files[0]));
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      open(event.dataTransfer.files[0]);
    });
  }

  begin() {
    const { name, beside } = this.facts;
    const embedded = part("splats").textContent;
    if (beside) this.load(beside, bytesBeside(beside));
    else if (embedded) this.load(`${name}.gspl`, embeddedBytes(embedded));
    else say("Drop a splat file here: .ply, .spz, .sog or .splat");
    part("splats").textContent = ""; // it is large, and not needed any more
  }
}

async function begin() {
  try {
    const facts = JSON.parse(part("facts").textContent);
    const shaders = new Shaders(await unpacked("shaders").json(), facts.constants);
    const page = new Page(facts, shaders, await workerOf(unpacked("worker")));
    globalThis.__gaborsplat = page; // for tests
    page.begin();
  } catch (error) {
    say(`This page draws with WebGL2, and cannot: ${error.message}. A current browser, with graphics acceleration on, shows it.`);
    if (!(error instanceof NoWebGL)) throw error;
  }
}

begin();

// Script in viser's page: shows the server's pictures without a detour through <img> elements,
// acknowledges those it has shown, and sends the camera once per animation frame.
//
// The script uses what viser's page exposes for its own tests (window.__viserMutable). If that is
// not as expected, nothing is touched, and the page works as viser made it.
//
// A picture of ours begins with a JPEG comment, "gaborsplat:LINK:NUMBER:": LINK is the identifier of
// an invisible panel element, whose value the page sets to acknowledge the picture.
(() => {
  "use strict";

  const MOST_DECODING = 2;
  const MOST_ARRIVED = 3; // pictures that wait to be decoded
  const MOST_WAITING = 3; // decoded pictures, beyond the one on screen
  const POLL = 20; // [ms]
  const LONGEST_CROWD = 8; // frames; a queue that stands so long only makes pictures late
  const LONGEST_SKIP = 200; // [ms] without drawing; there may be other things to see
  const HALF_TURN_AROUND_X = [1, 0, 0, 0]; // x y z w: three.js cameras look along -z, ours along z
  // last: the number of the newest picture shown or given up.
  const stats = { fitted: false, shown: 0, dropped: 0, last: 0, outOfOrder: 0 };
  window.__gaborsplat = stats;

  let mutable = null; // viser's state
  let link = null; // of this connection
  let arrived = []; // pictures not yet being decoded
  let decoding = 0;
  let waiting = []; // decoded pictures, in order
  let onScreen = null;
  let textures = null;
  let lastPose = "";
  let sendAnything = null; // viser's way of sending
  let hookedScene = null;
  let hookedRenderer = null;
  let crowded = 0; // frames in a row for which more than one picture waited

  const fits = (m) =>
    m && Array.isArray(m.messageQueue) && typeof m.sendMessage === "function" &&
    m.backgroundMaterial?.uniforms?.colorMap && m.backgroundMaterial.uniforms.depthMap &&
    m.backgroundMaterial.uniforms.hasDepth && m.scene?.isScene && m.camera?.isPerspectiveCamera &&
    m.cameraControl?.getTarget && m.canvas && typeof m.requestRender === "function" &&
    m.nodePoseData && window.__viserSceneTree?.getState()?.[""]?.wxyz &&
    typeof createImageBitmap === "function";

  // ---- pictures ----

  // The link and number of one of our pictures; null for any other.
  function readMark(bytes) {
    if (!bytes || bytes.length < 8 || bytes[2] !== 0xff || bytes[3] !== 0xfe) return null;
    const length = bytes[4] * 256 + bytes[5] - 2;
    const words = new TextDecoder().decode(bytes.subarray(6, 6 + length)).split(":");
    return words[0] === "gaborsplat" ? { link: words[1], number: Number(words[2]) } : null;
  }

  // Whether a message from the server is handled here.
  function take(message) {
    if (message.type !== "BackgroundImageMessage") return false;
    const mark = readMark(message.rgb_data);
    if (mark === null) return false;
    if (mark.link !== link) begin(mark.link);
    const picture = { ...mark, message, arrivedAt: performance.now() };
    if (!takeOverTexture()) {
      showByViser(picture);
      return false;
    }
    arrived.push(picture);
    decodeNext();
    return true;
  }

  function begin(newLink) {
    link = newLink;
    for (const picture of waiting) close(picture);
    arrived = [];
    waiting = [];
    stats.last = 0;
    lastPose = "";
  }

  // viser's page makes the first texture; ours are of the same class and settings.
  function takeOverTexture() {
    const uniforms = mutable.backgroundMaterial.uniforms;
    const theirs = uniforms.colorMap.value;
    if (textures !== null) return true;
    if (!theirs?.isTexture) return false;
    const make = (filter) => {
      const texture = new theirs.constructor();
      texture.colorSpace = theirs.colorSpace;
      texture.generateMipmaps = false;
      texture.minFilter = texture.magFilter = filter;
      texture.flipY = false; // done while decoding
      return texture;
    };
    const LINEAR = 1006, NEAREST = 1003; // three.js; packed depths must not be blended
    textures = { colorMap: make(LINEAR), depthMap: make(NEAREST) };
    return true;
  }

  function showByViser(picture) {
    const wait = () => {
      if (picture.link !== link || picture.number < stats.last) return;
      if (mutable.backgroundMaterial.uniforms.colorMap.value?.isTexture) acknowledge(picture);
      else setTimeout(wait, POLL);
    };
    wait();
  }

  const decode = (bytes, type) =>
    createImageBitmap(new Blob([bytes], { type }), {
      imageOrientation: "flipY", premultiplyAlpha: "none", colorSpaceConversion: "none",
    });

  // Off the main thread. The server sends few pictures ahead, so one that waits is still worth
  // showing; where they pile up nevertheless, the oldest are out of date.
  function decodeNext() {
    while (arrived.length > MOST_ARRIVED) {
      stats.dropped += 1;
      arrived.shift();
    }
    if (decoding >= MOST_DECODING || arrived.length === 0) return;
    const picture = arrived.shift();
    decoding += 1;
    const { rgb_data, depth_data } = picture.message;
    const began = performance.now();
    Promise.all([decode(rgb_data, "image/jpeg"), depth_data && decode(depth_data, "image/png")])
      .then(([color, depth]) => decoded({ ...picture, color, depth }, performance.now() - began))
      .catch((error) => {
        console.warn("gaborsplat: a picture could not be decoded:", error);
        stats.dropped += 1;
        if (picture.link === link) acknowledge(picture); // or the server would wait for it
      })
      .finally(() => {
        decoding -= 1;
        decodeNext();
      });
  }

  function decoded(picture, took) {
    picture.decodeTime = took;
    if (picture.link !== link || picture.number <= stats.last) {
      stats.dropped += 1;
      return close(picture);
    }
    waiting.push(picture);
    waiting.sort((a, b) => a.number - b.number);
    while (waiting.length > MOST_WAITING) {
      stats.dropped += 1;
      close(waiting.shift());
    }
    mutable.requestRender();
  }

  function close(picture) {
    picture.color?.close();
    picture.depth?.close();
  }

  // Puts the next picture into the frame that is about to be drawn; whether there was one.
  function present() {
    crowded = waiting.length > 1 ? crowded + 1 : 0;
    if (crowded > LONGEST_CROWD) {
      crowded = 0;
      stats.dropped += 1;
      close(waiting.shift());
    }
    const picture = waiting.shift();
    if (picture === undefined) return false;
    const uniforms = mutable.backgroundMaterial.uniforms;
    put(uniforms.colorMap, textures.colorMap, picture.color);
    if (picture.depth) put(uniforms.depthMap, textures.depthMap, picture.depth);
    uniforms.hasDepth.value = Boolean(picture.depth);
    uniforms.enabled.value = true;
    if (onScreen !== null) close(onScreen);
    onScreen = picture;
    if (picture.number < stats.last) stats.outOfOrder += 1;
    stats.shown += 1;
    acknowledge(picture);
    return true;
  }

  function put(uniform, texture, image) {
    const before = texture.image;
    if (before && (before.width !== image.width || before.height !== image.height))
      texture.dispose(); // storage on the GPU has a fixed size
    texture.image = image;
    texture.needsUpdate = true;
    if (uniform.value !== texture) {
      uniform.value?.dispose?.();
      uniform.value = texture;
    }
  }

  function acknowledge(picture) {
    stats.last = picture.number;
    const seconds = (performance.now() - picture.arrivedAt) / 1000;
    const value = [picture.number, seconds, (picture.decodeTime ?? 0) / 1000];
    sendAnything({ type: "GuiUpdateMessage", uuid: link, updates: { value } });
  }

  // ---- camera ----

  const rounded = (numbers) => numbers.map((x) => x.toPrecision(7)).join();

  function cameraMessage() {
    const { camera, canvas } = mutable;
    const Vector = camera.position.constructor, Quaternion = camera.quaternion.constructor;
    const root = window.__viserSceneTree.getState()[""];
    const [w, x, y, z] = root.wxyz;
    const toWorld = new Quaternion(x, y, z, w).invert();
    const origin = mutable.nodePoseData[""]?.position ?? root.position ?? [0, 0, 0];
    const point = (p) => p.sub(new Vector(...origin)).applyQuaternion(toWorld).toArray();
    const rotation = toWorld.clone().multiply(camera.quaternion)
      .multiply(new Quaternion(...HALF_TURN_AROUND_X));
    return {
      type: "ViewerCameraMessage",
      wxyz: [rotation.w, rotation.x, rotation.y, rotation.z],
      position: point(camera.position.clone()),
      image_height: canvas.height,
      image_width: canvas.width,
      fov: (camera.fov * Math.PI) / 180,
      near: camera.near,
      far: camera.far,
      look_at: point(mutable.cameraControl.getTarget(new Vector())),
      up_direction: camera.up.clone().applyQuaternion(toWorld).toArray(),
    };
  }

  const poseOf = (m) =>
    rounded([
      ...m.wxyz, ...m.position, ...m.look_at, ...m.up_direction, m.fov, m.image_width,
      m.image_height,
    ]);

  function sendPose() {
    if (link === null) return;
    const message = cameraMessage();
    const pose = poseOf(message);
    if (pose === lastPose) return;
    lastPose = pose;
    sendAnything(message);
  }

  // ---- hooks ----

  function hookPage(m) {
    mutable = m;
    textures = null;
    hookSending(m);
    const push = m.messageQueue.push;
    m.messageQueue.push = function (...messages) {
      return push.apply(this, messages.filter((message) => !take(message)));
    };
  }

  // The renderer is known once something is drawn.
  function hookScene(scene) {
    hookedScene = scene;
    const before = scene.onBeforeRender;
    scene.onBeforeRender = (renderer) => {
      scene.onBeforeRender = before;
      if (renderer !== hookedRenderer) hookDrawing(renderer);
      stats.fitted = true;
    };
  }

  // Just before a frame is drawn the camera is where it will be seen from. A frame that would be
  // like the last one is not drawn: without a GPU that takes as long as drawing the splats.
  function hookDrawing(renderer) {
    hookedRenderer = renderer;
    const draw = renderer.render;
    let drawnAt = 0;
    let size = "";
    renderer.render = function (scene, camera) {
      if (scene !== mutable.scene || camera !== mutable.camera || renderer.getRenderTarget())
        return draw.call(this, scene, camera);
      sendPose();
      const isNew = present();
      const { width, height } = mutable.canvas;
      const onlyPictures = onScreen !== null && onScreen.depth === null;
      const recent = performance.now() - drawnAt < LONGEST_SKIP && size === `${width}x${height}`;
      if (!isNew && onlyPictures && recent) return;
      drawnAt = performance.now();
      size = `${width}x${height}`;
      draw.call(this, scene, camera);
    };
  }

  // viser's page sends the camera, too, at its own rate: once we do, that is left out. It assigns
  // its way of sending anew whenever it connects; the server then waits for viser's first message.
  function hookSending(m) {
    sendAnything = m.sendMessage;
    const sendOthers = (message) => {
      const ours = message.type === "ViewerCameraMessage" && link !== null && stats.fitted;
      if (!ours) sendAnything(message);
    };
    Object.defineProperty(m, "sendMessage", {
      configurable: true,
      enumerable: true,
      get: () => sendOthers,
      set: (send) => {
        sendAnything = send;
        begin(null);
      },
    });
  }

  // Without a GPU a smooth edge costs as much as all the rest, and pictures have none.
  function drawWithoutSmoothing() {
    const make = HTMLCanvasElement.prototype.getContext;
    const probe = make.call(document.createElement("canvas"), "webgl2");
    const info = probe?.getExtension("WEBGL_debug_renderer_info");
    const name = info ? probe.getParameter(info.UNMASKED_RENDERER_WEBGL) : "";
    probe?.getExtension("WEBGL_lose_context")?.loseContext();
    if (!/swiftshader|llvmpipe|software|basic render/i.test(name)) return;
    HTMLCanvasElement.prototype.getContext = function (kind, options) {
      const plain = /^webgl/.test(kind) ? { ...options, antialias: false } : options;
      return make.call(this, kind, plain);
    };
  }

  function watch() {
    const m = window.__viserMutable;
    if (fits(m)) {
      if (m !== mutable) hookPage(m);
      if (m.scene !== hookedScene) hookScene(m.scene);
    }
    setTimeout(watch, mutable === null ? POLL : 1000);
  }
  drawWithoutSmoothing();
  watch();
})();

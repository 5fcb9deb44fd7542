// The pixels of WebP pictures, to the bit: through WebGL, as a 2D canvas multiplies by alpha.

import { Refused } from "./arrays.js";

// Decodes pictures; most: pixels that one may have.
export class WebpDecoder {
  constructor(most) {
    this.most = most;
    this.gl = new OffscreenCanvas(1, 1).getContext("webgl2");
    if (!this.gl) throw new Refused("this browser cannot read SOG");
  }

  // width, height, and r g b a of each pixel. Raises Refused.
  async pixels(name, bytes) {
    const [width, height] = sizeOf(bytes) ?? [0, 0];
    if (!width || width * height > this.most)
      throw new Refused(`its ${name} is no WebP, or of ${width} x ${height} pixels`);
    let picture;
    try {
      picture = await createImageBitmap(new Blob([bytes], { type: "image/webp" }), {
        premultiplyAlpha: "none", colorSpaceConversion: "none",
      });
    } catch {
      throw new Refused(`its ${name} is damaged`);
    }
    return this.read(picture);
  }

  read(picture) {
    const gl = this.gl;
    const { width, height } = picture;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, picture);
    const frame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    const rgba = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
    gl.deleteFramebuffer(frame);
    gl.deleteTexture(texture);
    picture.close();
    return { width, height, rgba };
  }

  close() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

// By the header; null where it is no still WebP.
function sizeOf(bytes) {
  const text = (at) => new TextDecoder("latin1").decode(bytes.subarray(at, at + 4));
  if (bytes.length < 30 || text(0) !== "RIFF" || text(8) !== "WEBP") return null;
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  switch (text(12)) {
    case "VP8L": {
      const bits = data.getUint32(21, true);
      return [(bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1];
    }
    case "VP8 ":
      return [data.getUint16(26, true) & 0x3fff, data.getUint16(28, true) & 0x3fff];
    case "VP8X":
      return [24, 27].map((at) => (data.getUint32(at, true) & 0xffffff) + 1);
    default:
      return null;
  }
}

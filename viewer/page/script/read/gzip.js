// Unpacking of gzip, by the browser's own means, as far as a file is believed.

import { Refused } from "./arrays.js";

// The `size` bytes that are packed in `bytes`. Raises Refused if there are more or fewer.
export async function gunzipped(bytes, size) {
  const found = await unpackedUpTo(bytes, size);
  if (found.length !== size) throw new Refused(`it has ${found.length} bytes, not ${size}`);
  return found;
}

// What is packed in `bytes`, as gzip or as another format that browsers know: at most `most` bytes.
export async function unpackedUpTo(bytes, most, format = "gzip") {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format));
  const reader = stream.getReader();
  const parts = [];
  let size = 0;
  for (;;) {
    let next;
    try {
      next = await reader.read();
    } catch {
      throw new Refused(`it is damaged: what is packed in it cannot be unpacked`);
    }
    if (next.done) break;
    size += next.value.length;
    if (size > most) {
      reader.cancel();
      throw new Refused(`it unpacks to more than ${most} bytes`);
    }
    parts.push(next.value);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

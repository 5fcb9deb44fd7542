// Where the bytes of a scene come from.

import { showProgress } from "./look/notice.js";

const PIECE = 1 << 22; // letters of base64 that are decoded at a time
const MOST_BYTES = 2 ** 31;

// Those that are in the page itself, as base64. Resolves to an ArrayBuffer.
export async function embeddedBytes(text) {
  const letters = text.trim();
  const padding = letters.endsWith("==") ? 2 : letters.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((3 * letters.length) / 4 - padding);
  for (let from = 0; from < letters.length; from += PIECE) {
    const piece = atob(letters.slice(from, from + PIECE));
    const at = (3 * from) / 4;
    for (let i = 0; i < piece.length; i++) bytes[at + i] = piece.charCodeAt(i);
    showProgress("Reading", from / letters.length);
    await new Promise((resolve) => setTimeout(resolve));
  }
  return bytes.buffer;
}

// Those of a file beside the page. Rejects with a line for people.
export async function bytesBeside(name) {
  let answer;
  try {
    answer = await fetch(encodeURIComponent(name));
  } catch {
    throw new Error(`${name} cannot be read: a page that has its scene beside it needs a web server`);
  }
  if (!answer.ok) throw new Error(`${name} is not there: the server says ${answer.status}`);
  const size = Number(answer.headers.get("content-length")) || null;
  const parts = [];
  let come = 0;
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    come += value.length;
    if (come > MOST_BYTES) throw new Error(`${name} is larger than 2 GB`);
    showProgress(`Loading, ${(come / 1e6).toFixed(1)} MB`, size && come <= size ? come / size : null);
  }
  return new Blob(parts).arrayBuffer();
}

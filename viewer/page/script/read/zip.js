// The members of a ZIP archive.

import { Refused } from "./arrays.js";
import { unpackedUpTo } from "./gzip.js";

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const END_SIZE = 22;
const LONGEST_COMMENT = 0xffff;
const STORED = 0;
const DEFLATED = 8;

// Opens an archive, a Uint8Array: a function that gives a member by its name, of at most so many
// bytes. Raises Refused.
export function opened(bytes) {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const members = new Map();
  let at = data.getUint32(endOf(bytes, data) + 16, true);
  while (at + 46 <= bytes.length && data.getUint32(at, true) === ENTRY) {
    const [name, extra, comment] = [28, 30, 32].map((place) => data.getUint16(at + place, true));
    members.set(new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + name)), {
      flags: data.getUint16(at + 8, true),
      method: data.getUint16(at + 10, true),
      packed: data.getUint32(at + 20, true),
      start: data.getUint32(at + 42, true),
    });
    at += 46 + name + extra + comment;
  }
  return (name, most) => memberOf(name, members.get(name), bytes, data, most);
}

function endOf(bytes, data) {
  const first = Math.max(0, bytes.length - END_SIZE - LONGEST_COMMENT);
  for (let at = bytes.length - END_SIZE; at >= first; at--)
    if (data.getUint32(at, true) === END) return at;
  throw new Refused("it is no archive, or cut off");
}

async function memberOf(name, member, bytes, data, most) {
  if (!member) throw new Refused(`it has no ${name}`);
  const { flags, method, packed, start } = member;
  if (flags & 1 || ![STORED, DEFLATED].includes(method))
    throw new Refused(`its ${name} is encrypted, or packed in an uncommon way`);
  if (start + 30 > bytes.length || data.getUint32(start, true) !== LOCAL)
    throw new Refused("it is damaged: its list of members is wrong");
  const from = start + 30 + data.getUint16(start + 26, true) + data.getUint16(start + 28, true);
  if (from + packed > bytes.length) throw new Refused(`its ${name} is cut off`);
  const content = bytes.subarray(from, from + packed);
  if (method === DEFLATED) return unpackedUpTo(content, most, "deflate-raw");
  if (packed > most) throw new Refused(`its ${name} has ${packed} bytes`);
  return content;
}

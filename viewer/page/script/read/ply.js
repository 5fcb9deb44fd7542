// PLY files of splats: our own, with waves, and those of other programs.

import { Refused, SH_C0, sigmoid, splatArrays } from "./arrays.js";

const LONGEST_HEADER = 1 << 20;
const SIZES = {
  char: 1, int8: 1, uchar: 1, uint8: 1, short: 2, int16: 2, ushort: 2, uint16: 2,
  int: 4, int32: 4, uint: 4, uint32: 4, float: 4, float32: 4, double: 8, float64: 8,
};

// bytes: a Uint8Array. Raises Refused.
export function readPly(bytes) {
  const header = headerOf(bytes);
  const { columns, count, stride, start } = header;
  for (const name of ["x", "y", "z", "opacity", "scale_0", "scale_1", "rot_0", "f_dc_0"])
    if (!columns.has(name)) throw new Refused(`the PLY has no column ${name}: no splats`);
  if (bytes.length - start < count * stride)
    throw new Refused(`the PLY is cut off: ${count} splats need ${count * stride} bytes`);
  const waves = wavesOf(columns);
  const rest = restOf(columns);
  const degree = Math.round(Math.sqrt(rest / 3 + 1)) - 1;
  const splats = splatArrays(count, degree, waves);
  fill(splats, rowsOf(bytes, header), columns, rest);
  return Object.assign(splats, statedIn(header.comments));
}

function headerOf(bytes) {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, LONGEST_HEADER));
  const end = /end_header[ \t]*(\r\n|\r|\n)/.exec(text);
  if (!text.startsWith("ply") || !end) throw new Refused("it is no PLY");
  const header = { columns: new Map(), count: 0, stride: 0, comments: [] };
  header.start = end.index + end[0].length;
  let element = null;
  for (const line of text.slice(0, end.index).split(/\r\n|\r|\n/)) {
    const words = line.trim().split(/\s+/);
    if (words[0] === "format" && words[1] !== "binary_little_endian")
      throw new Refused(`the PLY is ${words[1]}: export it again, by gaborsplat export`);
    if (words[0] === "comment") header.comments.push(line.trim().slice("comment".length).trim());
    if (words[0] === "element") {
      if (element === null && words[1] !== "vertex")
        throw new Refused(`the PLY begins with ${words[1]}: no splats, or compressed ones`);
      element = words[1];
      if (element === "vertex") header.count = Number(words[2]);
    }
    if (words[0] === "property" && element === "vertex") addColumn(header, words);
  }
  return header;
}

function addColumn(header, [, type, name]) {
  const size = Object.hasOwn(SIZES, type) ? SIZES[type] : null;
  if (!size) throw new Refused(`the PLY has a column of the type ${type}`);
  header.columns.set(name, { at: header.stride, real: size === 4 && type.startsWith("f") });
  header.stride += size;
}

// Reads column by column: a function of a row and the name of a column of floats.
function rowsOf(bytes, { columns, stride, start }) {
  const data = new DataView(bytes.buffer, bytes.byteOffset + start);
  return (name) => {
    const column = columns.get(name);
    if (!column) return () => 0;
    if (!column.real) throw new Refused(`the PLY's column ${name} is not of floats`);
    return (row) => data.getFloat32(row * stride + column.at, true);
  };
}

function wavesOf(columns) {
  const count = [0, 1, 2, 3, 4].find((k) => !columns.has(`gabor_frequency_${k}_x`)) ?? 5;
  if (![0, 1, 2, 4].includes(count)) throw new Refused(`the PLY has ${count} waves a splat`);
  return count;
}

// How many numbers of harmonics beyond the constant one; those beyond degree 3 are left out.
function restOf(columns) {
  let count = 0;
  while (columns.has(`f_rest_${count}`)) count++;
  if (![0, 9, 24, 45, 72].includes(count)) throw new Refused(`the PLY has ${count} columns f_rest`);
  return count;
}

function fill(splats, columnOf, columns, rest) {
  const { count, degree, waves } = splats;
  const copy = (names, target, change = (value) => value) => {
    names.map(columnOf).forEach((read, place) => {
      for (let i = 0; i < count; i++) target[names.length * i + place] = change(read(i));
    });
  };
  copy(["x", "y", "z"], splats.means);
  copy(["rot_0", "rot_1", "rot_2", "rot_3"], splats.quats);
  copy(["scale_0", "scale_1", "scale_2"], splats.scales, Math.exp);
  if (!columns.has("scale_2")) for (let i = 0; i < count; i++) splats.scales[3 * i + 2] = 0; // 2DGS
  copy(["opacity"], splats.opacities, sigmoid);
  copy(["f_dc_0", "f_dc_1", "f_dc_2"], splats.colors, (value) => 0.5 + SH_C0 * value);
  const coefficients = (degree + 1) ** 2 - 1;
  const ofChannel = rest / 3; // in the file, all of red come before all of green
  const names = [];
  for (let j = 0; j < coefficients; j++)
    for (let channel = 0; channel < 3; channel++) names.push(`f_rest_${channel * ofChannel + j}`);
  copy(names, splats.palette);
  const numbers = [...Array(waves).keys()];
  copy(numbers.flatMap((k) => ["x", "y", "z"].map((axis) => `gabor_frequency_${k}_${axis}`)),
    splats.frequencies);
  copy(numbers.flatMap((k) => ["cos", "sin"].map((part) => `gabor_coefficient_${k}_${part}`)),
    splats.coefficients);
}

// What comments say of how splats are to be shown; the last one holds.
function statedIn(comments) {
  const stated = {};
  const ofBrush = comments.some((comment) => /^exported from brush/i.test(comment));
  for (const comment of comments) {
    const [key, ...words] = comment.split(/\s+/);
    if (/^splatrendermode:?$/i.test(key)) stated.antialiased = words[0] === "mip";
    if (/^antialiased$/i.test(key)) stated.antialiased = words[0] === "1";
    if (key === "background") stated.background = words;
    // Whatever a letter means in a file by Brush: it writes numbers where it knows.
    if (/^vertical axis:? /i.test(comment) && !(words.length === 2 && ofBrush)) stated.up = words.slice(1);
    if (key === "name") stated.name = decoded(words.join(" "));
  }
  return stated;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

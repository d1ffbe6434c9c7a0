// PNG files to the colours that are stored in them. A canvas would multiply them by alpha
// and change them by gamma and profiles, which the server's decoder passes over.

import { orientationOf, turnUpright } from "./orientation.js";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const [GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA] = [0, 2, 3, 4, 6];
const SAMPLES = { [GREY]: 1, [COLOUR]: 3, [PALETTE]: 1, [GREY_ALPHA]: 2, [COLOUR_ALPHA]: 4 };
// Of Adam7: where the first pixel lies, and how far apart they are.
const PASSES = [
  { x: 0, y: 0, across: 8, down: 8 },
  { x: 4, y: 0, across: 8, down: 8 },
  { x: 0, y: 4, across: 4, down: 8 },
  { x: 2, y: 0, across: 4, down: 4 },
  { x: 0, y: 2, across: 2, down: 4 },
  { x: 1, y: 0, across: 2, down: 2 },
  { x: 0, y: 1, across: 1, down: 2 },
];
const WHOLE = [{ x: 0, y: 0, across: 1, down: 1 }];

export function isPng(bytes) {
  return SIGNATURE.every((value, place) => bytes[place] === value);
}

/** Decodes a PNG to `{width, height, colours}`, three bytes per pixel, upright. */
export async function decodePng(bytes) {
  const { header, palette, packed, exif } = readChunks(bytes);
  const samples = SAMPLES[header.kind];
  if (!samples || !header.width || !header.height) throw new Error("it is damaged");
  const bits = samples * header.depth;
  const lines = await unpack(packed);
  const { width, height } = header;
  const colours = new Uint8Array(width * height * 3);
  let at = 0;
  for (const pass of header.isInterlaced ? PASSES : WHOLE) {
    const columns = Math.ceil((width - pass.x) / pass.across);
    const rows = Math.ceil((height - pass.y) / pass.down);
    if (columns <= 0 || rows <= 0) continue;
    const stride = Math.ceil((columns * bits) / 8);
    unfilter(lines, at, rows, stride, Math.max(1, bits / 8));
    for (let row = 0; row < rows; row++) {
      const line = lines.subarray(at + 1, at + 1 + stride);
      const start = (pass.y + row * pass.down) * width + pass.x;
      paint(line, columns, header, palette, (place, red, green, blue) => {
        const pixel = 3 * (start + place * pass.across);
        colours[pixel] = red;
        colours[pixel + 1] = green;
        colours[pixel + 2] = blue;
      });
      at += 1 + stride;
    }
  }
  return turnUpright({ width, height, colours }, exif ? orientationOf(exif) : 1);
}

function readChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = { header: null, palette: new Uint8Array(768), packed: [], exif: null };
  let place = SIGNATURE.length;
  while (place + 8 <= bytes.length) {
    const size = view.getUint32(place);
    const name = String.fromCharCode(...bytes.subarray(place + 4, place + 8));
    const content = bytes.subarray(place + 8, place + 8 + size);
    if (name === "IEND") break;
    if (name === "IHDR") found.header = readHeader(view, place + 8);
    if (name === "PLTE") found.palette.set(content.subarray(0, 768));
    if (name === "IDAT") found.packed.push(content);
    if (name === "eXIf") found.exif ??= content;
    place += 12 + size;
  }
  if (!found.header) throw new Error("it is damaged");
  return found;
}

function readHeader(view, place) {
  return {
    width: view.getUint32(place),
    height: view.getUint32(place + 4),
    depth: view.getUint8(place + 8),
    kind: view.getUint8(place + 9),
    isInterlaced: view.getUint8(place + 12) === 1,
  };
}

async function unpack(parts) {
  const stream = new Blob(parts).stream();
  const unpacked = stream.pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

/** Undoes the filters of rows in place: each begins with a byte that names its filter. */
function unfilter(lines, begin, rows, stride, step) {
  if (begin + rows * (1 + stride) > lines.length) throw new Error("it is cut short");
  for (let row = 0; row < rows; row++) {
    const start = begin + row * (1 + stride) + 1;
    const filter = lines[start - 1];
    const above = row ? start - 1 - stride : -1;
    for (let n = 0; n < stride; n++) {
      const left = n >= step ? lines[start + n - step] : 0;
      const up = row ? lines[above + n] : 0;
      const corner = row && n >= step ? lines[above + n - step] : 0;
      lines[start + n] += predicted(filter, left, up, corner);
    }
  }
}

function predicted(filter, left, up, corner) {
  switch (filter) {
    case 1:
      return left;
    case 2:
      return up;
    case 3:
      return (left + up) >> 1;
    case 4:
      return nearest(left, up, corner);
  }
  return 0;
}

// Paeth: which of the three is nearest to left + up − corner.
function nearest(left, up, corner) {
  const toLeft = Math.abs(up - corner);
  const toUp = Math.abs(left - corner);
  const toCorner = Math.abs(left + up - 2 * corner);
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function paint(line, columns, { kind, depth }, palette, set) {
  const step = (SAMPLES[kind] * depth) / 8;
  const next = depth === 16 ? 2 : 1; // Of 16 bits the higher 8 count.
  if (kind === COLOUR || kind === COLOUR_ALPHA) {
    for (let place = 0, at = 0; place < columns; place++, at += step) {
      set(place, line[at], line[at + next], line[at + 2 * next]);
    }
    return;
  }
  const largest = 2 ** depth - 1;
  for (let place = 0; place < columns; place++) {
    const value = depth < 8 ? small(line, place, depth) : line[place * step];
    if (kind === PALETTE) {
      const at = 3 * value;
      set(place, palette[at], palette[at + 1], palette[at + 2]);
    } else {
      const grey = depth < 8 ? (255 * value) / largest : value;
      set(place, grey, grey, grey);
    }
  }
}

/** A sample of fewer than 8 bits. */
function small(line, place, depth) {
  const bit = place * depth;
  return (line[bit >> 3] >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
}

// Image files to pixels, as the server's decoder sees them.

import { withoutMetadata } from "./metadata.js";
import { turnOf } from "./orientation.js";
import { decodePng, isPng } from "./png.js";

// Pixels as they are stored: neither turned to the screen's colours nor blended.
const AS_STORED = { colorSpaceConversion: "none", premultiplyAlpha: "none" };

/** Opens a picture: `width`, `height`, and `read(left, top, width, height)`, which gives
 * `channels` bytes per pixel. Close it when it was read. */
export async function openPicture(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (isPng(bytes)) return ofColours(await decodePng(bytes));
  checkCanvas();
  const { parts, orientation } = withoutMetadata(bytes);
  const stored = new Blob(parts, { type: file.type });
  return ofBitmap(await createImageBitmap(stored, AS_STORED), turnOf(orientation));
}

function ofColours({ width, height, colours }) {
  function read(left, top, across, down) {
    const pixels = new Uint8Array(across * down * 3);
    for (let row = 0; row < down; row++) {
      const start = 3 * ((top + row) * width + left);
      pixels.set(colours.subarray(start, start + 3 * across), 3 * row * across);
    }
    return pixels;
  }
  return { width, height, channels: 3, read, close: () => {} };
}

// A piece at a time: browsers bound the size of a canvas.
function ofBitmap(bitmap, { isSwapped, flipsRows, flipsColumns }) {
  const across = isSwapped ? bitmap.height : bitmap.width;
  const down = isSwapped ? bitmap.width : bitmap.height;
  const [x, right] = flipsColumns ? [-1, across] : [1, 0];
  const [y, bottom] = flipsRows ? [-1, down] : [1, 0];
  const turn = isSwapped ? [0, y, x, 0] : [x, 0, 0, y];
  const canvas = new OffscreenCanvas(1, 1);
  const context = contextOf(canvas);
  function read(left, top, width, height) {
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    context.globalCompositeOperation = "copy";
    context.imageSmoothingEnabled = false;
    context.setTransform(...turn, right - left, bottom - top);
    context.drawImage(bitmap, 0, 0);
    const pixels = context.getImageData(0, 0, width, height).data;
    for (let at = 3; at < pixels.length; at += 4) {
      if (pixels[at] < 255) {
        throw new Error("parts of it are transparent, and only the server reads those");
      }
    }
    return pixels;
  }
  const close = () => bitmap.close();
  return { width: across, height: down, channels: 4, read, close };
}

function contextOf(canvas) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("this browser draws nothing here");
  return context;
}

/** Some browsers change the pixels that a page reads, so that it cannot know them by it. */
function checkCanvas() {
  const context = contextOf(new OffscreenCanvas(8, 8));
  const drawn = context.createImageData(8, 8);
  for (let at = 0; at < drawn.data.length; at++) {
    drawn.data[at] = at % 4 === 3 ? 255 : (37 * at) % 256;
  }
  context.putImageData(drawn, 0, 0);
  const read = context.getImageData(0, 0, 8, 8).data;
  if (read.some((value, at) => Math.abs(value - drawn.data[at]) > 3)) {
    throw new Error("this browser does not let pages read pictures as they are");
  }
}

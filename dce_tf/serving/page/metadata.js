// JPEG and WebP files without what browsers heed each in a way of its own: profiles of
// colours, which the server's decoder passes over, and EXIF, whose orientation is read here.

import { orientationOf } from "./orientation.js";

// Of JPEG: markers, and what an APP1 with EXIF begins with.
const [FILL, APP1, APP2, END, SCAN] = [0xff, 0xe1, 0xe2, 0xd9, 0xda];
const EXIF = "Exif\0\0";
// Of WebP: where the header has its flags, the one of EXIF, and where chunks begin.
const [FLAGS, HAS_EXIF, CHUNKS] = [20, 0x08, 12];

/** Returns the `parts` that make a file without metadata, and its `orientation`. */
export function withoutMetadata(bytes) {
  if (bytes[0] === FILL && bytes[1] === 0xd8 && bytes[2] === FILL) return ofJpeg(bytes);
  if (textAt(bytes, 0, 4) === "RIFF" && textAt(bytes, 8, 8) === "WEBPVP8X") {
    return ofWebp(bytes);
  }
  return { parts: [bytes], orientation: 1 };
}

function ofJpeg(bytes) {
  const parts = [];
  let exif = null;
  let [kept, place] = [0, 2];
  while (place + 4 <= bytes.length && bytes[place] === FILL) {
    const marker = bytes[place + 1];
    if (marker === SCAN || marker === END) break;
    if (marker === FILL) {
      place += 1;
      continue;
    }
    const isBare = marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8);
    const size = isBare ? 0 : bytes[place + 2] * 256 + bytes[place + 3];
    const following = place + 2 + size;
    if (marker === APP1 || marker === APP2) {
      parts.push(bytes.subarray(kept, place));
      kept = following;
    }
    if (marker === APP1 && textAt(bytes, place + 4, 6) === EXIF) {
      exif ??= bytes.subarray(place + 10, following);
    }
    place = following;
  }
  parts.push(bytes.subarray(kept));
  return { parts, orientation: exif ? orientationOf(exif) : 1 };
}

function ofWebp(bytes) {
  if (!(bytes[FLAGS] & HAS_EXIF)) return { parts: [bytes], orientation: 1 };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const plain = bytes.slice();
  plain[FLAGS] &= ~HAS_EXIF;
  let exif = null;
  for (let place = CHUNKS; place + 8 <= bytes.length; ) {
    const size = view.getUint32(place + 4, true);
    if (textAt(bytes, place, 4) === "EXIF") {
      exif ??= bytes.subarray(place + 8, place + 8 + size);
      plain.fill(0x78, place, place + 4); // No reader knows a chunk of this name.
    }
    place += 8 + size + (size % 2);
  }
  return { parts: [plain], orientation: exif ? orientationOf(exif) : 1 };
}

function textAt(bytes, place, length) {
  return String.fromCharCode(...bytes.subarray(place, place + length));
}

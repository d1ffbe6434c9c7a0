// The EXIF orientation of a picture, which some decoders of browsers heed and others not.

const TAG = 0x0112;
const [SHORT, LONG] = [3, 4];
const BEFORE_TIFF = 0x45786966; // "Exif", and two zeros.
const MOST_ENTRIES = 256;

/** Reads the orientation, 1 to 8, out of a TIFF file without a picture; 1 for none. */
export function orientationOf(tiff) {
  let view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  try {
    if (view.getUint32(0) === BEFORE_TIFF && view.getUint16(4) === 0) {
      view = new DataView(tiff.buffer, tiff.byteOffset + 6, tiff.byteLength - 6);
    }
    const isLittle = view.getUint32(0) === 0x49492a00;
    if (!isLittle && view.getUint32(0) !== 0x4d4d002a) return 1;
    const first = view.getUint32(4, isLittle);
    const count = Math.min(view.getUint16(first, isLittle), MOST_ENTRIES);
    for (let n = 0; n < count; n++) {
      const entry = first + 2 + 12 * n;
      if (view.getUint16(entry, isLittle) !== TAG) continue;
      const kind = view.getUint16(entry + 2, isLittle);
      let value = 0;
      if (kind === SHORT) value = view.getUint16(entry + 8, isLittle);
      if (kind === LONG) value = view.getUint32(entry + 8, isLittle);
      return value >= 1 && value <= 8 ? value : 1;
    }
  } catch {
    // It ends too early to say anything.
  }
  return 1;
}

/** What an orientation says: whether rows become columns, and which are flipped then. */
export function turnOf(orientation) {
  return {
    isSwapped: orientation >= 5,
    flipsRows: [3, 4, 7, 8].includes(orientation),
    flipsColumns: [2, 3, 6, 7].includes(orientation),
  };
}

/** Turns and flips `{width, height, colours}` as an orientation says. */
export function turnUpright(picture, orientation) {
  if (orientation === 1) return picture;
  const { width, height, colours } = picture;
  const { isSwapped, flipsRows, flipsColumns } = turnOf(orientation);
  const [across, down] = isSwapped ? [height, width] : [width, height];
  const turned = new Uint8Array(colours.length);
  for (let y = 0; y < down; y++) {
    for (let x = 0; x < across; x++) {
      const row = flipsRows ? down - 1 - y : y;
      const column = flipsColumns ? across - 1 - x : x;
      const source = isSwapped ? column * width + row : row * width + column;
      for (let n = 0; n < 3; n++) {
        turned[3 * (y * across + x) + n] = colours[3 * source + n];
      }
    }
  }
  return { width: across, height: down, colours: turned };
}

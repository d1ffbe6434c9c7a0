// A picture as the network sees it. It is scaled and cropped like `evaluation_image` of
// dce_tf/images/preprocessing.py, so that both make the same embedding.

const RESIZE_RATIO = 256 / 224; // Shorter side before the centre crop, per pixel of it.
const STRIP = 64; // Rows that are read at once.

/** Scales the shorter side of a picture to 256/224 of `side` and takes the centre; returns
 * `side` · `side` pixels of three numbers, 0 to 255. */
export function evaluationImage(picture, side) {
  const target = Math.round(side * RESIZE_RATIO);
  const shorter = Math.min(picture.width, picture.height);
  const planOf = (length) =>
    plan(length, Math.floor((target * length) / shorter + 1e-3), side);
  const columns = planOf(picture.width);
  const rows = planOf(picture.height);
  const uses = usesOf(rows);
  const image = new Float32Array(side * side * 3);
  for (let top = rows.first; top < rows.last; top += STRIP) {
    const count = Math.min(STRIP, rows.last - top);
    const width = columns.last - columns.first;
    const strip = picture.read(columns.first, top, width, count);
    for (let row = 0; row < count; row++) {
      const line = resampleRow(strip, row * width * picture.channels, columns, picture);
      for (const { place, weight } of uses[top - rows.first + row]) {
        const start = place * side * 3;
        for (let n = 0; n < line.length; n++) image[start + n] += weight * line[n];
      }
    }
  }
  return image;
}

/** Which pixels along one axis make each pixel of the crop, and how much: a triangle,
 * bilinear where it enlarges and antialiased where it makes smaller. */
function plan(length, scaled, side) {
  const step = length / scaled;
  const reach = Math.max(step, 1);
  const offset = roundHalfToEven((scaled - side) / 2);
  const spans = Array.from({ length: side }, (_, place) => {
    const centre = (place + 0.5 + offset) * step;
    const clamp = (value) => Math.min(Math.max(value, 0), length - 1);
    const start = clamp(Math.ceil(centre - reach - 0.5));
    const end = clamp(Math.floor(centre + reach - 0.5)) + 1;
    const weights = Array.from({ length: end - start }, (_, n) =>
      Math.max(0, 1 - Math.abs(start + n + 0.5 - centre) / reach),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { start, weights: weights.map((weight) => weight / sum) };
  });
  const first = spans[0].start;
  const { start, weights } = spans[side - 1];
  return { spans, first, last: start + weights.length };
}

// As TensorFlow rounds.
function roundHalfToEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 ? floor + 1 : floor;
}

/** The same plan seen from the pixels that are read: which places each one is used at. */
function usesOf({ spans, first, last }) {
  const uses = Array.from({ length: last - first }, () => []);
  for (const [place, { start, weights }] of spans.entries()) {
    for (const [n, weight] of weights.entries()) {
      uses[start + n - first].push({ place, weight });
    }
  }
  return uses;
}

function resampleRow(pixels, begin, { spans, first }, { channels }) {
  const line = new Float32Array(spans.length * 3);
  for (const [place, { start, weights }] of spans.entries()) {
    let [red, green, blue] = [0, 0, 0];
    let at = begin + (start - first) * channels;
    for (const weight of weights) {
      red += weight * pixels[at];
      green += weight * pixels[at + 1];
      blue += weight * pixels[at + 2];
      at += channels;
    }
    line.set([red, green, blue], place * 3);
  }
  return line;
}

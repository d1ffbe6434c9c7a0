// Heat over a picture: which places of it speak for a match.

const SIDE = 320; // Pixels of the longer side of what is drawn.
const FOR = [230, 60, 0];
const AGAINST = [0, 90, 230];
const MOST = 0.75; // Opacity of the hottest place.

/** The most that a place of any of these maps gives or takes. */
export function hottestOf(...maps) {
  return Math.max(...maps.flat(2).map(Math.abs), Number.MIN_VALUE);
}

/** Draws an image that is loaded, and heat, a list of rows, over the square in its middle;
 * `seen` is the side of that per shorter side, `hottest` what is drawn strongest. */
export function drawHeat(canvas, image, heat, { seen, hottest }) {
  const scale = SIDE / Math.max(image.naturalWidth, image.naturalHeight);
  canvas.width = Math.max(1, Math.round(scale * image.naturalWidth));
  canvas.height = Math.max(1, Math.round(scale * image.naturalHeight));
  const { width, height } = canvas;
  const side = seen * Math.min(width, height);
  const square = [(width - side) / 2, (height - side) / 2, side, side];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, width, height);
  context.beginPath();
  context.rect(0, 0, width, height);
  context.rect(...square);
  context.fillStyle = "rgb(0 0 0 / 45%)";
  context.fill("evenodd");
  context.imageSmoothingQuality = "high";
  context.drawImage(inColours(heat, hottest), ...square);
}

function inColours(heat, hottest) {
  const small = new OffscreenCanvas(heat[0].length, heat.length);
  const context = small.getContext("2d");
  const pixels = context.createImageData(small.width, small.height);
  for (const [place, value] of heat.flat().entries()) {
    // Squared, as most places speak for a match a little.
    const opacity = 255 * MOST * (value / hottest) ** 2;
    pixels.data.set([...(value > 0 ? FOR : AGAINST), opacity], 4 * place);
  }
  context.putImageData(pixels, 0, 0);
  return small;
}

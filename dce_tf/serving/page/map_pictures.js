// Pictures laid over a map: at most one in each cell of a grid, so that none overlap.

import { picturePath, request } from "./api.js";
import { colourOf } from "./plane.js";

const SIDE = 52; // Pixels of a picture on the screen.
const CELL = 64;
const KEPT = 600;
const AT_ONCE = 6;

export class MapPictures {
  constructor() {
    this.isOn = false;
    this.collection = null;
    this.changed = () => {};
    this.clear();
  }

  /** Forgets the pictures of a collection. */
  clear(collection = null) {
    this.collection = collection;
    this.bitmaps = new Map();
    this.waiting = [];
    this.loading = 0;
    this.laid = [];
  }

  /** The point whose picture lies there, or null. */
  pointAt(left, top) {
    const half = SIDE / 2;
    const found = this.laid.find(
      (each) => Math.abs(each.left - left) <= half && Math.abs(each.top - top) <= half,
    );
    return found?.point ?? null;
  }

  draw(pen, plane, style) {
    this.laid = this.isOn ? this.choose(plane) : [];
    this.waiting = [];
    for (const { point, left, top } of this.laid) {
      const bitmap = this.bitmaps.get(point.id);
      if (bitmap === undefined) this.waiting.push(point.id);
      if (!bitmap) continue;
      pen.fillStyle = colourOf(style, point.cluster);
      pen.fillRect(left - SIDE / 2 - 2, top - SIDE / 2 - 2, SIDE + 4, SIDE + 4);
      const side = Math.min(bitmap.width, bitmap.height);
      const [x, y] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
      pen.drawImage(
        bitmap,
        x,
        y,
        side,
        side,
        left - SIDE / 2,
        top - SIDE / 2,
        SIDE,
        SIDE,
      );
    }
    this.load();
  }

  /** Which points have their picture shown; panning does not change it. */
  choose(plane) {
    const { camera } = plane;
    const cell = CELL / 2 ** (Math.floor(2 * Math.log2(camera.scale)) / 2);
    const nearest = new Map();
    for (const point of [...plane.byCluster().values()].flat()) {
      const [column, row] = [Math.round(point.x / cell), Math.round(point.y / cell)];
      const distance = Math.hypot(point.x / cell - column, point.y / cell - row);
      const key = `${column},${row}`;
      if (distance < (nearest.get(key)?.distance ?? 1))
        nearest.set(key, { point, distance });
    }
    const chosen = [];
    for (const { point } of [...plane.hits, ...nearest.values()]) {
      const [left, top] = camera.toScreen(point);
      const place = { point, left, top };
      if (!chosen.some((each) => overlap(each, place))) chosen.push(place);
    }
    return chosen;
  }

  load() {
    while (this.loading < AT_ONCE && this.waiting.length)
      void this.fetch(this.waiting.shift());
  }

  async fetch(id) {
    const { bitmaps, collection } = this;
    bitmaps.set(id, null);
    this.loading += 1;
    try {
      const response = await request(picturePath(collection, id));
      bitmaps.set(id, await createImageBitmap(await response.blob()));
      if (bitmaps.size > KEPT) bitmaps.delete(bitmaps.keys().next().value);
    } catch {
      // It stays a point, as one that has no picture.
    }
    if (bitmaps !== this.bitmaps) return; // Of a collection left meanwhile.
    this.loading -= 1;
    this.changed();
  }
}

function overlap(one, other) {
  const gap = SIDE + 6;
  return Math.abs(one.left - other.left) < gap && Math.abs(one.top - other.top) < gap;
}

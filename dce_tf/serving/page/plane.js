// Draws a map of points on a canvas, and knows which point is where.

import { Camera } from "./camera.js";

export const NUM_COLOURS = 8;
export const SHAPES = ["circle", "square", "triangle", "diamond"];
const REACH = 14; // Pixels around a point that count as on it.

export class Plane {
  /** `pictures` lays pictures over the points; see `MapPictures`. */
  constructor(canvas, pictures) {
    this.canvas = canvas;
    this.camera = new Camera();
    this.pictures = pictures;
    this.points = [];
    this.hidden = new Set();
    this.emphasis = null;
    this.current = null;
    this.hits = [];
    this.query = null;
    this.asked = 0;
    this.drawn = () => {};
    const redraw = () => this.draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
  }

  setPoints(points) {
    this.points = points;
    this.hidden.clear();
    this.current = this.query = null;
    this.hits = [];
    this.camera.fit(points);
    this.draw();
  }

  /** Marks points that were found, the nearest first, and where the query lies. */
  mark(hits, query) {
    this.hits = hits;
    this.query = query;
    this.draw();
  }

  isShown(point) {
    return !this.hidden.has(point.cluster);
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas.parentElement;
    if (!clientWidth || !clientHeight) return;
    const { camera } = this;
    const isFirst = camera.width === 1;
    const wasWhole = isFirst || camera.zoom === 1;
    const ratio = devicePixelRatio;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    camera.width = clientWidth;
    camera.height = clientHeight;
    if (wasWhole) camera.fit(this.points);
    this.draw();
  }

  /** The point on the screen there, or null. */
  pointAt(left, top) {
    const laid = this.pictures.pointAt(left, top);
    if (laid) return laid;
    let nearest = null;
    let least = REACH ** 2;
    for (const point of this.points) {
      if (!this.isShown(point)) continue;
      const [x, y] = this.camera.toScreen(point);
      const distance = (x - left) ** 2 + (y - top) ** 2;
      if (distance < least) [nearest, least] = [point, distance];
    }
    return nearest;
  }

  /** The next point from the current one to where (right, down) points, or null. */
  pointTowards(right, down) {
    const start =
      this.current ??
      this.camera.toPlane(this.camera.width / 2, this.camera.height / 2);
    let next = null;
    let least = Infinity;
    for (const point of this.points) {
      if (point === this.current || !this.isShown(point)) continue;
      const x = point.x - start.x;
      const y = start.y - point.y;
      const along = x * right + y * down;
      const aside = Math.abs(x * down) + Math.abs(y * right);
      if (along <= 0 || aside > along) continue;
      const distance = along + 2 * aside;
      if (distance < least) [next, least] = [point, distance];
    }
    return next;
  }

  draw() {
    this.asked ||= requestAnimationFrame(() => {
      this.asked = 0;
      this.drawNow();
    });
  }

  drawNow() {
    const { camera, canvas } = this;
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    const ratio = canvas.width / camera.width;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, camera.width, camera.height);
    const size = Math.min(8, 2.4 * Math.max(1, camera.zoom) ** 0.4);
    const isQuiet = this.hits.length > 0;
    for (const [cluster, points] of this.byCluster()) {
      const isDim = this.emphasis === null ? isQuiet : this.emphasis !== cluster;
      pen.globalAlpha = isDim ? 0.4 : 0.85;
      pen.fillStyle = colourOf(style, cluster);
      pen.beginPath();
      for (const point of points) trace(pen, ...camera.toScreen(point), size, cluster);
      pen.fill();
    }
    pen.globalAlpha = 1;
    this.pictures.draw(pen, this, style);
    if (this.query) drawCross(pen, style, ...camera.toScreen(this.query));
    this.drawHits(pen, style, size);
    if (this.current) {
      const [left, top] = camera.toScreen(this.current);
      ring(pen, left, top, size + 6, style.getPropertyValue("--ink"), 3);
    }
    this.drawn();
  }

  /** The points in sight by cluster. */
  byCluster() {
    const { camera } = this;
    const groups = new Map();
    for (const point of this.points) {
      if (!this.isShown(point)) continue;
      const [left, top] = camera.toScreen(point);
      if (left < -9 || top < -9 || left > camera.width + 9 || top > camera.height + 9)
        continue;
      const group = groups.get(point.cluster);
      if (group) group.push(point);
      else groups.set(point.cluster, [point]);
    }
    return groups;
  }

  drawHits(pen, style, size) {
    const ink = style.getPropertyValue("--ink");
    const paper = style.getPropertyValue("--card");
    pen.font = "600 11px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const written = [];
    const isFree = (x, y) => !written.some(([a, b]) => Math.hypot(a - x, b - y) < 15);
    // The nearest is drawn last, on top, and written first.
    for (const { point } of [...this.hits].reverse()) {
      const [left, top] = this.camera.toScreen(point);
      pen.fillStyle = colourOf(style, point.cluster);
      pen.beginPath();
      trace(pen, left, top, size + 1, point.cluster);
      pen.fill();
      ring(pen, left, top, size + 3, ink, 1.5);
    }
    for (const { point, rank } of this.hits) {
      const [left, top] = this.camera.toScreen(point);
      const place = [left + size + 10, top - size - 4];
      if (!isFree(...place)) continue;
      written.push(place);
      pen.lineWidth = 3;
      pen.strokeStyle = paper;
      pen.fillStyle = ink;
      pen.strokeText(rank, ...place);
      pen.fillText(rank, ...place);
    }
  }
}

export function colourOf(style, cluster) {
  return style.getPropertyValue(`--cluster-${cluster % NUM_COLOURS}`);
}

/** Which shape a cluster's points have: past the colours there are, another one. */
export function shapeOf(cluster) {
  return SHAPES[Math.floor(cluster / NUM_COLOURS) % SHAPES.length];
}

function trace(pen, left, top, size, cluster) {
  switch (shapeOf(cluster)) {
    case "square":
      pen.rect(left - size, top - size, 2 * size, 2 * size);
      return;
    case "triangle":
      polygon(
        pen,
        [left, top - 1.3 * size],
        [left + 1.2 * size, top + size],
        [left - 1.2 * size, top + size],
      );
      return;
    case "diamond":
      polygon(
        pen,
        [left, top - 1.4 * size],
        [left + 1.4 * size, top],
        [left, top + 1.4 * size],
        [left - 1.4 * size, top],
      );
      return;
    default:
      pen.moveTo(left + size, top);
      pen.arc(left, top, size, 0, 2 * Math.PI);
  }
}

function polygon(pen, first, ...others) {
  pen.moveTo(...first);
  for (const corner of others) pen.lineTo(...corner);
  pen.closePath();
}

function ring(pen, left, top, size, colour, width) {
  pen.beginPath();
  pen.arc(left, top, size, 0, 2 * Math.PI);
  pen.lineWidth = width;
  pen.strokeStyle = colour;
  pen.stroke();
}

function drawCross(pen, style, left, top) {
  for (const [colour, width] of [
    ["--card", 6],
    ["--ink", 2.5],
  ]) {
    pen.strokeStyle = style.getPropertyValue(colour);
    pen.lineWidth = width;
    pen.beginPath();
    for (const [right, down] of [
      [1, 0],
      [-1, 0],
      [0, 1],
      [0, -1],
    ]) {
      pen.moveTo(left + 10 * right, top + 10 * down);
      pen.lineTo(left + 22 * right, top + 22 * down);
    }
    pen.stroke();
  }
}

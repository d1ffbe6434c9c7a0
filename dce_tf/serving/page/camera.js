// Where a plane of points (x to the right, y up) lies on a screen of pixels.

const LARGEST_ZOOM = 60;
const MARGIN = 0.06;

export class Camera {
  constructor() {
    this.width = this.height = 1;
    this.fit([]);
  }

  /** Shows all of some points. */
  fit(points) {
    const xs = points.map((point) => point.x);
    const ys = points.map((point) => point.y);
    const [left, right] = [Math.min(-0.01, ...xs), Math.max(0.01, ...xs)];
    const [low, high] = [Math.min(-0.01, ...ys), Math.max(0.01, ...ys)];
    this.x = (left + right) / 2;
    this.y = (low + high) / 2;
    const room = 1 - 2 * MARGIN;
    this.whole =
      room * Math.min(this.width / (right - left), this.height / (high - low));
    this.scale = this.whole;
  }

  /** How far it is zoomed in; 1 shows all. */
  get zoom() {
    return this.scale / this.whole;
  }

  toScreen(point) {
    return [
      this.width / 2 + (point.x - this.x) * this.scale,
      this.height / 2 - (point.y - this.y) * this.scale,
    ];
  }

  toPlane(left, top) {
    return {
      x: this.x + (left - this.width / 2) / this.scale,
      y: this.y - (top - this.height / 2) / this.scale,
    };
  }

  pan(right, down) {
    this.x -= right / this.scale;
    this.y += down / this.scale;
  }

  /** Zooms by a factor; what lies at a place of the screen stays there. */
  zoomAt(factor, left = this.width / 2, top = this.height / 2) {
    const fixed = this.toPlane(left, top);
    const scale = this.scale * factor;
    this.scale = Math.min(Math.max(scale, this.whole / 2), this.whole * LARGEST_ZOOM);
    const moved = this.toPlane(left, top);
    this.x += fixed.x - moved.x;
    this.y += fixed.y - moved.y;
  }

  /** Moves no further than it must to have a point in sight. */
  reveal(point, margin = 40) {
    const [left, top] = this.toScreen(point);
    const clamp = (value, most) => Math.min(Math.max(value, margin), most - margin);
    this.pan(clamp(left, this.width) - left, clamp(top, this.height) - top);
  }
}

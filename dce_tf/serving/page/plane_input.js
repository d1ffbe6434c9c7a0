// Pointer, wheel and keys on a map.

const STEP = 1.5;
const STILL = 5; // Pixels that a click may move.
const ARROWS = {
  ArrowRight: [1, 0],
  ArrowLeft: [-1, 0],
  ArrowDown: [0, 1],
  ArrowUp: [0, -1],
};

/** Lets a person move on a plane; `point(point)` and `choose(point)` are told. */
export function listen(element, plane, { point, choose }) {
  const pointers = new Map();
  let moved = 0;

  const place = (event) => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    if (pointers.size === 1) moved = 0;
  });

  element.addEventListener("pointermove", (event) => {
    const now = place(event);
    const before = pointers.get(event.pointerId);
    if (!before) {
      point(plane.pointAt(...now));
      return;
    }
    const [right, down] = [now[0] - before[0], now[1] - before[1]];
    moved += Math.abs(right) + Math.abs(down);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    pointers.set(event.pointerId, now);
    if (other) pinch(before, now, other);
    else if (moved > STILL) plane.camera.pan(right, down);
    plane.draw();
  });

  function pinch(before, now, other) {
    const length = ([x, y]) => Math.hypot(x - other[0], y - other[1]);
    const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
    plane.camera.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    plane.camera.zoomAt(length(now) / Math.max(1, length(before)), ...middle);
    moved = Infinity; // Two fingers choose nothing.
  }

  element.addEventListener("pointerup", (event) => {
    if (!pointers.delete(event.pointerId) || moved > STILL) return;
    const found = plane.pointAt(...place(event));
    point(found); // A finger has pointed at nothing before.
    if (found) choose(found);
  });
  element.addEventListener("pointercancel", (event) =>
    pointers.delete(event.pointerId),
  );
  element.addEventListener("pointerleave", (event) => {
    const isHeld = pointers.size > 0 || document.activeElement === element;
    if (event.pointerType === "mouse" && !isHeld) point(null);
  });
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      plane.camera.zoomAt(Math.exp(-event.deltaY / 400), ...place(event));
      plane.draw();
    },
    { passive: false },
  );
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!act(event.key)) return;
    event.preventDefault();
    plane.draw();
  });

  function act(key) {
    if (key in ARROWS) {
      const next = plane.pointTowards(...ARROWS[key]);
      if (next) plane.camera.reveal(next);
      if (next) point(next, true);
      return true;
    }
    if (key === "Enter" && plane.current) choose(plane.current);
    else if (key === "+" || key === "=") plane.camera.zoomAt(STEP);
    else if (key === "-") plane.camera.zoomAt(1 / STEP);
    else if (key === "0") plane.camera.fit(plane.points);
    else if (key === "Escape") point(null);
    else return false;
    return true;
  }
}

/** The buttons do what the keys do. */
export function listenToButtons(plane, { zoomIn, zoomOut, fit }) {
  const acts = [
    [zoomIn, () => plane.camera.zoomAt(STEP)],
    [zoomOut, () => plane.camera.zoomAt(1 / STEP)],
    [fit, () => plane.camera.fit(plane.points)],
  ];
  for (const [button, act] of acts) {
    button.addEventListener("click", () => {
      act();
      plane.draw();
    });
  }
}

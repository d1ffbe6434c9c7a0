// The tab that shows the gallery in two dimensions.

import { getJson, picturePath } from "./api.js";
import { keyOf, textOf } from "./ids.js";
import { byId, make } from "./elements.js";
import { MapPictures } from "./map_pictures.js";
import { showPicture } from "./pictures.js";
import { NUM_COLOURS, Plane, shapeOf } from "./plane.js";
import { listen, listenToButtons } from "./plane_input.js";
import { nameOf } from "./results.js";
import { count, number } from "./text.js";

const METHODS = { pca: "PCA", tsne: "t-SNE", umap: "UMAP" };
const NEAREST = 3; // Hits whose middle is about where a query lies.

/** Makes the map; `choose(record)` is called when a person searches with a point. */
export function makeMap(choose) {
  const pictures = new MapPictures();
  const plane = new Plane(byId("canvas"), pictures);
  pictures.changed = () => plane.draw();
  let shown = { name: null, loading: null, points: new Map() };

  plane.drawn = () => {
    const { camera, current } = plane;
    if (current) place(byId("tip"), ...camera.toScreen(current), camera);
  };
  listen(byId("plane"), plane, { point, choose: chooseRecord });
  listenToButtons(plane, {
    zoomIn: byId("zoom-in"),
    zoomOut: byId("zoom-out"),
    fit: byId("zoom-fit"),
  });
  byId("show-pictures").addEventListener("change", (event) => {
    pictures.isOn = event.target.checked;
    plane.draw();
  });

  /** Loads the map of a collection, if it has one; returns its records. */
  function load(collection) {
    if (shown.name !== collection.name) {
      shown = { name: collection.name, points: new Map() };
      shown.loading = read(collection, shown).catch((error) => {
        shown.name = null; // Asked again next time.
        throw error;
      });
    }
    return shown.loading;
  }

  async function read(collection, place) {
    pictures.clear(collection.name);
    const path = `v1/collections/${encodeURIComponent(collection.name)}/map`;
    const drawn = collection.map ? await getJson(path) : { points: [] };
    if (place !== shown) return [];
    for (const point of drawn.points) {
      point.image = picturePath(collection.name, point.id);
      place.points.set(keyOf(point.id), point);
    }
    plane.setPoints(drawn.points);
    showLegend(drawn.points);
    tell(collection, drawn);
    return drawn.points;
  }

  /** Marks the hits of the last search, and about where the query lies. */
  function mark(hits, queryKey) {
    const marked = hits.flatMap((hit, place) => {
      const found = shown.points.get(keyOf(hit.id));
      return found ? [{ point: found, rank: place + 1 }] : [];
    });
    const nearest = marked.slice(0, NEAREST).map(({ point: each }) => each);
    const middle = nearest.length
      ? {
          x: mean(nearest.map((each) => each.x)),
          y: mean(nearest.map((each) => each.y)),
        }
      : null;
    plane.mark(marked, shown.points.get(queryKey) ?? middle);
  }

  function point(record, byKey = false) {
    if (record === plane.current) return;
    plane.current = record;
    plane.draw();
    byId("tip").hidden = !record;
    byId("plane").classList.toggle("on-point", Boolean(record));
    if (!record) return;
    byId("tip-label").textContent = nameOf(record);
    byId("tip-more").textContent = describe(record);
    showPicture(byId("tip-image"), record.image);
    if (byKey) byId("map-said").textContent = `${nameOf(record)}, ${describe(record)}`;
  }

  function chooseRecord(record) {
    choose({ id: record.id, label: record.label, image: record.image });
  }

  function showLegend(points) {
    const groups = Map.groupBy(points, (each) => each.cluster);
    const clusters = [...groups.keys()].sort((one, other) => one - other);
    byId("clusters").replaceChildren(
      ...clusters.map((cluster) =>
        make("li", {}, toggle(cluster, groups.get(cluster))),
      ),
    );
  }

  function toggle(cluster, points) {
    const name = clusterName(cluster, points);
    const swatch = make("span", {
      className: `swatch ${shapeOf(cluster)} cluster-${cluster % NUM_COLOURS}`,
      ariaHidden: "true",
    });
    const button = make(
      "button",
      { type: "button", ariaPressed: "true" },
      swatch,
      make("span", { className: "name", title: name }, name),
      make("span", { className: "size" }, number(points.length)),
    );
    button.addEventListener("click", () => {
      const isShown = plane.hidden.delete(cluster);
      if (!isShown) plane.hidden.add(cluster);
      button.ariaPressed = String(isShown);
      point(null);
      plane.draw();
    });
    const emphasise = (value) => () => {
      plane.emphasis = value;
      plane.draw();
    };
    button.addEventListener("pointerenter", emphasise(cluster));
    button.addEventListener("pointerleave", emphasise(null));
    return button;
  }

  return { load, mark };
}

function tell(collection, drawn) {
  const shown = drawn.points.length;
  const part = shown < collection.count ? `${number(shown)} of ` : "";
  const method = METHODS[drawn.method] ?? drawn.method;
  byId("map-about").textContent = shown
    ? `${part}${count(collection.count, "image")}, placed by ${method}: what lies near is alike to the model.`
    : "This collection has no map. Make its index again with --map=pca or --map=tsne.";
  document.querySelector(".atlas").hidden = !shown;
  byId("plane").ariaLabel = `Map of ${count(shown, "image")}`;
}

// A cluster is called by its most frequent labels.
function clusterName(cluster, points) {
  const groups = Map.groupBy(points, (each) => each.label);
  const names = [...groups]
    .filter(([label]) => label !== null)
    .sort(([, one], [, other]) => other.length - one.length)
    .slice(0, 2)
    .map(([label]) => label);
  return names.join(", ") || `Cluster ${cluster + 1}`;
}

function describe(record) {
  const cluster = `cluster ${record.cluster + 1}`;
  return record.label === null ? cluster : `${cluster}, ${textOf(record.id)}`;
}

// Beside its point, within the map.
function place(tip, left, top, { width, height }) {
  const gap = 14;
  const [wide, high] = [tip.offsetWidth, tip.offsetHeight];
  const x = left + gap + wide > width ? left - gap - wide : left + gap;
  const y = Math.min(Math.max(top - high / 2, 4), height - high - 4);
  tip.style.translate = `${Math.max(4, x)}px ${y}px`;
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

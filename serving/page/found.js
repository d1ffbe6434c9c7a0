// What was found, or what one can begin with, and how long it took.

import { picturePath, postJson } from "./api.js";
import { showDetails } from "./details.js";
import { keyOf } from "./exact.js";
import { byId, make } from "./make.js";
import { nameOf, showExamples, showHits } from "./results.js";
import { count, milliseconds, number } from "./words.js";

const NUM_EXAMPLES = 15;
const FOUND = "Nearest images";

/** Fills the tab of images; `searchWith(record)`, `only(field, value)` and `lift()`, which
 * takes the filter away, are called when a person wants that. */
export function makeFound(map, { searchWith, only, lift }) {
  const seen = new Map(); // Records by id as JSON.
  let mark = () => {};

  function remember(records) {
    for (const record of records) seen.set(keyOf(record.id), record);
  }

  /** A record's name and picture; of one never seen, where its picture would be. */
  function look(collection, id) {
    const unseen = { id, label: null, image: picturePath(collection.name, id) };
    const record = seen.get(keyOf(id)) ?? unseen;
    return { name: nameOf(record), path: record.image };
  }

  /** Searches, and shows the hits; a search begun later aborts it by its signal. */
  async function search(collection, body, signal) {
    setWorking(true);
    try {
      const started = performance.now();
      const path = `v1/collections/${encodeURIComponent(collection.name)}:search`;
      const answer = await postJson(path, body, { signal });
      const trip = performance.now() - started;
      signal.throwIfAborted();
      show(collection, answer.hits, body.id);
      showSpent({ ...answer.milliseconds, "round trip": trip });
    } catch (error) {
      if (error.name !== "AbortError") showNothing(FOUND, "");
      throw error;
    } finally {
      if (!signal.aborted) setWorking(false);
    }
  }

  function show(collection, hits, id) {
    remember(hits);
    const details = (hit) => showDetails(hit, { search: searchWith, only });
    const wasInside = byId("hits").contains(document.activeElement);
    showHits(byId("hits"), hits, { search: searchWith, explain: details });
    // What had the focus is gone; reading goes on from the heading.
    if (wasInside) byId("found-heading").focus({ preventScroll: true });
    byId("found-heading").textContent = FOUND;
    if (hits.length) {
      const found = count(hits.length, "image");
      const all = number(collection.count);
      byId("said").textContent = `${found} found among ${all}, the nearest first.`;
    } else {
      const button = make("button", { type: "button", onclick: lift });
      button.textContent = "Search among all";
      const text = "Nothing found: no other image meets the filter. ";
      byId("said").replaceChildren(text, button);
    }
    mark = () => map.mark(hits, id === undefined ? null : keyOf(id));
    mark();
  }

  /** Offers records to begin with, spread over the map of the collection. */
  async function begin(collection, text, signal) {
    showNothing("Begin with one of these", text);
    const points = await map.load(collection);
    signal.throwIfAborted();
    const step = Math.max(1, Math.floor(points.length / NUM_EXAMPLES));
    const spread = points.filter((_, place) => place % step === 0);
    const examples = spread.slice(0, NUM_EXAMPLES);
    remember(examples);
    showExamples(byId("hits"), examples, searchWith);
  }

  function showNothing(heading, text) {
    byId("found-heading").textContent = heading;
    setWorking(false);
    byId("hits").replaceChildren();
    byId("said").textContent = text;
    byId("spent").hidden = true;
    mark = () => map.mark([], null);
    mark();
  }

  return { look, remember, search, begin, markAgain: () => mark() };
}

function showSpent(times) {
  const parts = Object.entries(times).map(([name, value]) =>
    make("span", {}, `${name} `, make("b", {}, milliseconds(value))),
  );
  byId("spent").replaceChildren(...parts);
  byId("spent").hidden = false;
}

function setWorking(isWorking) {
  byId("working").hidden = !isWorking;
  byId("results").ariaBusy = String(isWorking);
}

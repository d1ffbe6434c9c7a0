// What was found, or what one can begin with, and how long it took.

import { picturePath, postJson } from "./api.js";
import { showDetails } from "./details.js";
import { keyOf } from "./ids.js";
import { byId, make } from "./elements.js";
import { nameOf, showExamples, showHits } from "./results.js";
import { count, milliseconds, number, percent } from "./text.js";
import { offerWhy } from "./why.js";

const NUM_EXAMPLES = 15;
const FOUND = "Nearest images";

/** Fills the tab of images; `searchWith(record)`, `only(field, value)` and `lift()`, which
 * takes the filter away, are called when a person wants that. */
export function makeFound(map, { searchWith, only, lift }) {
  const seen = new Map(); // Records by id as JSON.
  let mark = () => {};
  let showAgain = () => {};
  byId("least").addEventListener("input", () => showAgain());

  function remember(records) {
    for (const record of records) seen.set(keyOf(record.id), record);
  }

  /** A record's name and picture; of one never seen, where its picture would be. */
  function look(collection, id) {
    const unseen = { id, label: null, image: picturePath(collection.name, id) };
    const record = seen.get(keyOf(id)) ?? unseen;
    return { name: nameOf(record), path: record.image };
  }

  /** Searches, and shows the hits; a search begun later aborts it by its signal.
   * `ask()` gives the `body` to send, and what making it has `spent`. */
  async function search(collection, ask, signal) {
    setWorking(true);
    try {
      const { body, spent } = await ask();
      const started = performance.now();
      const path = `v1/collections/${encodeURIComponent(collection.name)}:search`;
      const answer = await postJson(path, body, { signal });
      const trip = performance.now() - started;
      signal.throwIfAborted();
      showAgain = () => show(collection, answer.hits, body);
      showAgain();
      showSpent({ ...answer.milliseconds, ...spent, "round trip": trip });
    } catch (error) {
      if (error.name !== "AbortError") showNothing(FOUND, "");
      throw error;
    } finally {
      if (!signal.aborted) setWorking(false);
    }
  }

  function show(collection, hits, query) {
    const { id } = query;
    remember(hits);
    const offer = (hit) => offerWhy(collection, collection.explains ? query : null, hit);
    const details = (hit) => showDetails(hit, { search: searchWith, only, offer });
    const wasInside = byId("hits").contains(document.activeElement);
    const least = showLeast(collection.calibration !== null);
    showHits(byId("hits"), hits, { search: searchWith, explain: details, least });
    // What had the focus is gone; reading goes on from the heading.
    if (wasInside) byId("found-heading").focus({ preventScroll: true });
    byId("found-heading").textContent = FOUND;
    if (hits.length) {
      const found = count(hits.length, "image");
      const all = number(collection.count);
      const nearest = `${found} found among ${all}, the nearest first.`;
      byId("said").textContent = nearest + verdict(collection, hits, least);
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
    showLeast(collection.calibration !== null);
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
    showAgain = () => {};
    mark = () => map.mark([], null);
    mark();
  }

  return { look, remember, search, begin, markAgain: () => mark() };
}

/** Shows the slider where it means something; returns the probability it stands at. */
function showLeast(isCalibrated) {
  const least = byId("least").valueAsNumber / 100;
  byId("least-setting").hidden = !isCalibrated;
  byId("least-shown").textContent = percent(least);
  return least;
}

/** What is to be said of hits beside their number. */
function verdict(collection, hits, least) {
  if (collection.calibration === null) return "";
  const probable = hits.filter((hit) => hit.probability >= least).length;
  if (!probable) return ` Unknown: none is as probable as ${percent(least)}.`;
  return ` ${number(probable)} at least as probable as ${percent(least)}.`;
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

// The page: what is looked at, and what happens when that changes.

import { VIEWS, readAddress, writeAddress } from "./address.js";
import { getJson } from "./api.js";
import { showAsked } from "./query_image.js";
import { keyOf, parse } from "./ids.js";
import { makeFilters } from "./filters.js";
import { makeFound } from "./hits.js";
import { prepare, watchForFiles } from "./image_inputs.js";
import { byId, make } from "./elements.js";
import { makeMap } from "./map.js";
import { clearProblem, showError, showProblem } from "./errors.js";
import { NotEmbedded } from "./embedder.js";
import { queryOf, showPrivacy } from "./photographs.js";
import { makeTabs } from "./tabs.js";
import { count, number } from "./text.js";

const uploads = new Map(); // Images of this visit by number: an address holds none.
const described = new Map();

let collections = [];
let state = null;
let searched = null; // What the hits on the page are of, as JSON.
let running = new AbortController();
let turn = 0; // Counts what was to be looked at.

const map = makeMap(searchWith);
const found = makeFound(map, {
  searchWith,
  only: (field, value) => go({ filter: { ...state.filter, [field]: value } }),
  lift: () => go({ filter: {} }),
});
const filters = makeFilters((filter) => go({ filter }));
const tabs = document.querySelector("[role=tablist]");
const selectTab = makeTabs(tabs, (view) => go({ view }));

/** Moves to what is to be looked at now; the back button returns. */
function go(changes) {
  const before = JSON.stringify(state);
  state = { ...state, ...changes, wrong: [] };
  if (JSON.stringify(state) !== before) {
    history.pushState({ upload: state.upload }, "", writeAddress(state));
  }
  void apply();
}

function readState() {
  state = { ...readAddress(location.search), upload: history.state?.upload ?? null };
}

function searchWith(record) {
  found.remember([record]);
  go({ id: keyOf(record.id), upload: null });
  if (state.view === VIEWS[0]) scrollTo({ top: 0 });
}

async function take(files) {
  try {
    const file = await prepare(files[0]);
    const upload = Date.now(); // Not that of another visit, which history remembers.
    uploads.set(upload, { file, name: files[0].name || "A pasted image" });
    go({ id: null, upload });
  } catch (error) {
    showProblem({ title: "That is no image", text: error.message });
  }
}

async function apply(isAgain = false) {
  if (!collections.length) return; // What is known is applied when they are there.
  try {
    clearProblem();
    const own = ++turn;
    const collection = await describe();
    if (own !== turn) return; // Something other is looked at meanwhile.
    showSettings(collection);
    showAsked(asked(collection));
    showPrivacy(collection, uploads.get(state.upload) ?? null);
    selectTab(state.view);
    if (state.wrong.length) {
      const text = state.wrong.join("; ");
      showProblem({ title: "The address cannot be read", text });
    }
    await showFound(collection);
    if (state.view === VIEWS[1]) {
      await map.load(collection);
      found.markAgain();
    }
  } catch (error) {
    if (error.name === "AbortError") return; // Something other is looked at meanwhile.
    if (error instanceof NotEmbedded) {
      showKept(error);
    } else if (error.status === 409 && !isAgain) {
      described.clear(); // The server has another model than it had.
      await apply(true);
    } else {
      showError(error, () => void start());
    }
  }
}

/** Says that a photograph was not embedded, and leaves it to a person to send it. */
function showKept(error) {
  const photograph = uploads.get(state.upload);
  const send = () => {
    photograph.isSent = true;
    void apply();
  };
  const text = `${error.message} It was not sent to the server.`;
  const problem = { title: "The photograph stays on this device", text, again: true };
  showProblem(problem, () => void apply(), { "Send it to the server": send });
}

async function describe() {
  const isKnown = collections.some((each) => each.name === state.collection);
  if (!isKnown && state.collection) {
    state.wrong.push(`collection=${state.collection}: there is none of this name`);
  }
  if (!isKnown) state.collection = collections[0].name;
  const name = state.collection;
  if (!described.has(name)) {
    const path = `v1/collections/${encodeURIComponent(name)}`;
    described.set(name, await getJson(path));
  }
  return described.get(name);
}

function showSettings(collection) {
  byId("collection").value = collection.name;
  byId("count").textContent = count(collection.count, "image");
  byId("k").value = state.k;
  filters.offer(collection);
  filters.show(state.filter);
  byId("about").textContent = [
    count(collection.count, "image"),
    `${number(collection.embedding_dim)} numbers each`,
    `${collection.kind} search`,
    `model ${collection.fingerprint.slice(0, 12)}`,
  ].join(" · ");
}

function asked(collection) {
  const upload = uploads.get(state.upload);
  if (upload || state.id === null) return upload ?? null;
  return found.look(collection, readId());
}

function readId() {
  try {
    return parse(state.id);
  } catch {
    return state.id; // An id that was typed into the address without its quotes.
  }
}

async function showFound(collection) {
  const { k, filter, id, upload } = state;
  const wanted = JSON.stringify([collection.name, k, filter, id, upload]);
  if (wanted === searched) return;
  running.abort();
  running = new AbortController();
  const { signal } = running;
  searched = null;
  const photograph = uploads.get(upload);
  if (photograph || id !== null) {
    const where = Object.keys(filter).length ? { filter } : {};
    const ask = async () => {
      const { body, spent } = photograph
        ? await queryOf(photograph, collection, signal)
        : { body: { id: readId() }, spent: {} };
      return { body: { ...body, k, ...where }, spent };
    };
    await found.search(collection, ask, signal);
  } else {
    const wasLost = upload !== null;
    const text = wasLost ? "The image of that search is gone. Give it once more." : "";
    await found.begin(collection, text, signal);
  }
  searched = wanted;
}

async function start() {
  clearProblem();
  try {
    ({ collections } = await getJson("v1/collections"));
  } catch (error) {
    showError(error, () => void start());
    return;
  }
  byId("collection").replaceChildren(
    ...collections.map(({ name }) => make("option", { value: name }, name)),
  );
  byId("collection").disabled = collections.length < 2;
  if (collections.length) {
    await apply();
    return;
  }
  showProblem({
    title: "There is nothing to search in",
    text:
      "This server has a model, but no collection. Make one with `python main.py " +
      "embed` and `python main.py index`, and start the server with --index=DIR.",
  });
}

byId("collection").addEventListener("change", (event) =>
  go({ collection: event.target.value, id: null, filter: {} }),
);
byId("k").addEventListener("change", (event) => {
  if (event.target.reportValidity()) go({ k: event.target.valueAsNumber });
});
byId("settings").addEventListener("submit", (event) => event.preventDefault());
addEventListener("popstate", () => {
  readState();
  void apply();
});
watchForFiles([byId("file"), byId("camera")], (files) => void take(files));
readState();
void start();

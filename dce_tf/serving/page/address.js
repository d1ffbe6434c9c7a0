// What is looked at, as the page's address has it: links and the back button work.

export const MOST = 1000;
export const VIEWS = ["results", "map"];
const USUAL = { k: 10, view: VIEWS[0] };

/** Reads an address; `wrong` says what of it cannot be read. */
export function readAddress(search) {
  const given = new URLSearchParams(search);
  const wrong = [];
  const k = Number(given.get("k") ?? USUAL.k);
  const fits = Number.isInteger(k) && k >= 1 && k <= MOST;
  if (!fits) wrong.push(`k=${given.get("k")}: expected a whole number, 1 to ${MOST}`);
  const view = given.get("view") ?? USUAL.view;
  return {
    collection: given.get("collection"),
    k: fits ? k : USUAL.k,
    filter: readObject(given.get("filter"), wrong),
    id: given.get("id"),
    view: VIEWS.includes(view) ? view : USUAL.view,
    wrong,
  };
}

/** Writes what `readAddress` reads. */
export function writeAddress({ collection, k, filter, id, view }) {
  const given = new URLSearchParams();
  if (collection) given.set("collection", collection);
  if (k !== USUAL.k) given.set("k", k);
  if (Object.keys(filter).length) given.set("filter", JSON.stringify(filter));
  if (id !== null) given.set("id", id);
  if (view !== USUAL.view) given.set("view", view);
  const text = given.toString();
  return text ? `?${text}` : "./";
}

function readObject(text, wrong) {
  if (text === null) return {};
  try {
    const value = JSON.parse(text);
    if (value && typeof value === "object" && !Array.isArray(value)) return value;
  } catch {
    // Told below, like JSON that is no object.
  }
  wrong.push(`filter=${text}: expected a JSON object`);
  return {};
}

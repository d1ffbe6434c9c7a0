// All that is known of one record, on demand.

import { textOf } from "./ids.js";
import { byId, make } from "./elements.js";
import { showPicture } from "./pictures.js";
import { nameOf } from "./results.js";
import { percent, similarity } from "./text.js";

/** Opens the details of a hit; `search(hit)` and `only(field, value)` act on it, and
 * `offer(hit)` says why it was found. */
export function showDetails(hit, { search, only, offer }) {
  const dialog = byId("details");
  byId("details-heading").textContent = nameOf(hit);
  showPicture(byId("details-image"), hit.image);
  byId("details-image").alt = `Picture of ${nameOf(hit)}`;
  const rows = [row("id", textOf(hit.id)), row("similarity", similarity(hit.score))];
  if (hit.probability !== undefined) {
    rows.push(row("probability", percent(hit.probability)));
  }
  const fields = {
    ...(hit.label === null ? {} : { label: hit.label }),
    ...hit.metadata,
  };
  for (const [field, value] of Object.entries(fields)) {
    const canFilter = ["string", "number", "boolean"].includes(typeof value);
    rows.push(row(field, shown(value), canFilter && (() => act(only, field, value))));
  }
  byId("details-list").replaceChildren(...rows.flat());
  byId("details-search").onclick = () => act(search, hit);
  offer(hit);
  dialog.showModal();

  function act(what, ...values) {
    dialog.close();
    what(...values);
  }
}

function row(field, text, filter) {
  const value = make("dd", {}, make("span", {}, text));
  if (filter) {
    const button = make("button", { type: "button", onclick: filter }, "Only these");
    button.ariaLabel = `Only images with ${field} ${text}`;
    value.append(button);
  }
  return [make("dt", {}, field), value];
}

function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

// All that is known of one record, on demand.

import { textOf } from "./exact.js";
import { byId, make } from "./make.js";
import { showPicture } from "./pictures.js";
import { nameOf } from "./results.js";
import { similarity } from "./words.js";

/** Opens the details of a hit; `search(hit)` and `only(field, value)` act on it. */
export function showDetails(hit, { search, only }) {
  const dialog = byId("details");
  byId("details-heading").textContent = nameOf(hit);
  showPicture(byId("details-image"), hit.image);
  byId("details-image").alt = `Picture of ${nameOf(hit)}`;
  const rows = [row("id", textOf(hit.id)), row("similarity", similarity(hit.score))];
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

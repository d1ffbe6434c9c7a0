// Why a hit was found: the places of both pictures that speak for it.

import { postJson } from "./api.js";
import { byId } from "./elements.js";
import { drawHeat, hottestOf } from "./heat.js";
import { explain } from "./text.js";

let running = new AbortController();

/** Makes the button in the details of a hit explain the match, or hides it without a
 * `query`: the body of the search, or null. A photograph that stays here has no heat-map. */
export function offerWhy(collection, query, hit) {
  const button = byId("details-why");
  hideWhy();
  button.hidden = !query || query.vector !== undefined;
  if (query?.vector) byId("why-said").textContent = STAYS;
  button.onclick = () => {
    if (button.ariaExpanded === "true") hideWhy();
    else void showWhy(collection, query, hit);
  };
}

function hideWhy() {
  running.abort();
  byId("why").hidden = true;
  byId("why-said").textContent = "";
  byId("details-why").ariaExpanded = "false";
}

async function showWhy(collection, query, hit) {
  running = new AbortController();
  const { signal } = running;
  const asked = query.image ? { image: query.image } : { query_id: query.id };
  byId("details-why").ariaExpanded = "true";
  byId("why-said").textContent = "Looking for the places …";
  try {
    const path = `v1/collections/${encodeURIComponent(collection.name)}:explain`;
    const answer = await postJson(path, { ...asked, id: hit.id }, { signal });
    const pictures = [byId("query-image"), byId("details-image")];
    await Promise.all(pictures.map((image) => image.decode()));
    signal.throwIfAborted();
    const hottest = hottestOf(answer.query, answer.record);
    const { seen } = answer;
    drawHeat(byId("why-query"), pictures[0], answer.query, { seen, hottest });
    drawHeat(byId("why-record"), pictures[1], answer.record, { seen, hottest });
    byId("why").hidden = false;
    byId("why-said").textContent =
      "Red places speak for the match, blue ones against it; the dark rim is not seen.";
  } catch (error) {
    if (signal.aborted) return;
    const { title, text } = error.status === undefined ? PICTURE_LOST : explain(error);
    byId("why-said").textContent = `${title}: ${text}`;
  }
}

const STAYS =
  "Why it was found is not shown: the server would need your photograph for that.";
const PICTURE_LOST = {
  title: "There is no heat-map",
  text: "One of the pictures cannot be shown.",
};

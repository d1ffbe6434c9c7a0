// The grid of images: what was found, or what one can begin with.

import { textOf } from "./ids.js";
import { make } from "./elements.js";
import { showPicture } from "./pictures.js";
import { percent, similarity } from "./text.js";

/** Shows hits; `search(hit)` and `explain(hit)` are called when one is chosen. Of a
 * calibrated collection, a line parts those at least as probable as `least` from others. */
export function showHits(list, hits, { search, explain, least }) {
  const tiles = hits.map((hit, place) => tile(hit, place, search, explain));
  const found = hits.filter((hit) => hit.probability >= least).length;
  const isParted = hits.some((hit) => hit.probability !== undefined);
  if (isParted && found < hits.length) {
    const text = `Less probable than ${percent(least)}`;
    tiles.splice(found, 0, make("li", { className: "line" }, text));
  }
  list.replaceChildren(...tiles);
}

/** Shows records that are no hits yet: without rank and score. */
export function showExamples(list, records, search) {
  list.replaceChildren(
    ...records.map((record) => {
      const name = nameOf(record);
      const button = make("button", {
        type: "button",
        className: "picture",
        ariaLabel: `Search with ${name}`,
        onclick: () => search(record),
      });
      button.append(picture(record));
      const label = make("span", { className: "name", title: name }, name);
      return make(
        "li",
        { className: "hit" },
        button,
        make("p", { className: "caption" }, label),
      );
    }),
  );
}

/** What a record is called. */
export function nameOf(record) {
  return record.label ?? textOf(record.id);
}

function tile(hit, place, search, explain) {
  const name = nameOf(hit);
  const { text: score, title, share } = likeness(hit);
  const rank = place + 1;
  const button = make("button", {
    type: "button",
    className: "picture",
    ariaLabel: `Search with number ${rank}: ${name}, ${title} ${score}`,
    onclick: () => search(hit),
  });
  const bar = make("span", { className: "bar", ariaHidden: "true" });
  bar.style.setProperty("--share", share);
  const badge = make("span", { className: "rank", ariaHidden: "true" }, rank);
  button.append(picture(hit), badge);
  const more = make("button", {
    type: "button",
    className: "more",
    ariaLabel: `Details of number ${rank}: ${name}`,
    title: "Details",
    onclick: () => explain(hit),
  });
  more.textContent = "⋯";
  const caption = make(
    "p",
    { className: "caption" },
    make("span", { className: "name", title: name }, name),
    make("span", { className: "score", title }, score),
    bar,
    more,
  );
  return make("li", { className: "hit" }, button, caption);
}

/** How like a hit is: as a probability where one is known, else as a cosine. */
function likeness({ score, probability }) {
  if (probability === undefined) {
    const share = Math.max(0, score);
    return { text: similarity(score), title: "similarity", share };
  }
  return { text: percent(probability), title: "probability", share: probability };
}

function picture(record) {
  const name = nameOf(record);
  const image = make("img", { alt: "", width: 160, height: 160 });
  image.draggable = false; // Dropping it here would search with the small copy of it.
  showPicture(image, record.image);
  return make("span", { className: "frame", "data-name": name }, image);
}

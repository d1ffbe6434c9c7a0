// The image that was searched with, beside what was found.

import { byId } from "./elements.js";
import { showPicture } from "./pictures.js";

let url = null;

/** Shows `{name, file}` or `{name, path}`; with null, how to begin. */
export function showAsked(asked) {
  byId("query-figure").hidden = !asked;
  byId("invitation").hidden = Boolean(asked);
  document.title = asked ? `${asked.name} – Search by image` : "Search by image";
  if (url) URL.revokeObjectURL(url);
  url = null;
  const image = byId("query-image");
  if (!asked) {
    showPicture(image, null);
    return;
  }
  byId("query-name").textContent = asked.name;
  image.alt = `Searched with: ${asked.name}`;
  if (asked.file) {
    showPicture(image, null);
    url = URL.createObjectURL(asked.file);
    image.src = url;
    image.hidden = false;
  } else {
    showPicture(image, asked.path);
  }
}

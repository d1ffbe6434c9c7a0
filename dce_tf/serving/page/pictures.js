// Pictures of records: where the server wants a token, an <img> cannot ask for itself.

import { addressOf, hasToken, request } from "./api.js";

const nearby = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      nearby.unobserve(target);
      void fetchInto(target);
    }
  },
  { rootMargin: "200px" },
);

/** Shows a picture once it comes near; without one the place shows its `data-name`. */
export function showPicture(image, path) {
  nearby.unobserve(image);
  image.removeAttribute("src");
  image.hidden = !path;
  image.dataset.path = path ?? "";
  if (!path) return;
  image.onerror = () => (image.hidden = true);
  if (hasToken()) {
    nearby.observe(image);
  } else {
    image.loading = "lazy";
    image.src = addressOf(path);
  }
}

async function fetchInto(image) {
  const path = image.dataset.path;
  try {
    const url = URL.createObjectURL(await (await request(path)).blob());
    if (image.dataset.path !== path) return; // It shows another one meanwhile.
    image.onload = () => URL.revokeObjectURL(url);
    image.src = url;
  } catch {
    image.hidden = true; // As for a picture that an <img> cannot have.
  }
}

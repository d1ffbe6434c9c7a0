// Tells what went wrong, and asks for the token.

import { onTokenWanted } from "./api.js";
import { byId, make } from "./elements.js";
import { explain } from "./text.js";

/** Shows a problem in words; with `retry`, a button where trying again may help, and one
 * for each of `others`, by what it says. */
export function showProblem({ title, text, again }, retry = null, others = {}) {
  const box = byId("problem");
  box.replaceChildren(make("strong", {}, title), make("p", {}, text));
  const choices = { ...(again && retry ? { "Try again": retry } : {}), ...others };
  const buttons = Object.entries(choices).map(([name, act]) =>
    make("button", { type: "button", onclick: act }, name),
  );
  if (buttons.length) box.append(make("p", { className: "buttons" }, ...buttons));
  box.hidden = false;
}

/** Shows the error of a request. */
export function showError(error, retry) {
  if (error.status === undefined) throw error; // A fault of this page.
  showProblem(explain(error), retry);
}

export function clearProblem() {
  byId("problem").hidden = true;
}

onTokenWanted(async (wasRefused) => {
  const dialog = byId("token-dialog");
  byId("token-text").textContent = wasRefused
    ? "The one it was given is not the right one."
    : "Whoever runs it has it. It is forgotten when this tab is closed.";
  byId("token").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) =>
    dialog.addEventListener("close", resolve, { once: true }),
  );
  return dialog.returnValue === "use" ? byId("token").value : null;
});

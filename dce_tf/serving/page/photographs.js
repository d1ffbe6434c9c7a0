// What is sent for a photograph: its embedding, or itself where the server embeds it.

import { byId } from "./elements.js";
import { NotEmbedded, embedHere, isLoaded } from "./embedder.js";
import { base64 } from "./image_inputs.js";
import { megabytes, number } from "./text.js";

/** Returns the `body` of a search with a photograph, and what making it has `spent`.
 *
 * A server that offers its model never gets the photograph, also when it no longer does,
 * unless a person said so (`isSent`). */
export async function queryOf(photograph, collection, signal) {
  const offer = collection.browser_model ?? null;
  photograph.stays ||= offer !== null;
  if (!photograph.stays || photograph.isSent) {
    return { body: { image: { b64: await base64(photograph.file) } }, spent: {} };
  }
  if (!offer) throw new NotEmbedded("The server no longer offers its model.");
  const { fingerprint } = collection;
  photograph.embedded ??= new Map();
  if (!photograph.embedded.has(fingerprint)) {
    byId("said").textContent = isLoaded(collection)
      ? "Embedding the photograph on this device …"
      : `Loading the model once (${megabytes(offer.bytes)}) …`;
    const started = performance.now();
    try {
      const vector = await embedHere(collection, photograph.file);
      const embed = performance.now() - started;
      photograph.embedded.set(fingerprint, { vector, embed });
    } finally {
      signal.throwIfAborted(); // Something other is looked at meanwhile.
    }
  }
  const { vector, embed } = photograph.embedded.get(fingerprint);
  return { body: { vector, fingerprint }, spent: { embed } };
}

/** Says where photographs go; `photograph` is the one at hand, or null. */
export function showPrivacy(collection, photograph) {
  const note = byId("privacy");
  note.hidden = !collection.browser_model && !photograph?.stays;
  if (photograph?.isSent) {
    note.textContent = "This photograph was sent to the server, as you chose.";
  } else {
    note.textContent =
      "Your photograph stays on this device. It is embedded here, and only the " +
      `${number(collection.embedding_dim)} numbers of its embedding are sent.`;
  }
}

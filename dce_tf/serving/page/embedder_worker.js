// Embeds photographs, in a thread of its own. The server forbids it to ask anyone for
// anything: what it needs, and what it makes, goes through the page.

import { openPicture } from "./decode.js";
import * as ort from "./onnxruntime/ort.wasm.bundle.min.mjs";
import { evaluationImage } from "./resample.js";

/** The runtime failed, as where memory ran out: it may not run again. */
class RunFailed extends Error {}

let session = null;

addEventListener("message", async (event) => {
  const { number, ...work } = event.data;
  try {
    const answer = work.file ? await embed(work) : await start(work);
    postMessage({ number, answer });
  } catch (error) {
    postMessage({ number, problem: reasonOf(error), isFatal: error instanceof RunFailed });
  }
});

async function start({ runtime, model }) {
  // One thread, as more of them need headers that keep other sites' pictures out.
  Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: runtime });
  ort.env.logLevel = "error";
  session = await ort.InferenceSession.create(new Uint8Array(model), {
    executionProviders: ["wasm"],
    logSeverityLevel: 3,
  });
}

async function embed({ file, side }) {
  const images = new ort.Tensor("float32", await pixelsOf(file, side), [1, side, side, 3]);
  const { embedding } = await run(images);
  images.dispose();
  return [...embedding.data];
}

async function run(images) {
  try {
    return await session.run({ images });
  } catch (error) {
    throw new RunFailed(reasonOf(error));
  }
}

async function pixelsOf(file, side) {
  const picture = await openPicture(file);
  try {
    return evaluationImage(picture, side);
  } finally {
    picture.close();
  }
}

function reasonOf(error) {
  return String(error?.message ?? error).split("\n")[0].slice(0, 300);
}

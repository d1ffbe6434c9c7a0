// The embedder on this device: the model of a collection and its runtime, fetched once.

import { Problem, request } from "./api.js";
import { explain } from "./text.js";

const WORKER = new URL("./embedder_worker.js", import.meta.url);
const RUNTIME = "page/onnxruntime/ort-wasm-simd-threaded.wasm";
const PATIENCE = 600_000;

/** A photograph that was not embedded here; its message says why. */
export class NotEmbedded extends Error {}

/** The worker is of no more use; the next photograph gets another. */
class WorkerFailed extends Error {}

const workers = new Map(); // Promises by fingerprint.

export function isLoaded(collection) {
  return workers.has(collection.fingerprint);
}

/** Returns the embedding of an image file as a list of numbers. */
export async function embedHere(collection, file) {
  const { fingerprint } = collection;
  if (!workers.has(fingerprint)) workers.set(fingerprint, load(collection));
  let ask;
  try {
    ask = await workers.get(fingerprint);
  } catch (error) {
    workers.delete(fingerprint); // The next photograph tries again.
    if (error instanceof Problem && error.status === 409) throw error;
    throw new NotEmbedded(`Its model could not be loaded here: ${reasonOf(error)}`);
  }
  try {
    return await ask({ file, side: collection.browser_model.image_size });
  } catch (error) {
    if (error instanceof WorkerFailed) workers.delete(fingerprint);
    throw new NotEmbedded(`It could not be embedded here: ${reasonOf(error)}`);
  }
}

function reasonOf(error) {
  const { text } = error instanceof Problem ? explain(error) : { text: error.message };
  return text.replace(/\.?$/, ".");
}

async function load({ name, fingerprint }) {
  const path = `v1/collections/${encodeURIComponent(name)}/browser_model`;
  const [runtime, model] = await Promise.all([
    fetchBytes(RUNTIME),
    fetchBytes(`${path}?fingerprint=${fingerprint}`),
  ]);
  const worker = new Worker(WORKER, { type: "module" });
  const ask = asker(worker);
  try {
    await ask({ runtime, model }, [runtime, model]);
  } catch (error) {
    worker.terminate();
    throw error;
  }
  return ask;
}

async function fetchBytes(path) {
  return (await request(path, { patience: PATIENCE })).arrayBuffer();
}

/** Returns what sends work to a worker, and waits for its answer. */
function asker(worker) {
  const waiting = new Map();
  let sent = 0;
  let failure = null;
  const end = (reason) => {
    worker.terminate();
    failure = new WorkerFailed(reason);
    for (const { reject } of waiting.values()) reject(failure);
    waiting.clear();
  };
  worker.addEventListener("message", (event) => {
    const { number, answer, problem, isFatal } = event.data;
    if (isFatal) return end(problem);
    const { resolve, reject } = waiting.get(number);
    waiting.delete(number);
    if (problem === undefined) resolve(answer);
    else reject(new Error(problem));
  });
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    end(event.message || "its script was not loaded");
  });
  return (work, transferred = []) =>
    new Promise((resolve, reject) => {
      if (failure) return reject(failure);
      const number = sent++;
      waiting.set(number, { resolve, reject });
      worker.postMessage({ number, ...work }, transferred);
    });
}

// Requests to the server this page came from.

import { keyOf, parse } from "./ids.js";

const BASE = new URL(".", document.baseURI);
const TOKEN = "dce_tf.token";
const PATIENCE = 60_000;

/** A request that was not answered as hoped; status 0 where there was no answer. */
export class Problem extends Error {
  constructor(status, message, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

let askForToken = async () => null;
let asking = null;

/** Says who is asked for the token; told whether the one at hand was refused. */
export function onTokenWanted(ask) {
  askForToken = ask;
}

export function hasToken() {
  return sessionStorage.getItem(TOKEN) !== null;
}

/** An address of the server, wherever a proxy has put it. */
export function addressOf(path) {
  return new URL(path.replace(/^\//, ""), BASE).href;
}

/** The path of a record's picture. */
export function picturePath(collection, id) {
  const name = encodeURIComponent(collection);
  return `v1/collections/${name}/image?id=${encodeURIComponent(keyOf(id))}`;
}

/** Sends a request, and returns the response if it went well. */
export async function request(path, { body, signal, patience = PATIENCE } = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const response = await send(path, body, signal, token, patience);
    if (response.ok) return response;
    if (response.status !== 401 || !(await hasNewToken(token))) {
      throw await problemOf(response);
    }
  }
}

export async function getJson(path, options) {
  return parse(await arrival((await request(path, options)).text()));
}

export async function postJson(path, value, options) {
  return getJson(path, { ...options, body: JSON.stringify(value) });
}

async function send(path, body, signal, token, patience) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  const method = body === undefined ? "GET" : "POST";
  const signals = [AbortSignal.timeout(patience), ...(signal ? [signal] : [])];
  return arrival(
    fetch(addressOf(path), { method, body, headers, signal: AbortSignal.any(signals) }),
  );
}

// What the network brings; that it brings nothing is a problem.
async function arrival(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, error.message);
  }
}

// Requests that are refused at once wait for one answer.
async function hasNewToken(refused) {
  if (sessionStorage.getItem(TOKEN) !== refused) return true;
  asking ??= askForToken(refused !== null).finally(() => (asking = null));
  const token = await asking;
  if (token) sessionStorage.setItem(TOKEN, token);
  return Boolean(token);
}

async function problemOf(response) {
  const text = await arrival(response.text());
  let message = text.slice(0, 300);
  try {
    message = JSON.parse(text).error ?? message;
  } catch {
    // A proxy in between answers with pages, of which the beginning will do.
  }
  const seconds = Number.parseInt(response.headers.get("Retry-After"), 10);
  return new Problem(response.status, message, Number.isNaN(seconds) ? null : seconds);
}

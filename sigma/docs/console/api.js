// Calls the service as any client could: the API below api/v1, and what only the stand-in has below standin.

export const ROOT = new URL("../", import.meta.url); // wherever a proxy has put the service
export const OWN_PREFIX = "console-"; // of the ids of the console's own requests
export const events = new EventTarget(); // "ended": the session was refused; "down" and "up": whether the service answers
const RETRY_EVERY = 2000; // milliseconds

let token = null;
let isDown = false;

/** Return whether the service answered when it was last called. */
export function isUp() {
  return !isDown;
}

/** An answer that is no success. */
export class ServiceError extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

export function setToken(value) {
  token = value;
}

/** Return the header that sends the session's token. */
export function bearer() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** Return a query string of what is given, or nothing. */
export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** Return the parts of a path, each so that it stays one part. */
export function path(strings, ...parts) {
  return String.raw({ raw: strings }, ...parts.map(encodeURIComponent));
}

/** Return the status and the body of any answer; throws when there is none. */
export async function send(method, address, { body, signal, headers = {} } = {}) {
  const options = { method, signal, headers: { "X-Request-Id": requestId(), ...headers } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const response = await reach(new URL(address, ROOT), { cache: "no-store", credentials: "omit", ...options });
  const text = await response.text();
  return { status: response.status, body: parse(text) };
}

/** Return the body of a success, with the session's token. Throws ServiceError for any other answer. */
export async function call(method, address, options = {}) {
  const sent = token;
  const { status, body } = await send(method, address, { ...options, headers: bearer() });
  if (status >= 200 && status < 300) return body;
  const error = new ServiceError(status, body?.error ?? "", body?.message ?? `The server answered ${status}`);
  if (status === 401 && sent && sent === token)
    events.dispatchEvent(new CustomEvent("ended", { detail: error.message }));
  throw error;
}

export const get = (address, signal) => call("GET", address, { signal });

function requestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return OWN_PREFIX + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function parse(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

async function reach(address, options) {
  try {
    const response = await fetch(address, options);
    if (isDown) setDown(false);
    return response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (!isDown) setDown(true);
    throw new ServiceError(0, "UNREACHABLE", "The service does not answer.");
  }
}

function setDown(value) {
  isDown = value;
  events.dispatchEvent(new CustomEvent(value ? "down" : "up"));
  if (value) setTimeout(tryAgain, RETRY_EVERY);
}

async function tryAgain() {
  if (!isDown) return;
  await send("GET", "healthz").catch(() => setTimeout(tryAgain, RETRY_EVERY));
}

// Calls the service as any client could: the API below api/v1, and the stand-in's own routes below standin.

export const ROOT = new URL("../", import.meta.url); // wherever a proxy has put the service
export const OWN_PREFIX = "console-"; // begins the ids of the console's own requests
export const events = new EventTarget(); // "ended": the session was refused; "down", "up": whether the service answers
const RETRY_EVERY = 2000; // milliseconds

let token = null;
let isDown = false;

/** Return whether the service answered when it was last called. */
export function isUp() {
  return !isDown;
}

/** A response that is not a success, or status 0 for no response. */
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

/** Return a query string of the parameters that have a value; "" if none has. */
export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** Return a path, whose inserted parts are encoded so that each stays one part. */
export function path(strings, ...parts) {
  return String.raw({ raw: strings }, ...parts.map(encodeURIComponent));
}

/** Return the status and the body of any response. Throws ServiceError if there is none. */
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

/** Send a request with the session's token, and return the body of a success. Throws ServiceError for anything else. */
export async function call(method, address, options = {}) {
  const sentToken = token;
  const { status, body } = await send(method, address, { ...options, headers: bearer() });
  if (status >= 200 && status < 300) return body;
  const error = new ServiceError(status, body?.error ?? "", body?.message ?? `The server answered ${status}`);
  if (status === 401 && sentToken && sentToken === token)
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

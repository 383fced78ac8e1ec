// How an entry of the journal of requests is shown, in the list and by itself.

import { h } from "./dom.js";

/** Return why a request failed, in one line: what was needed and held, or the service's message; null for a success. */
export function reason(entry) {
  if (entry.status < 400) return null;
  return lacks(entry)
    ? h("span", {}, "needs ", h("b", {}, neededOf(entry)), " · ", heldBy(entry))
    : (entry.message ?? entry.code);
}

/** Return whether the caller lacked what the route needs. For other refusals of this step, the message says more. */
function lacks({ step, needed, held }) {
  if (step !== "permission" || !needed) return false;
  return Array.isArray(held) ? !held.includes(needed) : needed.startsWith("can");
}

export function neededOf({ needed }) {
  return needed === "session" ? "a signed-in user" : needed;
}

function heldBy({ held }) {
  return Array.isArray(held) ? ["the key holds ", h("b", {}, held.join(", "))] : ["the role is ", h("b", {}, held)];
}

/** Return the class of a row by its status. */
export function tone(status) {
  if (status === 401 || status === 403) return "refused";
  if (status >= 500) return "failed";
  return status >= 400 ? "wrong" : "fine";
}

export function statusBadge({ status }) {
  return h("span", { class: `status ${tone(status)}` }, String(status));
}

export function shortPath({ path }) {
  return path.replace(/^\/api\/v1(?=\/)/, "");
}

export function callerOf({ caller }) {
  if (!caller) return h("span", { class: "faint" }, "nobody");
  return h("span", { class: "cut", dir: "auto", title: caller.id }, caller.name ?? caller.id);
}

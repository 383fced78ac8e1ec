// How an entry of the record of requests is shown, in the list and by itself.

import { h } from "./dom.js";

/** Return what was needed and what was held in one line, or what the service said; nothing of a success. */
export function reason(entry) {
  if (entry.step === "permission" && entry.needed)
    return h("span", {}, "needs ", h("b", {}, entry.needed), heldBy(entry));
  return entry.status >= 400 ? (entry.message ?? entry.code) : null;
}

function heldBy({ caller, held }) {
  if (Array.isArray(held)) return [" · the key holds ", h("b", {}, held.join(", ") || "nothing")];
  if (held) return [" · the role is ", h("b", {}, held)];
  return caller ? "" : " · nobody was signed in";
}

/** Return the class of a row by its status: refused, otherwise wrong, the service's own failure, or nothing. */
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

// Loads keys, and shows their facts wherever keys appear.

import { get } from "./api.js";
import { h } from "./dom.js";
import { ago } from "./format.js";

/** Return the keys with their ledger, newest first. */
export async function fetchKeys(signal) {
  return (await get("standin/keys", signal)).reverse();
}

export function lastUsed(key) {
  return key.lastUsedAt ? ago(key.lastUsedAt) : h("span", { class: "faint" }, "never");
}

export function stateOf(key) {
  if (key.active) return h("span", { class: "state good" }, "Active");
  return h("span", { class: "state off" }, "Deactivated ", ago(key.deactivatedAt));
}

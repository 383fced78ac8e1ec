// The filters above the list of requests, and how the address of the page keeps them.

import { h, replace, select } from "./dom.js";
import { fetchKeys } from "./key-facts.js";
import { session } from "./session.js";
import { afterTyping } from "./timers.js";

const STATUSES = ["2xx", "4xx", "401", "403", "404", "409", "422", "429", "5xx"];

/** Return the filters that a place names: those of the journal, and whether the console's own calls are shown. */
export function readFilters({ parameters }) {
  const text = (name) => parameters.get(name) ?? "";
  return { status: text("status"), key: text("key"), path: text("path"), own: text("own") === "1" };
}

export function parametersOf({ own, ...filters }) {
  return { ...filters, own: own && "1" };
}

/** Return the row of filters; `change` is called with the filters that the user changes. */
export function filterRow(filters, change, amount, signal) {
  const statuses = [["", "Any status"], ...STATUSES.map((value) => [value, value])];
  const own = h("input", { type: "checkbox", checked: filters.own, change: () => change({ own: own.checked }) });
  return h(
    "div",
    { class: "filters" },
    select(statuses, filters.status, (status) => change({ status }), { "aria-label": "Status" }),
    keySlot(filters, change, signal),
    pathField(filters, change),
    h("label", { class: "check" }, own, "calls of this console"),
    amount,
  );
}

function keySlot(filters, change, signal) {
  const slot = h("span", { class: "slot" }, keySelect([], filters, change));
  const show = (keys) => replace(slot, keySelect(keys, filters, change));
  if (session.flags.canManageRoles) fetchKeys(signal).then(show, () => null);
  return slot;
}

function keySelect(keys, { key }, change) {
  const known = keys.map(({ id, name }) => [id, name]);
  if (key && !keys.some(({ id }) => id === key)) known.push([key, key]);
  return select([["", "Any caller"], ...known], key, (key) => change({ key }), {
    "aria-label": "Key",
    id: "key-filter",
  });
}

function pathField({ path }, change) {
  const typed = afterTyping(() => change({ path: field.value }));
  const field = h("input", {
    type: "search",
    maxlength: "500",
    "aria-label": "Path",
    placeholder: "Part of a path",
    value: path,
    input: typed,
  });
  return field;
}

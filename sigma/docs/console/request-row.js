// One row of the list of requests, and moving through the rows with the arrow keys.

import { data, h } from "./dom.js";
import { callerOf, reason, shortPath, statusBadge, tone } from "./entry.js";
import { clock, milliseconds } from "./format.js";
import { link } from "./router.js";

/** Return the row of an entry; `parameters` are those that the address keeps when it is opened. */
export function requestRow(entry, parameters, fresh = "") {
  const why = reason(entry);
  return h(
    "tr",
    { class: `${fresh}${tone(entry.status)}`, "data-id": entry.id },
    h("td", { class: "time" }, clock(entry.at)),
    h("td", {}, h("span", { class: "method" }, entry.method)),
    h("th", { scope: "row" }, address(entry, parameters), why && h("p", { class: "why", dir: "auto" }, why)),
    h("td", {}, statusBadge(entry)),
    h("td", { class: "caller" }, callerOf(entry)),
    h("td", { class: "end ms" }, milliseconds(entry.ms)),
  );
}

function address(entry, parameters) {
  return h(
    "a",
    {
      class: "path",
      id: `open-${entry.at}-${entry.id}`,
      href: link(["requests", entry.id], parameters),
      title: entry.path,
    },
    data(shortPath(entry)),
    entry.query && h("span", { class: "query" }, data(`?${entry.query}`)),
  );
}

/** Move the focus to the next or the previous row. */
export function stepRows(event) {
  const to = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  const link = to && event.target.closest("tr")?.[to]?.querySelector("a");
  if (!link) return;
  event.preventDefault();
  link.focus();
}

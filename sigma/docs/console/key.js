// One API key: what it holds, what it has used, what it may call, and its faults.

import { ServiceError } from "./api.js";
import { catalogue } from "./catalogue.js";
import { button, data, h, icon, replace, table } from "./dom.js";
import { faultsOf } from "./faults.js";
import { ago, count } from "./format.js";
import { askToDeactivate, askToDelete } from "./key-actions.js";
import { fetchKeys, lastUsed, stateOf } from "./key-facts.js";
import { mark, standing } from "./permissions.js";
import { go, link } from "./router.js";
import { session } from "./session.js";
import { every } from "./timers.js";

const REFRESH_EVERY = 3000; // milliseconds

/** Return the view of a key. Throws ServiceError 404. */
export async function showKey(id, signal) {
  const [{ permissions, routes }, key] = await Promise.all([catalogue(), fetchKey(id, signal)]);
  const top = h("div");
  let drawn = "";

  function draw(key) {
    if (JSON.stringify(key) === drawn) return;
    drawn = JSON.stringify(key);
    replace(top, header(key, refresh), facts(key), holdings(key, permissions), advice(key));
  }
  async function refresh() {
    draw(await fetchKey(id, signal));
  }

  draw(key);
  const node = h(
    "section",
    { class: "key" },
    h("a", { class: "back", href: link(["keys"]) }, icon("back"), "API keys"),
    top,
    session.isDemo && faultsOf(key, routes, signal),
    mayCall(key, routes),
  );
  return { title: key.name, node, ready: () => every(REFRESH_EVERY, refresh, signal) };
}

async function fetchKey(id, signal) {
  const key = (await fetchKeys(signal)).find((key) => key.id === id);
  if (!key) throw new ServiceError(404, "NOT_FOUND", `There is no key with the id ${id}; it may have been deleted.`);
  return key;
}

function header(key, refresh) {
  return h(
    "header",
    { class: "head" },
    h("div", {}, h("h1", { dir: "auto" }, key.name), h("p", { class: "lead" }, h("code", {}, key.id))),
    h(
      "div",
      { class: "actions" },
      h("a", { class: "button", href: link(["requests"], { key: key.id }) }, "Its requests"),
      key.active && button("Deactivate", () => askToDeactivate(key, refresh), { id: "deactivate" }),
      button("Delete", () => askToDelete(key, () => go(["keys"])), { id: "delete" }),
    ),
  );
}

function facts(key) {
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return h(
    "dl",
    { class: "facts" },
    fact("State", stateOf(key)),
    fact("Last used", lastUsed(key)),
    fact("Made", ago(key.createdAt)),
  );
}

function holdings(key, permissions) {
  const names = new Set(permissions.map(({ name }) => name));
  const others = Object.keys(key.refused).filter((name) => !names.has(name));
  const rows = [
    ...permissions.map(({ name, sentence }) => holding(key, name, sentence)),
    ...others.map((name) => holding(key, name, "Routes for people, which no key may call")),
  ];
  const heads = ["Held", "Permission", "Use"];
  return h(
    "section",
    { class: "part" },
    h("h2", {}, "Permissions"),
    table("Permissions of the key", heads, h("tbody", {}, rows)),
  );
}

function holding(key, name, sentence) {
  return h(
    "tr",
    {},
    h("td", {}, mark(key, name)),
    h("th", { scope: "row" }, h("code", {}, name), h("span", { class: "sentence" }, sentence)),
    h("td", {}, useOf(key, name)),
  );
}

function useOf(key, permission) {
  const { kind } = standing(key, permission);
  if (kind === "used") return ["last used ", ago(key.permissionUse[permission])];
  if (kind === "unused") return h("span", { class: "faint" }, "never used");
  if (kind === "refused")
    return h(
      "span",
      { class: "bad" },
      `refused ${count(key.refused[permission].count, "time")}, last `,
      ago(key.refused[permission].lastAt),
    );
  return h("span", { class: "faint" }, "not held");
}

/** Return which permissions would be enough, if the key has been used and some have not. */
function advice(key) {
  if (!key.lastUsedAt || !key.unused?.length) return null;
  const enough = key.permissions.filter((permission) => !key.unused.includes(permission));
  const text = enough.length ? `A key with ${enough.join(" and ")} would be enough so far.` : "";
  return h(
    "p",
    { class: "advice" },
    icon("clock"),
    `${key.unused.join(" and ")} ${key.unused.length === 1 ? "was" : "were"} never used. ${text}`,
  );
}

function mayCall(key, routes) {
  const guarded = routes.filter((route) => route.permission !== "public");
  const body = h("tbody");
  const shown = h("p", { class: "hint", role: "status" });
  const text = h("input", {
    type: "search",
    "aria-label": "Filter the routes",
    placeholder: "Filter: records, DELETE, update-model …",
    input: draw,
  });
  const only = h("input", { type: "checkbox", id: "only-allowed", checked: true, change: draw });

  function draw() {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = guarded.filter(
      (route) =>
        (!only.checked || key.permissions.includes(route.permission)) &&
        words.every((word) => textOf(route).includes(word)),
    );
    replace(
      body,
      found.map((route) => routeRow(route, key)),
    );
    shown.textContent = `${found.length} of ${count(guarded.length, "route")}`;
  }

  draw();
  return h(
    "section",
    { class: "part" },
    h("h2", {}, "What it may call"),
    h(
      "div",
      { class: "filters" },
      text,
      h("label", { for: "only-allowed", class: "check" }, only, "only what it may call"),
      shown,
    ),
    table("Routes of the API", ["Allowed", "Method", "Path", "Needs"], body, { class: "routes" }),
  );
}

function textOf({ method, path, summary, permission }) {
  return `${method} ${path} ${summary} ${permission}`.toLowerCase();
}

function routeRow(route, key) {
  const isAllowed = key.permissions.includes(route.permission);
  return h(
    "tr",
    { class: isAllowed ? "" : "denied" },
    h(
      "td",
      {},
      h(
        "span",
        { class: `mark ${isAllowed ? "used" : "absent"}` },
        icon(isAllowed ? "check" : "cross"),
        h("span", { class: "unseen" }, isAllowed ? "allowed" : "not allowed"),
      ),
    ),
    h("td", {}, h("span", { class: "method" }, route.method)),
    h(
      "th",
      { scope: "row" },
      h("code", {}, data(route.path.replace("/api/v1", ""))),
      h("span", { class: "sentence" }, route.summary),
    ),
    h("td", {}, route.permission === "session" ? "a signed-in user" : h("code", {}, route.permission)),
  );
}

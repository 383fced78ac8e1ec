// The API keys of the workspace, in a table.

import { catalogue } from "./catalogue.js";
import { button, data, h, icon, replace, table } from "./dom.js";
import { count } from "./format.js";
import { askToDeactivate, askToDelete } from "./key-actions.js";
import { fetchKeys, lastUsed, stateOf } from "./key-facts.js";
import { showKey } from "./key.js";
import { makeKey } from "./new-key.js";
import { legend, mark } from "./permissions.js";
import { link } from "./router.js";
import { session } from "./session.js";
import { every } from "./timers.js";

const REFRESH_EVERY = 3000; // milliseconds

/** Return the view of the keys, or of the one that the place names. */
export async function showKeys(place, signal) {
  if (!session.flags.canManageRoles) return { title: "Keys", node: forbidden() };
  if (place.path[1]) return showKey(place.path[1], signal);
  const [{ permissions }, keys] = await Promise.all([catalogue(), fetchKeys(signal)]);
  const shown = h("div");
  let drawn = "";

  function draw(keys) {
    if (JSON.stringify(keys) === drawn) return;
    drawn = JSON.stringify(keys);
    replace(shown, keys.length ? [keyTable(keys, permissions, refresh), legend()] : noKeys(create));
  }
  async function refresh() {
    draw(await fetchKeys(signal));
  }
  function create() {
    makeKey(permissions, refresh);
  }

  draw(keys);
  const node = h(
    "section",
    { class: "keys" },
    h(
      "header",
      { class: "head" },
      h(
        "div",
        {},
        h("h1", {}, "API keys"),
        h("p", { class: "lead" }, "The credentials of integrations, each with no more permissions than it needs."),
      ),
      button([icon("plus"), "New key"], create, { class: "button primary", id: "new-key" }),
    ),
    shown,
  );
  return { title: "Keys", node, ready: () => every(REFRESH_EVERY, refresh, signal) };
}

function forbidden() {
  const role = h("code", {}, session.user.roleId);
  const text = [
    "Your role ",
    role,
    " may not manage API keys; that takes a role with ",
    h("code", {}, "canManageRoles"),
    ".",
  ];
  const head = h("header", { class: "head" }, h("h1", {}, "API keys"));
  return h("section", {}, head, h("div", { class: "panel empty" }, icon("keys"), h("p", {}, text)));
}

function noKeys(create) {
  return h(
    "div",
    { class: "panel empty" },
    icon("keys"),
    h("h2", {}, "No keys yet"),
    h("p", {}, "An integration presents a key with each call. Make one with the permissions that it needs."),
    button("Make the first key", create, { class: "button primary" }),
  );
}

function keyTable(keys, permissions, refresh) {
  const heads = [
    "Name",
    ...permissions.map(({ name, sentence }) =>
      h("th", { scope: "col", class: "permission", title: sentence }, breakable(name)),
    ),
    "Last used",
    "State",
    h("th", { scope: "col", class: "end" }, "Action"),
  ];
  const rows = keys.map((key) => keyRow(key, permissions, refresh));
  return h("div", {}, table(`API keys: ${count(keys.length, "key")}`, heads, h("tbody", {}, rows), { class: "rows" }));
}

function breakable(name) {
  return name.split("-").flatMap((part, index) => (index ? ["-", h("wbr"), part] : [part]));
}

function keyRow(key, permissions, refresh) {
  return h(
    "tr",
    { class: key.active ? "" : "inactive" },
    h(
      "th",
      { scope: "row" },
      h("a", { class: "name", dir: "auto", href: link(["keys", key.id]), id: `open-${key.id}` }, key.name),
      h("span", { class: "id" }, key.id),
    ),
    permissions.map(({ name }) => h("td", { class: "permission", "data-label": name }, mark(key, name))),
    h("td", { "data-label": "Last used" }, lastUsed(key)),
    h("td", { "data-label": "State" }, stateOf(key)),
    h("td", { class: "end" }, rowAction(key, refresh)),
  );
}

function rowAction(key, refresh) {
  const [label, action] = key.active ? ["Deactivate", askToDeactivate] : ["Delete", askToDelete];
  const name = [label, h("span", { class: "unseen" }, " ", data(key.name))];
  return button(name, () => action(key, refresh), { class: "button small", id: `act-${key.id}` });
}

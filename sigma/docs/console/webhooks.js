// The webhooks of the workspace, in a table.

import { button, data, h, icon, replace, table } from "./dom.js";
import { count, number } from "./format.js";
import { go, link } from "./router.js";
import { every } from "./timers.js";
import { sendAllButton, togglePause } from "./webhook-actions.js";
import { fetchWebhooks, forbidden, isFailing, lastAttempt, mayManage, stateOf } from "./webhook-facts.js";
import { editWebhook } from "./webhook-form.js";
import { showWebhook } from "./webhook.js";

const REFRESH_EVERY = 2000; // milliseconds
const LEAD = "The receivers that are told when records and variants change, and whether they accept it.";

/** Return the view of the webhooks, or of the one that the place names. */
export async function showWebhooks(place, signal) {
  if (place.path[1]) return showWebhook(place, signal);
  const webhooks = await fetchWebhooks(signal);
  const shown = h("div");
  let drawn = "";

  function draw(webhooks) {
    if (JSON.stringify(webhooks) === drawn) return;
    drawn = JSON.stringify(webhooks);
    replace(shown, webhooks.length ? webhookTable(webhooks, refresh) : noWebhooks(create));
  }
  async function refresh() {
    draw(await fetchWebhooks(signal));
  }
  function create() {
    editWebhook(null, ({ id }) => go(["webhooks", id]));
  }

  draw(webhooks);
  const node = h("section", { class: "webhooks" }, header(create, refresh), !mayManage() && forbidden(), shown);
  return { title: "Webhooks", node, ready: () => every(REFRESH_EVERY, refresh, signal) };
}

function header(create, refresh) {
  const make = button([icon("plus"), "New webhook"], create, { class: "button primary", id: "new-webhook" });
  return h(
    "header",
    { class: "head" },
    h("div", {}, h("h1", {}, "Webhooks"), h("p", { class: "lead" }, LEAD)),
    mayManage() && h("div", { class: "actions" }, sendAllButton(refresh), make),
  );
}

function noWebhooks(create) {
  return h(
    "div",
    { class: "panel empty" },
    icon("webhooks"),
    h("h2", {}, "No webhooks yet"),
    h(
      "p",
      {},
      "A webhook is told of each change within a second, even on this machine, which the real service cannot reach.",
    ),
    mayManage() && button("Make the first webhook", create, { class: "button primary" }),
  );
}

function webhookTable(webhooks, refresh) {
  const head = (name, looks) => h("th", { scope: "col", class: looks }, name);
  const end = (name) => head(name, "end");
  const heads = mayManage()
    ? ["Name", head("Events", "events"), end("Waiting"), end("Failed"), "Latest attempt", "State", end("Action")]
    : ["Name", "Events", "State"];
  const rows = webhooks.map((webhook) => webhookRow(webhook, refresh));
  return table(`Webhooks: ${count(webhooks.length, "webhook")}`, heads, h("tbody", {}, rows), {
    class: mayManage() ? "rows health" : "rows",
  });
}

function webhookRow(webhook, refresh) {
  return h(
    "tr",
    { class: isFailing(webhook) ? "failing" : webhook.active ? "" : "inactive" },
    h("th", { scope: "row" }, nameOf(webhook), h("span", { class: "id", title: webhook.url }, data(webhook.url))),
    h("td", { class: "events" }, h("code", {}, webhook.events.join(" "))),
    mayManage() && [
      amount("Waiting", webhook.deliveries.pending),
      amount("Failed", webhook.deliveries.failed, "bad"),
      h("td", { class: "latest" }, lastAttempt(webhook)),
    ],
    h("td", {}, stateOf(webhook)),
    mayManage() && h("td", { class: "end" }, pauseButton(webhook, refresh)),
  );
}

function nameOf({ id, name }) {
  return mayManage()
    ? h("a", { class: "name", dir: "auto", href: link(["webhooks", id]), id: `open-${id}` }, name)
    : h("span", { class: "name", dir: "auto" }, name);
}

function amount(label, value, tone = "") {
  const shown = value ? h("span", { class: tone }, number(value)) : h("span", { class: "faint" }, "0");
  return h("td", { class: "end amount", "data-label": label }, shown);
}

function pauseButton(webhook, refresh) {
  const label = webhook.active ? "Pause" : "Activate";
  const name = [label, h("span", { class: "unseen" }, " ", data(webhook.name))];
  return button(name, () => togglePause(webhook, refresh), { class: "button small", id: `act-${webhook.id}` });
}

// One webhook: its state and its deliveries.

import { ServiceError } from "./api.js";
import { button, data, h, icon, replace } from "./dom.js";
import { DeliveryList } from "./deliveries.js";
import { describeError } from "./errors.js";
import { number } from "./format.js";
import { go, link } from "./router.js";
import { every } from "./timers.js";
import { askToDelete, sendAllButton, togglePause } from "./webhook-actions.js";
import { fetchWebhooks, forbidden, lastAttempt, mayManage, stateOf } from "./webhook-facts.js";
import { editWebhook } from "./webhook-form.js";

const REFRESH_EVERY = 2000; // milliseconds

/** Return the view of a webhook, beside the delivery that the place names. Throws ServiceError 404. */
export async function showWebhook(place, signal) {
  const webhook = await fetchWebhook(place.path[1], signal);
  if (!mayManage()) return { title: webhook.name, node: h("section", {}, titleOf(webhook), forbidden()) };
  const top = h("div");
  const list = new DeliveryList(webhook, place, signal);
  let drawn = "";

  /** Draw the webhook and its deliveries, if it has changed: each delivery and each attempt changes its counts. */
  async function draw(webhook) {
    if (JSON.stringify(webhook) === drawn) return;
    drawn = JSON.stringify(webhook);
    replace(top, header(webhook, refresh), facts(webhook));
    await list.load(webhook);
  }
  async function refresh() {
    try {
      await draw(await fetchWebhook(webhook.id, signal));
    } catch (error) {
      if (error.status === 404) replace(node, h("h1", {}, "This webhook is gone"), describeError(error));
      throw error;
    }
  }

  await draw(webhook);
  const node = h(
    "section",
    { class: "webhook" },
    h("a", { class: "back", href: link(["webhooks"]) }, icon("back"), "Webhooks"),
    top,
    list.node,
  );
  const moveTo = (place) => place.path[1] === webhook.id && list.moveTo(place);
  return { title: webhook.name, node, moveTo, ready: () => every(REFRESH_EVERY, refresh, signal) };
}

async function fetchWebhook(id, signal) {
  const webhook = (await fetchWebhooks(signal)).find((webhook) => webhook.id === id);
  if (webhook) return webhook;
  throw new ServiceError(404, "NOT_FOUND", `There is no webhook with the id ${id}; it may have been deleted.`);
}

function titleOf({ name, id, description }) {
  const lead = h("p", { class: "lead" }, h("code", {}, id), description && [" · ", data(description)]);
  return h("div", {}, h("h1", { dir: "auto" }, name), lead);
}

function header(webhook, refresh) {
  const small = (label, action, id) => button(label, action, { id });
  return h(
    "header",
    { class: "head" },
    titleOf(webhook),
    h(
      "div",
      { class: "actions" },
      sendAllButton(refresh),
      small("Change", () => editWebhook(webhook, refresh), "change"),
      small(webhook.active ? "Pause" : "Activate", () => togglePause(webhook, refresh), "pause-webhook"),
      small("Delete", () => askToDelete(webhook, () => go(["webhooks"])), "delete"),
    ),
  );
}

function facts(webhook) {
  const { id, url, events, secret, deliveries } = webhook;
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const amount = (state) =>
    deliveries[state] ? h("a", { href: link(["webhooks", id], { state }) }, number(deliveries[state])) : "0";
  return h(
    "dl",
    { class: "facts" },
    fact("State", stateOf(webhook)),
    fact("Latest attempt", lastAttempt(webhook)),
    fact("Waiting", amount("pending")),
    fact("Failed", amount("failed")),
    fact("Delivered", amount("delivered")),
    fact("URL", h("code", { class: "url" }, data(url))),
    fact("Events", h("code", {}, events.join(" "))),
    fact("Signed", secret ? "with a secret" : h("span", { class: "faint" }, "no")),
  );
}

// One delivery: the result of each attempt, the body, and a button that sends it again.

import { call, path } from "./api.js";
import { button, data, h, icon, table } from "./dom.js";
import { describeError } from "./errors.js";
import { clock, localTime, prettyBody } from "./format.js";
import { notify } from "./notices.js";
import { link } from "./router.js";
import { copyable } from "./snippets.js";
import { answerOf, deliveryState, subjectOf, tookOf } from "./webhook-facts.js";

/** Return the placeholder for a delivery that is no longer kept. */
export function noDelivery(deliveryId, { status, message }) {
  if (status !== 404) throw Object.assign(new Error(message), { status });
  return { deliveryId, isGone: true };
}

/** Return the panel of a delivery; `reload` is called when it has been sent again. */
export function deliveryPanel(delivery, webhook, close, reload) {
  if (delivery.isGone) return gonePanel(delivery, close);
  const { deliveryId, event, body, attempts } = delivery;
  const heading = h("h2", { tabindex: "-1" }, h("span", { class: "path" }, event));
  return h(
    "article",
    { class: "request delivery", "data-id": deliveryId, "aria-label": "Delivery" },
    closing(heading, close),
    h("p", { class: "outcome" }, deliveryState(delivery, webhook), again(delivery, webhook, reload)),
    facts(delivery),
    h("section", { class: "part" }, h("h3", {}, "Attempts"), attempts.length ? attemptTable(attempts) : noAttempts()),
    h("section", { class: "part" }, h("h3", {}, "Body"), copyable(prettyBody(body), "Body")),
  );
}

function gonePanel({ deliveryId }, close) {
  const heading = h("h2", { tabindex: "-1" }, "This delivery is not kept");
  const message = `Only the last thousand deliveries of seven days are kept; ${deliveryId} is not among them.`;
  return h("article", { class: "request" }, closing(heading, close), describeError({ status: 404, message }));
}

function closing(heading, close) {
  return h(
    "header",
    {},
    heading,
    button(icon("cross"), close, { class: "button quiet", "aria-label": "Close the delivery", id: "close-delivery" }),
  );
}

function again({ deliveryId }, { active }, reload) {
  const send = async () => {
    await call("POST", path`standin/deliveries/${deliveryId}/redeliver`);
    notify(
      active ? "It is sent again, with the same bytes and id" : "It will be sent again when the webhook is active",
    );
    await reload();
  };
  return button([icon("reset"), "Send again"], send, { class: "button small", id: "send-again" });
}

function facts(delivery) {
  const { deliveryId, body } = delivery;
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const place = ["records", body.entityId, ...(body.variantId ? ["variants", body.variantId] : [])];
  const isGone = delivery.event.endsWith(".deleted");
  return h(
    "dl",
    { class: "facts" },
    fact("Change", localTime(body.timestamp)),
    fact(
      body.variantId ? "Variant" : "Record",
      isGone ? subjectOf(delivery) : h("a", { href: link(place) }, subjectOf(delivery)),
    ),
    body.toStateId && fact("Transition", [data(body.fromStateId), " → ", data(body.toStateId)]),
    fact("X-Sigma-Delivery", h("code", {}, deliveryId)),
  );
}

function noAttempts() {
  return h("p", { class: "faint" }, "none yet");
}

function attemptTable(attempts) {
  const end = h("th", { scope: "col", class: "end" }, "Took");
  return table("Attempts, newest first", ["Time", "Answer", end], h("tbody", {}, attempts.map(attemptRow).reverse()), {
    class: "attempts",
  });
}

function attemptRow(attempt) {
  return h(
    "tr",
    {},
    h("td", { class: "time" }, clock(attempt.at)),
    h("td", {}, answerOf(attempt), attempt.error && h("p", { class: "why", dir: "auto" }, attempt.error)),
    h("td", { class: "end" }, tookOf(attempt)),
  );
}

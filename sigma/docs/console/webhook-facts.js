// What is known of webhooks and their deliveries, and how it is shown wherever they are.

import { get } from "./api.js";
import { data, h, icon, unseen } from "./dom.js";
import { ago, due, milliseconds } from "./format.js";
import { session } from "./session.js";

export const MASK = "••••••••"; // what a secret reads, and what keeps it

/** Return whether the session may change webhooks and see their deliveries. */
export function mayManage() {
  return session.flags.canManageSchemas;
}

/** Return why there is no more to be seen and done. */
export function forbidden() {
  return h(
    "p",
    { class: "advice" },
    icon("warning"),
    h(
      "span",
      {},
      "Your role ",
      h("code", {}, session.user.roleId),
      " may not change webhooks, nor see what they were sent; that takes a role with ",
      h("code", {}, "canManageSchemas"),
      ".",
    ),
  );
}

/** Return the webhooks, newest first; for those who may see it, each with how it does. */
export async function fetchWebhooks(signal) {
  return (await get(mayManage() ? "standin/webhooks" : "api/v1/webhooks", signal)).reverse();
}

/** Return whether a webhook's receiver fails now: the latest attempt was in vain. */
export function isFailing({ active, lastAttempt }) {
  return active && Boolean(lastAttempt?.error);
}

export function stateOf(webhook) {
  if (isFailing(webhook)) return h("span", { class: "state bad" }, "Failing");
  return webhook.active ? h("span", { class: "state good" }, "Active") : h("span", { class: "state off" }, "Paused");
}

/** Return what came of an attempt: the status of the answer, or that there was none. */
export function answerOf({ status, error }) {
  const tone = error === null ? "fine" : status === null ? "failed" : "refused";
  return h("span", { class: `status ${tone}` }, status === null ? ["–", unseen("no answer")] : String(status));
}

export function tookOf({ ms }) {
  return `${milliseconds(ms)} ms`;
}

export function lastAttempt({ lastAttempt: attempt }) {
  if (!attempt) return h("span", { class: "faint" }, "none yet");
  return [
    h("span", { class: "attempt" }, answerOf(attempt), ago(attempt.at)),
    attempt.error && h("p", { class: "why", dir: "auto" }, attempt.error),
  ];
}

/** Return how far a delivery is; what waits for a webhook that is paused has no time. */
export function deliveryState({ state, nextAt, attempts }, { active }) {
  if (state === "delivered") return h("span", { class: "state good" }, "Delivered");
  if (state === "failed") return h("span", { class: "state bad" }, "Failed");
  if (!active) return h("span", { class: "state off" }, "Waits, paused");
  return attempts.length
    ? h("span", { class: "state warn" }, "Next try ", due(nextAt))
    : h("span", { class: "state warn" }, "Waits");
}

/** Return the record or variant that a delivery tells of. */
export function subjectOf({ body: { entityId, variantId } }) {
  return data(variantId ? `${entityId} / ${variantId}` : (entityId ?? ""));
}

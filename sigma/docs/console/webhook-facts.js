// Loads webhooks, and shows the facts of webhooks and deliveries wherever they appear.

import { get } from "./api.js";
import { data, h, icon, unseen } from "./dom.js";
import { ago, due, milliseconds } from "./format.js";
import { session } from "./session.js";

export const MASK = "••••••••"; // stands for a secret in responses; sent back, it keeps the secret

/** Return whether the session may change webhooks and see their deliveries. */
export function mayManage() {
  return session.flags.canManageSchemas;
}

/** Return the note that the user's role may not manage webhooks. */
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

/** Return the webhooks, newest first, each with its deliveries' counts if the user may see these. */
export async function fetchWebhooks(signal) {
  return (await get(mayManage() ? "standin/webhooks" : "api/v1/webhooks", signal)).reverse();
}

/** Return whether a webhook is failing now: it is active, and its latest attempt failed. */
export function isFailing({ active, lastAttempt }) {
  return active && Boolean(lastAttempt?.error);
}

export function stateOf(webhook) {
  if (isFailing(webhook)) return h("span", { class: "state bad" }, "Failing");
  return webhook.active ? h("span", { class: "state good" }, "Active") : h("span", { class: "state off" }, "Paused");
}

/** Return the result of an attempt: the status of the response, or that there was none. */
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

/** Return the state of a delivery. One that waits for a paused webhook has no time of its next try. */
export function deliveryState({ state, nextAt, attempts }, { active }) {
  if (state === "delivered") return h("span", { class: "state good" }, "Delivered");
  if (state === "failed") return h("span", { class: "state bad" }, "Failed");
  if (!active) return h("span", { class: "state off" }, "Waits, paused");
  return attempts.length
    ? h("span", { class: "state warn" }, "Next try ", due(nextAt))
    : h("span", { class: "state warn" }, "Waits");
}

/** Return the record or variant that a delivery is about. */
export function subjectOf({ body: { entityId, variantId } }) {
  return data(variantId ? `${entityId} / ${variantId}` : (entityId ?? ""));
}

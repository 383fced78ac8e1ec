// Shows on every page that a webhook fails: a bar above the view, and a badge on the link to the webhooks.

import { data, h, icon, replace, unseen } from "./dom.js";
import { ago, count } from "./format.js";
import { announce } from "./notices.js";
import { link } from "./router.js";
import { every } from "./timers.js";
import { fetchWebhooks, isFailing, mayManage } from "./webhook-facts.js";

const REFRESH_EVERY = 2000; // milliseconds

/** Keep the bar, and a badge on the link, up to date until the signal aborts, if the user may see deliveries. */
export function watchFailing(bar, link, signal) {
  if (!mayManage()) return;
  const badge = h("span", { class: "badge", hidden: true });
  link.append(badge);
  let drawn = "[]";

  async function refresh() {
    const failing = (await fetchWebhooks(signal)).filter(isFailing);
    if (JSON.stringify(failing) === drawn) return;
    drawn = JSON.stringify(failing);
    tell(failing, badge.hidden ? 0 : badge.dataset.amount);
    draw(bar, badge, failing);
  }

  refresh().catch((error) => {
    if (error.status === undefined && error.name !== "AbortError") throw error;
  });
  every(REFRESH_EVERY, refresh, signal);
}

function tell(failing, before) {
  if (failing.length > before) announce(`${count(failing.length, "webhook fails", "webhooks fail")}.`);
}

function draw(bar, badge, failing) {
  bar.hidden = badge.hidden = !failing.length;
  badge.dataset.amount = failing.length;
  replace(badge, String(failing.length), unseen(" failing"));
  replace(bar, failing.length > 0 && [icon("warning"), failing.length > 1 ? several(failing) : single(failing[0])]);
}

function single({ id, name, lastAttempt }) {
  return [
    h(
      "span",
      { class: "text" },
      h("strong", {}, data(name)),
      " fails: ",
      data(lastAttempt.error),
      ", ",
      ago(lastAttempt.at),
    ),
    h("a", { class: "button small", href: link(["webhooks", id]) }, "Its deliveries"),
  ];
}

function several(failing) {
  const names = failing.flatMap(({ name }, index) => [index > 0 && ", ", h("strong", {}, data(name))]);
  return [
    h("span", { class: "text" }, `${failing.length} webhooks fail: `, names),
    h("a", { class: "button small", href: link(["webhooks"]) }, "Webhooks"),
  ];
}

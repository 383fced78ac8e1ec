// What tells on every page that a webhook fails: a bar above the view, and a mark at the place of the webhooks.

import { data, h, icon, replace, unseen } from "./dom.js";
import { ago, count } from "./format.js";
import { announce } from "./notices.js";
import { link } from "./router.js";
import { every } from "./timers.js";
import { fetchWebhooks, isFailing, mayManage } from "./webhook-facts.js";

const REFRESH_EVERY = 2000; // milliseconds

/** Keep a bar and the mark of a place right until the signal ends it, for those who may see how webhooks do. */
export function watchFailing(bar, place, signal) {
  if (!mayManage()) return;
  const mark = h("span", { class: "badge", hidden: true });
  place.append(mark);
  let drawn = "[]";

  async function refresh() {
    const failing = (await fetchWebhooks(signal)).filter(isFailing);
    if (JSON.stringify(failing) === drawn) return;
    drawn = JSON.stringify(failing);
    tell(failing, mark.hidden ? 0 : mark.dataset.amount);
    draw(bar, mark, failing);
  }

  refresh().catch((error) => {
    if (error.status === undefined && error.name !== "AbortError") throw error;
  });
  every(REFRESH_EVERY, refresh, signal);
}

function tell(failing, before) {
  if (failing.length > before) announce(`${count(failing.length, "webhook fails", "webhooks fail")}.`);
}

function draw(bar, mark, failing) {
  bar.hidden = mark.hidden = !failing.length;
  mark.dataset.amount = failing.length;
  replace(mark, String(failing.length), unseen(" failing"));
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

// The webhooks of the workspace: none, until the service has them.

import { h, icon } from "./dom.js";

/** Return the view. */
export async function showWebhooks() {
  const node = h(
    "section",
    {},
    h(
      "header",
      { class: "head" },
      h(
        "div",
        {},
        h("h1", {}, "Webhooks"),
        h("p", { class: "lead" }, "What the service sends to others when records change."),
      ),
    ),
    h(
      "div",
      { class: "panel empty" },
      icon("webhooks"),
      h("h2", {}, "There are none yet"),
      h(
        "p",
        {},
        "This version of the service has no webhooks. Their list, and each delivery with its attempts, will be here.",
      ),
    ),
  );
  return { title: "Webhooks", node };
}

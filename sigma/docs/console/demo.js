// The bar of a demo: the story, the docs, and the reset.

import { call } from "./api.js";
import { ask } from "./dialog.js";
import { button, h, icon } from "./dom.js";
import { notify } from "./notices.js";
import { session } from "./session.js";
import { openStory } from "./story.js";

/** Return the bar; `showAgain` redraws the view when the demo has been reset. */
export function demoBar(showAgain) {
  return h(
    "div",
    { class: "demo-bar", role: "region", "aria-label": "Demo" },
    h(
      "p",
      {},
      h("strong", {}, "Demo workspace"),
      h("span", { class: "long" }, " Try anything: Reset puts everything back."),
    ),
    h(
      "div",
      { class: "actions" },
      session.flags.canManageRoles &&
        button([icon("play"), "Story"], openStory, { class: "button small", id: "story" }),
      h(
        "a",
        { class: "button small", href: "docs", target: "_blank", rel: "noopener" },
        icon("book"),
        "API docs",
        h("span", { class: "unseen" }, " (opens a new tab)"),
      ),
      button([icon("reset"), "Reset"], () => askToReset(showAgain), { class: "button small", id: "reset" }),
    ),
  );
}

function askToReset(showAgain) {
  ask(
    "Reset the demo?",
    [
      "Records, model and keys will be as they were at first: new keys are gone, deactivated ones are active again.",
      "You stay signed in, and so does everybody else.",
    ],
    "Reset",
    async () => {
      await call("POST", "standin/reset", { body: {} });
      notify("The demo is as it was at first");
      showAgain();
    },
  );
}

// Starts the console: the sign-in page, and for who is signed in the frame around the views.

import { events } from "./api.js";
import { demoBar } from "./demo.js";
import { closeDialogs } from "./dialog.js";
import { button, data, h, icon, replace } from "./dom.js";
import { refreshTimes } from "./format.js";
import { showKeys } from "./keys.js";
import { announce, notify } from "./notices.js";
import { showRecords } from "./records.js";
import { showRequests } from "./requests.js";
import { Router } from "./router.js";
import { session, signOut } from "./session.js";
import { signInPage } from "./sign-in.js";
import { closeStory } from "./story.js";
import { showWebhooks } from "./webhooks.js";

const VIEWS = { keys: showKeys, requests: showRequests, records: showRecords, webhooks: showWebhooks };
const NAMES = { keys: "Keys", requests: "Requests", records: "Records", webhooks: "Webhooks" };
const app = document.getElementById("app");
let router = null;

function askWho(reason) {
  router?.stop();
  router = null;
  closeDialogs();
  closeStory();
  signOut();
  document.title = "Sign in · Sigma PIM console";
  replace(app, signInPage(reason, open));
  app.querySelector("h1").focus();
}

function open() {
  const links = Object.entries(NAMES).map(([view, name]) =>
    h("a", { href: `#/${view}`, "data-view": view }, icon(view), name),
  );
  const main = h("main", { id: "main", tabindex: "-1" });
  const outage = h("div", { class: "outage", role: "alert", hidden: true });
  replace(
    app,
    skipLink(main),
    h(
      "div",
      { class: "frame" },
      side(links),
      h("div", { class: "page" }, session.isDemo && demoBar(showAgain), outage, main),
    ),
  );
  router = new Router(VIEWS, main, (view) => markCurrent(links, view));
  router.show();
}

const showAgain = () => router?.show({ isAgain: true });

function skipLink(main) {
  return button("Skip to the content", () => main.focus(), { class: "skip" });
}

function side(links) {
  return h(
    "header",
    { class: "side" },
    h("div", { class: "brand" }, icon("sigma"), h("span", {}, "Sigma PIM")),
    h("p", { class: "workspace", dir: "auto", title: session.workspace.id }, session.workspace.name),
    h("nav", { "aria-label": "Console" }, links),
    h(
      "div",
      { class: "who" },
      h("span", {}, h("strong", {}, data(session.user.name)), h("span", { class: "hint" }, session.user.roleId)),
      button(icon("out"), () => leave(), { class: "button quiet", "aria-label": "Sign out", title: "Sign out" }),
    ),
  );
}

function leave() {
  history.replaceState(null, "", location.pathname + location.search);
  askWho();
}

function markCurrent(links, view) {
  for (const link of links) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function showOutage(isDown) {
  const outage = document.querySelector(".outage");
  if (!outage) return;
  outage.hidden = !isDown;
  replace(
    outage,
    isDown && [
      icon("warning"),
      "The service does not answer. The console tries again every two seconds; what is shown may be old.",
    ],
  );
  if (!isDown) {
    announce("The service answers again.");
    showAgain();
  }
}

/** Tell what no view has told: an action's refusal. What was given up because somebody went elsewhere is nothing to tell. */
function tellFailure(event) {
  const { name, status, message } = event.reason;
  if (name === "AbortError" || status !== undefined) event.preventDefault();
  if (status && status !== 401) notify(message, "bad");
}

events.addEventListener("ended", (event) =>
  askWho(`Your session has ended: ${event.detail}. Sign in to go on where you were.`),
);
events.addEventListener("down", () => showOutage(true));
events.addEventListener("up", () => showOutage(false));
addEventListener("unhandledrejection", (event) => tellFailure(event));
setInterval(refreshTimes, 1000);
askWho();

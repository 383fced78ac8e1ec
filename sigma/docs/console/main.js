// Starts the console: the sign-in page, and the frame around the views for a user who is signed in.

import { events } from "./api.js";
import { demoBar } from "./demo.js";
import { closeDialogs } from "./dialog.js";
import { button, data, h, icon, replace } from "./dom.js";
import { watchFailing } from "./failing.js";
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
let leaving = null; // aborted when the session ends

function showSignIn(reason) {
  router?.stop();
  router = null;
  leaving?.abort();
  closeDialogs();
  closeStory();
  signOut();
  document.title = "Sign in · Sigma PIM console";
  replace(app, outageBar(), signInPage(reason, open));
  app.querySelector("h1").focus();
}

function open() {
  const names = Object.entries(NAMES).filter(([view]) => view !== "requests" || session.hasJournal);
  const links = names.map(([view, name]) => h("a", { href: `#/${view}`, "data-view": view }, icon(view), name));
  const main = h("main", { id: "main", tabindex: "-1" });
  const failing = h("div", { class: "failing-bar", role: "region", "aria-label": "Failing webhooks", hidden: true });
  const page = h("div", { class: "page" }, session.isDemo && demoBar(showAgain), outageBar(), failing, main);
  replace(app, skipLink(main), h("div", { class: "frame" }, side(links), page));
  router = new Router(VIEWS, main, (view) => markCurrent(links, view));
  router.show();
  leaving = new AbortController();
  watchFailing(
    failing,
    links.find(({ dataset }) => dataset.view === "webhooks"),
    leaving.signal,
  );
}

const showAgain = () => router?.show({ isAgain: true });

function outageBar() {
  return h("div", { class: "outage", role: "alert", hidden: true });
}

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
  showSignIn();
}

function markCurrent(links, view) {
  for (const link of links) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function showOutage(isDown) {
  const outage = document.querySelector(".outage");
  outage.hidden = !isDown;
  replace(
    outage,
    isDown && [
      icon("warning"),
      "The service does not answer. The console tries again every two seconds; what is shown may be out of date.",
    ],
  );
  if (isDown) return;
  announce("The service answers again.");
  if (router) showAgain();
  else showSignIn();
}

/** Show an error that no view has shown, such as the refusal of an action. A request aborted by leaving a view is none. */
function showFailure(event) {
  const { name, status, message } = event.reason;
  if (name === "AbortError" || status !== undefined) event.preventDefault();
  if (status && status !== 401) notify(message, "bad");
}

events.addEventListener("ended", (event) =>
  showSignIn(`Your session has ended: ${event.detail}. Sign in to go on where you were.`),
);
events.addEventListener("down", () => showOutage(true));
events.addEventListener("up", () => showOutage(false));
addEventListener("unhandledrejection", (event) => showFailure(event));
setInterval(refreshTimes, 1000);
showSignIn();

// The requests to the API as they come, newest on top.

import { call, get, OWN_PREFIX, query } from "./api.js";
import { button, h, icon, replace, select, table } from "./dom.js";
import { describeError } from "./errors.js";
import { count } from "./format.js";
import { fetchKeys } from "./key-facts.js";
import { announce, notify } from "./notices.js";
import { requestPanel } from "./request.js";
import { requestRow, stepRows } from "./request-row.js";
import { go, note } from "./router.js";
import { session } from "./session.js";
import { every } from "./timers.js";

const POLL_EVERY = 1000; // milliseconds
const TELL_EVERY = 5000;
const MOST = 500; // as many as the journal keeps
const STATUSES = ["2xx", "4xx", "401", "403", "404", "409", "422", "429", "5xx"];

/** Return the view of the journal, beside the request that the place names. */
export async function showRequests(place, signal) {
  const view = new Journal(place, signal);
  await view.load();
  return { title: "Requests", node: view.node, moveTo: (place) => view.moveTo(place), ready: () => view.start() };
}

/** The table of requests with its filters, and the one request that is open. */
class Journal {
  constructor(place, signal) {
    Object.assign(this, { signal, entries: [], untold: [], isPaused: false, isRefused: false });
    this.filters = readFilters(place);
    this.open = place.path[1] ?? null;
    this.body = h("tbody", { keydown: stepRows });
    this.amount = h("p", { class: "hint amount" });
    this.live = h("span", { class: "live" });
    this.pause = button("", () => this.togglePause(), { class: "button small", id: "pause" });
    this.list = h("div", { class: "list" });
    this.panel = h("div", { class: "details" });
    this.split = h("div", { class: "split" }, this.list, this.panel);
    this.node = h("section", { class: "requests" }, this.header(), this.filterRow(), this.split);
    this.drawLive();
  }

  header() {
    return h(
      "header",
      { class: "head" },
      h(
        "div",
        {},
        h("h1", {}, "Requests"),
        h("p", { class: "lead" }, "Every call of the API as it was answered, and why; the last 500 are kept."),
      ),
      h(
        "div",
        { class: "actions" },
        this.live,
        this.pause,
        button("Clear", () => this.clear(), { class: "button small", id: "clear" }),
      ),
    );
  }

  filterRow() {
    const { status, key, path, own } = this.filters;
    const keys = h("span", { class: "slot" }, this.keyFilter([]));
    if (session.flags.canManageRoles)
      fetchKeys(this.signal)
        .then((list) => replace(keys, this.keyFilter(list)))
        .catch(() => null);
    const typed = h("input", {
      type: "search",
      maxlength: "500",
      "aria-label": "Path",
      placeholder: "Part of a path",
      value: path,
      input: () => this.filter({ path: typed.value }),
    });
    return h(
      "div",
      { class: "filters" },
      select(
        [["", "Any status"], ...STATUSES.map((value) => [value, value])],
        status,
        (value) => this.filter({ status: value }),
        { "aria-label": "Status" },
      ),
      keys,
      typed,
      h(
        "label",
        { class: "check" },
        h("input", { type: "checkbox", checked: own, change: (event) => this.filter({ own: event.target.checked }) }),
        "calls of this console",
      ),
      this.amount,
    );
  }

  keyFilter(list) {
    const known = list.map(({ id, name }) => [id, name]);
    const chosen = this.filters.key;
    if (chosen && !list.some(({ id }) => id === chosen)) known.push([chosen, chosen]);
    return select([["", "Any caller"], ...known], chosen, (value) => this.filter({ key: value }), {
      "aria-label": "Key",
    });
  }

  /** Go to another place of this view: a request opened or closed. Returns whether that is one. */
  moveTo(place) {
    if (JSON.stringify(readFilters(place)) !== JSON.stringify(this.filters)) return false;
    this.open = place.path[1] ?? null;
    this.drawPanel();
    this.markOpen();
    return true;
  }

  async filter(change) {
    Object.assign(this.filters, change);
    note(["requests", ...(this.open ? [this.open] : [])], parametersOf(this.filters));
    this.entries = [];
    await this.load().catch((error) => error.status === undefined && Promise.reject(error));
  }

  async load() {
    try {
      this.entries = await this.fetch();
      this.setRefused(false);
      this.draw();
    } catch (error) {
      if (error.status === undefined || error.status === 401) throw error;
      this.setRefused(true);
      replace(
        this.list,
        describeError(explain(error), () => this.load()),
      );
    }
    this.drawPanel();
  }

  setRefused(isRefused) {
    this.isRefused = isRefused;
    this.node.classList.toggle("absent", isRefused);
  }

  fetch(after) {
    const { status, key, path } = this.filters;
    return get(`standin/requests${query({ status, key, path, after })}`, this.signal);
  }

  start() {
    every(POLL_EVERY, () => this.poll(), this.signal);
    every(TELL_EVERY, () => this.tell(), this.signal);
  }

  async poll() {
    if (this.isPaused) return;
    if (this.isRefused) return this.load();
    const known = new Set(this.entries.map(({ id }) => id));
    const came = (await this.fetch(this.entries[0]?.id)).filter(({ id }) => !known.has(id));
    if (!came.length) return;
    this.entries = [...came, ...this.entries].slice(0, MOST);
    this.insert(came.filter((entry) => this.isShown(entry)));
  }

  /** Put new rows on top of those that are there, and let go of the oldest. */
  insert(came) {
    if (!came.length) return;
    this.untold.push(...came);
    if (!this.body.isConnected) return this.draw();
    this.body.prepend(...came.map((entry) => requestRow(entry, parametersOf(this.filters), "fresh ")));
    while (this.body.rows.length > MOST) this.body.lastElementChild.remove();
    this.amount.textContent = count(this.body.rows.length, "request");
  }

  tell() {
    if (!this.untold.length) return;
    const refused = this.untold.filter(({ status }) => status >= 400).length;
    announce(`${count(this.untold.length, "new request")}${refused ? `, ${refused} refused` : ""}`);
    this.untold = [];
  }

  isShown({ id }) {
    return this.filters.own || !id.startsWith(OWN_PREFIX);
  }

  draw() {
    const shown = this.entries.filter((entry) => this.isShown(entry));
    this.amount.textContent = count(shown.length, "request");
    if (!shown.length) return replace(this.list, this.nothing());
    replace(
      this.body,
      shown.map((entry) => requestRow(entry, parametersOf(this.filters))),
    );
    if (!this.body.isConnected) {
      const heads = ["Time", "Method", "Path", "Status", "Caller", h("th", { scope: "col", class: "end" }, "ms")];
      replace(this.list, table("Requests, newest first", heads, this.body, { class: "rows journal" }));
    }
    this.markOpen();
  }

  nothing() {
    const isFiltered = this.filters.status || this.filters.key || this.filters.path;
    return h(
      "div",
      { class: "panel empty" },
      icon("requests"),
      h("h2", {}, isFiltered ? "None like this" : "No requests yet"),
      h(
        "p",
        {},
        isFiltered
          ? "No request that is kept fits the filters."
          : "They appear here within a second of being made. Call the API with a key, or play the story.",
      ),
    );
  }

  markOpen() {
    for (const row of this.body.rows) {
      const isOpen = row.dataset.id === this.open;
      row.classList.toggle("open", isOpen);
      row.querySelector("a").setAttribute("aria-current", String(isOpen));
    }
  }

  drawPanel() {
    this.split.classList.toggle("opened", Boolean(this.open));
    if (!this.open) return replace(this.panel);
    const entry = this.entries.find(({ id }) => id === this.open);
    const close = () => {
      const row = document.getElementById(`open-${this.open}`);
      go(["requests"], parametersOf(this.filters));
      row?.focus();
    };
    requestPanel(this.open, entry, close, this.signal).then((panel) => {
      if (panel.dataset.id !== this.open) return;
      replace(this.panel, panel);
      panel.querySelector("h2").focus({ preventScroll: true });
    });
  }

  togglePause() {
    this.isPaused = !this.isPaused;
    this.drawLive();
    announce(this.isPaused ? "Paused: new requests are not shown." : "Live: new requests are shown as they come.");
  }

  drawLive() {
    this.live.className = this.isPaused ? "live paused" : "live";
    this.live.textContent = this.isPaused ? "Paused" : "Live";
    replace(this.pause, icon(this.isPaused ? "play" : "pause"), this.isPaused ? "Resume" : "Pause");
  }

  async clear() {
    await call("DELETE", "standin/requests");
    go(["requests"], parametersOf(this.filters));
    notify("The record of requests is empty");
    await this.load();
  }
}

function readFilters({ parameters }) {
  const text = (name) => parameters.get(name) ?? "";
  return { status: text("status"), key: text("key"), path: text("path"), own: text("own") === "1" };
}

function parametersOf({ own, ...filters }) {
  return { ...filters, own: own && "1" };
}

function explain(error) {
  if (error.status !== 404) return error;
  return Object.assign(error, {
    message:
      "Requests are recorded only beside the demo workspace. This database holds none, or this version has no record.",
  });
}

// The requests to the API as they come, newest on top.

import { call, get, OWN_PREFIX, query } from "./api.js";
import { button, h, icon, replace, table } from "./dom.js";
import { describeError } from "./errors.js";
import { count } from "./format.js";
import { announce, notify } from "./notices.js";
import { requestPanel } from "./request.js";
import { filterRow, parametersOf, readFilters } from "./request-filters.js";
import { requestRow, stepRows } from "./request-row.js";
import { go, note } from "./router.js";
import { every } from "./timers.js";

const POLL_EVERY = 1000; // milliseconds
const TELL_EVERY = 5000;
const FIRST = 100; // requests that are loaded at first
const MOST = 500; // requests that the journal keeps

/** Return the view of the journal, beside the request that the place names. */
export async function showRequests(place, signal) {
  const view = new Journal(place, signal);
  await view.load();
  view.drawPanel();
  return { title: "Requests", node: view.node, moveTo: (place) => view.moveTo(place), ready: () => view.start() };
}

/** The table of requests with its filters, and the one request that is open. */
class Journal {
  constructor(place, signal) {
    Object.assign(this, { signal, entries: [], untold: [], limit: FIRST, round: 0, isPaused: false, isRefused: false });
    this.leaving = new AbortController(); // aborted when the open request is closed
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
    const lead = `Every call of the API as it was answered, and why; the last ${MOST} are kept.`;
    const clear = button("Clear", () => this.clear(), { class: "button small", id: "clear" });
    return h(
      "header",
      { class: "head" },
      h("div", {}, h("h1", {}, "Requests"), h("p", { class: "lead" }, lead)),
      h("div", { class: "actions" }, this.live, this.pause, clear),
    );
  }

  filterRow() {
    return filterRow(this.filters, (change) => this.filter(change), this.amount, this.signal);
  }

  /** Open or close a request, if the place differs from the present one in nothing else. Returns whether it does. */
  moveTo(place) {
    if (JSON.stringify(readFilters(place)) !== JSON.stringify(this.filters)) return false;
    this.open = place.path[1] ?? null;
    this.drawPanel();
    this.markOpen();
    return true;
  }

  async filter(change) {
    Object.assign(this.filters, change);
    note(this.open ? ["requests", this.open] : ["requests"], parametersOf(this.filters));
    this.limit = FIRST;
    await this.load();
  }

  /** Load the list again; a response to an earlier load is dropped. */
  async load() {
    const round = ++this.round;
    try {
      const entries = await this.fetch({ limit: this.limit });
      if (round !== this.round) return;
      this.entries = entries;
      this.setRefused(false);
      if (this.hasMore() && this.shown().length < FIRST / 2) return await this.loadAll(); // most are the console's own
      this.draw();
    } catch (error) {
      if (!error.status) throw error;
      this.setRefused(true);
      const again = error.status !== 404 && (() => this.load());
      replace(this.list, describeError(explain(error), again));
    }
  }

  loadAll() {
    this.limit = MOST;
    return this.load();
  }

  setRefused(isRefused) {
    this.isRefused = isRefused;
    this.node.classList.toggle("absent", isRefused);
  }

  fetch(parameters) {
    const { status, key, path } = this.filters;
    return get(`standin/requests${query({ status, key, path, ...parameters })}`, this.signal);
  }

  start() {
    every(POLL_EVERY, () => this.poll(), this.signal);
    every(TELL_EVERY, () => this.tell(), this.signal);
  }

  async poll() {
    if (this.isPaused) return;
    if (this.isRefused) return this.load();
    const round = this.round;
    const answered = await this.fetch({ after: this.entries[0]?.id });
    if (round !== this.round) return;
    const known = new Set(this.entries.map(identity));
    const came = answered.filter((entry) => !known.has(identity(entry)));
    this.entries = [...came, ...this.entries].slice(0, MOST);
    this.insert(came.filter((entry) => this.isShown(entry)));
  }

  /** Insert new rows on top, and remove the oldest. */
  insert(came) {
    if (!came.length) return;
    this.untold.push(...came);
    if (!this.body.isConnected) return this.draw();
    this.body.prepend(...came.map((entry) => this.row(entry, "fresh ")));
    while (this.body.rows.length > MOST) this.body.lastElementChild.remove();
    this.count(this.body.rows.length);
  }

  row(entry, fresh = "") {
    return requestRow(entry, parametersOf(this.filters), fresh);
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

  shown() {
    return this.entries.filter((entry) => this.isShown(entry));
  }

  draw() {
    const shown = this.shown();
    this.count(shown.length);
    if (!shown.length) return replace(this.list, this.nothing());
    const rows = shown.map((entry) => this.row(entry));
    replace(this.body, rows);
    const heads = ["Time", "Method", "Path", "Status", "Caller", h("th", { scope: "col", class: "end" }, "ms")];
    const framed = table("Requests, newest first", heads, this.body, { class: "rows journal" });
    replace(this.list, framed, this.hasMore() && this.more());
    this.markOpen();
  }

  count(amount) {
    this.amount.textContent = `${this.hasMore() ? "the newest " : ""}${count(amount, "request")}`;
  }

  /** Return whether there may be older requests that have not been loaded. */
  hasMore() {
    return this.limit < MOST && this.entries.length >= this.limit;
  }

  more() {
    const all = button("Show all that are kept", () => this.loadAll(), { class: "button small", id: "more" });
    return h("p", { class: "pager" }, all);
  }

  nothing() {
    const { status, key, path } = this.filters;
    const [heading, text] =
      status || key || path
        ? ["No match", "None of the requests that are kept matches the filters."]
        : ["No requests yet", "They appear here within a second. Call the API with a key, or play the story."];
    return h("div", { class: "panel empty" }, icon("requests"), h("h2", {}, heading), h("p", {}, text));
  }

  markOpen() {
    for (const row of this.body.rows) {
      const isOpen = row.dataset.id === this.open;
      row.classList.toggle("open", isOpen);
      row.querySelector("a").setAttribute("aria-current", String(isOpen));
    }
  }

  async drawPanel() {
    const { open } = this;
    this.split.classList.toggle("opened", Boolean(open));
    this.leaving.abort();
    if (!open) return replace(this.panel);
    this.leaving = new AbortController();
    const signal = AbortSignal.any([this.signal, this.leaving.signal]);
    const entry = this.entries.find(({ id }) => id === open);
    const panel = await requestPanel(open, entry, () => this.close(), signal);
    if (open !== this.open) return;
    replace(this.panel, panel);
    panel.querySelector("h2").focus({ preventScroll: true });
  }

  /** Close the request that is open; the focus goes back to its row. */
  close() {
    const row = this.body.querySelector("tr.open a");
    go(["requests"], parametersOf(this.filters));
    this.split.classList.remove("opened"); // hidden elements cannot take the focus
    row?.focus();
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
    notify("The list of requests has been cleared");
    await this.load();
  }
}

/** Return what identifies an entry: clients may send the same id with many requests. */
function identity({ id, at }) {
  return `${at} ${id}`;
}

function explain(error) {
  if (error.status !== 404) return error;
  const message = "Requests are recorded only while the database holds the demo; this one does not.";
  return Object.assign(error, { message });
}

// The deliveries of a webhook, newest on top, with filters, and the delivery that is open.

import { get, path, query } from "./api.js";
import { catalogue } from "./catalogue.js";
import { deliveryPanel, noDelivery } from "./delivery.js";
import { button, h, icon, replace, select, table } from "./dom.js";
import { describeError } from "./errors.js";
import { clock, count, number } from "./format.js";
import { announce } from "./notices.js";
import { stepRows } from "./request-row.js";
import { go, link, note } from "./router.js";
import { answerOf, deliveryState, subjectOf } from "./webhook-facts.js";

const FIRST = 50; // deliveries that are loaded at first
const MOST = 100; // deliveries that the service returns on one page
const STATES = [
  ["", "Any state"],
  ["pending", "Waiting"],
  ["delivered", "Delivered"],
  ["failed", "Failed"],
];

function readFilters({ parameters }) {
  return { state: parameters.get("state") ?? "", event: parameters.get("event") ?? "" };
}

/** The table of deliveries with its filters. */
export class DeliveryList {
  constructor(webhook, place, signal) {
    Object.assign(this, { webhook, signal, items: null, total: 0, limit: FIRST, round: 0, panelOf: "" });
    this.filters = readFilters(place);
    this.open = place.path[2] ?? null;
    this.body = h("tbody", { keydown: stepRows });
    this.amount = h("p", { class: "hint amount" });
    this.list = h("div", { class: "list" });
    this.panel = h("div", { class: "details" });
    this.split = h("div", { class: "split" }, this.list, this.panel);
    this.events = h("span", { class: "slot" });
    const heading = h("h2", {}, "Deliveries");
    this.node = h("section", { class: "part deliveries" }, heading, this.filterRow(), this.split);
    this.drawEvents();
  }

  filterRow() {
    const state = select(STATES, this.filters.state, (state) => this.filter({ state }), { "aria-label": "State" });
    return h("div", { class: "filters" }, state, this.events, this.amount);
  }

  async drawEvents() {
    const { events } = await catalogue();
    const options = [["", "Any event"], ...events.map(({ name }) => [name, name])];
    const change = (event) => this.filter({ event });
    replace(this.events, select(options, this.filters.event, change, { "aria-label": "Event" }));
  }

  /** Open or close a delivery, if the place differs from the present one in nothing else. Returns whether it does. */
  moveTo(place) {
    if (JSON.stringify(readFilters(place)) !== JSON.stringify(this.filters)) return false;
    this.open = place.path[2] ?? null;
    this.markOpen();
    this.drawPanel({ isMoving: true });
    return true;
  }

  async filter(change) {
    Object.assign(this.filters, change);
    note(this.place(), this.filters);
    Object.assign(this, { limit: FIRST, items: null });
    await this.load();
  }

  place(id = this.open) {
    return ["webhooks", this.webhook.id, ...(id ? [id] : [])];
  }

  /** Load the list again; a response to an earlier load is dropped. */
  async load(webhook = this.webhook) {
    this.webhook = webhook;
    const round = ++this.round;
    try {
      const parameters = { webhookId: webhook.id, ...this.filters, limit: this.limit };
      const { items, total } = await get(`standin/deliveries${query(parameters)}`, this.signal);
      if (round !== this.round) return;
      this.draw(items, total);
      await this.drawPanel();
    } catch (error) {
      if (!error.status) throw error;
      replace(
        this.list,
        describeError(error, () => this.load()),
      );
    }
  }

  draw(items, total) {
    const known = this.items && new Map(this.items.map((item) => [item.deliveryId, item.state + item.attempts.length]));
    const isFresh = ({ deliveryId, state, attempts }) => known && known.get(deliveryId) !== state + attempts.length;
    if (known) this.tell(items.filter(({ deliveryId }) => !known.has(deliveryId)).length);
    Object.assign(this, { items, total });
    this.amount.textContent = `${items.length < total ? `the newest ${number(items.length)} of ` : ""}${deliveries(total)}`;
    if (!items.length) return replace(this.list, this.nothing());
    replace(
      this.body,
      items.map((item) => this.row(item, isFresh(item))),
    );
    const head = (name, looks) => h("th", { scope: "col", class: looks }, name);
    const heads = ["Time", "Event", head("Answer", "answer"), "State", head("Attempts", "end tries")];
    const framed = table("Deliveries, newest first", heads, this.body, { class: "rows journal" });
    replace(this.list, framed, items.length < Math.min(total, MOST) && this.more());
    this.markOpen();
  }

  tell(amount) {
    if (amount) announce(`${count(amount, "new delivery", "new deliveries")}`);
  }

  more() {
    const show = () => {
      this.limit = Math.min(MOST, 4 * this.limit);
      return this.load();
    };
    return h("p", { class: "pager" }, button("Show older ones", show, { class: "button small", id: "more" }));
  }

  nothing() {
    const [heading, text] =
      this.filters.state || this.filters.event
        ? ["No match", "None of the deliveries that are kept matches the filters."]
        : ["Nothing was sent yet", "Change a record, and an event that it subscribes to is here within a second."];
    return h("div", { class: "panel empty" }, icon("webhooks"), h("h2", {}, heading), h("p", {}, text));
  }

  row(delivery, isFresh) {
    const { deliveryId, event, state, attempts, body } = delivery;
    const last = attempts.at(-1);
    const tone = { failed: "refused", pending: attempts.length ? "wrong" : "", delivered: "fine" }[state];
    const href = link(this.place(deliveryId), this.filters);
    return h(
      "tr",
      { class: `${isFresh ? "fresh " : ""}${tone}`, "data-id": deliveryId },
      h("td", { class: "time" }, clock(body.timestamp)),
      h(
        "th",
        { scope: "row" },
        h("a", { class: "path", id: `open-${deliveryId}`, href }, event),
        h("span", { class: "id" }, subjectOf(delivery)),
        state !== "delivered" && last?.error && h("p", { class: "why", dir: "auto" }, last.error),
      ),
      h("td", { class: "answer" }, last ? answerOf(last) : h("span", { class: "faint" }, "none yet")),
      h("td", { class: "progress" }, deliveryState(delivery, this.webhook)),
      h("td", { class: "end tries" }, String(attempts.length)),
    );
  }

  markOpen() {
    for (const row of this.body.rows) {
      const isOpen = row.dataset.id === this.open;
      row.classList.toggle("open", isOpen);
      row.querySelector("a").setAttribute("aria-current", String(isOpen));
    }
  }

  /** Draw the open delivery, if it is another one or has changed. If the user has just opened it, it gets the focus. */
  async drawPanel({ isMoving = false } = {}) {
    const { open } = this;
    this.split.classList.toggle("opened", Boolean(open));
    const shown = open && (await this.find(open));
    const drawn = JSON.stringify([shown, this.webhook.active]);
    if (open !== this.open || (drawn === this.panelOf && !isMoving)) return;
    this.panelOf = drawn;
    replace(
      this.panel,
      open &&
        deliveryPanel(
          shown,
          this.webhook,
          () => this.close(),
          () => this.load(),
        ),
    );
    if (isMoving) this.panel.querySelector("h2")?.focus({ preventScroll: true });
  }

  async find(id) {
    const known = this.items?.find(({ deliveryId }) => deliveryId === id);
    return known ?? get(path`standin/deliveries/${id}`, this.signal).catch((error) => noDelivery(id, error));
  }

  /** Close the delivery that is open; the focus goes back to its row. */
  close() {
    const row = this.body.querySelector("tr.open a");
    go(this.place(null), this.filters);
    this.split.classList.remove("opened"); // hidden elements cannot take the focus
    row?.focus();
  }
}

const deliveries = (amount) => count(amount, "delivery", "deliveries");

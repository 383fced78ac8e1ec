// Faults of one key: failures on demand, to see how its client handles them.

import { call, get, path } from "./api.js";
import { button, data, field, h, replace, select } from "./dom.js";
import { describeError } from "./errors.js";
import { count } from "./format.js";
import { notify } from "./notices.js";
import { every } from "./timers.js";

const REFRESH_EVERY = 3000; // milliseconds
const HINT = "Its calls fail by these rules, once its permission is checked; the first rule that matches decides.";
const STATUSES = [401, 403, 404, 409, 422, 429, 500, 503];
const RECIPES = [
  ["Too many requests, twice", { status: 429, retryAfter: 2, times: 2 }],
  ["Revoked after 20 calls", { status: 401, after: 20 }],
  ["Slow: two seconds more", { delayMs: 2000 }],
  ["One in ten fails", { status: 503, probability: 0.1 }],
];

/**
 * Return the faults of a key that holds these permissions, and the form for new ones. How often each has fired is refreshed
 * until the signal aborts.
 */
export function faultsOf({ id, permissions }, routes, signal) {
  const address = path`standin/keys/${id}/faults`;
  const list = h("div", { class: "list" });
  let rules = [];

  async function load() {
    try {
      rules = await get(address, signal);
      replace(list, ruleList(rules, remove));
    } catch (error) {
      if (!error.status) throw error;
      replace(list, describeError(error));
    }
  }
  async function save(changed, notice) {
    const body = changed.map(({ hits, ...rule }) => rule);
    await (body.length ? call("PUT", address, { body }) : call("DELETE", address));
    notify(notice);
    await load();
  }
  const add = (rule) => save([...rules, rule], "The fault is set: it applies from the next call on");
  const remove = (index) => save(rules.toSpliced(index, 1), "The fault is removed");

  load();
  every(REFRESH_EVERY, load, signal);
  return h(
    "section",
    { class: "part faults" },
    h("h2", {}, "Faults on demand"),
    h("p", { class: "hint" }, HINT),
    list,
    recipes(add),
    ownRule(
      routes.filter(({ permission }) => permissions.includes(permission)),
      add,
    ),
  );
}

function ruleList(rules, remove) {
  if (!rules.length) return h("p", { class: "faint" }, "None: the key’s calls are answered as usual.");
  const items = rules.map((rule, index) =>
    h(
      "li",
      {},
      h("span", {}, data(describeRule(rule))),
      h("span", { class: "hint" }, `fired ${count(rule.hits, "time")}`),
      button("Remove", () => remove(index), {
        class: "button small",
        id: `remove-fault-${index}`,
      }),
    ),
  );
  return h("ol", { class: "rules" }, items);
}

/** Return a rule in words. */
export function describeRule({ on, status, retryAfter, delayMs, after, times, probability }) {
  const does = [
    delayMs && `${delayMs / 1000} s later`,
    status && `answered with ${status}`,
    retryAfter && `(Retry-After ${retryAfter} s)`,
    probability !== undefined && probability !== null && `with a chance of ${Math.round(probability * 100)} %`,
    after && `after ${count(after, "call")}`,
    times && count(times, "time"),
  ];
  return `${on ?? "Every call"}: ${does.filter(Boolean).join(", ").replace(", (", " (")}`;
}

function recipes(add) {
  const buttons = RECIPES.map(([label, rule], index) =>
    button(label, () => add(rule), {
      class: "button small",
      id: `recipe-${index}`,
    }),
  );
  return h("div", { class: "recipes", role: "group", "aria-label": "Common faults" }, buttons);
}

function ownRule(routes, add) {
  const paths = routes.map(({ method, path }) => `${method} ${path.replace("/api/v1", "")}`);
  const rule = {};
  const set = (name, read) => (value) => (rule[name] = value === "" ? undefined : read(value));
  const input = (name, attributes) =>
    h("input", { type: "number", min: "0", ...attributes, change: (event) => set(name, Number)(event.target.value) });
  const problem = h("p", { class: "problem", role: "alert" });
  const submit = (event) => {
    event.preventDefault();
    problem.textContent = "";
    add({ ...rule }).catch((error) => (problem.textContent = error.message));
  };
  return h(
    "details",
    { class: "own-rule" },
    h("summary", {}, "A rule of your own"),
    h(
      "form",
      { submit, class: "grid" },
      field("Calls", select([["", "Every call"], ...paths.map((text) => [text, text])], "", set("on", String))),
      field(
        "Status",
        select(
          [["", "As usual"], ...STATUSES.map((status) => [String(status), String(status)])],
          "",
          set("status", Number),
        ),
      ),
      field("Retry-After, in seconds", input("retryAfter")),
      field("Delay, in milliseconds", input("delayMs", { max: "30000" })),
      field("After how many calls", input("after")),
      field("For how many calls", input("times", { min: "1" })),
      field("Chance, 0 to 1", input("probability", { max: "1", step: "0.01" })),
      problem,
      h("button", { class: "button", type: "submit" }, "Add the fault"),
    ),
  );
}

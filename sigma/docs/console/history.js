// The history of a record and its variants: who changed which value, from what, to what.

import { get, path, query } from "./api.js";
import { button, data, h, replace, unseen } from "./dom.js";
import { ago, count } from "./format.js";
import { scopeName, showValue } from "./values.js";

const PAGE = 10;
const VERBS = { create: "made", update: "changed", delete: "deleted", transition: "moved" };

/** Return the history, which loads itself page by page. */
export function historyOf(shown, signal) {
  const items = [];
  const list = h("ol", { class: "history" });
  const more = h("div");

  async function load() {
    const page = await get(
      path`api/v1/records/${shown.record.id}/audit-log` + query({ offset: items.length, limit: PAGE }),
      signal,
    );
    items.push(...page.items);
    replace(
      list,
      items.map((item) => entryOf(item, shown)),
    );
    replace(
      more,
      items.length < page.total &&
        button(`Show more of ${count(page.total, "change")}`, load, { class: "button small", id: "more-history" }),
    );
  }

  load().catch((error) => error.name !== "AbortError" && replace(more, h("p", { class: "problem" }, error.message)));
  return h("section", { class: "part" }, h("h2", {}, "History"), list, more);
}

function entryOf({ entityId, action, userId, timestamp, changes }, shown) {
  const isVariant = entityId !== shown.record.id;
  return h(
    "li",
    { class: action },
    h(
      "p",
      { class: "what" },
      h("b", { title: userId }, data(shown.names.get(userId) ?? userId)),
      ` ${VERBS[action] ?? action} `,
      isVariant ? ["variant ", h("code", {}, entityId)] : "the record",
      " · ",
      ago(timestamp),
    ),
    h(
      "ul",
      {},
      changes.map((change) => changeOf(change, shown)),
    ),
  );
}

function changeOf({ attribute: alias, scope, oldValue, newValue }, { attributes, model, schema }) {
  const attribute = attributes.find((item) => item.alias === alias);
  const isState = alias === "lifecycleStateId";
  const states = model.workflows.get(schema?.workflowId)?.states ?? [];
  const show = (value) =>
    isState ? data(states.find(({ id }) => id === value)?.name ?? value ?? "none") : showValue(value, attribute, model);
  return h(
    "li",
    {},
    h(
      "span",
      { class: "attribute" },
      data(isState ? "State" : (attribute?.name ?? alias)),
      Object.keys(scope).length > 0 && h("span", { class: "scope" }, data(scopeName(scope, model))),
    ),
    h("span", { class: "before" }, unseen("from "), show(oldValue)),
    h("span", { class: "arrow", "aria-hidden": "true" }, "→"),
    h("span", { class: "after" }, unseen("to "), show(newValue)),
  );
}

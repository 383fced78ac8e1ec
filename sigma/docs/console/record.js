// One record: its values by scope, its state and transitions, what is missing, its variants, its history.

import { call, get, path } from "./api.js";
import { ask } from "./dialog.js";
import { button, data, h, icon, replace } from "./dom.js";
import { ago, number } from "./format.js";
import { historyOf } from "./history.js";
import { loadAttributes, loadModel, stateOf, titleOf } from "./model.js";
import { loadNames } from "./names.js";
import { notify } from "./notices.js";
import { link } from "./router.js";
import { valueTable } from "./value-table.js";
import { stateMark } from "./values.js";

/** Return the view of a record. Throws ServiceError 404. */
export async function showRecord(id, signal) {
  const node = h("section", { class: "record" });
  let title = id;

  async function load() {
    const shown = await fetchRecord(id, signal);
    title = nameOf(shown.record, shown.attributes);
    replace(
      node,
      h("a", { class: "back", href: link(["records"], { schema: shown.record.schemaId }) }, icon("back"), "Records"),
      header(shown, title),
      columns(shown, load),
      historyOf(shown, signal),
    );
  }

  await load();
  return { title, node };
}

async function fetchRecord(id, signal) {
  const [model, record] = await Promise.all([loadModel(signal), get(path`api/v1/records/${id}`, signal)]);
  const parts = ["transitions", "completeness", "variants", "categories"];
  const [attributes, names, ...rest] = await Promise.all([
    loadAttributes(record.schemaId, signal),
    loadNames(signal),
    ...parts.map((part) => get(`${path`api/v1/records/${id}/`}${part}`, signal)),
  ]);
  const schema = model.schemas.find((item) => item.id === record.schemaId);
  const [transitions, completeness, variants, categories] = rest;
  return { model, names, record, schema, attributes, transitions, completeness, variants, categories };
}

/** Return the name of a record or a variant: its title in the general scope, else in any, else its id. */
export function nameOf(entity, attributes) {
  const entries = entity.values[titleOf(attributes)?.alias] ?? [];
  const general = entries.find(({ scope }) => !Object.keys(scope).length);
  return String((general ?? entries[0])?.value ?? entity.id);
}

function header({ record, schema, names }, title) {
  return h(
    "header",
    { class: "head" },
    h(
      "div",
      {},
      h("h1", { dir: "auto" }, title),
      h(
        "p",
        { class: "lead" },
        h("code", {}, record.id),
        " · ",
        data(schema?.name ?? record.schemaId),
        " · changed ",
        ago(record.updatedAt),
        " by ",
        data(names.get(record.updatedBy) ?? record.updatedBy),
      ),
    ),
  );
}

function columns(shown, reload) {
  return h(
    "div",
    { class: "columns" },
    h("div", {}, valueTable(shown.record.values, shown)),
    h("div", { class: "cards" }, lifecycle(shown, reload), completeness(shown), variants(shown), categories(shown)),
  );
}

function lifecycle({ record, schema, model, transitions, completeness }, reload) {
  const workflow = model.workflows.get(schema?.workflowId);
  if (!workflow) return null;
  const leading = workflow.transitions.filter(({ fromStateId }) => fromStateId === record.lifecycleStateId);
  const items = leading.map((transition) =>
    transitionItem(
      transition,
      transitions.some(({ id }) => id === transition.id),
      { record, workflow, completeness },
      reload,
    ),
  );
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "State"),
    stateMark(record, stateOf(record, schema, model)),
    items.length ? h("ul", { class: "ways" }, items) : h("p", { class: "hint" }, "No transition leads on from here."),
  );
}

function transitionItem(transition, isOpen, { record, workflow, completeness }, reload) {
  const to = workflow.states.find(({ id }) => id === transition.toStateId);
  const name = transition.name ?? to.name;
  const move = () =>
    ask(`${name}?`, [`The record goes to “${to.name}”; its history will say that you did it.`], name, async () => {
      await call("POST", path`api/v1/records/${record.id}/transition`, { body: { toStateId: to.id } });
      notify(`The record is in “${to.name}”`);
      await reload();
    });
  return h(
    "li",
    {},
    button([data(name), h("span", { class: "to" }, " → ", data(to.name))], move, {
      class: "button small",
      id: `way-${transition.id}`,
      disabled: !isOpen,
    }),
    !isOpen && h("p", { class: "hint" }, blockedReason(transition, completeness)),
  );
}

function blockedReason({ requiresCompleteness, allowedRoleIds }, { score }) {
  if (score < requiresCompleteness) return `must be ${requiresCompleteness}\u00a0% complete; it is ${score}\u00a0%`;
  return allowedRoleIds.length ? `only for ${allowedRoleIds.join(", ")}` : "not open to you";
}

function completeness({ completeness: { score, missing, states }, attributes, model, schema }) {
  const name = (alias) => attributes.find((attribute) => attribute.alias === alias)?.name ?? alias;
  const meter = h("meter", { min: "0", max: "100", value: String(score), "aria-label": "Completeness" });
  const workflow = model.workflows.get(schema?.workflowId);
  const others = states.map((state) =>
    h(
      "li",
      {},
      data(workflow?.states.find(({ id }) => id === state.stateId)?.name ?? state.stateId),
      h("b", {}, `${state.score} %`),
    ),
  );
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "Completeness"),
    h("p", { class: "score" }, h("b", {}, `${score} %`), meter),
    missing.length
      ? h(
          "p",
          {},
          "Missing: ",
          missing.map((alias, index) => [index ? ", " : "", h("b", {}, data(name(alias)))]),
        )
      : h("p", { class: "hint" }, "Nothing that this state requires is missing."),
    others.length > 0 && h("details", {}, h("summary", {}, "In every state"), h("ul", { class: "scores" }, others)),
  );
}

function variants({ record, schema, variants: list, attributes }) {
  if (!schema?.variantEnabled) return null;
  const items = list.map((variant) =>
    h(
      "li",
      { class: `level-${Math.min(variant.level, 4)}` },
      h("a", { href: link(["records", record.id, "variants", variant.id]), dir: "auto" }, nameOf(variant, attributes)),
      h("span", { class: "hint" }, `${number(Object.keys(variant.values).length)} of its own`),
    ),
  );
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "Variants"),
    items.length ? h("ul", { class: "variants" }, items) : h("p", { class: "hint" }, "None."),
  );
}

function categories({ categories: list }) {
  const items = list.map((category) =>
    h("li", {}, data(category.name), h("span", { class: "hint" }, category.catalogId)),
  );
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "Categories"),
    items.length ? h("ul", { class: "variants" }, items) : h("p", { class: "hint" }, "In none."),
  );
}

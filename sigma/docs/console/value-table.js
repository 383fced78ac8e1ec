// The values of a record or a variant, attribute by attribute and scope by scope.

import { data, h, table } from "./dom.js";
import { scopeName, showValue } from "./values.js";

/** Return the table, grouped as in the schema; `inherited` lists the aliases of inherited values, for a variant. */
export function valueTable(values, { attributes, schema, model, completeness }, inherited = null) {
  const groups = groupsOf(schema, attributes);
  const body = groups.map(({ name, attributes }) =>
    h(
      "tbody",
      {},
      name && h("tr", { class: "group" }, h("th", { colspan: "3", scope: "colgroup", dir: "auto" }, name)),
      attributes.map((attribute) =>
        rowsOf(attribute, values[attribute.alias] ?? [], { model, completeness, inherited }),
      ),
    ),
  );
  return h(
    "section",
    { class: "values" },
    h("h2", { class: "unseen" }, "Values"),
    table("Values", ["Attribute", "Scope", "Value"], body),
  );
}

function groupsOf(schema, attributes) {
  const groups = [...(schema?.attributeGroups ?? [])].sort((a, b) => a.sortOrder - b.sortOrder);
  const grouped = groups.map(({ name, attributeIds }) => ({
    name,
    attributes: attributeIds.map((id) => attributes.find((item) => item.id === id)).filter(Boolean),
  }));
  const rest = attributes.filter(({ id }) => !groups.some(({ attributeIds }) => attributeIds.includes(id)));
  return [...grouped, { name: grouped.length && rest.length ? "Other" : "", attributes: rest }].filter(
    ({ attributes }) => attributes.length,
  );
}

function rowsOf(attribute, entries, { model, completeness, inherited }) {
  const isInherited = inherited?.includes(attribute.alias);
  const isMissing = completeness?.missing.includes(attribute.alias);
  const head = h(
    "th",
    { scope: "rowgroup", rowspan: String(Math.max(1, entries.length)) },
    data(attribute.name),
    h("span", { class: "id" }, attribute.alias),
    isMissing && h("span", { class: "tag bad" }, "missing"),
    inherited &&
      entries.length > 0 &&
      h("span", { class: `tag ${isInherited ? "" : "own"}` }, isInherited ? "inherited" : "its own"),
  );
  if (!entries.length) return h("tr", { class: "none" }, head, h("td", {}), h("td", {}, showValue(null)));
  return entries.map(({ scope, value }, index) =>
    h(
      "tr",
      { class: isInherited ? "inherited" : "" },
      index === 0 && head,
      h("td", { class: "scope" }, data(scopeName(scope, model))),
      h("td", { class: "value" }, showValue(value, attribute, model)),
    ),
  );
}

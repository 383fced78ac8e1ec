// One variant of a record: what it overrides, and what it inherits.

import { get, path } from "./api.js";
import { h, icon } from "./dom.js";
import { ago, count } from "./format.js";
import { loadAttributes, loadModel } from "./model.js";
import { nameOf } from "./record.js";
import { link } from "./router.js";
import { valueTable } from "./value-table.js";

/** Return the view of a variant. Throws ServiceError 404. */
export async function showVariant(recordId, id, signal) {
  const [model, record, variant] = await Promise.all([
    loadModel(signal),
    get(path`api/v1/records/${recordId}`, signal),
    get(path`api/v1/records/${recordId}/variants/${id}/resolved`, signal),
  ]);
  const attributes = await loadAttributes(record.schemaId, signal);
  const schema = model.schemas.find((item) => item.id === record.schemaId);
  const title = nameOf({ id, values: variant.effectiveValues }, attributes);
  const node = h(
    "section",
    { class: "record" },
    h("a", { class: "back", href: link(["records", recordId]), dir: "auto" }, icon("back"), nameOf(record, attributes)),
    h(
      "header",
      { class: "head" },
      h(
        "div",
        {},
        h("h1", { dir: "auto" }, title),
        h(
          "p",
          { class: "lead" },
          "Variant ",
          h("code", {}, id),
          " · ",
          count(variant.overriddenAttributes.length, "attribute"),
          " of its own, the rest inherited · changed ",
          ago(variant.updatedAt),
        ),
      ),
    ),
    valueTable(variant.effectiveValues, { attributes, schema, model }, variant.inheritedAttributes),
  );
  return { title, node };
}

// The records of a schema in a paged table, in the chosen language and market.

import { get, query } from "./api.js";
import { data, h, icon, replace, select, table } from "./dom.js";
import { ago, count, number } from "./format.js";
import { loadAttributes, loadModel, stateOf, titleOf } from "./model.js";
import { announce } from "./notices.js";
import { showRecord } from "./record.js";
import { link, note } from "./router.js";
import { afterTyping } from "./timers.js";
import { showValue, stateMark, valueIn } from "./values.js";
import { showVariant } from "./variant.js";

const PAGE = 25;
const LEAD = "The products of the workspace.";
const LEAD_IN_SCOPE = "The products, as they are in one language and one market.";

/** Return the view of the table, or of the record or variant that the place names. */
export async function showRecords(place, signal) {
  const [, id, part, variantId] = place.path;
  if (part === "variants" && variantId) return showVariant(id, variantId, signal);
  if (id) return showRecord(id, signal);
  const view = new RecordTable(await loadModel(signal), place, signal);
  await view.load();
  return { title: "Records", node: view.node };
}

/** The table of records, and the choices above it. */
class RecordTable {
  constructor(model, { parameters }, signal) {
    Object.assign(this, { model, signal, round: 0 });
    this.chosen = {
      schema: parameters.get("schema") ?? model.schemas[0]?.id ?? "",
      q: parameters.get("q") ?? "",
      offset: Number(parameters.get("offset")) || 0,
      scope: Object.fromEntries(
        [...model.dimensions.values()].map(({ id, defaultSegmentId }) => [id, parameters.get(id) ?? defaultSegmentId]),
      ),
    };
    this.filters = h("div", { class: "filters" });
    this.list = h("div");
    this.amount = h("p", { class: "hint amount", role: "status" });
    const lead = model.dimensions.size ? LEAD_IN_SCOPE : LEAD;
    this.node = h(
      "section",
      { class: "records" },
      h("header", { class: "head" }, h("div", {}, h("h1", {}, "Records"), h("p", { class: "lead" }, lead))),
      this.filters,
      this.list,
    );
  }

  async load() {
    const { schema, q, offset } = this.chosen;
    if (!schema)
      return replace(
        this.list,
        empty("No schema yet", "Records follow a schema; the model of this workspace has none."),
      );
    const round = ++this.round;
    const address = q.trim() ? "api/v1/search/text" : "api/v1/records";
    const [attributes, page] = await Promise.all([
      loadAttributes(schema, this.signal),
      get(address + query({ q: q.trim(), schemaId: schema, offset, limit: PAGE }), this.signal),
    ]);
    if (round !== this.round) return; // the choice has changed since
    Object.assign(this, { attributes, page });
    this.draw();
  }

  draw() {
    if (!this.filters.children.length || this.drawnFor !== this.chosen.schema) this.drawFilters();
    const { items, total, offset } = this.page;
    const range = items.length
      ? `${number(offset + 1)}–${number(offset + items.length)} of ${count(total, "record")}`
      : count(total, "record");
    this.amount.textContent = range;
    if (!items.length) return replace(this.list, this.nothing());
    replace(this.list, this.table(items), this.pager(total, offset));
  }

  drawFilters() {
    this.drawnFor = this.chosen.schema;
    const used = new Set(this.attributes.flatMap(({ dimensionIds }) => dimensionIds));
    const dimensions = [...this.model.dimensions.values()].filter(({ id }) => used.has(id));
    const search = h("input", {
      type: "search",
      id: "search",
      "aria-label": "Search",
      placeholder: "Search in texts",
      value: this.chosen.q,
      input: afterTyping(() => this.choose({ q: search.value, offset: 0 })),
    });
    replace(
      this.filters,
      labelled(
        "Schema",
        select(
          this.model.schemas.map(({ id, name }) => [id, name]),
          this.chosen.schema,
          (schema) => this.choose({ schema, offset: 0 }),
          { id: "schema" },
        ),
      ),
      dimensions.map((dimension) => this.scopeFilter(dimension)),
      search,
      this.amount,
    );
  }

  scopeFilter({ id, name, segments }) {
    const change = (segment) => {
      this.chosen.scope[id] = segment;
      this.note();
      this.draw();
      announce(`${name}: ${segments.find((item) => item.id === segment).name}`);
    };
    return labelled(
      name,
      select(
        segments.map((segment) => [segment.id, segment.name]),
        this.chosen.scope[id],
        change,
        { id: `scope-${id}` },
      ),
    );
  }

  async choose(change) {
    Object.assign(this.chosen, change);
    this.note();
    await this.load();
  }

  note() {
    const { schema, q, offset, scope } = this.chosen;
    note(["records"], { schema, q, offset: offset && String(offset), ...scope });
  }

  table(items) {
    const schema = this.model.schemas.find(({ id }) => id === this.chosen.schema);
    const title = titleOf(this.attributes);
    const columns = this.attributes.filter((attribute) => attribute !== title);
    const heads = [
      title?.name ?? "Id",
      "State",
      ...columns.map(({ name }) => h("th", { scope: "col", dir: "auto" }, name)),
      "Updated",
    ];
    const rows = items.map((record) =>
      h(
        "tr",
        {},
        h("th", { scope: "row", class: "pinned" }, this.nameOf(record, title)),
        h("td", {}, stateMark(record, stateOf(record, schema, this.model))),
        columns.map((attribute) => this.cell(record, attribute)),
        h("td", {}, ago(record.updatedAt)),
      ),
    );
    return table(`Records of the schema ${schema?.name ?? this.chosen.schema}`, heads, h("tbody", {}, rows), {
      class: "rows grid-table",
    });
  }

  nameOf(record, title) {
    const value = title && valueIn(record.values[title.alias], this.chosen.scope, title, this.model);
    return [
      h(
        "a",
        { class: "name", dir: "auto", href: link(["records", record.id]), id: `open-${record.id}` },
        String(value ?? record.id),
      ),
      h("span", { class: "id" }, record.id),
    ];
  }

  cell(record, attribute) {
    const value = valueIn(record.values[attribute.alias], this.chosen.scope, attribute, this.model);
    const shown = showValue(value, attribute, this.model);
    const number = attribute.type === "number" ? "end" : "";
    return h(
      "td",
      { class: number },
      h("div", { class: "cut", title: typeof value === "string" ? value : null }, shown),
    );
  }

  pager(total, offset) {
    const to = (offset, text, glyph) => {
      const isThere = offset >= 0 && offset < total;
      return h(
        "button",
        {
          type: "button",
          class: "button small",
          id: `page-${text}`,
          disabled: !isThere,
          click: () => this.turn(offset),
        },
        glyph === "back" && icon(glyph),
        text,
        glyph === "next" && icon(glyph),
      );
    };
    if (total <= PAGE && !offset) return null;
    return h(
      "nav",
      { class: "pager", "aria-label": "Pages" },
      to(offset - PAGE, "Previous", "back"),
      h("span", {}, `Page ${Math.floor(offset / PAGE) + 1} of ${Math.ceil(total / PAGE)}`),
      to(offset + PAGE, "Next", "next"),
    );
  }

  async turn(offset) {
    await this.choose({ offset });
    scrollTo(0, 0);
  }

  nothing() {
    if (this.chosen.q) return empty("Nothing found", "No text of a record of this schema has all these words.");
    return empty("No records yet", "This schema has none. Make one with POST /api/v1/records.");
  }
}

function labelled(label, control) {
  return h("label", { class: "labelled", for: control.id }, h("span", {}, label), control);
}

function empty(heading, text) {
  return h("div", { class: "panel empty" }, icon("records"), h("h2", {}, heading), h("p", {}, data(text)));
}

// Values: which of an attribute's values applies in a language and a market, and how each type is shown.

import { data, h, icon, unseen } from "./dom.js";
import { exactTime, number } from "./format.js";
import { link } from "./router.js";

/**
 * Return the value that applies in a scope, as an export does: the one that names most of the scope's segments, else the one
 * that names most of the default segments, else the general one.
 */
export function valueIn(entries = [], scope, { dimensionIds }, model) {
  const defaults = Object.fromEntries(dimensionIds.map((id) => [id, model.dimensions.get(id)?.defaultSegmentId]));
  const scoped = entries.filter((entry) => Object.keys(entry.scope).length);
  return (best(scoped, scope) ?? best(entries, defaults))?.value;
}

function fits(scope, wanted) {
  return Object.entries(scope).every(([dimension, segment]) => wanted[dimension] === segment);
}

function best(entries, wanted) {
  const fitting = entries.filter(({ scope }) => fits(scope, wanted));
  return fitting.sort((a, b) => Object.keys(b.scope).length - Object.keys(a.scope).length)[0];
}

/** Return a scope in words, such as "Danish, Sweden"; the empty scope, which applies everywhere, is "general". */
export function scopeName(scope, model) {
  const names = Object.entries(scope).map(([dimension, segment]) => {
    const found = model.dimensions.get(dimension)?.segments.find(({ id }) => id === segment);
    return found?.name ?? segment;
  });
  return names.join(", ") || "general";
}

/** Return a value as an element. */
export function showValue(value, attribute, model) {
  if (value === null || value === undefined) return h("span", { class: "faint" }, "–", unseen("no value"));
  if (Array.isArray(value) && attribute?.multiple) {
    return h(
      "span",
      { class: "several" },
      value.map((item) => h("span", { class: "chip" }, single(item, attribute, model))),
    );
  }
  return single(value, attribute, model);
}

function single(value, attribute, model) {
  const show = SHOWN_BY_TYPE[attribute?.type] ?? showOther;
  return show(value, attribute, model);
}

const SHOWN_BY_TYPE = {
  text: showText,
  number: showNumber,
  boolean: showBoolean,
  datetime: showTime,
  option: showOption,
  relation: showRelation,
};

function showText(value) {
  return h("span", { class: "text-value", dir: "auto" }, String(value));
}

function showNumber(value) {
  return h("span", { class: "number" }, typeof value === "number" ? number(value) : String(value));
}

function showBoolean(value) {
  return h("span", { class: value ? "yes" : "no" }, icon(value ? "check" : "cross"), value ? "yes" : "no");
}

function showTime(value) {
  return Number.isNaN(Date.parse(value))
    ? showText(value)
    : h("time", { datetime: value, title: exactTime(value) }, value);
}

function showOption(value, { optionListId }, model) {
  const option = model.options.get(optionListId)?.find(({ id, alias }) => id === value || alias === value);
  const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.backgroundColor = option?.color ?? "";
  return h("span", { class: "option-value" }, option?.color && swatch, data(option?.label ?? value));
}

function showRelation(value) {
  return h("a", { href: link(["records", value]) }, data(value));
}

function showOther(value) {
  return typeof value === "object" ? h("code", {}, JSON.stringify(value)) : showText(value);
}

/** Return the mark of a state: its name beside its colour. */
export function stateMark(record, state) {
  if (!record.lifecycleStateId) return h("span", { class: "faint" }, "no workflow");
  const dot = h("span", { class: "swatch round", "aria-hidden": "true" });
  dot.style.backgroundColor = state?.color ?? "";
  return h("span", { class: "lifecycle" }, dot, data(state?.name ?? record.lifecycleStateId));
}

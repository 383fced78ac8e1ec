// Every route with what it needs, as a table that a text filters.

import { field, h, replace, table } from "./dom.js";

const KEY_NEEDS = { public: "nothing", session: "no key may", demo: "nothing; demo only", credential: "any key" };
const PERSON_NEEDS = { public: "nothing", demo: "nothing; demo only" };

/** Fill the view. */
export function showRoutes(spec) {
  const routes = list(spec);
  const input = h("input", { type: "search", id: "filter", autocomplete: "off", spellcheck: "false", input: () => filter() });
  const count = h("p", { class: "hint", role: "status" });
  const body = h("tbody");

  function filter() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = routes.filter(({ text }) => words.every((word) => text.includes(word)));
    count.textContent = chosen.length === routes.length ? `${routes.length} routes` : `${chosen.length} of ${routes.length} routes`;
    const nothing = h("tr", {}, h("td", { colspan: "5", class: "nothing" }, "No route has all of these words."));
    replace(body, chosen.length ? chosen.map(row) : nothing);
  }

  const heads = ["Method", "Path", "What it does", "An API key needs", "A person’s role needs"];
  replace(
    document.getElementById("routes"),
    h("div", { class: "filter" }, field("Filter by method, path, permission or words", input), count),
    table("Routes and what they need", heads, body),
  );
  filter();
}

function list(spec) {
  const places = new Map(spec.tags.map(({ name }, place) => [name, place]));
  return Object.entries(spec.paths)
    .flatMap(([path, members]) => Object.entries(members).map(([method, operation]) => ({ path, method, ...operation })))
    .filter(({ operationId }) => operationId)
    .map(describe)
    .sort((one, other) => places.get(one.tag) - places.get(other.tag));
}

function describe({ path, method, ...operation }) {
  const need = operation["x-required-permission"];
  const route = {
    method: method.toUpperCase(),
    path,
    name: operation.operationId,
    tag: operation.tags[0],
    summary: operation.summary.replace(/\.$/, ""),
    need,
    key: KEY_NEEDS[need] ?? need,
    person: operation["x-required-flag"] ?? PERSON_NEEDS[need] ?? "any role",
  };
  const texts = [route.method, path, route.tag, route.summary, route.name, route.key, route.person, operation["x-access"]];
  return { ...route, text: texts.join(" ").toLowerCase() };
}

function row(route) {
  return h(
    "tr",
    {},
    h("td", {}, h("span", { class: `method ${route.method.toLowerCase()}` }, route.method)),
    h("th", { scope: "row", class: "path" }, route.path),
    h("td", {}, h("a", { href: `#/operation/${route.name}` }, route.summary)),
    h("td", { "data-label": "API key" }, h("span", { class: "need", "data-need": route.need }, route.key)),
    h("td", { "data-label": "Person" }, route.person),
  );
}

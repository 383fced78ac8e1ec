// One request: how it was answered and why, both bodies, and how to send it again.

import { get, path } from "./api.js";
import { catalogue } from "./catalogue.js";
import { checkRow } from "./checks.js";
import { button, data, h, icon } from "./dom.js";
import { callerOf, neededOf, reason, shortPath, statusBadge, tone } from "./entry.js";
import { describeError } from "./errors.js";
import { faultsOf } from "./faults.js";
import { localTime, milliseconds, prettyBody } from "./format.js";
import { link } from "./router.js";
import { session } from "./session.js";
import { copyable, curlAgain } from "./snippets.js";

/** Return the panel of a request, which is loaded unless it is known from the list. */
export async function requestPanel(id, known, close, signal) {
  try {
    return panel(known ?? (await get(path`standin/requests/${id}`, signal)), (await catalogue()).routes, close, signal);
  } catch (error) {
    const heading = h("h2", { tabindex: "-1" }, "This request is not kept");
    return h("article", { class: "request", "data-id": id }, closing(heading, close), describeError(error));
  }
}

function panel(entry, routes, close, signal) {
  const heading = h(
    "h2",
    { tabindex: "-1" },
    h("span", { class: "method" }, entry.method),
    " ",
    h("span", { class: "path" }, data(shortPath(entry))),
  );
  const why = reason(entry);
  return h(
    "article",
    { class: `request ${tone(entry.status)}`, "data-id": entry.id, "aria-label": "Request" },
    closing(heading, close),
    h("p", { class: "outcome" }, statusBadge(entry), " ", h("span", {}, entry.code ?? "Success")),
    why && h("p", { class: "why", dir: "auto" }, why),
    checkRow(entry),
    entry.message && entry.step === "permission" && h("p", { class: "said", dir: "auto" }, entry.message),
    entry.ignored?.length > 0 &&
      h(
        "p",
        { class: "advice" },
        icon("warning"),
        `The route does not know these query parameters: ${entry.ignored.join(", ")}`,
      ),
    facts(entry),
    bodyOf("Request body", entry.requestBody),
    bodyOf("Response body", entry.responseBody),
    h("section", { class: "part" }, h("h3", {}, "Call it again"), copyable(curlAgain(entry), "The call for curl")),
    entry.caller?.kind === "api-key" && faultSection(entry, routes, signal),
  );
}

function closing(heading, close) {
  return h(
    "header",
    {},
    heading,
    button(icon("cross"), close, { class: "button quiet", "aria-label": "Close the request", id: "close-request" }),
  );
}

function facts(entry) {
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return h(
    "dl",
    { class: "facts" },
    fact("Time", localTime(entry.at)),
    fact("Took", `${milliseconds(entry.ms)} ms`),
    fact("Caller", callerLink(entry)),
    entry.workspace && entry.workspace !== session.workspace.id && fact("Workspace", h("code", {}, entry.workspace)),
    fact("Needed", entry.needed ? h("code", {}, neededOf(entry)) : "nothing"),
    fact("Route", entry.route ? h("code", {}, entry.route) : "none"),
    entry.query && fact("Query", h("code", {}, data(entry.query))),
    fact("X-Request-Id", h("code", {}, entry.id)),
  );
}

function callerLink(entry) {
  if (entry.caller?.kind !== "api-key" || !session.flags.canManageRoles) return callerOf(entry);
  return h("a", { href: link(["keys", entry.caller.id]), dir: "auto" }, entry.caller.name ?? entry.caller.id);
}

function bodyOf(title, body) {
  const text = prettyBody(body);
  return h(
    "section",
    { class: "part" },
    h("h3", {}, title),
    text ? copyable(text, title) : h("p", { class: "faint" }, "none"),
  );
}

/** Return the section of the calling key's faults, which are loaded when it is opened. */
function faultSection({ caller, held }, routes, signal) {
  const open = () => section.append(faultsOf({ id: caller.id, permissions: held }, routes, signal));
  const section = h("details", { class: "part" }, h("summary", {}, "Faults of this key"));
  section.addEventListener("toggle", open, { once: true });
  return section;
}

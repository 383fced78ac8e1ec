// Makes and changes webhooks.

import { call, path } from "./api.js";
import { catalogue } from "./catalogue.js";
import { openDialog } from "./dialog.js";
import { append, button, field, h } from "./dom.js";
import { copy, notify } from "./notices.js";
import { MASK } from "./webhook-facts.js";

/** Open the dialog for a new or an existing webhook; `done` is called with the webhook as it is stored. */
export async function editWebhook(webhook, done) {
  const { events } = await catalogue();
  openDialog(
    webhook ? `Change “${webhook.name}”` : "New webhook",
    (close) => {
      const save = async (body) => {
        const saved = await (webhook
          ? call("PUT", path`api/v1/webhooks/${webhook.id}`, { body })
          : call("POST", "api/v1/webhooks", { body }));
        close();
        notify(webhook ? `“${saved.name}” is changed` : `“${saved.name}” is made: events go to it from now on`);
        await done(saved);
      };
      return form(webhook ?? { events: [], active: true }, events, save, close);
    },
    { isWide: true },
  );
}

function form(webhook, events, save, close) {
  const controls = {
    name: textInput(webhook.name, { name: "name", required: true, maxlength: "200", autofocus: true }),
    url: textInput(webhook.url, { name: "url", type: "url", required: true, maxlength: "2000", dir: "ltr" }),
    description: textInput(webhook.description, { name: "description", maxlength: "10000" }),
    secret: textInput(webhook.secret, { name: "secret", maxlength: "200", spellcheck: "false", dir: "ltr" }),
    active: h("input", { type: "checkbox", name: "active", id: "webhook-active", checked: webhook.active }),
  };
  const boxes = events.map(({ name }) =>
    h("input", { type: "checkbox", value: name, id: `on-${name}`, checked: webhook.events.includes(name) }),
  );
  const problem = h("p", { class: "problem", role: "alert" });

  async function submit(event) {
    event.preventDefault();
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    problem.textContent = chosen.length ? "" : "Choose at least one event.";
    if (!chosen.length) return boxes[0].focus();
    try {
      await save(bodyOf(controls, chosen));
    } catch (error) {
      problem.textContent = error.message;
    }
  }

  return h(
    "form",
    { submit },
    field("Name", controls.name),
    field("URL", controls.url, "Where events are posted, by http or https; in the demo also on this machine."),
    field("Description", controls.description),
    eventList(events, boxes),
    secretField(controls.secret, webhook.secret === MASK),
    h("label", { class: "check", for: "webhook-active" }, controls.active, "Active: events are sent to it"),
    problem,
    h(
      "div",
      { class: "actions" },
      button("Cancel", close),
      h("button", { class: "button primary", type: "submit" }, webhook.id ? "Change the webhook" : "Make the webhook"),
    ),
  );
}

function textInput(value, attributes) {
  return h("input", { type: "text", autocomplete: "off", value: value ?? "", ...attributes });
}

/** Return the members of a webhook from the form; empty ones are left out. */
function bodyOf({ name, url, description, secret, active }, events) {
  const optional = { description: description.value, secret: secret.value };
  const given = Object.entries(optional).filter(([, text]) => text !== "");
  return { name: name.value, url: url.value.trim(), events, active: active.checked, ...Object.fromEntries(given) };
}

function eventList(events, boxes) {
  const options = events.map(({ name, sentence }, index) =>
    h(
      "label",
      { class: "option", for: boxes[index].id },
      boxes[index],
      h("span", {}, h("code", {}, name), h("span", { class: "sentence" }, sentence)),
    ),
  );
  return h("fieldset", { class: "events" }, h("legend", {}, "Events"), options);
}

function secretField(input, isKept) {
  const hint = isKept
    ? "There is a secret: the bullets keep it, another text replaces it, and an empty field removes it."
    : "With a secret, each delivery is signed. It is not shown again: give it to the receiver now.";
  const labelled = field("Secret", input, hint);
  const make = () => {
    input.value = randomText();
    input.focus();
  };
  append(
    labelled,
    h(
      "div",
      { class: "recipes" },
      button("Make a random one", make, { class: "button small", id: "make-secret" }),
      button("Copy it", () => copy(input.value, "The secret"), { class: "button small", id: "copy-secret" }),
    ),
  );
  return labelled;
}

function randomText() {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  return `whsec_${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

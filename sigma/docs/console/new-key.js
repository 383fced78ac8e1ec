// Makes a key, and shows its secret once.

import { call } from "./api.js";
import { catalogue } from "./catalogue.js";
import { openDialog } from "./dialog.js";
import { button, field, h, replace } from "./dom.js";
import { count } from "./format.js";
import { announce } from "./notices.js";
import { copyable, snippets } from "./snippets.js";

/** Open the dialog; `done` is called as soon as there is a new key. */
export async function makeKey(permissions, done) {
  const { routes } = await catalogue();
  let made = null;
  openDialog(
    "New key",
    (close, heading) => {
      const content = h("div");
      const show = async (body) => {
        made = await call("POST", "api/v1/api-keys", { body });
        heading.textContent = "Your new key";
        replace(content, secretOf(made, close));
        heading.focus();
        announce("The key is made. Copy it now: it will not be shown again.");
        done();
      };
      replace(content, form(permissions, routes, show, close));
      return content;
    },
    { isWide: true, mayEscape: () => made === null },
  );
}

function form(permissions, routes, send, close) {
  const name = h("input", {
    name: "name",
    required: true,
    maxlength: "200",
    autocomplete: "off",
    placeholder: "Shop sync",
    autofocus: true,
  });
  const boxes = permissions.map(({ name }) =>
    h("input", { type: "checkbox", name: "permission", value: name, id: `may-${name}` }),
  );
  const problem = h("p", { class: "problem", role: "alert" });

  async function submit(event) {
    event.preventDefault();
    const held = boxes.filter((box) => box.checked).map((box) => box.value);
    problem.textContent = held.length ? "" : "Choose at least one permission.";
    if (!held.length) return boxes[0].focus();
    try {
      await send({ name: name.value, permissions: held });
    } catch (error) {
      problem.textContent = error.message;
    }
  }

  return h(
    "form",
    { submit },
    field("Name", name, "Which program will use it; the list of keys and the list of requests show this name."),
    h(
      "fieldset",
      {},
      h("legend", {}, "Permissions"),
      permissions.map((permission, index) => option(permission, boxes[index], routes)),
    ),
    problem,
    h(
      "div",
      { class: "actions" },
      button("Cancel", close),
      h("button", { class: "button primary", type: "submit" }, "Make the key"),
    ),
  );
}

function option({ name, sentence }, box, routes) {
  const opened = routes.filter((route) => route.permission === name).length;
  return h(
    "label",
    { class: "option", for: box.id },
    box,
    h("span", {}, h("code", {}, name), h("span", { class: "sentence" }, sentence)),
    h("span", { class: "opens" }, `opens ${count(opened, "route")}`),
  );
}

function secretOf(key, close) {
  return [
    h(
      "p",
      { class: "warning" },
      "This is the only time that the key is shown. Copy it now; the service keeps only its hash.",
    ),
    copyable(key.rawKey, "The key", { class: "secret" }),
    tabs(snippets(key)),
    h("div", { class: "actions" }, button("I have stored it", close, { class: "button primary" })),
  ];
}

function tabs(items) {
  const panel = h("div", { role: "tabpanel", id: "snippet" });
  const heads = items.map(([name], index) =>
    h(
      "button",
      {
        type: "button",
        role: "tab",
        "aria-controls": "snippet",
        id: `tab-${index}`,
        click: () => choose(index),
        keydown: (event) => step(event, index),
      },
      name,
    ),
  );

  function choose(index) {
    heads.forEach((head, at) => {
      head.setAttribute("aria-selected", String(at === index));
      head.tabIndex = at === index ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", `tab-${index}`);
    replace(panel, copyable(items[index][1], `Call for ${items[index][0]}`));
  }
  function step(event, index) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = (index + by + heads.length) % heads.length;
    choose(next);
    heads[next].focus();
  }

  choose(0);
  return h("div", { class: "tabs" }, h("div", { role: "tablist", "aria-label": "Ready-made calls" }, heads), panel);
}

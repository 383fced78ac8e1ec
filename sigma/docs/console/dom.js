// Builds the elements of the page; data becomes text, never markup.

/** Return an element; an attribute that is a function becomes a listener to the event of that name. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  append(element, children);
  return element;
}

export function append(element, ...children) {
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
}

export function icon(name) {
  const drawn = document.getElementById("icons").content.querySelector(`[data-icon="${name}"]`).cloneNode(true);
  drawn.setAttribute("class", "icon");
  drawn.setAttribute("aria-hidden", "true");
  return drawn;
}

/** Return text for screen readers only. */
export function unseen(text) {
  return h("span", { class: "unseen" }, text);
}

/** Return text from data for use within a sentence; it may be written in another direction. */
export function data(text) {
  return h("bdi", {}, text);
}

export function button(label, click, attributes = {}) {
  return h("button", { type: "button", class: "button", ...attributes, click }, label);
}

let fields = 0;

/** Return a labelled form field. */
export function field(label, control, hint) {
  const id = `field-${++fields}`;
  control.id = id;
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    control,
    hint && h("p", { class: "hint", id: `${id}-hint` }, hint),
  );
}

/** Return a select box of [value, text] pairs. */
export function select(options, chosen, change, attributes = {}) {
  const items = options.map(([value, text]) => h("option", { value, selected: value === chosen }, text));
  return h("select", { ...attributes, change: (event) => change(event.target.value) }, items);
}

/** Return a table in a frame of its own, which scrolls when the table is wider than the page. */
export function table(label, heads, body, attributes = {}) {
  const cells = heads.map((head) => (head instanceof Node ? head : h("th", { scope: "col" }, head)));
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    h("table", attributes, h("caption", { class: "unseen" }, label), h("thead", {}, h("tr", {}, cells)), body),
  );
}

/** Replace the children of an element; the focus stays on the child with the same id. */
export function replace(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
  element.replaceChildren();
  append(element, children);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

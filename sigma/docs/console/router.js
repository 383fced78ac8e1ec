// The place: the part of the address after #, and the view that shows it.

import { h, replace } from "./dom.js";
import { describeError } from "./errors.js";

/** Return the place as {path, parameters}: #/keys/apikey-1?status=401 is {path: ["keys", "apikey-1"], …}. */
export function readPlace(hash = location.hash) {
  const [path, parameters] = hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decode), parameters: new URLSearchParams(parameters) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Return the address of a place. */
export function link(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value);
  const parts = path.map(encodeURIComponent).join("/");
  return `#/${parts}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

export function go(path, parameters) {
  location.hash = link(path, parameters);
}

/** Change the parameters of the address without adding to the browser's history, and without redrawing the view. */
export function note(path, parameters) {
  history.replaceState(null, "", link(path, parameters));
}

/** Shows one view at a time in an element. */
export class Router {
  constructor(views, main, shown) {
    Object.assign(this, { views, main, shown, view: null, leaving: null });
    this.onHashChange = () => this.show();
    addEventListener("hashchange", this.onHashChange);
  }

  stop() {
    removeEventListener("hashchange", this.onHashChange);
    this.leaving?.abort();
  }

  /** Show the place; a view that can move to it is not built again. */
  async show({ isAgain = false } = {}) {
    const place = readPlace();
    const name = Object.hasOwn(this.views, place.path[0] ?? "") ? place.path[0] : Object.keys(this.views)[0];
    this.shown(name);
    if (!isAgain && this.view?.name === name && this.view.moveTo?.(place)) return;
    this.leaving?.abort();
    const leaving = (this.leaving = new AbortController());
    this.main.setAttribute("aria-busy", "true");
    const view = await this.build(name, place, leaving.signal);
    if (leaving.signal.aborted) return;
    this.view = { name, ...view };
    this.mount(view, isAgain);
  }

  async build(name, place, signal) {
    try {
      return await this.views[name](place, signal);
    } catch (error) {
      if (error.name === "AbortError") return {};
      const again = () => this.show({ isAgain: true });
      const head = h("header", { class: "head" }, h("h1", {}, "This cannot be shown"));
      return {
        title: "Error",
        node: h("section", {}, head, describeError(error, again)),
      };
    }
  }

  mount({ node, title, ready }, isAgain) {
    document.title = `${title} · Sigma PIM console`;
    replace(this.main, node);
    this.main.setAttribute("aria-busy", "false");
    if (!isAgain) {
      scrollTo(0, 0);
      const heading = this.main.querySelector("h1");
      heading?.setAttribute("tabindex", "-1");
      heading?.focus({ preventScroll: true });
    }
    ready?.();
  }
}

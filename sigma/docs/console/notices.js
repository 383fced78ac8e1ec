// Says what has happened: in a notice that disappears by itself, and to screen readers.

import { h } from "./dom.js";

const SHOWN_FOR = 5000; // milliseconds

/** Let screen readers read out a sentence, after the one that they are reading. */
export function announce(text) {
  const live = document.getElementById("live");
  live.textContent = "";
  setTimeout(() => (live.textContent = text), 50); // after a pause, so that a repeated sentence is read out again
}

/** Show a notice for a while; `kind` is "good" or "bad". */
export function notify(text, kind = "good") {
  const shown = h("p", { class: `notice ${kind}`, dir: "auto" }, text);
  document.getElementById("notices").append(shown);
  announce(text);
  setTimeout(() => shown.remove(), SHOWN_FOR);
}

/** Copy a text, and say so. Over http, browsers let only pages of loopback hosts use the clipboard. */
export async function copy(text, what) {
  const isCopied = await copyText(text);
  notify(
    isCopied ? `${what} copied` : "The browser does not let this page copy: select the text, and copy it by hand",
    isCopied ? "good" : "bad",
  );
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelection(text);
  }
}

function copySelection(text) {
  const area = h("textarea", { class: "unseen", "aria-hidden": "true", tabindex: "-1" });
  area.value = text;
  const focused = document.activeElement;
  (focused?.closest("dialog") ?? document.body).append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return isCopied;
}

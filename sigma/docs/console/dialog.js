// Dialogs: questions before an action, and forms.

import { append, button, h } from "./dom.js";

/** Open a dialog; `build` takes a function that closes it, and its heading, and returns the content. */
export function openDialog(title, build, { isWide = false, mayEscape = () => true } = {}) {
  const opener = document.activeElement;
  const heading = h("h2", { id: "dialog-title", tabindex: "-1" }, title);
  const dialog = h("dialog", { "aria-labelledby": "dialog-title", class: isWide ? "wide" : "" }, heading);
  append(
    dialog,
    build(() => dialog.close(), heading),
  );
  dialog.mayEscape = mayEscape;
  dialog.addEventListener("cancel", (event) => mayEscape() || event.preventDefault());
  dialog.addEventListener("keydown", (event) => event.key === "Escape" && !mayEscape() && event.preventDefault());
  dialog.addEventListener("close", () => {
    dialog.remove();
    (document.getElementById(opener?.id) ?? document.querySelector("main h1"))?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Close the open dialogs, except for one whose content would be lost. */
export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) if (dialog.mayEscape()) dialog.close();
}

/** Ask before an action that cannot be undone; an error that it throws is shown in the dialog. */
export function ask(title, paragraphs, label, action) {
  openDialog(title, (close) => {
    const problem = h("p", { class: "problem", role: "alert" });
    const act = button(
      label,
      async () => {
        act.disabled = true;
        try {
          await action();
          close();
        } catch (error) {
          act.disabled = false;
          problem.textContent = error.message;
        }
      },
      { class: "button danger" },
    );
    return [
      paragraphs.map((text) => text && h("p", {}, text)),
      problem,
      h("div", { class: "actions" }, button("Cancel", close, { autofocus: true }), act),
    ];
  });
}

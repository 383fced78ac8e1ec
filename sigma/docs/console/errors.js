// Says why something cannot be shown, and which setting helps.

import { button, h, icon } from "./dom.js";

/** Return a panel that says what went wrong, and what helps, if the console knows. */
export function describeError(error, again) {
  const known = error.status !== undefined;
  return h(
    "div",
    { class: "panel error", role: "alert" },
    icon("warning"),
    h(
      "div",
      {},
      h("p", { dir: "auto" }, known ? error.message : `The console failed: ${error.message}`),
      adviceFor(error),
      again && button("Try again", again),
    ),
  );
}

function adviceFor({ status, message }) {
  if (status === 0)
    return advice("The console tries again every two seconds. If the service has been stopped, start it: ", "make run");
  if (status === 403 && message.includes("SIGMA_STANDIN_HOSTS")) {
    return advice("Start the service with the host name of this page: ", `SIGMA_STANDIN_HOSTS=${location.hostname}`);
  }
  return null;
}

function advice(text, code) {
  return h("p", { class: "hint" }, text, h("code", {}, code));
}

// Repeats an action while a view is shown and the page is visible, or does one when the user pauses typing.

import { isUp } from "./api.js";

const TYPING = 300; // milliseconds without a keystroke that count as a pause

/** Call a function at an interval while the page is visible, and at once when it becomes so, until the signal aborts. */
export function every(milliseconds, action, signal) {
  let isRunning = false;
  async function run() {
    if (document.hidden || isRunning || !isUp()) return;
    isRunning = true;
    try {
      await action();
    } catch (error) {
      if (error.name !== "AbortError" && error.status === undefined) throw error; // refusals are not errors of the console
    } finally {
      isRunning = false;
    }
  }
  const timer = setInterval(run, milliseconds);
  document.addEventListener("visibilitychange", run, { signal });
  signal.addEventListener("abort", () => clearInterval(timer));
}

/** Return a listener to typing that calls a function once when the typing pauses. */
export function afterTyping(action) {
  let timer = null;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, TYPING);
  };
}

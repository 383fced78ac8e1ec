// Does something again and again while a view is shown and the page can be seen, or once when somebody stops typing.

import { isUp } from "./api.js";

const TYPING = 300; // milliseconds without a key until a text counts

/** Call a function at once when the page comes back, and so often while it is there, until the signal ends it. */
export function every(milliseconds, action, signal) {
  let isRunning = false;
  async function run() {
    if (document.hidden || isRunning || !isUp()) return;
    isRunning = true;
    try {
      await action();
    } catch (error) {
      if (error.name !== "AbortError" && error.status === undefined) throw error; // of an answer, the page says so
    } finally {
      isRunning = false;
    }
  }
  const timer = setInterval(run, milliseconds);
  document.addEventListener("visibilitychange", run, { signal });
  signal.addEventListener("abort", () => clearInterval(timer));
}

/** Return a listener to typing that calls a function once when it pauses. */
export function afterTyping(action) {
  let timer = null;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, TYPING);
  };
}

// Turns times, numbers and bodies into text.

import { h } from "./dom.js";

const EXACT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const DATE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const NUMBER = new Intl.NumberFormat("en");
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export function relativeTime(iso, now = Date.now()) {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (seconds < 2) return "just now";
  if (seconds < MINUTE) return `${Math.floor(seconds)} s ago`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ago`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ago`;
  if (seconds < 2 * DAY) return "yesterday";
  if (seconds < 30 * DAY) return `${Math.floor(seconds / DAY)} days ago`;
  return DATE.format(new Date(iso));
}

/** Return the local time to the second, and the stored time in UTC. */
export function exactTime(iso) {
  return `${EXACT.format(new Date(iso))} (${iso})`;
}

export function localTime(iso) {
  return h("time", { datetime: iso, title: iso }, EXACT.format(new Date(iso)));
}

/** Return the time of day to the millisecond; the date is in its title. */
export function clock(iso) {
  const time = new Date(iso);
  const fraction = `.${String(time.getMilliseconds()).padStart(3, "0")}`;
  return h(
    "time",
    { datetime: iso, title: exactTime(iso) },
    CLOCK.format(time),
    h("span", { class: "fraction" }, fraction),
  );
}

/** Return how long ago something was; the exact time is its title, and refreshTimes() updates it. */
export function ago(iso) {
  return h("time", { datetime: iso, title: exactTime(iso), "data-ago": true }, relativeTime(iso));
}

/** Return the time until something is due; refreshTimes() updates it. */
export function due(iso) {
  return h("time", { datetime: iso, title: exactTime(iso), "data-due": true }, timeLeft(iso));
}

function timeLeft(iso, now = Date.now()) {
  const seconds = Math.ceil((Date.parse(iso) - now) / 1000);
  if (seconds <= 0) return "now";
  return seconds < 2 * MINUTE ? `in ${seconds} s` : `in ${Math.ceil(seconds / MINUTE)} min`;
}

export function refreshTimes() {
  for (const time of document.querySelectorAll("time[data-ago]")) time.textContent = relativeTime(time.dateTime);
  for (const time of document.querySelectorAll("time[data-due]")) time.textContent = timeLeft(time.dateTime);
}

export function number(value) {
  return NUMBER.format(value);
}

/** Return a number of things in words: 1 record, 1,204 records. */
export function count(amount, noun, plural = `${noun}s`) {
  return `${number(amount)} ${amount === 1 ? noun : plural}`;
}

export function milliseconds(value) {
  return value < 10 ? value.toFixed(1) : number(Math.round(value));
}

/** Return a body indented for people; if it is not JSON, or was cut off, it stays as it is. */
export function prettyBody(body) {
  if (body === null || body === undefined || body === "") return "";
  if (typeof body !== "string") return JSON.stringify(body, null, 2);
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

/** Return a text as one word of a POSIX shell. */
export function shellWord(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

// The checks that every request goes through, in their order, and the one that refused it.

import { h, icon, unseen } from "./dom.js";

// Step, label, and whether it is shown only for a request that ended there.
const CHECKS = [
  ["path", "Path"],
  ["method", "Method"],
  ["throttle", "Tries", true],
  ["credential", "Credential"],
  ["permission", "Permission"],
  ["fault", "Fault", true],
  ["size", "Size", true],
  ["body", "Request"],
  ["missing", "Found"],
  ["conflict", "Conflict", true],
  ["transition", "Workflow", true],
  ["server", "Service", true],
];

const WORDS = { passed: "passed", failed: "ended here", skipped: "not reached" };

/** Return [step, label, outcome] of each check, for a request that ended at a step, or at none. */
export function outcomes(step) {
  const shown = CHECKS.filter(([name, , isRare]) => !isRare || name === step);
  const end = shown.findIndex(([name]) => name === step);
  return shown.map(([name, label], index) => {
    const outcome = end < 0 || index < end ? "passed" : index === end ? "failed" : "skipped";
    return [name, label, outcome];
  });
}

/** Return the row of checks. */
export function checkRow(entry) {
  const items = outcomes(entry.step).map(([, label, outcome]) =>
    h(
      "li",
      { class: outcome },
      outcome === "skipped" ? h("span", { class: "dot" }) : icon(outcome === "passed" ? "check" : "cross"),
      h("span", {}, label),
      unseen(`: ${WORDS[outcome]}`),
    ),
  );
  return h("ol", { class: "checks", "aria-label": "Checks, in their order" }, items);
}

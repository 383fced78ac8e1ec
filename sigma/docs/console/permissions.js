// The marks that show what a key holds, what it has used, and what it was refused.

import { h, icon, unseen } from "./dom.js";
import { count, exactTime, relativeTime } from "./format.js";

/** Return whether a key holds and has used a permission: the kind of mark, and what it means. */
export function standing(key, permission) {
  const usedAt = key.permissionUse?.[permission];
  const refused = key.refused?.[permission];
  if (key.permissions.includes(permission)) {
    if (usedAt)
      return { kind: "used", says: `held, last used ${relativeTime(usedAt)}`, title: `Last used ${exactTime(usedAt)}` };
    return { kind: "unused", says: "held, never used", title: "Held, never used" };
  }
  if (!refused) return { kind: "absent", says: "not held", title: "Not held" };
  const says = `not held, refused ${count(refused.count, "time")}`;
  return {
    kind: "refused",
    says,
    title: `Not held; refused ${count(refused.count, "time")}, last ${exactTime(refused.lastAt)}`,
    count: refused.count,
  };
}

/** Return the mark of a key for a permission. */
export function mark(key, permission) {
  const { kind, says, title, count: times } = standing(key, permission);
  const drawn = {
    used: () => icon("check"),
    unused: () => icon("check"),
    refused: () => `${times}×`,
    absent: () => "–",
  }[kind]();
  return h(
    "span",
    { class: `mark ${kind}`, title: `${permission}: ${title}` },
    h("span", { "aria-hidden": "true" }, drawn),
    unseen(says),
  );
}

/** Return what the marks mean. */
export function legend() {
  const item = (kind, drawn, text) =>
    h("li", {}, h("span", { class: `mark ${kind}`, "aria-hidden": "true" }, drawn), text);
  return h(
    "ul",
    { class: "legend", "aria-label": "Marks" },
    item("used", icon("check"), "held and used"),
    item("unused", icon("check"), "held, never used"),
    item("refused", "3×", "not held, and refused 3 times"),
    item("absent", "–", "not held"),
  );
}

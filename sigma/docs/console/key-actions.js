// Deactivates and deletes keys, after a question that names the consequences.

import { call, path } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./dom.js";
import { relativeTime } from "./format.js";
import { notify } from "./notices.js";

const IN_USE = 5 * 60 * 1000; // milliseconds after its last call for which a key counts as in use

export function askToDeactivate(key, done) {
  ask(
    `Deactivate “${key.name}”?`,
    [
      inUse(key),
      "From the next request on, every call with it is refused with 401, in every process of the service.",
      "This cannot be undone. The key stays in the list, with the record of its use, until it is deleted.",
    ],
    "Deactivate",
    async () => {
      await call("POST", path`api/v1/api-keys/${key.id}/deactivate`);
      notify(`“${key.name}” is deactivated: its calls are refused from now on`);
      await done();
    },
  );
}

export function askToDelete(key, done) {
  ask(
    `Delete “${key.name}”?`,
    [
      key.active && inUse(key),
      key.active &&
        "Every call with it is refused with 401 from the next request on, as with a key that never existed.",
      "The key is deleted for good, with the record of its use.",
    ],
    "Delete",
    async () => {
      await call("DELETE", path`api/v1/api-keys/${key.id}`);
      notify(`“${key.name}” is deleted`);
      await done();
    },
  );
}

function inUse(key) {
  const isInUse = key.lastUsedAt && Date.now() - Date.parse(key.lastUsedAt) < IN_USE;
  return (
    isInUse && h("span", { class: "warning" }, `It is in use: the last call came ${relativeTime(key.lastUsedAt)}.`)
  );
}

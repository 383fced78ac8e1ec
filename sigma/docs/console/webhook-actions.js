// Pauses, activates and deletes webhooks, and sends at once all deliveries that wait.

import { call, get, path } from "./api.js";
import { ask } from "./dialog.js";
import { button, h, icon, replace } from "./dom.js";
import { count } from "./format.js";
import { notify } from "./notices.js";

/** Pause a webhook, or activate it again; its other members are read first, so that they stay as they are now. */
export async function togglePause({ id, name, active }, done) {
  const address = path`api/v1/webhooks/${id}`;
  await call("PUT", address, { body: { ...(await get(address)), active: !active } });
  notify(active ? `“${name}” is paused: nothing is sent to it` : `“${name}” is active: what waits is sent`);
  await done();
}

export function askToDelete(webhook, done) {
  const { id, name, deliveries } = webhook;
  const waiting = count(deliveries.pending, "waiting delivery", "waiting deliveries");
  ask(
    `Delete “${name}”?`,
    [
      deliveries.pending > 0 && h("span", { class: "warning" }, `${waiting} will not be sent.`),
      "The webhook is deleted for good, with the record of its deliveries.",
      "To stop it for a while, pause it instead.",
    ],
    "Delete",
    async () => {
      await call("DELETE", path`api/v1/webhooks/${id}`);
      notify(`“${name}” is deleted`);
      await done();
    },
  );
}

/** Return the button that sends all that waits, for any webhook of the workspace. */
export function sendAllButton(done) {
  const label = () => [icon("play"), "Send all now"];
  const send = async () => {
    element.disabled = true;
    replace(element, "Sending …");
    try {
      notify(...described(await call("POST", "standin/deliveries/run")));
      await done();
    } finally {
      element.disabled = false;
      replace(element, label());
    }
  };
  const title = "All that waits for any active webhook, including what is not due yet";
  const element = button(label(), send, { id: "send-all", title });
  return element;
}

/** Return the result of a run in words, and whether it is good or bad. */
function described({ delivered, pending, failed }) {
  if (!delivered && !pending && !failed) return ["Nothing waits to be sent", "good"];
  const parts = [
    delivered && `${delivered} delivered`,
    pending && `${pending} to be tried again`,
    failed && `${failed} given up`,
  ];
  return [`Sent: ${parts.filter(Boolean).join(", ")}`, pending || failed ? "bad" : "good"];
}

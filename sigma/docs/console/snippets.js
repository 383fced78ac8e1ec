// Calls to copy and paste: with a new key, for a shell and in two languages; and a recorded request again.

import { ROOT } from "./api.js";
import { button, h } from "./dom.js";
import { shellWord } from "./format.js";
import { copy } from "./notices.js";

const API = new URL("api/v1", ROOT).href;

/** Return [name, text] of each way to use a new key. A key without `read` asks what it may call. */
export function snippets(key) {
  const url = key.permissions.includes("read") ? `${API}/records?limit=5` : new URL("standin/whoami", ROOT).href;
  return [
    ["curl", `curl ${shellWord(url)} -H ${shellWord(`X-Sigma-ApiKey: ${key.rawKey}`)}`],
    ["Python", python(url, key.rawKey)],
    ["Node", node(url, key.rawKey)],
    [".env", `SIGMA_API_URL=${API}\nSIGMA_API_KEY=${key.rawKey}`],
  ];
}

function python(url, rawKey) {
  return `import json, urllib.request

request = urllib.request.Request("${url}", headers={"X-Sigma-ApiKey": "${rawKey}"})
print(json.load(urllib.request.urlopen(request)))`;
}

function node(url, rawKey) {
  return `const response = await fetch("${url}", {headers: {"X-Sigma-ApiKey": "${rawKey}"}});
console.log(response.status, await response.json());`;
}

/**
 * Return a request of the journal as a line for a shell; what was masked stays masked, and the key comes from a variable.
 *
 * Some client sent all of this, even the method, so each part is quoted as a plain word of the shell. The option -d would
 * read a body that begins with @ from the file of that name.
 */
export function curlAgain(entry) {
  const url = new URL(`${entry.path}${entry.query ? `?${entry.query}` : ""}`.replace(/^\//, ""), ROOT).href;
  const words = ["curl", "-i", ...(entry.method === "GET" ? [] : ["-X", shellWord(entry.method)]), shellWord(url)];
  if (entry.caller?.kind === "user") words.push("-H", '"Authorization: Bearer $SIGMA_TOKEN"');
  else if (entry.needed) words.push("-H", '"X-Sigma-ApiKey: $SIGMA_API_KEY"');
  if (entry.requestBody)
    words.push("-H", "'Content-Type: application/json'", "--data-raw", shellWord(asText(entry.requestBody)));
  return words.join(" ");
}

function asText(body) {
  return typeof body === "string" ? body : JSON.stringify(body);
}

/** Return a text to be copied, in a frame with a button. */
export function copyable(text, what, attributes = {}) {
  return h(
    "div",
    { class: "copyable" },
    h("pre", { tabindex: "0", role: "group", "aria-label": what, ...attributes }, h("code", {}, text)),
    button("Copy", () => copy(text, what), { class: "button small", "aria-label": `Copy: ${what}` }),
  );
}

// Starts the docs: reads the OpenAPI document once, and gives it to the two views and to the sign-in.

import { showOperations } from "./operations.js";
import { showRoutes } from "./routes.js";
import { showSession } from "./session.js";
import { showTabs } from "./tabs.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const followScheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches); // Swagger UI's own word

/** Show the way to the console, unless it is left out; the front page knows. */
async function showConsoleLink() {
  const answer = await fetch("./", { headers: { Accept: "application/json" } });
  document.getElementById("to-console").hidden = !("console" in (await answer.json()));
}

async function start() {
  followScheme();
  dark.addEventListener("change", followScheme);
  const spec = await (await fetch("openapi.json")).json();
  const operations = await showOperations(spec);
  showRoutes(spec);
  showTabs(operations.open);
  await Promise.all([showSession(spec, operations.authorize), showConsoleLink()]);
}

start().catch((error) => {
  document.getElementById("problem").textContent = `The docs could not be loaded: ${error.message}. Reload the page to try again.`;
});

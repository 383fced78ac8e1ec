// What the service's OpenAPI document lists: permissions, events, routes, and the demo's logins.

import { send } from "./api.js";

let loading = null;

/** Return the catalogue; it is loaded once. */
export function catalogue() {
  loading ??= load().catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

async function load() {
  const { body } = await send("GET", "openapi.json");
  const routes = Object.entries(body.paths).flatMap(([path, members]) =>
    Object.entries(members)
      .filter(([, member]) => member.operationId)
      .map(([method, operation]) => describeRoute(path, method, operation)),
  );
  const { Permission, WebhookEvent } = body.components.schemas;
  return {
    permissions: describeNames(Permission),
    events: describeNames(WebhookEvent),
    routes: routes.filter((route) => route.path.startsWith("/api/v1/")),
    logins: new Map(
      body.components.securitySchemes.session["x-logins"].map(({ email, password }) => [email, password]),
    ),
  };
}

function describeNames({ enum: names, "x-enumDescriptions": sentences }) {
  return names.map((name) => ({ name, sentence: sentences[name] }));
}

function describeRoute(path, method, operation) {
  return {
    method: method.toUpperCase(),
    path,
    summary: operation.summary,
    permission: operation["x-required-permission"],
    noun: operation.tags[0],
  };
}

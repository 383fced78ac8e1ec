// What the service says of itself in its OpenAPI document: permissions, routes, and the demo's logins.

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
  const { enum: names, "x-enumDescriptions": sentences } = body.components.schemas.Permission;
  return {
    permissions: names.map((name) => ({ name, sentence: sentences[name] })),
    routes: routes.filter((route) => route.path.startsWith("/api/v1/")),
    logins: readLogins(body.paths["/api/v1/auth/login"].post),
  };
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

/** Return the demo's passwords by email, as the document's examples of signing in have them. */
function readLogins(operation) {
  const { example, examples } = operation.requestBody.content["application/json"];
  const bodies = examples ? Object.values(examples).map(({ value }) => value) : [example];
  return Object.fromEntries(bodies.map(({ email, password }) => [email, password]));
}

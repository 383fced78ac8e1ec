// The parts of the workspace's model that are needed to show records: schemas, attributes, dimensions, options, states.

import { call, get, path } from "./api.js";
import { session } from "./session.js";

/** Return the model: the schemas, and by id the dimensions, the values of option lists, and workflows. */
export async function loadModel(signal) {
  const kinds = ["schemas", "dimensions", "option-lists", "workflows"];
  const [schemas, dimensions, lists, workflows] = await Promise.all(kinds.map((kind) => get(`api/v1/${kind}`, signal)));
  const options = new Map(lists.map(({ id, values }) => [id, values]));
  return { schemas, dimensions: byId(dimensions), options, workflows: byId(workflows) };
}

/** Return the attributes of a schema that the user's role does not hide, in its order. */
export async function loadAttributes(schemaId, signal) {
  const [attributes, levels] = await Promise.all([
    get(path`api/v1/schemas/${schemaId}/attributes`, signal),
    call("POST", path`api/v1/roles/${session.user.roleId}/resolve`, { body: { schemaId }, signal }),
  ]);
  return attributes.filter(({ alias }) => levels[alias] !== "hidden");
}

/** Return the attribute whose value names a record: the first text attribute of its schema. */
export function titleOf(attributes) {
  return attributes.find(({ type, multiple }) => type === "text" && !multiple);
}

export function stateOf(record, schema, model) {
  const states = model.workflows.get(schema?.workflowId)?.states ?? [];
  return states.find(({ id }) => id === record.lifecycleStateId);
}

function byId(items) {
  return new Map(items.map((item) => [item.id, item]));
}

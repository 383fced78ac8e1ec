// The names of users and keys, as far as the session may see them.

import { fetchKeys } from "./key-facts.js";
import { listDemos, session } from "./session.js";

/** Return the names of keys and users by id, without those that the session may not see. */
export async function loadNames(signal) {
  const { user, workspace } = session;
  const [keys, demos] = await Promise.all([session.flags.canManageRoles ? fetchKeys(signal) : [], listDemos()]);
  const users = demos.filter(({ id }) => id === workspace.id).flatMap((demo) => demo.users);
  return new Map([user, ...users, ...keys].map(({ id, name }) => [id, name]));
}

// Who is signed in; the token is kept in the page's memory, and nowhere else.

import { call, get, send, setToken } from "./api.js";

export let session = null; // {user, workspace, flags, isDemo, hasJournal}

/** Sign in with email and password. Throws ServiceError. */
export async function signIn(email, password) {
  const { token } = await call("POST", "api/v1/auth/login", { body: { email, password } });
  setToken(token);
  try {
    const [caller, tenants] = await Promise.all([get("standin/whoami"), listDemos()]);
    const { roleFlags: flags, ...user } = caller.user;
    const isDemo = tenants.some(({ id }) => id === caller.workspace.id);
    session = { user, flags, workspace: caller.workspace, isDemo, hasJournal: tenants.length > 0 };
  } catch (error) {
    signOut();
    throw error;
  }
}

export function signOut() {
  setToken(null);
  session = null;
}

/** Return the demo workspaces with their users; a deployment has none. */
export async function listDemos() {
  const { status, body } = await send("GET", "api/v1/auth/tenants");
  return status === 200 ? body : [];
}

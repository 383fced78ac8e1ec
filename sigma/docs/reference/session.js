// Who is signed in: while the database holds the demo, its users are one click away; the token stays in this tab.

import { button, data, h, replace } from "./dom.js";

const STORED = "sigma-docs-session";
const shown = document.getElementById("session");
const problem = document.getElementById("problem");

/** Show who is signed in, or who could be; `authorize` takes over a token, or null. */
export async function showSession(spec, authorize) {
  const passwords = new Map(
    spec.components.securitySchemes.session["x-logins"].map(({ email, password }) => [email, password]),
  );
  const tenants = await (await fetch("api/v1/auth/tenants")).json();
  const users = tenants.flatMap((tenant) => tenant.users).filter(({ email }) => passwords.has(email));

  async function enter({ email }) {
    problem.textContent = "";
    const body = JSON.stringify({ email, password: passwords.get(email) });
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch("api/v1/auth/login", { method: "POST", headers, body });
    const session = await answer.json();
    if (!answer.ok) return (problem.textContent = session.message);
    sessionStorage.setItem(STORED, JSON.stringify(session));
    show(session);
    document.getElementById("sign-out").focus();
  }

  function leave() {
    sessionStorage.removeItem(STORED);
    show(null);
    shown.querySelector("button")?.focus();
  }

  function show(session) {
    authorize(session?.token ?? null);
    if (session) replace(shown, signedIn(session.user, leave));
    else replace(shown, users.length ? offered(users, enter) : byHand());
  }

  show(users.length ? await stored() : null);
}

/** Return the session of this tab; one that is over, or of a database that is gone, is forgotten. */
async function stored() {
  const session = JSON.parse(sessionStorage.getItem(STORED));
  if (!session) return null;
  const answer = await fetch("standin/whoami", { headers: { Authorization: `Bearer ${session.token}` } });
  if (answer.status !== 401) return session;
  sessionStorage.removeItem(STORED);
  return null;
}

function signedIn(user, leave) {
  return [
    h("p", {}, "Signed in as ", h("strong", {}, data(user.name)), " ", h("span", { class: "hint" }, data(user.email))),
    h("p", { class: "hint" }, "“Try it out” sends this session, unless an API key is set in “Authorize”."),
    button("Sign out", leave, { id: "sign-out" }),
  ];
}

function offered(users, enter) {
  return [
    h("p", {}, "Sign in to try calls out:"),
    users.map((user) => button(["As ", data(user.name)], () => enter(user), { class: "button user", title: user.email })),
    h("p", { class: "hint" }, "For an API key, use “Authorize” below."),
  ];
}

function byHand() {
  return h(
    "p",
    { class: "hint" },
    "To try calls out, run “login” under Authentication, and give its token, or an API key, to “Authorize” below.",
  );
}

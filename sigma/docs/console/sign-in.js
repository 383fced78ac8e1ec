// The page on which people sign in; while the database holds the demo, its users are one click away.

import { catalogue } from "./catalogue.js";
import { button, data, field, h, icon, replace } from "./dom.js";
import { listDemos, signIn } from "./session.js";

/** Return the page; `reason` says why a session has ended, `done` is called after signing in. */
export function signInPage(reason, done) {
  const email = h("input", { type: "email", name: "email", autocomplete: "username", required: true });
  const password = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
  const problem = h("p", { class: "problem", role: "alert" });
  const demo = h("div", { class: "demo-users" });

  async function enter(event) {
    event?.preventDefault();
    problem.textContent = "";
    try {
      await signIn(email.value, password.value);
    } catch (error) {
      problem.textContent = error.message;
      return password.select();
    }
    done();
  }

  async function enterAs(user) {
    const { logins } = await catalogue().catch(() => ({ logins: new Map() }));
    email.value = user.email;
    password.value = logins.get(user.email) ?? "";
    if (password.value) await enter();
    else password.focus();
  }

  listDemos()
    .then((demos) =>
      replace(
        demo,
        demos.map((workspace) => demoUsers(workspace, enterAs)),
      ),
    )
    .catch(() => null);
  return h(
    "main",
    { class: "sign-in", id: "main" },
    h("div", { class: "brand" }, icon("sigma"), "Sigma PIM"),
    h(
      "div",
      { class: "card" },
      h("h1", { tabindex: "-1" }, "Sign in"),
      reason && h("p", { class: "reason", role: "alert" }, reason),
      demo,
      h(
        "form",
        { submit: enter },
        field("Email", email),
        field("Password", password),
        problem,
        h("button", { class: "button primary wide", type: "submit" }, "Sign in"),
      ),
    ),
    h(
      "p",
      { class: "hint" },
      "The session is kept in this page only: after a reload, sign in again. ",
      h("a", { href: "docs" }, "API documentation"),
    ),
  );
}

function demoUsers(workspace, enterAs) {
  return h(
    "div",
    { role: "group", "aria-label": `Users of ${workspace.name}` },
    h("p", { class: "hint" }, "The demo’s users, one click away"),
    workspace.users.map((user) =>
      button([h("strong", {}, data(user.name)), h("span", { class: "hint" }, data(user.email))], () => enterAs(user), {
        class: "button user",
      }),
    ),
    h("p", { class: "or" }, h("span", {}, "or with email and password")),
  );
}

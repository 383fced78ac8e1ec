// The operations, shown by Swagger UI, with what each needs beside its path.

/** Show them; return how to open one by its name, and how to take over a token, or none. */
export function showOperations(spec) {
  const here = new URL(".", location.href).href;
  // The browser knows the service's address, whatever proxies do or do not say of it, so requests go there.
  const servers = [{ url: here.replace(/\/$/, ""), description: "Where this page is" }];
  return new Promise((resolve) => {
    // Without `validatorUrl: null`, some layouts show a badge that calls another host. The list of schemas is closed,
    // because it is as long as that of the operations. Deep links stay off: Swagger UI logs a warning for each `_` in
    // an operation's name.
    const ui = window.SwaggerUIBundle({
      spec: { ...spec, servers },
      dom_id: "#swagger-ui",
      validatorUrl: null,
      defaultModelsExpandDepth: 0,
      layout: "Layout",
      plugins: [(system) => ({ components: { Layout: layoutOf(system) }, wrapComponents: { OperationSummaryPath: withNeed, TextArea: named } })],
      onComplete: () => resolve({ open: (name) => openOperation(ui, spec, name), authorize: (token) => authorize(ui, token) }),
    });
  });
}

/** Return what is shown in place of Swagger UI's own layout, whose <main> may stand in no other. */
function layoutOf(system) {
  return ({ getComponent }) => {
    const make = system.React.createElement;
    const part = (name) => make(getComponent(name, true));
    return make(
      "div",
      { className: "swagger-ui" },
      make(getComponent("SvgAssets")),
      make("details", { className: "about" }, make("summary", {}, "Credentials, permissions and errors"), part("InfoContainer")),
      make("div", { className: "scheme-container" }, make("div", { className: "schemes" }, part("AuthorizeBtnContainer"))),
      part("errors"),
      part("operations"),
      part("Models"),
    );
  };
}

function named(Original, { React }) {
  return (props) => React.createElement(Original, { "aria-label": "Body of the request", ...props });
}

function withNeed(Original, { React, specSelectors }) {
  return (props) => {
    const operation = specSelectors
      .specJson()
      .getIn(["paths", props.operationProps.get("path"), props.operationProps.get("method")]);
    const need = operation?.get("x-access");
    const badge = need && React.createElement("span", { className: "need", "data-need": need }, need);
    return React.createElement(React.Fragment, {}, React.createElement(Original, props), badge);
  };
}

function authorize(ui, token) {
  if (token) ui.preauthorizeApiKey("session", token);
  else if (ui.authSelectors.authorized()?.has("session")) ui.authActions.logout(["session"]);
}

function openOperation(ui, spec, name) {
  const found = Object.values(spec.paths)
    .flatMap(Object.values)
    .find(({ operationId }) => operationId === name);
  if (!found) return;
  const [tag] = found.tags;
  ui.layoutActions.show(["operations-tag", tag], true);
  ui.layoutActions.show(["operations", tag, name], true);
  requestAnimationFrame(() => {
    const block = document.querySelector(`.opblock[id$="-${name}"]`);
    block?.scrollIntoView({ block: "start" });
    block?.querySelector(".opblock-summary-control")?.focus({ preventScroll: true });
  });
}

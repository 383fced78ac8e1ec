"""The interactive docs in a real browser."""

import json
import shutil
from urllib.parse import urlsplit

import pytest
from browser import Page, chromium, host
from processes import EXAMPLE_KEY, serving
from proxy import proxying
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from test_clients import install_from_npm
from test_openapi import OPERATIONS


class Docs(Page):
    """The docs in the browser, and what somebody does there."""

    def open(self, query=""):
        self.load(f"{self.url}/docs{query}")
        self.text(".opblock-tag")
        self.text("#session p")
        return self

    def authorize(self, scheme, value):
        """Give the docs a credential; answer the names of all that they would take."""
        self.click(".auth-wrapper > .authorize")
        self.text(".auth-container")
        names = [name.text for name in self.all(".auth-container h4 code")]
        form = self.all(".auth-container")[names.index(scheme)]
        form.find_element(By.CSS_SELECTOR, "input").send_keys(value, Keys.ENTER)
        self.wait(lambda: "Authorized" in form.text)
        self.click(".close-modal")
        return names

    def execute(self, operation, **parameters):
        """Try an operation out; answer the status and the body that the docs show."""
        block = f".opblock[id$='-{operation}'] "
        self.click(f"{block}.opblock-summary-control")
        self.click(f"{block}.try-out__btn")
        for name, value in parameters.items():
            field = self.find(f"{block}[data-param-name={name}] input")
            field.clear()
            field.send_keys(value)
        self.click(f"{block}.execute")
        shown = f"{block}.live-responses-table .response "
        status = self.text(f"{shown}.response-col_status").split()[0]
        return int(status), json.loads(self.text(f"{shown}.highlight-code pre"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def server(template, tmp_path_factory):
    """A server of its own, with the demo workspace."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(template, folder / "sigma.db")
    with serving(folder / "sigma.db") as started:
        yield started


@pytest.fixture
def docs(browser, server):
    return Docs(browser, f"http://127.0.0.1:{server.port}")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "pim.test"])
def test_under_whatever_name_the_docs_show_all_and_ask_nobody_else(browser, server, name):
    docs = Docs(browser, f"http://{name}:{server.port}").open()
    assert [tag.get_attribute("data-tag") for tag in docs.all(".opblock-tag")] == list(OPERATIONS)
    assert len(docs.all(".opblock")) == len(" ".join(OPERATIONS.values()).split())
    assert docs.execute("get_health") == (200, {"status": "ok"})
    requests = docs.requests()
    assert {host(url) for url in requests} == {host(docs.url)}
    assert {"/docs", "/docs/swagger-ui.css", "/docs/main.js", "/openapi.json", "/api/v1/healthz"} <= {
        urlsplit(url).path for url in requests
    }
    assert docs.messages() == []


@pytest.mark.parametrize("said", [{}, {"X_Forwarded_Prefix": "/pim"}], ids=["without a word", "said"])
@pytest.mark.parametrize("proxies", ["0", "1"])
def test_below_a_path_that_a_proxy_takes_off_the_docs_reach_the_service(browser, template, tmp_path, proxies, said):
    shutil.copy(template, tmp_path / "sigma.db")
    with serving(tmp_path / "sigma.db", SIGMA_PROXIES=proxies) as server, proxying(server.port, **said) as (url, paths):
        docs = Docs(browser, url).open()
        assert docs.execute("get_health") == (200, {"status": "ok"})
        docs.authorize("apiKey", EXAMPLE_KEY)
        assert docs.execute("get_record", id="ent-coastal-wb")[0] == 200
        assert {asked.startswith(f"{url}/") for asked in docs.requests()} == {True}
        assert "/pim/api/v1/records/ent-coastal-wb" in paths
        assert docs.messages() == []
        browser.get(f"{url}/")
        assert browser.current_url == f"{url}/console"


def test_a_link_cannot_make_the_page_show_another_document(docs):
    docs.open("?url=http://elsewhere.test/openapi.json&configUrl=http://elsewhere.test/config.json")
    assert docs.text(".masthead h1") == "Sigma PIM API"
    assert {host(url) for url in docs.requests()} == {host(docs.url)}
    assert docs.messages() == []


FOREIGN = """
window.blocked = [];
document.addEventListener("securitypolicyviolation", event => blocked.push(event.effectiveDirective));
const add = (name, members) => document.body.appendChild(Object.assign(document.createElement(name), members));
add("script", {textContent: "document.title = 'Taken over'"});
add("script", {src: "http://elsewhere.test/script.js"});
add("style", {textContent: "body { display: none }"});
add("img", {src: "http://elsewhere.test/badge.png"});
add("iframe", {src: "http://elsewhere.test/"});
add("base", {href: "http://elsewhere.test/"});
add("form", {action: "http://elsewhere.test/"}).submit();
fetch("http://elsewhere.test/").catch(() => 0);
"""
DIRECTIVES = [
    "base-uri",
    "connect-src",
    "form-action",
    "frame-src",
    "img-src",
    "script-src-elem",
    "script-src-elem",
    "style-src-elem",
]


def test_whatever_else_the_page_would_load_run_or_send_is_blocked_and_these_tests_notice(docs):
    docs.open().run(FOREIGN)
    docs.wait(lambda: len(docs.run("return blocked")) >= len(DIRECTIVES))
    assert sorted(docs.run("return blocked")) == DIRECTIVES
    assert docs.browser.title == "Sigma PIM API"
    assert docs.text(".opblock-tag")
    assert {host(url) for url in docs.requests()} == {host(docs.url), "elsewhere.test"}
    assert len(docs.messages()) >= len(DIRECTIVES)


def test_no_page_can_show_the_docs_in_a_frame(docs):
    docs.browser.get(f"{docs.url}/healthz")
    docs.run("document.body.appendChild(Object.assign(document.createElement('iframe'), {src: '/docs'}))")
    docs.wait(lambda: [message for message in docs.messages() if "frame-ancestors 'none'" in message])


def test_with_the_demo_key_one_can_try_out_what_it_may_do_and_is_told_what_it_may_not(docs, server):
    assert docs.open().authorize("apiKey", EXAMPLE_KEY) == ["apiKey", "session"]
    record = server.call("GET", "/records/ent-coastal-wb", headers={"X-Sigma-ApiKey": EXAMPLE_KEY})[2]
    assert docs.execute("get_record", id="ent-coastal-wb") == (200, record)
    assert docs.messages() == []
    lacking = "This route needs permission 'delete-data'; the key holds: read, update-data; "
    refusal = {"error": "PERMISSION_DENIED", "message": f"{lacking}make a key that holds it, with POST /api/v1/api-keys"}
    assert docs.execute("delete_record", id="ent-coastal-wb") == (403, refusal)
    (message,) = docs.messages()  # Chromium's own, about any refusal
    assert "/api/v1/records/ent-coastal-wb - Failed to load resource" in message


def test_one_can_sign_in_and_go_on_with_the_token(docs):
    status, session = docs.open().execute("login")
    assert (status, session["user"]["id"]) == (200, "user-admin")
    docs.authorize("session", session["token"])
    status, keys = docs.execute("list_api_keys")
    assert (status, [key["id"] for key in keys]) == (200, ["apikey-sync-prod", "apikey-export-staging"])
    assert docs.messages() == []


def test_the_browser_keeps_no_credential(docs):
    docs.open().authorize("apiKey", EXAMPLE_KEY)
    assert docs.all(".auth-wrapper > .authorize.locked")
    assert docs.run("return [localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert docs.open().all(".auth-wrapper > .authorize.unlocked")


def test_a_demo_user_signs_in_with_one_click_and_stays_signed_in_after_a_reload(docs, browser):
    docs.open().click("#session .button")
    docs.wait(lambda: docs.all("#sign-out"))
    browser.refresh()
    docs.wait(lambda: docs.all("#sign-out"))
    assert "Admin User" in docs.text("#session p")
    status, caller = docs.execute("get_caller")
    assert (status, caller["user"]["email"]) == (200, "admin@sigma.io")
    assert docs.run("return [localStorage.length, document.cookie]") == [0, ""]
    docs.click("#sign-out")
    docs.wait(lambda: len(docs.all("#session .user")) == 2)
    assert docs.run("return sessionStorage.length") == 0
    assert docs.all(".auth-wrapper > .authorize.unlocked")
    assert docs.messages() == []


def test_a_session_that_is_over_is_forgotten(docs):
    docs.open().run("sessionStorage.setItem('sigma-docs-session', JSON.stringify({token: 'x', user: {name: 'Nobody'}}))")
    docs.open()
    assert len(docs.all("#session .user")) == 2
    assert docs.run("return sessionStorage.length") == 0


def test_each_operation_has_what_it_needs_beside_its_path(docs):
    docs.open()
    needs = {
        "get_health": "public",
        "list_api_keys": "people only: canManageRoles",
        "create_record": "update-data",
        "create_schema": "update-model: canManageSchemas",
        "get_caller": "any key or person",
        "reset_demo": "demo only",
    }
    assert {name: docs.text(f".opblock[id$='-{name}'] .need") for name in needs} == needs
    assert len(docs.all(".opblock .need")) == len(docs.all(".opblock"))


def test_the_routes_are_a_table_that_a_text_filters_and_that_the_keyboard_reaches(docs, browser):
    docs.open().find("#tab-operations").send_keys(Keys.ARROW_RIGHT)
    docs.wait(lambda: docs.find("#tab-routes").get_attribute("aria-selected") == "true")
    assert browser.switch_to.active_element.get_attribute("id") == "tab-routes"
    assert not docs.find("#view-operations").is_displayed()
    assert len(docs.all("#routes tbody tr")) == len(" ".join(OPERATIONS.values()).split())
    box = docs.find("#routes input")
    box.send_keys("delete-data RECORDS {variant_id}")
    docs.wait(lambda: len(docs.all("#routes tbody tr")) == 1)
    row = [cell.text for cell in docs.all("#routes tbody tr > *")]
    path = "/api/v1/records/{id}/variants/{variant_id}"
    assert row == ["DELETE", path, row[2], "delete-data", "any role"]
    assert docs.find("#routes [role=status]").text == "1 of 110 routes"
    docs.find("#routes tbody a").send_keys(Keys.ENTER)
    docs.wait(lambda: docs.find(".opblock[id$='-delete_variant']").get_attribute("class").endswith("is-open"))
    assert docs.find("#view-operations").is_displayed()
    browser.back()
    docs.wait(lambda: docs.find("#view-routes").is_displayed())
    box.clear()
    box.send_keys("nothing-like-this")
    assert docs.text("#routes .nothing") == "No route has all of these words."
    assert docs.messages() == []


# For everybody

AXE = "axe-core@4.14.1"
RUN_AXE = """
const [context, done] = arguments;
axe.run(context, {resultTypes: ["violations"]}).then(
  ({violations}) => done(violations.map(({id, nodes}) => `${id}: ${nodes.map(({html}) => html)}`)));
"""
# Swagger UI's own: it shows code in boxes that scroll and cannot be told to be reached by Tab; browsers do that by themselves.
CONTEXT = {"exclude": [["pre.microlight"]]}


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """Return the source of axe-core, which finds what keeps people out."""
    folder = tmp_path_factory.mktemp("axe")
    install_from_npm(folder, AXE)
    return (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def emulate(docs, browser):
    """Return a function that sets what the browser's user prefers and how wide the window is; both are as before at the end."""

    def set_up(scheme, width):
        preferred = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preferred})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    browser.set_script_timeout(120)
    yield set_up
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 400)])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(docs, axe, emulate, scheme, width):
    emulate(scheme, width)
    docs.open()
    found = {}

    def look(name):
        docs.run(axe)
        found[name] = docs.browser.execute_async_script(RUN_AXE, CONTEXT)
        if docs.run("return document.documentElement.scrollWidth > innerWidth"):
            found[name].append("it scrolls sideways")

    look("operations")
    docs.execute("compute_scope_matrix")
    docs.click(".about summary")
    look("an operation that was tried, and what stands above all")
    docs.click("#tab-routes")
    docs.text("#routes tbody")
    look("routes")
    docs.find("#routes input").send_keys("nothing-like-this")
    docs.text("#routes .nothing")
    look("no route")
    assert {name: problems for name, problems in found.items() if problems} == {}
    assert len(found) == 4

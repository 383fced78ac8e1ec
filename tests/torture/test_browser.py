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
from test_openapi import OPERATIONS


class Docs(Page):
    """The docs in the browser, and what somebody does there."""

    def open(self, query=""):
        self.load(f"{self.url}/docs{query}")
        self.text(".opblock-tag")
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
    assert {"/docs", "/docs/swagger-ui.css", "/openapi.json", "/api/v1/healthz"} <= {urlsplit(url).path for url in requests}
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
        assert docs.text(".info .link") == "openapi.json"
        assert docs.messages() == []
        browser.get(f"{url}/")
        assert browser.current_url == f"{url}/console"


def test_a_link_cannot_make_the_page_show_another_document(docs):
    docs.open("?url=http://elsewhere.test/openapi.json&configUrl=http://elsewhere.test/config.json")
    assert docs.text(".info .title").startswith("Sigma PIM API")
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

"""The console in a real browser: what people do in it, what they see and hear, and what no data can make it do."""

import hashlib
import hmac
import json
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from browser import Page, chromium, host
from conftest import PASSWORD
from processes import EXAMPLE_KEY, flask, send, serving, wait_until
from receivers import receiving
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from test_clients import install_from_npm

AXE = "axe-core@4.14.1"
HOSTILE = "<img src=x onerror=\"document.title='Taken over'\">"
READER = {"X-Sigma-ApiKey": EXAMPLE_KEY}
VIEWS = ("keys", "requests", "records", "webhooks")


class Console(Page):
    """The console in the browser, and what somebody does there."""

    def open(self, place=""):
        self.load(f"{self.url}/console{place}")
        self.text(".sign-in h1")
        return self

    def enter(self, user=0, place=""):
        """Load the page, and sign in as one of the demo's users."""
        self.open(place)
        self.wait(lambda: len(self.all(".button.user")) == 2)
        self.all(".button.user")[user].click()
        self.text(".frame main h1")
        return self

    def at(self, heading):
        """Wait until one is in the view with a heading."""
        shown = self.find
        self.wait(lambda: shown(".frame main h1").text == heading and shown("main").get_attribute("aria-busy") == "false")
        return self

    def go(self, place, heading):
        """Go to a place, and wait until its heading is there."""
        self.run("location.hash = arguments[0]", place)
        return self.at(heading)

    def fill(self, selector, text):
        self.wait(lambda: self.find(selector).is_displayed())
        self.find(selector).clear()
        self.find(selector).send_keys(text)

    def choose(self, selector, text):
        """Choose an option by what it says."""
        next(option for option in self.all(f"{selector} option") if option.text == text).click()

    def row(self, name):
        """Return the row of a table that begins with a name."""
        found = self.wait(lambda: [row for row in self.all("main tbody tr") if name in row.text])
        return found[0]

    def rows(self):
        return [row.text for row in self.all("main tbody tr")]

    def calls(self, row):
        """Return the method and the path in a row."""
        return tuple(row.find_element("css selector", part).text for part in (".method", "th code"))

    def confirm(self, label):
        """Press the button of the question that is open."""
        self.wait(lambda: self.find("dialog .danger").text == label)
        self.find("dialog .danger").click()
        self.wait(lambda: not self.all("dialog"))

    def press(self, *keys):
        ActionChains(self.browser).send_keys(*keys).perform()

    def tab_to(self, text):
        """Press Tab until the focus is on what has this text, or is called so."""
        name = "const it = document.activeElement; return [it.innerText, it.ariaLabel, it.labels?.[0]?.innerText, it.value]"
        for _ in range(80):
            self.press(Keys.TAB)
            if any(text == (said or "").strip() for said in self.run(name)):
                return
        raise AssertionError(f"Tab does not come to {text}")

    def emulate(self, feature, value):
        """Let the browser say what its user prefers."""
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": feature, "value": value}]})

    def said(self, text):
        """Wait until screen readers are told something."""
        return self.wait(lambda: text in self.run("return document.getElementById('live').textContent"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def server(template, tokens, tmp_path_factory):
    """A server of its own, with the demo workspace."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(template, folder / "sigma.db")
    with serving(folder / "sigma.db", token=tokens["admin@sigma.io"]) as started:
        yield started


@pytest.fixture
def console(browser, server):
    """The console, of a demo that is as it was at first."""
    with server.connect() as connection:
        connection.request("POST", "/standin/reset", b"{}", {"Content-Type": "application/json"})
        assert connection.getresponse().status == 204
    return Console(browser, f"http://127.0.0.1:{server.port}")


# Signing in


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_demos_users_are_one_click_away_and_nobody_else_is_asked_for_anything(browser, console, server, name):
    console = Console(browser, f"http://{name}:{server.port}").enter()
    for view in VIEWS:
        console.go(f"#/{view}", {"keys": "API keys"}.get(view, view.capitalize()))
    requests = console.requests()
    assert {host(url) for url in requests} == {host(console.url)}
    assert {"/console", "/console/main.js", "/standin/keys", "/standin/requests"} <= {urlsplit(url).path for url in requests}
    assert console.messages() == []
    assert console.run("return [localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def test_a_wrong_password_is_told_and_a_reload_asks_again(console):
    console.open("#/records")
    console.fill("input[name=email]", "admin@sigma.io")
    console.fill("input[name=password]", f"wrong{Keys.ENTER}")
    assert console.text(".problem") == "Wrong email or password"
    console.fill("input[name=password]", f"admin{Keys.ENTER}")
    console.at("Records")
    console.browser.refresh()
    assert console.text(".sign-in h1") == "Sign in"


def test_a_session_that_ends_says_so_and_comes_back_to_where_one_was(console, server):
    console.enter(user=1, place="#/records/ent-coastal-wb")
    console.at("Coastal Windbreaker")
    database = str(server.log).removesuffix(".log")
    assert flask(database, "users", "password", "editor@sigma.io", stdin=f"{PASSWORD}\n").returncode == 0
    console.click(".side nav a[href='#/records']")
    assert console.text(".reason").startswith("Your session has ended: ")
    console.run("location.hash = '#/records/ent-trail-cap'")
    console.fill("input[name=email]", "editor@sigma.io")
    console.fill("input[name=password]", PASSWORD + Keys.ENTER)
    console.at("Trail Cap")


# Keys


def test_a_key_is_made_shown_once_used_deactivated_and_deleted(console, server):
    console.enter()
    console.click("#new-key")
    console.fill("dialog input[name=name]", "Till")
    console.click("dialog [type=submit]")
    assert console.text("dialog .problem") == "Choose at least one permission."
    read = console.find("label[for=may-read]").text.split("\n")
    assert read[0] == "read"
    assert read[1:] == [
        "Read all resources: records, schemas, catalogs, dimensions, option lists, workflows",
        "opens 38 routes",
    ]
    console.click("#may-read")
    console.click("dialog [type=submit]")
    raw_key = console.text("dialog .secret")
    assert raw_key.startswith("sigma_sk_live_")
    lines = {}
    for tab in console.all("[role=tab]"):
        tab.click()
        lines[tab.text] = console.text("[role=tabpanel] pre")
    assert list(lines) == ["curl", "Python", "Node", ".env"]
    python = subprocess.run([sys.executable, "-c", lines["Python"]], check=True, capture_output=True, text=True)
    assert "ent-coastal-wb" in python.stdout
    assert f"SIGMA_API_URL={console.url}/api/v1\nSIGMA_API_KEY={raw_key}" == lines[".env"]
    if node := shutil.which("node"):
        done = subprocess.run([node, "--input-type=module", "-e", lines["Node"]], check=True, capture_output=True, text=True)
        assert done.stdout.startswith("200 ")
    console.press(Keys.ESCAPE, Keys.ESCAPE)
    assert console.all("dialog"), "a slip must not lose the key"
    console.click("dialog .primary")
    assert raw_key not in console.browser.page_source

    header = {"X-Sigma-ApiKey": raw_key}
    assert server.request("GET", "/records", header)[0] == 200
    console.wait(lambda: "Active" in console.row("Till").text and "never" not in console.row("Till").text)
    console.find("main tbody tr .button").click()
    assert "every call with it is refused with 401" in console.text("dialog")
    console.confirm("Deactivate")
    console.said("“Till” is deactivated")
    assert server.request("GET", "/records", header)[0] == 401
    console.wait(lambda: "Deactivated" in console.row("Till").text)
    console.row("Till").find_element("css selector", ".button").click()
    console.confirm("Delete")
    console.wait(lambda: not [row for row in console.rows() if "Till" in row])
    assert console.messages() == []


def test_a_key_shows_what_it_used_what_it_was_refused_and_what_it_may_call(console, server):
    key, header = server.make_key("read", "update-data")
    for method, path in (("GET", "/records"), ("DELETE", "/records/ent-trail-cap"), ("DELETE", "/records/ent-trail-cap")):
        server.request(method, path, header)
    console.enter()
    marks = [mark.get_attribute("textContent") for mark in console.row("Feed").find_elements("css selector", ".mark .unseen")]
    assert [mark.split(", last")[0] for mark in marks] == [
        *("held", "held, never used", "not held, refused 2 times", "not held", "not held")
    ]
    console.go(f"#/keys/{key['id']}", "Feed")
    assert "refused 2 times" in console.row("delete-data").text
    assert "update-data was never used. A key with read would be enough so far." in console.text(".advice")
    console.fill(".key input[type=search]", "transition")
    assert [console.calls(row) for row in console.all(".routes tbody tr")] == [
        ("GET", "/records/{id}/transitions"),
        ("POST", "/records/{id}/transition"),
    ]
    console.fill(".key input[type=search]", "DELETE /schemas")
    assert console.all(".routes tbody tr") == []
    console.click("#only-allowed")
    assert [console.calls(row) for row in console.all(".routes tbody tr")] == [("DELETE", "/schemas/{id}")]


def test_with_the_keyboard_alone_a_key_is_made_and_deactivated(console):
    console.open()
    console.tab_to("Email")
    console.press("admin@sigma.io", Keys.TAB, "admin", Keys.ENTER)
    console.at("API keys")
    console.tab_to("New key")
    console.press(Keys.ENTER)
    console.wait(lambda: console.all("dialog"))
    console.press("By keyboard", Keys.TAB, Keys.SPACE, Keys.ENTER)
    console.text("dialog .secret")
    console.said("Copy it now")
    console.tab_to("curl")
    console.press(Keys.ARROW_RIGHT)
    assert console.text("[role=tabpanel] pre").startswith("import json")
    console.tab_to("I have stored it")
    console.press(Keys.ENTER)
    console.wait(lambda: not console.all("dialog"))
    assert console.run("return document.activeElement.id") == "new-key"
    console.tab_to("By keyboard")
    console.press(Keys.ENTER)
    console.at("By keyboard")
    assert console.run("return document.activeElement.tagName") == "H1"
    console.tab_to("Deactivate")
    console.press(Keys.ENTER)
    console.wait(lambda: console.all("dialog"))
    console.tab_to("Deactivate")
    console.press(Keys.ENTER)
    console.wait(lambda: "Deactivated" in console.find(".facts").text)


def test_an_address_that_is_none_breaks_nothing(console):
    console.enter()
    for place in ("#/constructor", "#/__proto__/x", "#/%", "#//", "#/records/..%2f..%2fhealthz", "#/keys/%00"):
        console.run("location.hash = arguments[0]", place)
        console.wait(lambda: console.find("main").get_attribute("aria-busy") == "false")
        assert console.text("main h1") in ("API keys", "Records", "This cannot be shown")
    assert not [message for message in console.messages() if "Uncaught" in message]


def test_who_may_not_manage_keys_is_told_why(console):
    console.enter(user=1)
    assert "Your role role-editor may not manage API keys" in console.text("main .panel")
    assert console.messages() == []


# Requests


def test_a_request_is_seen_within_three_seconds_and_a_refusal_says_why(console, server):
    console.enter().go("#/requests", "Requests")
    console.click("#clear")
    console.wait(lambda: console.all(".panel.empty"))
    began = time.monotonic()
    server.request("DELETE", "/records/ent-trail-cap", READER)
    console.wait(lambda: [row for row in console.rows() if "DELETE" in row])
    assert time.monotonic() - began < 3
    row = console.row("DELETE")
    assert "needs delete-data · the key holds read, update-data" in row.text
    assert "refused" in row.get_attribute("class")
    console.said("1 new request, 1 refused")
    row.find_element("css selector", "a").click()
    assert console.text(".request .outcome").split() == ["403", "PERMISSION_DENIED"]
    checks = [(item.text.split("\n")[0], item.get_attribute("class")) for item in console.all(".checks li")]
    assert checks == [
        *(("Path", "passed"), ("Method", "passed"), ("Credential", "passed"), ("Permission", "failed")),
        *(("Request", "skipped"), ("Found", "skipped")),
    ]
    bodies = [pre.text for pre in console.all(".request pre")]
    assert json.loads(bodies[0])["error"] == "PERMISSION_DENIED"
    assert bodies[1] == f'curl -i -X DELETE {console.url}/api/v1/records/ent-trail-cap -H "X-Sigma-ApiKey: $SIGMA_API_KEY"'
    console.click("#close-request")
    console.wait(lambda: not console.all(".request"))


def test_requests_are_filtered_and_stand_still_when_paused(console, server):
    server.request("GET", "/records/ent-nobody", READER)
    server.request("GET", "/schemas", READER)
    console.enter().go("#/requests?path=records/ent-nobody", "Requests")
    console.choose("select[aria-label=Status]", "404")
    console.wait(lambda: len(console.rows()) == 1 and "Record 'ent-nobody' not found" in console.rows()[0])
    console.choose("select[aria-label=Status]", "Any status")
    console.fill("input[aria-label=Path]", "schemas")
    console.wait(lambda: console.rows() and all("schemas" in row for row in console.rows()))
    assert "path=schemas" in console.browser.current_url
    console.click("#pause")
    server.request("GET", "/schemas?paused", READER)
    time.sleep(1.5)
    assert not [row for row in console.rows() if "paused" in row]
    console.click("#pause")
    console.wait(lambda: [row for row in console.rows() if "paused" in row])


def test_a_page_that_nobody_sees_asks_for_nothing(console):
    console.enter().go("#/requests", "Requests")
    console.run("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    time.sleep(1.1)  # what was asked for before is answered
    console.requests()
    time.sleep(1.5)
    assert console.requests() == []
    console.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    console.wait(lambda: console.requests() != [])


def test_the_calls_of_a_key_turn_red_when_it_is_deactivated(console, server):
    key, header = server.make_key("read")
    server.request("GET", "/schemas", header)
    console.enter().go(f"#/requests?key={key['id']}", "Requests")
    assert [row.get_attribute("class").split()[-1] for row in console.all(".journal tbody tr")] == ["fine"]
    server.manage("POST", f"/api-keys/{key['id']}/deactivate")
    server.request("GET", "/schemas", header)
    console.wait(lambda: "it has been deactivated" in console.rows()[0])
    assert [row.get_attribute("class").split()[-1] for row in console.all(".journal tbody tr")] == ["refused", "fine"]


def test_of_many_requests_the_newest_come_first_and_all_that_are_kept_on_demand(console, server):
    with server.connect() as connection:
        for number in range(130):
            assert send(connection, "GET", f"/records/ent-{number}", headers={**READER, "X-Request-Id": "same"})[0] == 404
    console.enter().go("#/requests?path=ent-", "Requests")
    assert console.text(".amount") == "the newest 100 requests"
    assert "ent-129" in console.rows()[0]
    console.click("#more")
    console.wait(lambda: len(console.all(".journal tbody tr")) >= 130)
    assert not console.all("#more")
    server.request("GET", "/records/ent-last", {**READER, "X-Request-Id": "same"})
    console.wait(lambda: "ent-last" in console.rows()[0])


def test_the_faults_of_a_key_are_set_from_its_request(console, server):
    console.enter()
    server.request("GET", "/records/ent-trail-cap", READER)
    console.go("#/requests?key=apikey-sync-prod", "Requests")
    console.row("ent-trail-cap").find_element("css selector", "a").click()
    console.click(".request details summary")
    console.click("#recipe-0")
    assert "Every call: answered with 429 (Retry-After 2 s), 2 times" in console.text(".rules")
    assert [server.request("GET", "/schemas", READER)[0] for _ in range(3)] == [429, 429, 200]
    console.wait(lambda: "429" in "".join(console.rows()))
    console.wait(lambda: "fired 2 times" in console.text(".rules"))
    console.go("#/keys/apikey-sync-prod", "Shopify Sync - Production")
    assert "fired 2 times" in console.text(".rules")
    console.click("#remove-fault-0")
    console.wait(lambda: not console.all(".rules"))


# Records


def test_records_are_shown_in_a_language_with_their_history_and_variants(console, server):
    total = server.manage("GET", "/records?limit=1")["total"]
    console.enter().go("#/records", "Records")
    assert console.text(".amount").endswith(f"of {total} records")
    assert "Coastal Windbreaker" in console.row("ent-coastal-wb").text
    console.choose("#scope-dim-language", "Danish")
    console.wait(lambda: "Kyst Vindjakke" in console.row("ent-coastal-wb").text)
    console.fill("#search", "windbreaker")
    console.wait(lambda: console.text(".amount").endswith("1 of 1 record"))
    console.row("ent-coastal-wb").find_element("css selector", "a").click()
    console.at("Coastal Windbreaker")
    assert "Danish" in console.text(".values")
    assert console.text(".score").startswith("66 %")
    assert "must be 100 % complete; it is 66 %" in console.text(".ways")
    server.manage("PATCH", "/records/ent-coastal-wb/values/description", {"value": "Keeps the wind out."})
    console.browser.find_element("link text", "var-cw-s").click()
    console.wait(lambda: "Variant" in console.find(".lead").text)
    assert "inherited" in console.row("Color").text
    assert "its own" in console.row("Size").text
    console.click(".back")
    console.at("Coastal Windbreaker")
    assert "Admin User changed the record" in console.text(".history")
    assert "Keeps the wind out." in console.text(".history .after")
    console.click("#way-tr-submit")
    console.confirm("Submit for review")
    console.said("The record is in “Review”")
    console.wait(lambda: "Review" in console.text(".cards .lifecycle"))


# Webhooks


def subscribe(server, receiver, id="wh-shop", name="Shop", events=("entity.updated",), **more):
    """Make a webhook for a receiver."""
    return server.manage("POST", "/webhooks", {"id": id, "name": name, "url": receiver.url, "events": [*events], **more})


def set_price(server, value, record="ent-coastal-wb"):
    server.manage("PATCH", f"/records/{record}/values/price", {"scope": {"dim-market": "seg-se"}, "value": value})


def signed(request, secret):
    """Return whether a delivery has the signature of a secret."""
    return request.headers["x-sigma-signature"] == hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()


def test_a_webhook_is_made_told_of_changes_changed_paused_and_deleted(console, server):
    with receiving() as receiver:
        console.enter().go("#/webhooks", "Webhooks")
        assert [row.split("\n")[0] for row in console.rows()] == ["Lifecycle to Slack", "Sync notification"]
        console.click("#new-webhook")
        console.fill("dialog input[name=name]", "Shop")
        console.fill("dialog input[name=url]", receiver.url)
        console.click("dialog [type=submit]")
        assert console.text("dialog .problem") == "Choose at least one event."
        console.click("[id='on-entity.updated']")
        console.click("#make-secret")
        secret = console.find("dialog input[name=secret]").get_property("value")
        assert secret.startswith("whsec_")
        console.click("dialog [type=submit]")
        console.at("Shop")
        assert console.text(".deliveries .panel h2") == "Nothing was sent yet"
        began = time.monotonic()
        set_price(server, 1201)
        console.wait(lambda: "Delivered" in console.row("entity.updated").text)
        assert time.monotonic() - began < 3
        assert signed(receiver.requests[0], secret)
        assert secret not in console.browser.page_source

        console.click("#change")
        console.wait(lambda: console.find("dialog input[name=secret]").get_property("value") == "••••••••")
        console.fill("dialog input[name=name]", "Shop in Malmö")
        console.fill("dialog input[name=description]", "Fetches anew what changed")
        console.click("[id='on-entity.created']")
        console.click("dialog [type=submit]")
        console.at("Shop in Malmö")
        (made,) = (webhook for webhook in server.manage("GET", "/webhooks") if webhook["url"] == receiver.url)
        assert made == {
            **{"id": made["id"], "name": "Shop in Malmö", "description": "Fetches anew what changed", "url": receiver.url},
            **{"events": ["entity.created", "entity.updated"], "secret": "••••••••", "active": True},
        }
        set_price(server, 1202)
        console.wait(lambda: len(console.rows()) == 2)
        assert signed(receiver.requests[1], secret)

        console.click("#pause-webhook")
        console.said("“Shop in Malmö” is paused")
        assert server.manage("GET", f"/webhooks/{made['id']}") == {**made, "active": False}
        set_price(server, 1203)
        console.go("#/webhooks", "Webhooks")
        console.wait(lambda: "Paused" in console.row("Shop in Malmö").text)
        console.click(f"#act-{made['id']}")
        console.wait(lambda: "Active" in console.row("Shop in Malmö").text)
        assert server.manage("GET", f"/webhooks/{made['id']}") == made
        set_price(server, 1204)
        assert wait_until(lambda: len(receiver.requests) == 3)
        assert signed(receiver.requests[2], secret)
        console.row("Shop in Malmö").find_element("css selector", "a").click()
        console.at("Shop in Malmö")
        console.click("#delete")
        assert "is deleted for good" in console.text("dialog")
        console.confirm("Delete")
        console.at("Webhooks")
        assert len(console.rows()) == len(server.manage("GET", "/webhooks")) == 2
    assert console.messages() == []


def test_a_secret_is_removed_by_an_empty_field(console, server):
    with receiving() as receiver:
        subscribe(server, receiver, secret="nobody's business", active=False)
        console.enter().go("#/webhooks/wh-shop", "Shop")
        console.wait(lambda: "with a secret" in console.find(".facts").text)
        console.click("#change")
        console.fill("dialog input[name=secret]", "")
        console.click("dialog [type=submit]")
        console.wait(lambda: "with a secret" not in console.find(".facts").text)
        assert "secret" not in server.manage("GET", "/webhooks/wh-shop")


def test_a_failing_webhook_stands_out_on_the_first_page_until_what_it_missed_is_sent_again(console, server):
    with receiving(500, 200) as receiver:
        subscribe(server, receiver)
        console.enter()
        assert not console.find(".failing-bar").is_displayed()
        began = time.monotonic()
        set_price(server, 1301)
        console.wait(lambda: console.find(".failing-bar").is_displayed())
        assert time.monotonic() - began < 3
        assert console.text(".failing-bar .text").startswith("Shop fails: Expected a status from 200 to 299, got 500, ")
        assert console.find(".side a[href='#/webhooks']").get_attribute("textContent") == "Webhooks1 failing"
        console.said("1 webhook fails.")
        console.click(".failing-bar a")
        console.at("Shop")
        assert "Failing" in console.text(".facts")
        row = console.row("entity.updated")
        for text in ("entity.updated\nent-coastal-wb\nExpected a status from 200 to 299, got 500\n", "Next try in"):
            assert text in row.text
        row.find_element("css selector", "a").click()
        assert console.text(".delivery h2") == "entity.updated"
        assert len(console.all(".attempts tbody tr")) == 1
        (sent,) = receiver.requests
        assert json.loads(console.text(".delivery pre")) == json.loads(sent.body)
        assert '\n  "event": "entity.updated",\n' in console.text(".delivery pre")
        console.click("#send-again")
        console.wait(lambda: "Delivered" in console.text(".delivery .outcome"))
        assert [attempt.text.split()[1] for attempt in console.all(".attempts tbody tr")] == ["200", "500"]
        assert [request.body for request in receiver.requests] == [sent.body] * 2
        console.wait(lambda: "Active" in console.text(".facts"))
        console.go("#/keys", "API keys")
        console.wait(lambda: not console.find(".failing-bar").is_displayed())
        assert not console.find(".side .badge").is_displayed()


def test_a_receiver_that_is_not_there_is_told_and_all_that_waits_is_sent_at_once(console, server):
    with receiving() as receiver:
        url = receiver.url
    subscribe(server, receiver=type("Gone", (), {"url": url}), events=("entity.updated", "entity.created"))
    for value in (1401, 1402):
        set_price(server, value)
    console.enter().go("#/webhooks", "Webhooks")
    console.wait(lambda: "Failing" in console.row("Shop").text)
    assert console.row("Shop").find_element("css selector", ".status").get_attribute("textContent").endswith("no answer")
    assert "failing" in console.row("Shop").get_attribute("class")
    console.click("#send-all")
    console.said("Sent: 2 to be tried again")
    with receiving() as receiver:
        webhook = server.manage("GET", "/webhooks/wh-shop")
        server.manage("PUT", "/webhooks/wh-shop", {**webhook, "url": receiver.url})
        console.click("#send-all")
        console.said("Sent: 2 delivered")
        console.wait(lambda: "Active" in console.row("Shop").text)
        assert len(receiver.requests) == 2
        console.click("#send-all")
        console.said("Nothing waits to be sent")


def test_deliveries_are_filtered_and_older_ones_come_on_demand(console, server):
    with receiving(500, 200) as receiver:
        subscribe(server, receiver, events=("entity.updated", "entity.created"))
        server.manage("POST", "/records", {"id": "ent-filtered", "schemaId": "schema-apparel", "values": {}})
        assert wait_until(lambda: len(receiver.requests) == 1)
        for value in range(59):
            set_price(server, 1500 + value)
        assert wait_until(lambda: len(receiver.requests) == 60)
        console.enter().go("#/webhooks/wh-shop", "Shop")
        console.wait(lambda: console.text(".amount") == "the newest 50 of 60 deliveries")
        console.click("#more")
        console.wait(lambda: console.text(".amount") == "60 deliveries")
        assert "entity.created" in console.rows()[-1]
        assert not console.all("#more")
        console.choose("select[aria-label=State]", "Waiting")
        console.wait(lambda: console.text(".amount") == "1 delivery")
        assert "ent-filtered" in console.rows()[0]
        console.choose("select[aria-label=Event]", "entity.updated")
        console.wait(lambda: console.all(".deliveries .panel.empty"))
        assert console.text(".deliveries .panel.empty h2") == "No match"
        console.choose("select[aria-label=State]", "Delivered")
        console.wait(lambda: console.text(".amount") == "the newest 50 of 59 deliveries")
        assert console.browser.current_url.endswith("#/webhooks/wh-shop?state=delivered&event=entity.updated")
        console.all(".journal a")[0].click()
        console.text(".delivery h2")
        assert console.browser.current_url.endswith("?state=delivered&event=entity.updated")
        set_price(server, 1600)
        console.wait(lambda: console.text(".amount") == "the newest 50 of 60 deliveries")
        console.said("1 new delivery")
        console.click("#close-delivery")
        console.wait(lambda: not console.all(".delivery"))


def test_a_webhook_or_a_delivery_that_is_gone_is_told(console, server):
    with receiving() as receiver:
        subscribe(server, receiver)
        console.enter().go("#/webhooks/wh-shop/dlv-nowhere", "Shop")
        assert console.text(".request h2") == "This delivery is not kept"
        assert server.request("DELETE", "/webhooks/wh-shop", server.authorization)[0] == 204
        console.at("This webhook is gone")
        console.go("#/webhooks/wh-nowhere", "This cannot be shown")
        assert "There is no webhook with the id wh-nowhere" in console.text(".panel.error")


def test_who_may_not_change_webhooks_sees_them_and_is_told_why_there_is_no_more(console, server):
    with receiving(500) as receiver:
        subscribe(server, receiver)
        set_price(server, 1701)
        console.enter(user=1, place="#/webhooks").at("Webhooks")
        assert console.text(".advice").startswith("Your role role-editor may not change webhooks, nor see what they were sent")
        assert "canManageSchemas" in console.text(".advice")
        assert "entity.updated" in console.row("Shop").text
        assert console.all("main .button, main tbody a") == []
        console.go("#/webhooks/wh-shop", "Shop")
        assert "canManageSchemas" in console.text(".advice")
        assert console.all("main .button") == []
        assert not console.find(".failing-bar").is_displayed()
        asked = {urlsplit(url).path for url in console.requests()}
        assert not [path for path in asked if path.startswith(("/standin/webhooks", "/standin/deliveries"))]
    assert console.messages() == []


def test_with_the_keyboard_alone_a_webhook_is_made_and_a_delivery_sent_again(console, server):
    with receiving(503, 503, 200) as receiver:
        console.enter().go("#/webhooks", "Webhooks")
        console.tab_to("New webhook")
        console.press(Keys.ENTER)
        console.wait(lambda: console.all("dialog"))
        console.press("By keyboard", Keys.TAB, receiver.url, Keys.TAB, Keys.TAB, Keys.TAB, Keys.SPACE, Keys.ENTER)
        console.at("By keyboard")
        assert console.run("return document.activeElement.tagName") == "H1"
        for value in (1801, 1802):
            set_price(server, value)
        console.wait(lambda: len(console.all(".journal .status.refused")) == 2)
        console.tab_to("entity.updated")
        console.press(Keys.ARROW_DOWN, Keys.ENTER)
        console.text(".delivery h2")
        assert console.run("return document.activeElement.tagName") == "H2"
        older = console.text(".delivery pre")
        assert '"value": 1801' in older
        console.tab_to("Send again")
        console.press(Keys.ENTER)
        console.wait(lambda: "Delivered" in console.text(".delivery .outcome"))
        assert json.loads(receiver.requests[-1].body) == json.loads(older)
        assert console.run("return document.activeElement.id") == "send-again"


# What data and circumstances can do


NAMES = ("title", "pick", "many", "tree")
MODEL = {  # in which every name is markup
    "dimensions": [
        {
            **{"id": "dim-x", "alias": "x", "name": HOSTILE, "defaultSegmentId": "seg-x"},
            "segments": [{"id": "seg-x", "alias": "x", "name": HOSTILE, "isDefault": True}],
        }
    ],
    "option-lists": [
        {
            **{"id": "ol-x", "alias": "x", "name": HOSTILE, "hierarchical": False},
            "values": [{"id": "val-x", "alias": "x", "label": HOSTILE, "sortOrder": 1, "color": "red"}],
        }
    ],
    "attributes": [
        {"id": "attr-title-x", "alias": "title-x", "name": HOSTILE, "type": "text", "dimensionIds": ["dim-x"]},
        {"id": "attr-pick-x", "alias": "pick-x", "name": HOSTILE, "type": "option", "optionListId": "ol-x"},
        {"id": "attr-many-x", "alias": "many-x", "name": HOSTILE, "type": "text", "multiple": True},
        {"id": "attr-tree-x", "alias": "tree-x", "name": HOSTILE, "type": "complex"},
    ],
    "workflows": [
        {
            **{"id": "wf-x", "alias": "x", "name": HOSTILE, "defaultStateId": "state-x"},
            "states": [
                {"id": id, "name": HOSTILE, "color": "url(x)", "required": ["title-x"]} for id in ("state-x", "state-y")
            ],
            "transitions": [{"id": "tr-x", "name": HOSTILE, "fromStateId": "state-x", "toStateId": "state-y"}],
        }
    ],
    "schemas": [
        {
            **{"id": "schema-x", "alias": "x", "name": HOSTILE, "variantEnabled": True, "workflowId": "wf-x"},
            "attributeGroups": [
                {"id": "grp-x", "name": HOSTILE, "sortOrder": 0, "attributeIds": [f"attr-{alias}-x" for alias in NAMES]}
            ],
        }
    ],
}
VALUES = {"title-x": HOSTILE, "pick-x": "val-x", "many-x": [HOSTILE], "tree-x": {HOSTILE: HOSTILE}}


def plant(server):
    """Store markup in every text that the console shows, and send requests with some."""
    server.manage("POST", "/api-keys", {"name": HOSTILE, "permissions": ["read"]})
    webhook = {"id": "wh-x", "name": HOSTILE, "description": HOSTILE, "url": "http://127.0.0.1:1/<img/src=x>"}
    server.manage("POST", "/webhooks", {**webhook, "events": ["entity.created", "variant.created"]})
    for noun, bodies in MODEL.items():
        for body in bodies:
            server.manage("POST", f"/{noun}", body)
    values = {alias: [{"scope": {}, "value": value}] for alias, value in VALUES.items()}
    server.manage("POST", "/records", {"id": "ent-x", "schemaId": "schema-x", "values": values})
    server.manage("POST", "/records/ent-x/variants", {"id": "var-x", "values": {"title-x": values["title-x"]}})
    server.manage("PATCH", "/records/ent-x/values/title-x", {"scope": {"dim-x": "seg-x"}, "value": HOSTILE})
    server.manage("POST", "/catalogs/cat-webshop/categories", {"id": "cat-x", "alias": "x", "name": HOSTILE})
    server.request("POST", "/categories/cat-x/assign", server.authorization, {"entityId": "ent-x"})
    server.request("GET", "/records?q=%3Cimg%20src=x%20onerror=alert(1)%3E", READER)
    server.request("GET", "/%3Cimg%20src=x%20onerror=alert(1)%3E", READER)
    server.request("PATCH", "/records/ent-x/values/title-x", READER, {"value": HOSTILE, HOSTILE: HOSTILE})


def test_markup_in_data_is_text_everywhere(console, server):
    plant(server)
    console.enter()
    assert HOSTILE in console.row("<img").text
    (key,) = (key["id"] for key in server.manage("GET", "/api-keys") if key["name"] == HOSTILE)
    for place, heading in (
        (f"#/keys/{key}", HOSTILE),
        ("#/records?schema=schema-x", "Records"),
        ("#/records/ent-x", HOSTILE),
        ("#/records/ent-x/variants/var-x", HOSTILE),
        ("#/webhooks", "Webhooks"),
        ("#/webhooks/wh-x", HOSTILE),
        ("#/requests?own=1", "Requests"),
        ("#/records/%3Cimg%20src=x%3E", "This cannot be shown"),
    ):
        console.go(place, heading)
        assert "<img" in console.find("main").text
        assert console.all("img, iframe, object, [onerror]") == []
    console.go("#/requests?own=0", "Requests")
    for row in range(3):
        console.all(".journal a")[row].click()
        console.text(".request h2")
        assert console.all("img, iframe, object, [onerror]") == []
        console.click("#close-request")
    assert "Taken over" not in console.browser.title
    assert not [message for message in console.messages() if "Content Security Policy" in message]


@contextmanager
def proxy(port):
    """Run a proxy that has the service below /pim, and yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def forward(self):
            if not self.path.startswith("/pim/"):
                return self.send_error(404)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
            asked = Request(f"http://127.0.0.1:{port}{self.path.removeprefix('/pim')}", body, method=self.command)
            for name in ("Accept", "Authorization", "Content-Type"):
                if name in self.headers:
                    asked.add_header(name, self.headers[name])
            try:
                answer = urlopen(asked)
            except HTTPError as error:
                answer = error
            with answer:
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Security-Policy", answer.headers["Content-Security-Policy"] or "")
                self.end_headers()
                self.wfile.write(answer.read())

        do_GET = do_POST = forward

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/pim"
        listening.shutdown()


def test_below_a_path_of_a_proxy_it_works_as_well(browser, console, server):
    with proxy(server.port) as url:
        console = Console(browser, url).enter()
        for view in VIEWS:
            console.go(f"#/{view}", {"keys": "API keys"}.get(view, view.capitalize()))
        console.click(".demo-bar a")
        console.browser.switch_to.window(console.browser.window_handles[1])
        console.text(".opblock-tag")
        console.browser.close()
        console.browser.switch_to.window(console.browser.window_handles[0])
        assert {urlsplit(sent).path.split("/")[1] for sent in console.requests()} == {"pim"}


def test_the_story_is_played_step_by_step(console):
    console.enter()
    console.click("#story")
    statuses = []
    for step in range(1, 19):
        console.click("#story-next")
        console.wait(lambda step=step: console.find(".story .actions .hint").text == f"Step {step} of 18")
        statuses.append(int(console.find(".story .status").text))
    assert statuses == [*(201, 201, 200, 200, 200, 422, 200, 200, 200), *(200, 204, 200, 201, 200, 403, 200, 401, 200)]
    console.go("#/records/ent-rain-hat", "Rain Hat")
    console.click("#story-close")
    assert not console.all(".story")


def test_while_the_service_is_down_the_page_says_so_and_goes_on_when_it_is_back(browser, template, tmp_path):
    shutil.copy(template, tmp_path / "sigma.db")
    with serving(tmp_path / "sigma.db") as first:
        console = Console(browser, f"http://127.0.0.1:{first.port}").enter()
        first.kill()
        assert "The service does not answer" in console.text(".outage")
        with serving(tmp_path / "sigma.db", PORT=str(first.port)):
            console.said("The service answers again.")
            console.wait(lambda: not console.find(".outage").is_displayed())
            console.row("Shopify")


def test_with_several_workers_it_says_why_there_are_no_requests_and_which_setting_helps(browser, template, tmp_path):
    shutil.copy(template, tmp_path / "sigma.db")
    with serving(tmp_path / "sigma.db", WORKERS="2") as server:
        console = Console(browser, f"http://127.0.0.1:{server.port}").enter(place="#/requests")
        assert "SIGMA_WORKERS=1" in console.text(".panel.error")
        console.go("#/webhooks/wh-sync-notify", "Sync notification")
        assert console.text(".deliveries .panel h2") == "Nothing was sent yet"


def test_under_another_name_it_says_why_there_are_no_requests_and_which_setting_helps(browser, server):
    console = Console(browser, f"http://pim.test:{server.port}").enter(place="#/requests")
    assert "Host: expected localhost" in console.text(".panel.error")
    assert "SIGMA_STANDIN_HOSTS=pim.test" in console.text(".panel.error code")
    console.click("#reset")
    console.click("dialog .danger")
    assert "Host: expected localhost" in console.text("dialog .problem")
    console.press(Keys.ESCAPE)
    console.go("#/webhooks/wh-sync-notify", "Sync notification")
    assert console.text(".deliveries .panel h2") == "Nothing was sent yet"


def test_in_a_deployment_there_is_no_demo_and_it_says_so(browser, tmp_path):
    command = ["workspace", "create", "acme", "--name", "Acme", "--email", "ann@acme.example"]
    assert flask(tmp_path / "sigma.db", *command, stdin=f"{PASSWORD}\n").returncode == 0
    with serving(tmp_path / "sigma.db") as server:
        console = Console(browser, f"http://127.0.0.1:{server.port}").open()
        console.fill("input[name=email]", "ann@acme.example")
        console.fill("input[name=password]", PASSWORD + Keys.ENTER)
        assert console.text("main .panel h2") == "No keys yet"
        assert (console.all(".button.user"), console.all(".demo-bar")) == ([], [])
        assert [link.text for link in console.all(".side nav a")] == ["Keys", "Records", "Webhooks"]
        console.go("#/requests", "Requests")
        assert console.all(".panel.error button") == []
        assert "only while the database holds the demo" in console.text(".panel.error")
        console.go("#/records", "Records")
        assert console.text("main .panel h2") == "No schema yet"
        console.go("#/webhooks", "Webhooks")
        console.click("main .panel .button")
        console.fill("dialog input[name=name]", "Inside")
        console.fill("dialog input[name=url]", "http://127.0.0.1:1/hook")
        console.click("[id='on-entity.created']")
        console.click("dialog [type=submit]")
        assert "127.0.0.1" in console.text("dialog .problem")


# For everybody


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """Return the source of axe-core, which finds what keeps people out."""
    folder = tmp_path_factory.mktemp("axe")
    install_from_npm(folder, AXE)
    return (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


RUN_AXE = """
const [options, done] = arguments;
axe.run(document, {resultTypes: ["violations"], ...options}).then(
  ({violations}) => done(violations.map(({id, nodes}) => `${id}: ${nodes.map(({html}) => html)}`)));
"""


def fail_and_succeed(server):
    """Let one webhook fail, and two deliveries of another succeed."""
    with receiving() as receiver:
        subscribe(server, receiver, id="wh-taken", name="Taken")
        subscribe(
            server, receiver=type("Gone", (), {"url": "http://127.0.0.1:1/"}), id="wh-failing", name="Failing", secret="s"
        )
        for value in (1901, 1902):
            set_price(server, value)
        assert wait_until(lambda: len(receiver.requests) == 2)


@pytest.mark.parametrize(("scheme", "options"), [("light", {}), ("dark", {"runOnly": ["color-contrast"]})])
def test_axe_finds_nothing(console, server, axe, scheme, options):
    console.emulate("prefers-color-scheme", scheme)
    server.request("DELETE", "/records/ent-trail-cap", READER)
    fail_and_succeed(server)
    console.open()
    found = {}

    def look(name):
        console.run(axe)
        found[name] = console.browser.execute_async_script(RUN_AXE, options)

    look("sign in")
    console.enter()
    console.wait(lambda: console.find(".failing-bar").is_displayed())
    look("keys")
    console.click("#new-key")
    look("new key")
    console.press(Keys.ESCAPE)
    for place, heading in (
        ("#/keys/apikey-sync-prod", "Shopify Sync - Production"),
        ("#/records", "Records"),
        ("#/records/ent-coastal-wb", "Coastal Windbreaker"),
        ("#/webhooks", "Webhooks"),
        ("#/webhooks/wh-failing", "Failing"),
        ("#/requests", "Requests"),
    ):
        look(console.go(place, heading).browser.current_url)
    console.click(".journal a")
    console.text(".request h2")
    look("request")
    console.go("#/webhooks/wh-failing", "Failing")
    console.all(".journal a")[0].click()
    console.text(".delivery h2")
    look("delivery")
    console.click("#close-delivery")
    console.click("#change")
    console.wait(lambda: console.all("dialog"))
    look("change of a webhook")
    console.press(Keys.ESCAPE)
    console.click("#story")
    look("story")
    console.click("#reset")
    look("question")
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_nothing_moves_for_those_who_ask_for_that(console):
    console.emulate("prefers-reduced-motion", "reduce")
    console.enter().go("#/requests", "Requests")
    assert console.run("return document.getAnimations().length") == 0

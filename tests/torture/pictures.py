"""Makes the pictures of the console for docs/ anew: `.venv/bin/python -m pytest tests/torture/pictures.py`."""

import base64
import shutil
import time

from browser import chromium
from processes import EXAMPLE_KEY, ROOT, serving, wait_until
from receivers import receiving
from test_console_in_a_browser import Console

FOLDER = ROOT / "docs/pictures"
WIDTH, HEIGHT = 1280, 740
MOST_BYTES = 150_000
READER = {"X-Sigma-ApiKey": EXAMPLE_KEY}
CALLS = (  # of a shop's integration: what it may do, and once what it may not
    ("GET", "/records?schemaId=schema-apparel&limit=20", None),
    ("GET", "/records/ent-coastal-wb", None),
    ("PATCH", "/records/ent-coastal-wb/values/price", {"scope": {"dim-market": "seg-se"}, "value": 1249}),
    ("GET", "/records/ent-trail-cap/completeness", None),
    ("DELETE", "/records/ent-trail-cap", None),
    ("GET", "/records/ent-trail-cap", None),
    ("PATCH", "/records/ent-coastal-wb/values/price", {"scope": {"dim-market": "seg-se"}, "value": "1249 kr"}),
    ("GET", "/categories/cat-accessories/entities", None),
    ("PATCH", "/records/ent-coastal-wb/values/description", {"value": "A light shell for windy days."}),
    ("GET", "/schemas/schema-apparel/attributes", None),
)


def make_history(server):
    """Make two more keys, one of them deactivated, and send the calls of an integration."""
    old = server.manage("POST", "/api-keys", {"name": "Price feed, before the move", "permissions": ["read", "update-data"]})
    server.request("GET", "/records", {"X-Sigma-ApiKey": old["rawKey"]})
    server.manage("POST", f"/api-keys/{old['id']}/deactivate")
    server.manage(
        "POST", "/api-keys", {"name": "Data model migration", "permissions": ["read", "update-model", "delete-model"]}
    )
    for method, path, body in CALLS:
        server.request(method, path, READER, body)
        time.sleep(0.12)
    server.request("GET", "/records", {"X-Sigma-ApiKey": old["rawKey"]})


def send_to_webhooks(server, taking, failing):
    """Let one webhook have all that changes, and another fail at the last change."""
    events = ["entity.created", "entity.updated", "entity.deleted"]
    search = {"id": "wh-search", "name": "Search index", "url": failing.url, "events": events, "secret": "a secret"}
    server.manage("POST", "/webhooks", search)
    server.manage("POST", "/webhooks", {"id": "wh-tills", "name": "Tills", "url": taking.url, "events": events})
    for record, value in (("ent-coastal-wb", 1199), ("ent-trail-cap", 229), ("ent-coastal-wb", 1149), ("ent-trail-cap", 199)):
        server.manage("PATCH", f"/records/{record}/values/price", {"scope": {"dim-market": "seg-se"}, "value": value})
        time.sleep(0.12)
    assert wait_until(lambda: len(taking.requests) == len(failing.requests) == 4)


def take(console, name):
    """Store what the browser shows."""
    time.sleep(2)  # new rows are marked for a second
    shown = console.browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": 90})
    picture = base64.b64decode(shown["data"])
    assert len(picture) <= MOST_BYTES, f"{name} has {len(picture)} bytes"
    (FOLDER / f"{name}.webp").write_bytes(picture)


def test_the_pictures_are_made(template, tokens, tmp_path):
    shutil.copy(template, tmp_path / "sigma.db")
    token = tokens["admin@sigma.io"]
    with chromium(tmp_path / "profile") as browser, serving(tmp_path / "sigma.db", token=token) as server:
        make_history(server)
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        console = Console(browser, f"http://127.0.0.1:{server.port}").enter()
        take(console, "keys")
        console.go("#/requests", "Requests").row("DELETE").find_element("css selector", "a").click()
        console.text(".request h2")
        take(console, "requests")
        console.go("#/records/ent-coastal-wb", "Coastal Windbreaker")
        take(console, "record")
        with receiving() as taking, receiving(204, 204, 204, 503) as failing:
            send_to_webhooks(server, taking, failing)
            console.go("#/webhooks/wh-search", "Search index").all(".journal a")[0].click()
            console.text(".delivery h2")
            take(console, "webhook")

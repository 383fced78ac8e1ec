"""The recipe for a front end: its page, served as a development server would, calls the service in a real browser."""

import http.server
import re
import threading
from contextlib import contextmanager

import pytest
from browser import Page, chromium
from processes import ROOT, serving

RECIPE = (ROOT / "docs/testing/front-end.md").read_text(encoding="utf-8")
(SCRIPT,) = re.findall(r"^```js\n(.*?)^```", RECIPE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@contextmanager
def page_served(folder, script):
    """Serve a page with a script on a port of its own during the block, and yield the page's origin."""
    (folder / "index.html").write_text('<!doctype html><title>Shop</title><script type="module" src="main.js"></script>')
    (folder / "main.js").write_text(script)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "page").mkdir()
    return tmp_path / "page"


def test_the_page_of_the_recipe_shows_records_and_reads_errors(browser, template, tmp_path, folder):
    (folder / "main.js").touch()
    with page_served(folder, "") as origin, serving(template, tmp_path / "log", SIGMA_CORS_ORIGINS=origin) as server:
        script = SCRIPT.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
        failing = (
            'await call("PATCH", "/records/none/values/sku", token, {value: 1}).catch((e) => { document.title = e.message; });'
        )
        (folder / "main.js").write_text(script + failing)
        page = Page(browser, origin)
        page.load(origin)
        assert "ent-coastal-wb" in page.text("body")
        page.wait(lambda: browser.title != "Shop")
        assert re.fullmatch(r"404 Record 'none' not found \(request [0-9a-f]{16}\)", browser.title)


def test_of_a_page_that_is_refused_the_log_says_what_would_let_it_in(browser, template, tmp_path, folder):
    with page_served(folder, "") as origin, serving(template, tmp_path / "log") as server:
        (folder / "main.js").write_text(SCRIPT.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}"))
        page = Page(browser, origin)
        page.load(origin)
        page.wait(lambda: f"SIGMA_CORS_ORIGINS={origin} would allow it" in (tmp_path / "log").read_text())
        page.wait(lambda: any("blocked by CORS policy" in message for message in page.messages()))
        assert page.find("body").text == ""

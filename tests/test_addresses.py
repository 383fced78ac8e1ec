"""The service's own address in the OpenAPI document and on the front page, asked directly and behind proxies."""

from urllib.parse import urljoin

from cases import each
from flask import url_for
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

PATHS = {
    **{"api": "api/v1", "docs": "docs", "openapi": "openapi.json"},
    **{"llms": "llms.txt", "health": "healthz", "console": "console"},
}

# What a request says, behind how many proxies, and the address that it was sent to; None where the service cannot be sure.
ADDRESSES = {
    "nothing else": (0, {"Host": "localhost:8080"}, "http://localhost:8080"),
    "a name": (0, {"Host": "Pim_1.acme-shop.example"}, "http://Pim_1.acme-shop.example"),
    "IPv6": (0, {"Host": "[::1]:8080"}, "http://[::1]:8080"),
    "no host": (0, {"Host": ""}, None),
    "a host with a path": (0, {"Host": "acme.example/evil"}, None),
    "a host with a user": (0, {"Host": "localhost@evil.example"}, None),
    "a host with markup": (0, {"Host": 'a"><script>'}, None),
    "a port that is none": (0, {"Host": "localhost:80a"}, None),
    "a client that calls itself a proxy": (0, {"Host": "a.example", "X-Forwarded-Prefix": "/evil"}, None),
    "a proxy that nobody set": (0, {"Host": "a.example", "X-Forwarded-For": "10.0.0.1"}, None),
    "a proxy that only says Via": (0, {"Host": "a.example", "Via": "1.1 edge"}, None),
    "no proxy where one is set": (1, {"Host": "localhost:8080"}, "http://localhost:8080"),
    "a proxy that says no prefix": (1, {"Host": "a.example", "X-Forwarded-For": "10.0.0.1"}, None),
    "a prefix": (1, {"Host": "a.example", "X-Forwarded-Prefix": "/pim"}, "http://a.example/pim"),
    "a prefix with a slash": (1, {"Host": "a.example", "X-Forwarded-Prefix": "/pim/"}, "http://a.example/pim"),
    "a long prefix": (1, {"Host": "a.example", "X-Forwarded-Prefix": "/tools/pim-2"}, "http://a.example/tools/pim-2"),
    "no prefix, and said so": (1, {"Host": "a.example", "X-Forwarded-Prefix": "/"}, "http://a.example"),
    "everything": (
        1,
        {
            "Host": "10.0.0.7:8080",
            "X-Forwarded-Host": "shop.example",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Prefix": "/pim",
        },
        "https://shop.example/pim",
    ),
    "two proxies": (
        2,
        {"Host": "b", "X-Forwarded-Host": "evil.example, shop.example, inner", "X-Forwarded-Prefix": "/pim"},
        "http://shop.example/pim",
    ),
    "a prefix that leads elsewhere": (1, {"Host": "a.example", "X-Forwarded-Prefix": "//evil.example"}, None),
    "a prefix that goes up": (1, {"Host": "a.example", "X-Forwarded-Prefix": "/pim/.."}, None),
    "a prefix with a query": (1, {"Host": "a.example", "X-Forwarded-Prefix": "/pim?x=1"}, None),
    "a prefix with markup": (1, {"Host": "a.example", "X-Forwarded-Prefix": '/"><script>'}, None),
    "a scheme that is none": (
        1,
        {"Host": "a.example", "X-Forwarded-Prefix": "/", "X-Forwarded-Proto": "javascript"},
        None,
    ),
}


@each("case", ADDRESSES)
def test_the_document_and_the_front_page_name_the_address_at_which_they_are_read(app, monkeypatch, case):
    proxies, headers, url = ADDRESSES[case]
    monkeypatch.setitem(app.config, "PROXIES", proxies)
    client = app.test_client()
    document = client.get("/openapi.json", headers=headers)
    front = client.get("/", headers=headers)
    assert (document.status_code, front.status_code) == (200, 200)
    assert [server["url"] for server in document.json["servers"]] == [url or "."]
    assert front.json == {name: f"{url}/{path}" if url else path for name, path in PATHS.items()}
    assert [answer.headers["Cache-Control"] for answer in (document, front)] == ["no-store", "no-store"]
    for word in ("evil", "script>", "javascript"):
        assert word not in document.text.partition('"paths"')[0] + front.text


@each(
    ("proxies", "headers", "location"),
    [
        (0, {"Host": "localhost:8080"}, "/console"),
        (0, {"Host": "evil.example"}, "/console"),
        (0, {"X-Forwarded-Prefix": "/evil"}, "console"),
        (1, {"X-Forwarded-Prefix": "/pim", "X-Forwarded-Host": "evil.example"}, "/pim/console"),
        (1, {"X-Forwarded-Prefix": "//evil.example"}, "console"),
        (1, {"X-Forwarded-For": "10.0.0.1"}, "console"),
    ],
)
def test_a_browser_is_sent_to_the_console_below_the_same_path_and_never_to_another_host(
    app, monkeypatch, proxies, headers, location
):
    monkeypatch.setitem(app.config, "PROXIES", proxies)
    answer = app.test_client().get("/", headers={"Accept": "text/html", **headers})
    assert (answer.status_code, answer.headers["Location"], answer.headers["Cache-Control"]) == (302, location, "no-store")
    assert answer.headers["Vary"] == "Accept"


def test_relative_addresses_work_where_they_are_read(app):
    client = app.test_client()
    told = client.get("/", headers={"Via": "1.1 edge"}).json
    below = {name: urljoin("https://shop.example/pim/", path) for name, path in told.items()}
    assert below == {name: f"https://shop.example/pim/{path}" for name, path in PATHS.items()}
    for name in ("docs", "openapi", "llms", "health"):
        with client.get(urljoin("/", told[name])) as answer:
            assert answer.status_code == 200


def test_the_document_is_made_once_and_each_reader_gets_their_own_address(app):
    client = app.test_client()
    first, second, again = (
        client.get("/openapi.json", headers={"Host": host}).text for host in ("a.example", "b.example", "a.example")
    )
    assert first == again
    assert second == first.replace("http://a.example", "http://b.example")


def test_within_another_application_the_path_below_which_it_is_mounted_counts(app):
    client = Client(DispatcherMiddleware(lambda *_: [], {"/pim": app}))
    assert client.get("/pim/openapi.json").json["servers"][0]["url"] == "http://localhost/pim"
    assert client.get("/pim/").json["health"] == "http://localhost/pim/healthz"
    assert client.get("/pim/", headers={"Accept": "text/html"}).headers["Location"] == "/pim/console"


def test_the_url_of_a_route_can_be_built(app):
    with app.test_request_context():
        assert (
            url_for("Records.set_record_value", id="ent-ä", attribute="a b", n=1)
            == "/api/v1/records/ent-%C3%A4/values/a%20b?n=1"
        )

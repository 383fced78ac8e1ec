"""Routing: the table of the forms of paths finds what Werkzeug finds, in a fraction of the time."""

from cases import each
from werkzeug.exceptions import HTTPException

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
TEXTS = ("ent-rain-hat", "search", "records", "<id>", "{id}", "æ ø", "a\nb", "\n", "a%2Fb", ".", "..", "a/b", "")


def outcome(match, path, method):
    """Return the route with the arguments that a search finds, or the error that it raises."""
    try:
        return match(path, method)
    except HTTPException as error:
        return error.code, sorted(getattr(error, "valid_methods", None) or ())


def paths(app):
    """Return the path of each route with each of the texts in its places, also with a slash more, and with a part less."""
    rules = {route.template for route in app.url_map.iter_rules()}
    filled = {"/".join(text if part[:1] == "{" else part for part in rule.split("/")) for rule in rules for text in TEXTS}
    return sorted(filled | {f"{path}/" for path in filled} | {path.rpartition("/")[0] for path in filled})


@each("method", METHODS)
def test_the_table_finds_what_werkzeug_finds(session_app, method):
    slow, tried = session_app.url_map.bind("", subdomain=""), paths(session_app)
    assert len(tried) > 1000
    for path in tried:
        expected = outcome(lambda *asked: slow.match(*asked, return_rule=True), path, method)
        assert outcome(session_app.route_table.find, path, method) == expected, path


def test_a_method_in_small_letters_is_none(app, admin):
    """RFC 9110: methods are case-sensitive. A proxy that refuses DELETE lets delete through, and head would get a body."""
    for method in ("get", "Get", "head", "delete", "options"):
        environ = {"REQUEST_METHOD": method, **{f"HTTP_{name.upper()}": text for name, text in admin.headers.items()}}
        for path in ("/api/v1/records/ent-coastal-wb", "/docs"):
            answer = app.test_client().open(path, environ_overrides=environ)
            assert (answer.status_code, answer.json["error"]) == (405, "METHOD_NOT_ALLOWED")
            assert "GET" in answer.headers["Allow"].split(", ")
        assert app.test_client().open("/api/v1/nothing", environ_overrides=environ).status_code == 404
    assert admin.get("/records/ent-coastal-wb").status_code == 200


def test_the_table_has_the_routes_of_the_api(session_app, monkeypatch):
    monkeypatch.setattr(session_app.route_table, "slow", None)
    for route in session_app.url_map.iter_rules():
        if "<path:" not in route.rule and "<docs:" not in route.rule:
            path = route.rule.replace("<", "-").replace(">", "-")
            for method in route.methods or ():
                assert session_app.route_table.find(path, method)[0] is route

"""The rules of schemas that a worker keeps in memory: only those of the newest version, and only so much in all.

Whether values meet them is in test_values.py.
"""

import os

import pytest
import re2
from cases import each
from conftest import sql
from flask import g

from sigma.resources import rules
from sigma.resources.newest_versions import NewestVersions

WORKSPACE = "ws-other"
OPTIONS = {"id": "ol-many", "alias": "many", "name": "Many"}
DIMENSION = {"id": "dim-area", "alias": "area", "name": "Area", "defaultSegmentId": "north"}
COLOR = {"id": "attr-color", "alias": "color", "name": "Color", "type": "option", "optionListId": "ol-many"}
CODE = {"id": "attr-code", "alias": "code", "name": "Code", "type": "text", "validation": {"pattern": "^[a-z]+$"}}


def options(*names):
    return {**OPTIONS, "values": [{"id": name, "alias": name, "label": name} for name in names]}


def dimension(*names):
    return {**DIMENSION, "segments": [{"id": name, "alias": name, "name": name} for name in names]}


def done(answer):
    assert answer.status_code < 300, answer.json
    return answer.json


@pytest.fixture
def shop(stranger, monkeypatch):
    """Return the administrator of a workspace with two schemas that have the same two attributes, and nothing kept so far."""
    monkeypatch.setattr(rules, "_newest", NewestVersions(most=rules._newest.most))
    done(stranger.post("/option-lists", options("red", "blue")))
    done(stranger.post("/dimensions", dimension("north", "south")))
    done(stranger.post("/attributes", {**COLOR, "dimensionIds": ["dim-area"]}))
    done(stranger.post("/attributes", CODE))
    for name in ("a", "b"):
        group = {"id": "grp", "name": "All", "sortOrder": 0, "attributeIds": ["attr-color", "attr-code"]}
        schema = {"id": name, "alias": name, "name": name, "variantEnabled": False, "attributeGroups": [group]}
        done(stranger.post("/schemas", schema))
    return stranger


def write(caller, schema, code="abc", **color):
    values = {"code": [{"value": code}], **({"color": [color]} if color else {})}
    return caller.post("/records", {"schemaId": schema, "values": values})


def rename(caller, name):
    done(caller.put("/attributes/attr-code", {**CODE, "name": name}))


def kept():
    """Return what is kept, by schema."""
    assert {workspace for workspace, _ in rules._newest.kept} <= {WORKSPACE}
    assert rules._newest.weight == sum(entry.weight for entry in rules._newest.kept.values())
    return {schema: entry for (_, schema), entry in rules._newest.kept.items()}


def names_in(schema, kind, id):
    return kept()[schema].result.parts.names[kind, id]


def test_however_often_the_model_changes_one_version_of_each_schema_is_kept(app, shop):
    for number in range(6):
        rename(shop, f"Code {number}")
        for schema in ("a", "b"):
            done(write(shop, schema, value="red", scope={"dim-area": "south"}))
    assert list(kept()) == ["a", "b"]
    (version,) = sql(app, "SELECT model_version FROM workspaces WHERE id = ?", WORKSPACE)[0]
    assert {entry.version for entry in kept().values()} == {version}
    assert {entry.result.parts.last for entry in kept().values()} == {None}  # it would keep the version before


def test_as_much_is_kept_as_fits_and_always_what_was_used_last(shop, monkeypatch):
    for schema in ("a", "b", "a"):
        done(write(shop, schema))
    assert list(kept()) == ["b", "a"]
    both = rules._newest.weight
    monkeypatch.setattr(rules._newest, "most", both)
    rename(shop, "C")  # as long as before
    done(write(shop, "b"))
    assert (list(kept()), rules._newest.weight) == (["a", "b"], both)
    monkeypatch.setattr(rules._newest, "most", both - 1)
    rename(shop, "D")
    done(write(shop, "b"))
    assert list(kept()) == ["b"]
    monkeypatch.setattr(rules._newest, "most", 0)
    done(write(shop, "a"))
    assert list(kept()) == ["a"]


def test_what_an_option_list_or_a_dimension_holds_counts_before_it_has_been_read(shop):
    done(write(shop, "a"))
    light = kept()["a"].weight
    many = [f"{number:060}" for number in range(1000)]
    done(shop.put("/option-lists/ol-many", options(*many)))
    done(write(shop, "a"))
    heavy = kept()["a"].weight
    assert heavy - light > 3 * 120 * 1000
    done(shop.put("/dimensions/dim-area", dimension("north", *many)))
    done(write(shop, "a"))
    assert kept()["a"].weight - heavy > 3 * 120 * 1000


def test_names_of_an_earlier_version_count_as_long_as_they_are_kept(shop):
    done(shop.put("/option-lists/ol-many", options("red", *(f"{number:060}" for number in range(1000)))))
    done(write(shop, "a", value="red"))
    full = kept()["a"].weight
    done(shop.put("/option-lists/ol-many", options("red")))
    done(write(shop, "a"))
    assert names_in("a", "option-list", "ol-many").current is None
    assert kept()["a"].weight == full
    rename(shop, "Code")
    done(write(shop, "a", value="red"))
    rename(shop, "code")
    done(write(shop, "a"))
    assert full - kept()["a"].weight > 3 * 120 * 1000


@each("kind, id", [("option-list", "ol-many"), ("dimension", "dim-area")])
def test_names_are_read_when_a_value_needs_them_and_not_again_until_they_change(shop, kind, id):
    done(write(shop, "a"))
    assert names_in("a", kind, id).current is None
    done(write(shop, "a", value="red", scope={"dim-area": "south"}))
    first = names_in("a", kind, id).current
    assert first == {"option-list": {"red": "red", "blue": "blue"}, "dimension": {"north": "north", "south": "south"}}[kind]
    rename(shop, "Other")
    done(write(shop, "a", value="red", scope={"dim-area": "south"}))
    assert names_in("a", kind, id).current is first


def test_a_pattern_is_compiled_when_a_value_needs_it_and_not_again_until_it_changes(shop):
    compiled = []
    for number, validation in enumerate([{"pattern": "^[a-z]+$"}] * 2 + [{"pattern": "^[0-9]+$"}]):
        done(shop.put("/attributes/attr-code", {**CODE, "name": str(number), "validation": validation}))
        done(shop.post("/records", {"schemaId": "a", "values": {}}))
        (pattern,) = kept()["a"].result.parts.patterns.values()
        compiled.append((pattern, "compiled" in vars(pattern)))
        done(write(shop, "a", code="abc" if number < 2 else "123"))
        assert write(shop, "a", code="123" if number < 2 else "abc").status_code == 400
    (first, is_first), (second, is_second), (third, is_third) = compiled
    assert (is_first, is_second, is_third) == (False, True, False)
    assert first is second is not third


def test_nothing_else_keeps_a_compiled_pattern(shop):
    done(write(shop, "a"))
    (pattern,) = kept()["a"].result.parts.patterns.values()
    assert "compiled" in vars(pattern)
    assert re2._Regexp._make.cache_info().currsize == 0


def test_a_value_is_judged_by_the_lists_and_segments_of_now(shop, error):
    south = {"scope": {"dim-area": "south"}}
    for _ in range(2):
        done(write(shop, "a", value="blue", **south))
        done(shop.put("/option-lists/ol-many", options("red")))
        assert "color" in error(write(shop, "a", value="blue", **south), 400)
        done(write(shop, "a", value="red", **south))
        done(shop.put("/dimensions/dim-area", dimension("north")))
        assert "south" in error(write(shop, "a", value="red", **south), 400)
        done(shop.put("/dimensions/dim-area", dimension("north", "south")))
        done(shop.put("/option-lists/ol-many", options("red", "blue")))


def test_names_that_are_read_in_another_version_than_that_of_the_rules_are_not_kept(app, shop):
    done(write(shop, "a"))
    old = names_in("a", "option-list", "ol-many")
    done(shop.put("/option-lists/ol-many", options("green")))
    with app.test_request_context():
        g.tenant = WORKSPACE
        assert (old(), old.current, old.last) == ({"green": "green"}, None, None)


def test_a_transaction_that_is_under_way_or_has_failed_leaves_others_their_version():
    newest, key = NewestVersions[str](most=100), ("ws", "schema")
    before, under_way = os.urandom(16), os.urandom(16)
    assert newest.find_any(key) is None
    newest.keep(key, before, "before", 60)
    assert (newest.find(key, under_way), newest.find_any(key)) == (None, "before")
    newest.keep(key, under_way, "under way", 70)
    assert (newest.find(key, before), newest.find(key, under_way)) == (None, "under way")
    newest.keep(key, before, "before", 60)
    assert (newest.find(key, before), newest.find(key, under_way)) == ("before", None)
    assert (len(newest.kept), newest.weight) == (1, 60)

"""Numbers: wherever one is sent, it comes back as an equal one, or is refused with the reason; never another, silently."""

import csv
import io
import json
from fractions import Fraction

import pytest
from cases import each

DIGITS, RANGE = "a number of which all digits can be kept", "a number within the range of a double"
KEPT = {  # and how they come back
    "0": "0",
    "-0": "0",
    "-0.0": "-0.0",
    "1": "1",
    "1.0": "1.0",
    "1.10": "1.1",
    "1e5": "100000.0",
    "1E5": "100000.0",
    "1E+2": "100.0",
    "10e-1": "1.0",
    "0.1": "0.1",
    "0.30000000000000004": "0.30000000000000004",
    "129.99": "129.99",
    "9007199254740992.0": "9007199254740992.0",
    "9007199254740993": "9007199254740993",
    "-9223372036854775809": "-9223372036854775809",
    "123456789012345678901234567890": "123456789012345678901234567890",
    "1e23": "1e+23",
    "1.7976931348623157e308": "1.7976931348623157e+308",
    "5e-324": "5e-324",
    "0.000000000000000000000001": "1e-24",
    "0e-999": "0.0",
}
REFUSED = {  # and what is expected in their place
    "9007199254740993.0": DIGITS,
    "0.1000000000000000055511151231257827": DIGITS,
    "0.10000000000000001": DIGITS,
    "12345678901234567.25": DIGITS,
    "1e-400": DIGITS,
    "4.9e-324": DIGITS,
    "1e400": RANGE,
    "-1E400": RANGE,
    "1" + "0" * 309: RANGE,
}
each_kept = each("text", KEPT, ids=lambda text: text[:40])
each_refused = each("text", REFUSED, ids=lambda text: text[:40])


def refusal(text):
    """What is said of a number that is refused."""
    return f"expected {REFUSED[text]}, got {text[:40]}{'…' * (len(text) > 40)}"


def test_what_the_tables_say_of_numbers_is_so():
    assert all(Fraction(text) == Fraction(back) for text, back in KEPT.items())
    assert not any(Fraction(text) == Fraction(repr(float(text)).replace("inf", "0")) for text in REFUSED)


def add_numbers(admin):
    """Add a schema with attributes for numbers, a record of it and a variant of that."""
    for alias, more in {
        "amount": {"type": "number"},
        "amounts": {"type": "number", "multiple": True},
        "specs": {"type": "complex"},
    }.items():
        assert admin.post("/attributes", {"id": f"attr-{alias}", "alias": alias, "name": alias, **more}).status_code == 201
    group = {"id": "g", "name": "All", "attributeIds": ["attr-amount", "attr-amounts", "attr-specs"]}
    schema = {"id": "schema-n", "alias": "n", "name": "N", "variantEnabled": True, "attributeGroups": [group]}
    assert admin.post("/schemas", schema).status_code == 201
    assert admin.post("/records", {"id": "ent-n", "schemaId": "schema-n", "values": {}}).status_code == 201
    assert admin.post("/records/ent-n/variants", {"id": "var-n"}).status_code == 201


@pytest.fixture(scope="module")
def initial_database(prepare):
    return prepare(add_numbers)


@pytest.fixture
def shop(admin):
    """Return the administrator, beside the schema, its record and the variant."""
    return admin


RECORD, VARIANT = "/records/ent-n", "/records/ent-n/variants/var-n"
# Each way to send a number: method, path, body, the path of the number, and where it can be read again.
WAYS = {
    "a new record": ("POST", "/records", '{"id": "ent-new", "schemaId": "schema-n", "values": {"amount": [{"value": %s}]}}',
                     "values.amount[0].value", "/records/ent-new"),
    "a record": ("PUT", RECORD, '{"values": {"amount": [{"value": %s}]}}', "values.amount[0].value", RECORD),
    "several": ("PUT", RECORD, '{"values": {"amounts": [{"value": [1, %s]}]}}', "values.amounts[0].value[1]", RECORD),
    "an object": ("PUT", RECORD, '{"values": {"specs": [{"value": {"a": [{"b": %s}]}}]}}',
                  "values.specs[0].value.a[0].b", RECORD),
    "one value": ("PATCH", f"{RECORD}/values/amount", '{"value": %s}', "value", RECORD),
    "a variant": ("PUT", VARIANT, '{"values": {"amount": [{"value": %s}]}}', "values.amount[0].value", VARIANT),
    "one value of a variant": ("PATCH", f"{VARIANT}/values/amount", '{"value": %s}', "value", VARIANT),
    "a least value": ("PUT", "/attributes/attr-amount", '{"alias": "amount", "name": "A", "type": "number", "validation": '
                      '{"min": %s}}', "validation.min", "/attributes/attr-amount"),
    "a greatest value": ("PUT", "/attributes/attr-amount", '{"alias": "amount", "name": "A", "type": "number", "validation": '
                         '{"max": %s}}', "validation.max", "/attributes/attr-amount"),
    "a guard": ("PUT", "/attributes/attr-specs", '{"alias": "specs", "name": "S", "type": "complex", "guards": [{"attributeId":'
                ' "attr-amount", "operator": "equals", "value": %s}]}', "guards[0].value", "/attributes/attr-specs"),
    "an order": ("POST", "/catalogs/cat-webshop/categories", '{"id": "cat-n", "alias": "n", "name": "N", "sortOrder": %s}',
                 "sortOrder", "/categories/cat-n"),
    "a saved query": ("POST", "/saved-queries", '{"id": "sq-n", "name": "N", "query": {"criteria": [{"attribute": "amount", '
                      '"operator": "gt", "value": %s}]}}', "query.criteria[0].value", "/saved-queries/sq-n"),
    "an import": ("POST", "/import/execute", '{"schemaId": "schema-n", "columnMapping": {"Id": "_id", "A": "amount"}, "rows": '
                  '[{"Id": "ent-n", "A": %s}]}', "rows[0].A", RECORD),
    "an import of an object": ("POST", "/import/execute", '{"schemaId": "schema-n", "columnMapping": {"Id": "_id", "S": "specs"'
                               '}, "rows": [{"Id": "ent-n", "S": {"a": %s}}]}', "rows[0].S.a", RECORD),
}  # fmt: skip
each_way = each("way", WAYS)


def send(caller, method, path, body, text):
    return caller.request(method, path, data=(body % text).encode(), content_type="application/json")


@each_way
def test_a_number_that_can_be_kept_is_kept(way, shop):
    method, path, body, _, page = WAYS[way]
    for text, back in KEPT.items():
        answer = send(shop, method, path, body, text)
        assert answer.status_code in (200, 201), answer.json
        served = shop.get(page).get_data(as_text=True)
        if way == "an order":
            assert f'"sortOrder":{back}' in served
        assert back in served.replace("[", ":").replace(",", ":").replace("}", ":").replace("]", ":").split(":"), (text, served)
        for made in ("/records/ent-new", "/categories/cat-n", "/saved-queries/sq-n"):
            if page == made:
                assert shop.delete(made).status_code == 204
        if page == RECORD:
            assert shop.put(RECORD, {"values": {"amount": [], "amounts": [], "specs": []}}).status_code == 200
        if page == VARIANT:
            assert shop.put(VARIANT, {"values": {"amount": []}}).status_code == 200


@each_way
def test_a_number_that_would_become_another_is_refused_by_its_place(way, shop, error, stored):
    method, path, body, place, _ = WAYS[way]
    before = stored()
    for text in REFUSED:
        assert error(send(shop, method, path, body, text), 400) == f"{place}: {refusal(text)}"
    assert stored() == before


# Cells of text


@each_kept
def test_a_cell_of_text_is_kept_and_comes_back_in_an_export(text, shop):
    rows = [{"Id": "ent-n", "A": text, "M": f"1|{text}", "S": f'{{"a": {text}}}'}]
    columns = {"Id": "_id", "A": "amount", "M": "amounts", "S": "specs"}
    body = {"schemaId": "schema-n", "columnMapping": columns, "rows": rows}
    assert shop.post("/import/execute", body).json == {"created": 0, "updated": 1, "errors": []}
    before = shop.get(RECORD).get_data(as_text=True)
    assert f'"amount":[{{"scope":{{}},"value":{KEPT[text]}}}]' in before
    exported = shop.get("/export?schemaId=schema-n&format=csv").get_data(as_text=True)
    (row,) = csv.DictReader(io.StringIO(exported))
    assert (row["amount"], row["amounts"], row["specs"]) == (KEPT[text], f"1|{KEPT[text]}", f'{{"a":{KEPT[text]}}}')
    assert f'"amount":{KEPT[text]},' in shop.get("/export?schemaId=schema-n").get_data(as_text=True)
    assert shop.put(RECORD, {"values": {"amount": [], "amounts": [], "specs": []}}).status_code == 200
    body = {"schemaId": "schema-n", "columnMapping": {name: name for name in row}, "rows": [row]}
    assert shop.post("/import/execute", body).json["errors"] == []
    values = json.loads(before)["values"]
    assert json.dumps(shop.get(RECORD).json["values"]) == json.dumps(values)


@each_refused
@each(("column", "form"), [("amount", "{}"), ("amounts", "1|{}"), ("specs", '{{"a": {}}}')])
def test_a_cell_of_text_that_would_become_another_number_is_an_error_of_its_row(text, column, form, shop, stored):
    before = stored()
    rows = [{"_id": "ent-n", "C": form.format(text)}]
    body = {"schemaId": "schema-n", "columnMapping": {"_id": "_id", "C": column}, "rows": rows}
    done = shop.post("/import/execute", body).json
    assert (done["updated"], done["errors"][0]["row"]) == (0, 0)
    assert done["errors"][0]["message"].startswith(f"C: Attribute '{column}' expects {REFUSED[text]}, got ")
    assert stored() == before


# Search


@each_kept
def test_a_search_finds_a_number_however_it_is_written_and_no_neighbour(text, shop):
    neighbours = [repr(float(text) * 1.0000000000001 + 1e-30), str(int(Fraction(text)) + 1)]
    for number, held in enumerate([text, *neighbours]):
        body = f'{{"id": "ent-{number}", "schemaId": "schema-n", "values": {{"amount": [{{"value": {held}}}]}}}}'
        if "inf" not in held:
            assert shop.post("/records", data=body, content_type="application/json").status_code == 201
    for wanted in (text, f'"{text}"', KEPT[text]):
        found = send(
            shop, "POST", "/search", '{"criteria": [{"attribute": "amount", "operator": "equals", "value": %s}]}', wanted
        )
        assert [record["id"] for record in found.json["items"]] == ["ent-0"]


@each_refused
def test_a_search_takes_no_number_for_another(text, shop, error):
    near = repr(float(text)).replace("inf", "1e308")
    assert send(shop, "PATCH", f"{RECORD}/values/amount", '{"value": %s}', near).status_code == 200
    body = '{"criteria": [{"attribute": "amount", "operator": "%s", "value": %s}]}'
    assert error(send(shop, "POST", "/search", body, ("equals", text)), 400) == f"criteria[0].value: {refusal(text)}"
    assert send(shop, "POST", "/search", body, ("equals", f'"{text}"')).json["items"] == []  # a text keeps all its digits
    (held,) = shop.get(RECORD).json["values"]["amount"]
    is_greater, is_less = (
        send(shop, "POST", "/search", body, (operator, f'"{text}"')).json["total"] for operator in ("gt", "lt")
    )
    assert (is_greater, is_less) == (
        Fraction(repr(held["value"])) > Fraction(text),
        Fraction(repr(held["value"])) < Fraction(text),
    )


@each("text", ["1e23", "100000000000000000000000", "9007199254740993", "0.1"])
def test_a_limit_is_exact(text, shop, error):
    rules = f'{{"alias": "amount", "name": "A", "type": "number", "validation": {{"min": {text}, "max": {text}}}}}'
    assert send(shop, "PUT", "/attributes/attr-amount", "%s", rules).status_code == 200
    assert send(shop, "PATCH", f"{RECORD}/values/amount", '{"value": %s}', text).status_code == 200
    below, above = (str(int(Fraction(text)) + step) for step in (-1, 1))
    for other in (below, above):
        error(send(shop, "PATCH", f"{VARIANT}/values/amount", '{"value": %s}', other), 400)

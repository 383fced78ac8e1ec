"""Date-times: the forms that are taken, and which of them are one instant."""

import pytest
from cases import each

from sigma.http.date_times import read_instant

NEW_YEAR = [  # one instant
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "2026-01-01t00:00:00z",
    "2026-01-01T00:00:00.0Z",
    "2026-01-01T00:00:00.000000000000000000000Z",
    "2026-01-01T00:00:00+00:00",
    "2026-01-01T00:00:00-00:00",
    "2026-01-01T01:00:00+01:00",
    "2025-12-31T18:30:00-05:30",
    "2026-01-01T23:59:00+23:59",
]
IN_ORDER = [  # each later than the one before
    "0000-01-01T00:00:00+23:59",
    "0000-01-01",
    "0000-02-29",
    "0000-03-01",
    "1969-12-31T23:59:59.999999999Z",
    "1970-01-01",
    "2016-12-31T23:59:59.9Z",
    "2016-12-31T23:59:60Z",
    "2016-12-31T18:59:60.5-05:00",
    "2017-01-01",
    "2024-02-29T12:00:00Z",
    "2026-06-01T12:00:00.1Z",
    "2026-06-01T12:00:00.10000000000000000000000000001Z",
    "2026-06-01T12:00:00.100000000000000000000000001Z",
    "2026-06-01T12:00:00.2Z",
    "2026-06-01T12:00:01Z",
    "2030-06-30T23:59:60Z",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-23:59",
]
REFUSED = {
    "empty": "",
    "words": "yesterday",
    "seconds since 1970": "1767225600",
    "no zone": "2026-01-01T10:00:00",
    "no seconds": "2026-01-01T10:00Z",
    "hour alone": "2026-01-01T10Z",
    "year alone": "2026",
    "month alone": "2026-01",
    "space for T": "2026-01-01 10:00:00Z",
    "underscore for T": "2026-01-01_10:00:00Z",
    "basic form": "20260101T100000Z",
    "basic date": "20260101",
    "week": "2026-W01-4",
    "ordinal day": "2026-001",
    "comma in the fraction": "2026-01-01T10:00:00,5Z",
    "no digit in the fraction": "2026-01-01T10:00:00.Z",
    "zone without a colon": "2026-01-01T10:00:00+0100",
    "zone of hours alone": "2026-01-01T10:00:00+01",
    "zone with seconds": "2026-01-01T10:00:00+01:00:00",
    "zone by name": "2026-01-01T10:00:00 CET",
    "zone beyond a day": "2026-01-01T10:00:00+24:00",
    "zone of 60 minutes": "2026-01-01T10:00:00+01:60",
    "date with a zone": "2026-01-01Z",
    "24:00": "2026-01-01T24:00:00Z",
    "60 minutes": "2026-01-01T10:60:00Z",
    "61 seconds": "2016-12-31T23:59:61Z",
    "leap second in mid-minute": "2016-12-31T23:58:60Z",
    "leap second in mid-day": "2016-12-31T12:59:60Z",
    "leap second of another zone's midnight": "2016-12-31T23:59:60-05:00",
    "leap second in March": "2026-03-31T23:59:60Z",
    "month 0": "2026-00-01",
    "month 13": "2026-13-01",
    "day 0": "2026-01-00",
    "30 February": "2026-02-30T00:00:00Z",
    "29 February 2026": "2026-02-29",
    "29 February 1900": "1900-02-29",
    "31 April": "2026-04-31",
    "five digits of a year": "12026-01-01",
    "two digits of a year": "26-01-01",
    "signed year": "+2026-01-01",
    "negative year": "-001-01-01",
    "other digits": "\uff12\uff10\uff12\uff16-01-01",
    "line end": "2026-01-01\n",
    "space before": " 2026-01-01",
    "space behind": "2026-01-01T10:00:00Z ",
    "NUL": "2026-01-01\0",
}
FORMS = "a date and time with a zone (RFC 3339, as 2026-03-01T08:00:00Z) or a plain date (as 2026-03-01)"


@each("text", NEW_YEAR)
def test_equal_instants_are_equal(text):
    assert read_instant(text) == read_instant(NEW_YEAR[0])


def test_instants_are_in_the_order_of_time_to_the_last_digit():
    instants = list(map(read_instant, IN_ORDER))
    assert None not in instants
    assert instants == sorted(set(instants))


@each("text", REFUSED.values(), ids=REFUSED)
def test_what_is_no_date_time_means_no_instant(text):
    assert read_instant(text) is None


# Over HTTP


@pytest.fixture
def write(admin):
    """Write values of the attributes `at`, which is unique, and `seen`, which is not, into new records; `seen` is an array."""
    for alias, more in {"at": {"validation": {"unique": True}}, "seen": {"multiple": True}}.items():
        attribute = {"id": f"attr-{alias}", "alias": alias, "name": alias, "type": "datetime", **more}
        assert admin.post("/attributes", attribute).status_code == 201
    groups = [{"id": "grp", "name": "All", "attributeIds": ["attr-at", "attr-seen"]}]
    schema = {"id": "schema-x", "alias": "x", "name": "X", "variantEnabled": True, "attributeGroups": groups}
    assert admin.post("/schemas", schema).status_code == 201

    def write(**values):
        entries = {alias: [{"scope": {}, "value": value}] for alias, value in values.items()}
        return admin.post("/records", {"schemaId": "schema-x", "values": entries})

    return write


def test_each_form_is_stored_as_it_is_written(write, admin):
    texts = [*NEW_YEAR, *IN_ORDER]
    record = write(seen=texts).json
    assert record["values"]["seen"][0]["value"] == texts
    assert admin.get(f"/records/{record['id']}").json == record


@each("text", REFUSED.values(), ids=REFUSED)
def test_every_other_form_is_refused_by_the_forms_that_are_wanted(write, error, text):
    came = text.replace("\n", "\\n").replace("\0", "\\u0000")
    expected = f"expects {FORMS}, got '{came}'"
    assert error(write(at=text), 400) == f"values.at[0].value: Attribute 'at' {expected}"
    assert error(write(seen=["2026-01-01", text]), 400) == f"values.seen[0].value: Attribute 'seen' {expected}"


@each("again", NEW_YEAR)
def test_one_instant_is_unique_however_it_is_written(write, error, again):
    first = write(at="2026-01-01T00:00:00Z").json["id"]
    assert error(write(at=again), 409) == f"values.at[0].value: '{again}' is already the value of '{first}'"


def test_instants_that_differ_in_the_last_digit_are_two_unique_values(write):
    assert [write(at=text).status_code for text in IN_ORDER] == [201] * len(IN_ORDER)


def test_one_instant_may_be_written_anew_where_it_is(write, admin):
    id = write(at="2026-01-01T00:00:00Z").json["id"]
    for text in NEW_YEAR:
        answer = admin.patch(f"/records/{id}/values/at", {"value": text})
        assert answer.json["values"]["at"] == [{"scope": {}, "value": text}]

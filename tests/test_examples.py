"""The examples in the OpenAPI document, found field by field; test_examples_as_they_are.py tries them on the service."""

from cases import each
from marshmallow import fields

from sigma.docs.examples import TIME, Examples
from sigma.http import fields as ours

DEMO = Examples({"media-asset": "asset-poster"}, {"AssetBody": {"id": "asset-poster", "name": "Poster", "size": 7}})


class PersonBody(ours.Body):
    name = ours.string_field("A name")
    nickname = ours.string_field("Another", required=False)


class AssetBody(ours.Body):
    """A noun of which the demo has an object."""

    id = ours.id_field("The asset's id")
    name = ours.string_field("Its name")
    size = ours.Number("Its bytes", required=True, example=5)


class AssetRequestBody(AssetBody):
    """What is sent for it, with a member that the demo's object does not have."""

    expiresAt = ours.timestamp_field("When it goes")


MADE = {  # a field that says nothing, and what is made for it; the member is called fileName
    "id": (ours.id_field("An id"), "file-name"),
    "text": (ours.string_field("A text"), "file-name"),
    "any": (fields.Raw(required=True), "file-name"),
    "time": (ours.timestamp_field("A time"), TIME),
    "enum": (ours.enum_field("One of", ["big", "small"], "Size"), "big"),
    "flag": (ours.Flag("Whether", required=True), True),
    "number": (ours.Number("How much", required=True), 1),
    "integer": (fields.Integer(required=True), 1),
    "object": (ours.dict_field("By name", "Things", fields.String(), required=True), {}),
    "reference": (ours.Reference("media-asset", required=True), "asset-poster"),
    "reference to what the demo has none of": (ours.Reference("price-list", required=True), "price-list-1"),
    "list": (ours.Items(ours.enum_field("One of", ["big", "small"], "Size"), "Some", required=True), ["big"]),
    "body": (fields.Nested(PersonBody, required=True), {"name": "name"}),
    "list of bodies": (ours.Items(fields.Nested(PersonBody), "Some", required=True), [{"name": "name"}]),
    "default": (ours.Number("How much", load_default=3), 3),
    "empty default": (ours.attributes_field("Aliases"), []),
}


@each("kind", MADE)
def test_a_member_that_says_nothing_gets_an_example_that_fits_its_type(kind):
    field, expected = MADE[kind]
    body = ours.Body.from_dict({"fileName": field})()
    assert DEMO.body(body, {}) == {"fileName": expected}
    assert body.load({"fileName": expected}) == {"fileName": expected}


def test_a_member_that_may_be_left_out_is_shown_where_it_has_an_example():
    body = ours.Body.from_dict(
        {
            "a": ours.string_field("A text", required=False),
            "b": ours.string_field("A text", required=False, example="B"),
            "c": fields.String(required=True, allow_none=True, metadata=ours.described("A text, or none", None)),
        }
    )()
    assert DEMO.body(body, {}) == {"b": "B", "c": None}


def test_the_demos_object_stands_for_its_class_and_those_made_from_it():
    assert DEMO.body(AssetBody(), {}) == {"id": "asset-poster", "name": "Poster", "size": 5}
    assert DEMO.body(AssetRequestBody(many=True), {}) == [
        {"id": "asset-poster", "name": "Poster", "size": 5, "expiresAt": TIME}
    ]


def test_what_is_said_of_an_operation_goes_before_everything_else():
    assert DEMO.body(AssetBody(), {"name": "Flyer", "size": 6, "other": 1}) == {
        "id": "asset-poster",
        "name": "Flyer",
        "size": 6,
    }

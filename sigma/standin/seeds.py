"""Seeds: the contents of a workspace without credentials; demo.json has the same format, and some more members."""

from collections.abc import Callable
from typing import Any

import marshmallow as ma
from marshmallow import fields

from sigma.http.bodies import flatten_messages
from sigma.http.errors import raise_for_problems
from sigma.http.fields import Body, Flag, Items, date_time_field, described, id_field, string_field
from sigma.http.stamps import random_id
from sigma.resources.audit_log import AuditEntryBody
from sigma.resources.categories import CategoryRequestBody
from sigma.resources.model import MODEL
from sigma.resources.records import ProductRecordBody
from sigma.resources.saved_queries import SavedQueryBody
from sigma.resources.users import ADMINISTRATOR, UserBody, administrator_role
from sigma.resources.variants import VariantBody
from sigma.resources.webhooks import MAX_WEBHOOKS, WebhookRequestBody, secret_field
from sigma.standin.seed_links import link_problems

Read = Callable[[Any], Any]  # returns the checked value, or raises ValidationError


class Pair(fields.List):
    """An array of two items; the first says what the second belongs to."""

    def __init__(self, description: str, expected: str, first: Read, second: Read, example: Any):
        metadata = described(description, example, minItems=2, maxItems=2)
        super().__init__(fields.Raw(), metadata=metadata)
        self.expected, self.first, self.second = expected, first, second

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) != 2:
            raise ma.ValidationError(f"Expected an array of two: {self.expected}")
        pair: list[Any] = []
        for place, read in enumerate((self.first, self.reader(value[0]))):
            try:
                pair.append(read(value[place]))
            except ma.ValidationError as error:
                raise ma.ValidationError({place: error.messages}) from None
        return pair

    def reader(self, _: Any) -> Read:
        """Return the function that reads the second item, given the first."""
        return self.second


class ModelPair(Pair):
    """The kind of a model object, and its body."""

    def reader(self, kind: Any) -> Read:
        """Return the function that reads a body of this kind. For an unknown kind, its result is not used."""
        return MODEL[kind].load if isinstance(kind, str) and kind in MODEL else self.second


def _read_kind(kind: Any) -> str:
    if not isinstance(kind, str) or kind not in MODEL:
        raise ma.ValidationError(f"Expected one of: {', '.join(MODEL)}")
    return kind


def _unchecked(what: str) -> Flag:
    return Flag(f"Whether {what} is stored without checks, because today's rules would refuse it", example=False)


class SeedUserBody(UserBody):
    """A user, who gets an email made for the workspace, and no password."""

    class Meta(Body.Meta):
        fields = ("id", "name", "roleId")


STAMPS = (
    date_time_field("When it was made; now when absent"),
    date_time_field("When it was last changed; createdAt when absent"),
    string_field("Id of the user or API key that made it; the first user when absent", required=False, example="user-admin"),
    string_field("Id of the user or API key that changed it last; createdBy when absent", required=False, example="user-admin"),
)


class SeedRecordBody(ProductRecordBody):
    """A record; members that are left out get the defaults of a new record."""

    id = id_field("The record's id; made when absent", required=False)
    lifecycleStateId = fields.String(
        allow_none=True, metadata=described("Its state; the workflow's default when absent", "state-draft")
    )
    createdAt, updatedAt, createdBy, updatedBy = STAMPS
    unchecked = _unchecked("it")


class SeedVariantBody(VariantBody):
    """A variant; members that are left out get the defaults of a new variant."""

    id = id_field("The variant's id; made when absent", required=False)
    parentId = string_field("Id of its parent; its record when absent", required=False, example="ent-coastal-wb")
    level = fields.Integer(strict=True, allow_none=True, metadata=described("Its depth, which follows from parentId", 1))
    createdAt, updatedAt, createdBy, updatedBy = STAMPS
    unchecked = _unchecked("it")


class SeedEntryBody(AuditEntryBody):
    """A change to a record or variant."""

    id = id_field("The entry's id; made when absent", required=False, example="audit-2f6c1d0b9a8e7453")
    timestamp = date_time_field("When the change was made", required=True)
    recordId = string_field(
        "The record whose history holds the entry; needed only for a variant that is gone",
        required=False,
        example="ent-coastal-wb",
    )


class SeedSavedQueryBody(SavedQueryBody):
    """A saved query."""

    id = id_field("The saved query's id; made when absent", required=False)
    createdAt = date_time_field("When it was saved; now when absent")
    createdBy = string_field(
        "Id of the user or API key that saved it; the first user when absent", required=False, example="user-admin"
    )
    unchecked = _unchecked("the query")


class SeedWebhookBody(WebhookRequestBody):
    """A webhook; an active one sends from the first change on."""

    secret = secret_field("The secret that signs deliveries; it can be given, and is never returned")


def _list_of(inner: fields.Field, description: str, most: int | None = None) -> Items:
    return Items(inner, description, most, load_default=list)


_read_id = fields.String().deserialize


class SeedBody(Body):
    """The contents of a workspace, without credentials; each list is in order of creation."""

    users = _list_of(fields.Nested(SeedUserBody), "The users; one administrator is added if there are none")
    model = _list_of(
        ModelPair(
            "A kind of model object, and an object of this kind",
            "a kind of model object, and its body",
            *(_read_kind, _read_id),
            example=["catalog", {"id": "cat-webshop", "alias": "webshop", "name": "Webshop"}],
        ),
        "The model; objects may refer to others that come later",
    )
    records = _list_of(fields.Nested(SeedRecordBody), "The records")
    variants = _list_of(fields.Nested(SeedVariantBody), "The variants, each after its parent")
    history = _list_of(
        fields.Nested(SeedEntryBody),
        "The changes to records and variants, oldest first; a missing creation is added, with the current values",
    )
    categories = _list_of(
        Pair(
            "The id of a catalog, and a category in it",
            "the id of a catalog, and a category",
            *(_read_id, CategoryRequestBody().load),
            example=["cat-webshop", {"id": "cat-men", "alias": "men", "name": "Men"}],
        ),
        "The categories",
    )
    assignments = _list_of(
        Pair(
            "The ids of a category and of a record in it",
            "the ids of a category and of a record",
            *(_read_id, _read_id),
            example=["cat-men", "ent-coastal-wb"],
        ),
        "The assignments of records to categories",
    )
    savedQueries = _list_of(fields.Nested(SeedSavedQueryBody), "The saved queries")
    webhooks = _list_of(fields.Nested(SeedWebhookBody), "The webhooks; in a returned seed, they are paused", MAX_WEBHOOKS)


def _complete(seed: dict[str, Any]) -> None:
    """Fill in missing ids, and an administrator if there is no user."""
    categories = [body for _, body in seed["categories"]]
    lists = {"ent": seed["records"], "var": seed["variants"], "cat": categories}
    lists |= {"sq": seed["savedQueries"], "wh": seed["webhooks"]}
    for prefix, bodies in lists.items():
        for body in bodies:
            body.setdefault("id", random_id(prefix))
    if not seed["users"]:
        add_administrator(seed)


def add_administrator(seed: dict[str, Any]) -> None:
    """Add an administrator to a seed, and the administrator's role if the seed has no role with that id."""
    seed["users"].append(ADMINISTRATOR)
    role_id = ADMINISTRATOR["roleId"]
    if ("role", role_id) not in ((kind, body["id"]) for kind, body in seed["model"]):
        seed["model"].append(["role", administrator_role(role_id)])


def read_seed(value: Any) -> dict[str, Any]:
    """Return the seed, checked, with all missing ids filled in. Raises ApiError 400 that names paths in the seed."""
    try:
        seed: dict[str, Any] = SeedBody().load(value)
    except ma.ValidationError as error:
        raise_for_problems(flatten_messages(error.normalized_messages(), value))
    _complete(seed)
    raise_for_problems(link_problems(seed))
    return seed

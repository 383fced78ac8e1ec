"""Search: the records whose values meet criteria, or have words in them."""

import json
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from flask import Response, g, request
from marshmallow import fields

from sigma.database import execute, snapshot, sql_function
from sigma.http.access import requires
from sigma.http.blueprint import ApiBlueprint
from sigma.http.errors import ApiError
from sigma.http.fields import Items, Reference, enum_field, string_field
from sigma.http.paging import PAGE_PARAMETERS, PageRequestBody, body_bounds, page_bounds, page_of, query_parameter
from sigma.http.strict_json import to_json
from sigma.http.waiting import leave_worker, one_by_one, patience_ends
from sigma.resources.entities import entity_page
from sigma.resources.model import require_existing
from sigma.resources.records import ProductRecordBody
from sigma.resources.role_limits import caller_levels, require_searchable
from sigma.resources.search_criteria import AttributeCriteria, CriterionBody, make_criteria, named_in

blueprint = ApiBlueprint("Search", "Finding records by their values.")

MAX_WORDS = 1000  # characters; each word is looked for in every record


class SearchBody(PageRequestBody):
    """Which records are wanted."""

    criteriaOperator = enum_field(
        "Whether all criteria are to be met (and), or one (or); and when absent",
        ["and", "or"],
        example="and",
        required=False,
        allow_none=True,
    )
    criteria = Items(
        fields.Nested(CriterionBody),
        "What values must be like; without any, all records are found",
        most=50,
        allow_none=True,
        example=[
            {"attribute": "product-name", "operator": "contains", "value": "Coastal"},
            {"attribute": "price", "operator": "gt", "value": "100"},
        ],
    )
    schemaId = Reference("schema", allow_none=True, example="schema-apparel")


class FullTextBody(PageRequestBody):
    """Which words are wanted."""

    query = string_field("The words, in any order; each may be part of a longer one", longest=MAX_WORDS, example="coastal wind")
    schemaId = Reference("schema", allow_none=True, example="schema-apparel")


Predicate = Callable[[Any], bool]


class TakesLongError(Exception):
    """A search has taken so long that it is to go on where it holds up nobody."""


class ActiveSearch(threading.local):
    """The predicates of the search that a thread is doing, each by its place, and the failure that ended it, if one did."""

    predicates: Sequence[Predicate] = ()
    until: float = math.inf  # it may take, by time.monotonic()
    failure: Exception | None = None


_active = ActiveSearch()


@sql_function(deterministic=False)  # which predicates there are depends on the search
def predicate_holds(place: int, text: str | None) -> bool:
    """Return what the present search's predicate at a place says of a text."""
    try:
        if time.monotonic() > _active.until:
            raise TakesLongError
        return _active.predicates[place](text)
    except Exception as failure:
        _active.failure = failure
        raise


@contextmanager
def predicates_in_sql(predicates: Sequence[Predicate]) -> Iterator[None]:
    """Let SQL ask these predicates in the block.

    Raises what a predicate raises, of which SQLite tells no more than that something was raised, as it does of a damaged
    text; and TakesLongError.
    """
    _active.predicates, _active.until, _active.failure = predicates, patience_ends(), None
    try:
        yield
    except sqlite3.OperationalError as error:
        if str(error) != "user-defined function raised exception":
            raise
        raise _active.failure or sqlite3.DatabaseError("a stored text is damaged") from error
    finally:
        _active.predicates = ()


RECORD_TEST = "predicate_holds(?, body)"
ATTRIBUTE_TEST = (  # what is stored under the attribute's alias does not count if the schema does not have it any more
    "predicate_holds(?, CASE WHEN schema_id IN (SELECT id FROM model_references WHERE tenant = ? AND kind = 'schema'"
    " AND target_kind = 'attribute' AND target_id = ?) THEN json_extract(body, ?) END)"
)


class Condition(NamedTuple):
    """What a record must meet to be found."""

    predicate: Predicate  # of its text, or of that of its values of an attribute, None if it has none
    attribute: dict[str, Any] | None = None


def _find_page(
    conditions: list[Condition], schema_id: str | None, bounds: tuple[int, int], is_one_enough: bool = False
) -> Response:
    """Return one page of the records, all or of one schema, that meet all conditions, or one; newest last.

    SQL goes through the records and hands out what is tested, Python tests it.
    """
    sql, parameters = "SELECT seq FROM entities WHERE tenant = ? AND is_variant = 0", [g.tenant]
    if schema_id is not None:
        sql += " AND schema_id = ?"
        parameters.append(schema_id)
    sql += " AND (0" if is_one_enough and conditions else " AND (1"
    for place, (_, attribute) in enumerate(conditions):
        sql += " OR " if is_one_enough else " AND "
        sql += RECORD_TEST if attribute is None else ATTRIBUTE_TEST
        named = () if attribute is None else (g.tenant, attribute["id"], f'$.values."{attribute["alias"]}"')
        parameters.extend((place, *named))
    sql += ") ORDER BY seq"
    (offset, limit), total, page = bounds, 0, []
    try:
        with predicates_in_sql([condition.predicate for condition in conditions]):
            for total, (seq,) in enumerate(execute(sql, *parameters), 1):
                if offset < total <= offset + limit:
                    page.append(seq)
    except TakesLongError:  # to begin anew wastes a tenth of a second; to leave at once, every short search would pay for
        leave_worker()
    sql = "SELECT CAST(body AS BLOB) FROM entities WHERE tenant = ? AND seq IN (SELECT value FROM json_each(?)) ORDER BY seq"
    with one_by_one():
        return entity_page(execute(sql, g.tenant, to_json(page)), total, offset, limit)


def _text_prefilter(texts: Iterable[str]) -> Condition:
    """Return the condition that these stand somewhere in a record's text, whatever the case.

    It is a third of the work to see that, and most records need not be parsed to be passed over. JSON writes a text
    character by character, and so does folding, which does not change those that JSON escapes.
    """
    written = [to_json(text)[1:-1].casefold() for text in texts]

    def has_texts(body: str) -> bool:
        folded = body.casefold()
        for text in written:  # noqa: SIM110 (all() would take twice as long)
            if text not in folded:
                return False
        return True

    return Condition(has_texts)


def _require_schema(query: dict[str, Any], path: str = "") -> None:
    """Raise ApiError 400, naming the field below the path, unless the schema exists that a query may name."""
    if "schemaId" in query:
        require_existing([(f"{path}schemaId", "schema", query["schemaId"])])


def _is_one_enough(query: dict[str, Any]) -> bool:
    return query.get("criteriaOperator") == "or"


def read_query(query: dict[str, Any], path: str) -> list[AttributeCriteria]:
    """Return the criteria of a query.

    Raises ApiError, naming fields below the path: 400 for what does not exist or fit, 403 for what the caller's role hides.
    """
    _require_schema(query, path)
    criteria = query.get("criteria", [])
    ready = make_criteria(criteria, _is_one_enough(query), path)
    names = [(index, named_in(criterion)) for index, criterion in enumerate(criteria)]
    named = {f"{path}criteria[{index}].{name}": criteria[index][name] for index, name in names}
    require_searchable(named, query.get("schemaId"))
    return ready


def search(query: dict[str, Any], path: str = "") -> Response:
    """Return the page of records that a query asks for. Raises ApiError 400 or 403 as read_query() does."""
    criteria = read_query(query, path)
    literals = [text for one in criteria for text in one.literals]
    conditions = [_text_prefilter(literals)] if literals else []
    conditions += [Condition(one.matches, one.attribute) for one in criteria]
    return _find_page(conditions, query.get("schemaId"), body_bounds(query), _is_one_enough(query))


def _text_aliases() -> dict[str, list[str]]:
    sql = (
        "SELECT r.id, o.alias FROM model_references r"
        " JOIN model_objects o ON o.tenant = r.tenant AND o.kind = r.target_kind AND o.id = r.target_id"
        " WHERE r.tenant = ? AND r.kind = 'schema' AND r.target_kind = 'attribute'"
        " AND json_extract(o.body, '$.type') = 'text'"
    )
    aliases: dict[str, list[str]] = {}
    for schema_id, alias in execute(sql, g.tenant):
        aliases.setdefault(schema_id, []).append(alias)
    return {schema_id: list(filter(caller_levels(schema_id).shows, named)) for schema_id, named in aliases.items()}


class Words(NamedTuple):
    """The words that texts are to have in them."""

    folded: list[str]
    aliases: dict[str, list[str]]  # of the attributes whose values are such texts, by schema

    def match(self, body: str) -> bool:
        """Return whether each word is in a text value of a record."""
        record, lines = json.loads(body), list[str]()
        for alias in self.aliases.get(record["schemaId"], ()):
            for entry in record["values"].get(alias, ()):
                value = entry["value"]
                lines.extend(item for item in (value if isinstance(value, list) else (value,)) if isinstance(item, str))
        text = "\n".join(lines).casefold()  # a word has no space in it, and so is in one line or in none
        return all(word in text for word in self.folded)


def _search_words(text: str, schema_id: str | None, bounds: tuple[int, int]) -> Response:
    """Return one page of the records, all or of one schema, that have each word of a text in a text value."""
    words = list(dict.fromkeys(text.casefold().split()))
    return _find_page([_text_prefilter(words), Condition(Words(words, _text_aliases()).match)], schema_id, bounds)


@blueprint.post("/search")
@requires("read")
@blueprint.arguments(SearchBody())
@blueprint.response(200, page_of(ProductRecordBody))
def search_records(query: dict[str, Any]) -> Response:
    """Find the records whose values meet all criteria or one of them, page by page, newest last."""
    with snapshot():
        return search(query)


@blueprint.post("/search/full-text")
@requires("read")
@blueprint.arguments(FullTextBody())
@blueprint.response(200, page_of(ProductRecordBody))
def search_full_text(body: dict[str, Any]) -> Response:
    """Find the records whose texts have every word in them, whatever the case, page by page, newest last."""
    with snapshot():
        _require_schema(body)
        return _search_words(body["query"], body.get("schemaId"), body_bounds(body))


@blueprint.get("/search/text")
@requires("read")
@blueprint.doc(
    parameters=[
        {**query_parameter("q", "The words, in any order; each may be part of a longer one"), "example": "coastal"},
        query_parameter("query", "The same as q, which goes before it"),
        query_parameter("schemaId", "Only of this schema"),
        *PAGE_PARAMETERS,
    ]
)
@blueprint.response(200, page_of(ProductRecordBody))
def search_text() -> Response:
    """Find the records whose texts have every word of a query string in them, as the full-text search does."""
    bounds = page_bounds(request.args)
    name = "query" if "query" in request.args and "q" not in request.args else "q"
    words = request.args.get(name, "")
    if not words.strip() or len(words) > MAX_WORDS:
        raise ApiError(400, f"{name}: expected 1 to {MAX_WORDS} characters, not all of them blank, got {len(words)}")
    with snapshot():
        return _search_words(words, request.args.get("schemaId"), bounds)

"""Search: the records whose values meet criteria, or contain words."""

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
from sigma.http.fields import Items, Reference, enum_field, is_visible, string_field
from sigma.http.paging import PAGE_PARAMETERS, PageRequestBody, body_bounds, page_bounds, page_of, query_parameter
from sigma.http.strict_json import to_json
from sigma.http.waiting import SEARCHES, leave_worker, patience_ends
from sigma.resources.entities import entity_page, rows_of
from sigma.resources.model import require_existing
from sigma.resources.records import ProductRecordBody
from sigma.resources.role_limits import caller_levels, require_searchable
from sigma.resources.search_criteria import AttributeCriteria, CriterionBody, make_criteria, named_in

blueprint = ApiBlueprint("Search", "Finding records by their values.")

MAX_WORDS = 1000  # characters; each word is looked for in every record


class SearchBody(PageRequestBody):
    """A search for records by criteria."""

    criteriaOperator = enum_field(
        "Whether records must meet all criteria (`and`) or at least one (`or`); `and` when absent",
        ["and", "or"],
        example="and",
        required=False,
        allow_none=True,
    )
    criteria = Items(
        fields.Nested(CriterionBody),
        "The criteria; without any, all records are found",
        most=50,
        allow_none=True,
        example=[
            {"attribute": "product-name", "operator": "contains", "value": "Coastal"},
            {"attribute": "price", "operator": "gt", "value": "100"},
        ],
    )
    schemaId = Reference("schema", allow_none=True, example="schema-apparel")

    class Meta(PageRequestBody.Meta):
        fields = ("criteriaOperator", "criteria", "schemaId", "offset", "limit")


class FullTextBody(PageRequestBody):
    """A search for records by words."""

    query = string_field("The words, in any order; each may be part of a longer one", longest=MAX_WORDS, example="coastal wind")
    schemaId = Reference("schema", allow_none=True, example="schema-apparel")

    class Meta(PageRequestBody.Meta):
        fields = ("query", "schemaId", "offset", "limit")


Predicate = Callable[[Any], bool]


class TakesLongError(Exception):
    """A search has taken so long that it must start again where it holds up no other request."""


class ActiveSearch(threading.local):
    """The search that a thread is running: its predicates, and the failure that ended it, if any."""

    predicates: Sequence[Predicate] = ()
    until: float = math.inf  # when it has taken too long, by time.monotonic()
    failure: Exception | None = None


_active = ActiveSearch()


@sql_function(deterministic=False)  # the predicates depend on the search
def predicate_holds(index: int, text: str | None) -> bool:
    """Return whether the active search's predicate with this index holds for a text."""
    try:
        if time.monotonic() > _active.until:
            raise TakesLongError
        return _active.predicates[index](text)
    except Exception as failure:
        _active.failure = failure
        raise


@contextmanager
def predicates_in_sql(predicates: Sequence[Predicate]) -> Iterator[None]:
    """Let SQL call these predicates in the block.

    Raises the error of a predicate, or TakesLongError: SQLite says only that a function raised an error, as it also does for
    a damaged text.
    """
    _active.predicates, _active.until, _active.failure = predicates, patience_ends(), None
    try:
        yield
    except sqlite3.OperationalError as error:
        if str(error) != "user-defined function raised exception":
            raise
        raise _active.failure or sqlite3.DatabaseError("a stored text is damaged") from error
    finally:
        _active.predicates, _active.failure = (), None


RECORD_TEST = "predicate_holds(?, body)"
ATTRIBUTE_TEST = (  # values under the attribute's alias do not count if the schema does not have the attribute any more
    "predicate_holds(?, CASE WHEN schema_id IN (SELECT id FROM model_references WHERE tenant = ? AND kind = 'schema'"
    " AND target_kind = 'attribute' AND target_id = ?) THEN json_extract(body, ?) END)"
)


class Condition(NamedTuple):
    """A condition that a record must meet to be found."""

    predicate: Predicate  # takes the record's text, or that of its values of the attribute, None without values
    attribute: dict[str, Any] | None = None


def _find_page(
    conditions: list[Condition], schema_id: str | None, bounds: tuple[int, int], is_one_enough: bool = False
) -> Response:
    """Return one page of the records, all or of one schema, that meet all conditions, or at least one; newest last.

    SQL goes through the records and hands what is tested to Python.
    """
    sql, parameters = "SELECT seq FROM entities WHERE tenant = ? AND is_variant = 0", [g.tenant]
    if schema_id is not None:
        sql += " AND schema_id = ?"
        parameters.append(schema_id)
    sql += " AND (0" if is_one_enough and conditions else " AND (1"
    for index, (_, attribute) in enumerate(conditions):
        sql += " OR " if is_one_enough else " AND "
        sql += RECORD_TEST if attribute is None else ATTRIBUTE_TEST
        tested = () if attribute is None else (g.tenant, attribute["id"], f'$.values."{attribute["alias"]}"')
        parameters.extend((index, *tested))
    sql += ") ORDER BY seq"
    (offset, limit), total, page = bounds, 0, []
    try:
        with predicates_in_sql([condition.predicate for condition in conditions]):
            for total, (seq,) in enumerate(execute(sql, *parameters), 1):
                if offset < total <= offset + limit:
                    page.append(seq)
    except TakesLongError:  # starting again wastes a tenth of a second; leaving at once would slow every short search
        leave_worker(SEARCHES)
    return entity_page(rows_of(page), total, offset, limit)


def _text_prefilter(texts: Iterable[str]) -> Condition:
    """Return the condition that all these texts occur somewhere in a record's text, whatever the case.

    This check takes a third of the work, and rules most records out without parsing them. It is right because both JSON and
    case folding write a text character by character, and case folding does not change the characters that JSON escapes.
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
    """Raise ApiError 400, naming the field below the path, if a query names a schema that does not exist."""
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
    members = [named_in(criterion) for criterion in criteria]
    aliases = {f"{path}criteria[{index}].{member}": criteria[index][member] for index, member in enumerate(members)}
    require_searchable(aliases, query.get("schemaId"))
    return make_criteria(criteria, _is_one_enough(query), path)


def search(query: dict[str, Any], path: str = "") -> Response:
    """Return the page of records that a query asks for. Raises ApiError 400 or 403 as read_query() does."""
    criteria = read_query(query, path)
    literals = [text for group in criteria for text in group.literals]
    conditions = [_text_prefilter(literals)] if literals else []
    conditions += [Condition(group.matches, group.attribute) for group in criteria]
    return _find_page(conditions, query.get("schemaId"), body_bounds(query), _is_one_enough(query))


def _text_aliases() -> dict[str, list[str]]:
    sql = "SELECT schema_id, alias FROM schema_attributes WHERE tenant = ? AND json_extract(body, '$.type') = 'text'"
    aliases: dict[str, list[str]] = {}
    for schema_id, alias in execute(sql, g.tenant):
        aliases.setdefault(schema_id, []).append(alias)
    return {schema_id: list(filter(caller_levels(schema_id).shows, found)) for schema_id, found in aliases.items()}


class Words(NamedTuple):
    """The words that a record must have in its texts."""

    folded: list[str]
    aliases: dict[str, list[str]]  # of the text attributes that are searched, by schema

    def match(self, body: str) -> bool:
        """Return whether each word occurs in a text value of a record."""
        record, lines = json.loads(body), list[str]()
        for alias in self.aliases.get(record["schemaId"], ()):
            for entry in record["values"].get(alias, ()):
                value = entry["value"]
                lines.extend(item for item in (value if isinstance(value, list) else (value,)) if isinstance(item, str))
        text = "\n".join(lines).casefold()  # a word has no space in it, so no match spans two lines
        return all(word in text for word in self.folded)


def _search_words(text: str, schema_id: str | None, bounds: tuple[int, int]) -> Response:
    """Return one page of the records, all or of one schema, whose text values contain each word of a text."""
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
    """Find the records whose texts contain every word, whatever the case, page by page, newest last."""
    with snapshot():
        _require_schema(body)
        return _search_words(body["query"], body.get("schemaId"), body_bounds(body))


@blueprint.get("/search/text")
@requires("read")
@blueprint.doc(
    parameters=[
        {**query_parameter("q", "The words, in any order; each may be part of a longer one"), "example": "coastal"},
        query_parameter("query", "The same as q; ignored if q is given"),
        query_parameter("schemaId", "Only records of this schema"),
        *PAGE_PARAMETERS,
    ]
)
@blueprint.response(200, page_of(ProductRecordBody))
def search_text() -> Response:
    """Find the records whose texts contain every word in the query string, as the full-text search does."""
    bounds = page_bounds(request.args)
    name = "query" if "query" in request.args and "q" not in request.args else "q"
    words = request.args.get(name, "")
    if not words.strip() or len(words) > MAX_WORDS:
        raise ApiError(400, f"{name}: expected 1 to {MAX_WORDS} characters, not all of them blank, got {len(words)}")
    if not is_visible(words):
        raise ApiError(400, f"{name}: expected at least one visible character")
    with snapshot():
        return _search_words(words, request.args.get("schemaId"), bounds)

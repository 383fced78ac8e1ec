"""What all kinds of model objects share: how they are stored, what they refer to, and their routes."""

import functools
import json
from collections.abc import Callable, Collection, Iterable
from typing import Any

from flask import Response, g

from sigma.database import execute, fetch_one, get_db, transaction
from sigma.http.access import requires
from sigma.http.blueprint import ApiBlueprint
from sigma.http.errors import ApiError, get_or_404, holder_named, name_of, not_found_error, noun, raise_for_problems
from sigma.http.fields import Body, with_article
from sigma.http.nearest import MAX_COMPARED, what_there_is
from sigma.http.references import attribute_names, references
from sigma.http.responses import TEXT_OR_SIZE, Rows, json_list, json_response
from sigma.http.strict_json import format_value, to_json
from sigma.http.waiting import leave_worker
from sigma.resources.entities import holds_much
from sigma.resources.named_attributes import require_attributes


class ModelBody(Body):
    """A model object, which is stored and served as the caller gives it."""

    def hidden_ids(self) -> list[str]:
        """Return the ids of the objects that the caller's role hides; none unless overridden."""
        return []

    def other_referrers(self, stored: dict[str, Any]) -> Iterable[tuple[str, str]]:
        """Return the kinds and ids of referrers that the database does not know of; none unless overridden."""
        return ()

    def check_change(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        """Raise ApiError for a change that stored data or the caller's rights forbid; do nothing unless overridden."""

    def goes_through_records(self, old: dict[str, Any] | None, new: dict[str, Any] | None) -> bool:
        """Return whether a change, or a deletion (`new` is None), may read or write all records; not unless overridden."""
        return False


MODEL: dict[str, ModelBody] = {}  # the body of each kind

Declare = Callable[[Callable[..., Any]], Callable[..., Any]]


def exists(kind: str, id: str) -> bool:
    """Return whether the workspace has this model object."""
    return fetch_one("SELECT 1 FROM model_objects WHERE tenant = ? AND kind = ? AND id = ?", g.tenant, kind, id) is not None


def hint_at_id(kind: str, name: str, ids: Collection[str] | None = None) -> str:
    """Return the end of a message about an unknown id: the id of the object with this alias, or which ids there are.

    Only the given ids may be named; by default, all ids of the kind that the caller's role shows.
    """
    if ids is None:
        sql = "SELECT id FROM model_objects WHERE tenant = ? AND kind = ? ORDER BY seq LIMIT ?"
        hidden = MODEL[kind].hidden_ids()
        ids = [id for (id,) in execute(sql, g.tenant, kind, MAX_COMPARED) if id not in hidden]
    sql = "SELECT id FROM model_objects WHERE tenant = ? AND kind = ? AND alias = ?"
    row = fetch_one(sql, g.tenant, kind, name)
    return f" (its id is '{row[0]}')" if row and row[0] in ids else what_there_is(name, ids)


def require_existing(links: Iterable[tuple[str, str, str]]) -> None:
    """Raise ApiError 400 for references, each a field, kind and id, to objects that do not exist; name the fields."""
    raise_for_problems(
        f"{field}: {noun(kind)} '{id}' does not exist{hint_at_id(kind, id)}"
        for field, kind, id in links
        if not exists(kind, id)
    )


def fetch_object_text(kind: str, id: str) -> str:
    """Return a model object's stored text. Raises ApiError 404, also for an object that the caller's role hides."""
    if id in MODEL[kind].hidden_ids():
        raise not_found_error(kind, id)
    sql = "SELECT body FROM model_objects WHERE tenant = ? AND kind = ? AND id = ?"
    return get_or_404(fetch_one(sql, g.tenant, kind, id), kind, id)[0]


def load_object(kind: str, id: str) -> Any:
    """Return a model object. Raises ApiError 404."""
    return json.loads(fetch_object_text(kind, id))


def _find_holder(kind: str, new: dict[str, Any], field: str) -> str | None:
    sql = "SELECT id FROM model_objects WHERE tenant = ? AND kind = ? AND CASE ? WHEN 'id' THEN id ELSE alias END = ?"
    row = fetch_one(sql, g.tenant, kind, field, new[field])
    return name_of(kind, row[0]) if row and row[0] not in MODEL[kind].hidden_ids() else None


def _write_object(kind: str, id: str, body: str, is_new: bool) -> None:
    if is_new:
        execute("INSERT INTO model_objects (tenant, kind, body) VALUES (?, ?, ?)", g.tenant, kind, body)
    else:
        execute("UPDATE model_objects SET body = ? WHERE tenant = ? AND kind = ? AND id = ?", body, g.tenant, kind, id)
        execute("DELETE FROM model_references WHERE tenant = ? AND kind = ? AND id = ?", g.tenant, kind, id)


def store_object(kind: str, new: dict[str, Any], old: dict[str, Any] | None = None) -> str:
    """Store a new model object, or replace the old one, and return its text. Raises ApiError 400, 403 or 409."""
    id, links = new["id"], list(references(MODEL[kind], new))
    require_existing(link for link in links if link[1:] != (kind, id))
    require_attributes(attribute_names(MODEL[kind], new), {name for _, name in attribute_names(MODEL[kind], old or {})})
    MODEL[kind].check_change(old, new)
    body = to_json(new)
    with holder_named(functools.partial(_find_holder, kind, new)):
        _write_object(kind, id, body, is_new=old is None)
    get_db().executemany(
        "INSERT INTO model_references (tenant, kind, id, field, target_kind, target_id) VALUES (?, ?, ?, ?, ?, ?)",
        ((g.tenant, kind, id, *link) for link in links),
    )
    return body


def _delete_stored_object(kind: str, id: str) -> None:
    stored = load_object(kind, id)
    sql = "SELECT DISTINCT kind, id FROM referrers WHERE tenant = ? AND target_kind = ? AND target_id = ? LIMIT 4"
    found = [*execute(sql, g.tenant, kind, id), *MODEL[kind].other_referrers(stored)]
    if referrers := [f"{noun(source)} '{source_id}'" for source, source_id in found]:
        more = " and more" if len(referrers) > 3 else ""
        raise ApiError(409, f"{noun(kind).capitalize()} '{id}' is in use by {', '.join(referrers[:3])}{more}")
    execute("DELETE FROM model_objects WHERE tenant = ? AND kind = ? AND id = ?", g.tenant, kind, id)


def _leave_if_long(kind: str, id: str, new: dict[str, Any] | None) -> None:
    if holds_much():
        row = fetch_one("SELECT body FROM model_objects WHERE tenant = ? AND kind = ? AND id = ?", g.tenant, kind, id)
        if MODEL[kind].goes_through_records(row and json.loads(row[0]), new):
            leave_worker()


def check_path_id(body: dict[str, Any], id: str) -> dict[str, Any]:
    """Return a body with the path's id, which the body may leave out. Raises ApiError 400 if the body has another id."""
    if body.get("id", id) != id:
        raise ApiError(400, f"id: expected '{id}' as in the path, got {format_value(body['id'])}")
    return {"id": id, **body}


def _add_reads(blueprint: ApiBlueprint, kind: str, body: type[ModelBody]) -> None:
    name, words = kind.replace("-", "_"), noun(kind)

    @blueprint.get(f"/{kind}s", endpoint=f"list_{name}s")
    @requires("read")
    @blueprint.ready_response(200, body(many=True))
    @blueprint.doc(summary=f"List all {words}s, in order of creation.")
    def list_objects() -> Response:
        sql = (
            f"SELECT {TEXT_OR_SIZE} FROM model_objects WHERE tenant = ? AND kind = ?"  # noqa: S608
            " AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY seq"
        )
        return json_list(Rows(sql, (g.tenant, kind, to_json(MODEL[kind].hidden_ids()))))

    @blueprint.get(f"/{kind}s/<id>", endpoint=f"get_{name}")
    @requires("read")
    @blueprint.ready_response(200, body)
    @blueprint.doc(summary=f"Get one {words}.")
    def get_object(id: str) -> Response:
        return json_response(fetch_object_text(kind, id))


def _add_writes(blueprint: ApiBlueprint, kind: str, body: type[ModelBody], update: Declare, delete: Declare) -> None:
    name, one = kind.replace("-", "_"), with_article(kind)
    has_alias = "alias" in MODEL[kind].fields
    names = "id and alias" if has_alias else "id"
    conflicts = ["CONFLICT"] if has_alias else []  # a role has no alias, so its PUT cannot conflict

    @blueprint.post(f"/{kind}s", endpoint=f"create_{name}")
    @update
    @blueprint.arguments(body())
    @blueprint.ready_response(201, body)
    @blueprint.doc(summary=f"Create {one}; its {names} must be new in the workspace.")
    @blueprint.errors("CONFLICT")
    def create_object(new: dict[str, Any]) -> Response:
        _leave_if_long(kind, new["id"], new)
        with transaction():
            return json_response(store_object(kind, new), 201)

    @blueprint.put(f"/{kind}s/<id>", endpoint=f"replace_{name}")
    @update
    @blueprint.arguments(body(partial=("id",)))
    @blueprint.ready_response(200, body)
    @blueprint.doc(summary=f"Replace {one} as a whole; the body may leave its id out.")
    @blueprint.errors(*conflicts)
    def replace_object(new: dict[str, Any], id: str) -> Response:
        new = check_path_id(new, id)
        _leave_if_long(kind, id, new)
        with transaction():
            return json_response(store_object(kind, new, load_object(kind, id)))

    @blueprint.delete(f"/{kind}s/<id>", endpoint=f"delete_{name}")
    @delete
    @blueprint.response(204)
    @blueprint.doc(summary=f"Delete {one} that nothing refers to.")
    @blueprint.errors("CONFLICT")
    def delete_object(id: str) -> None:
        _leave_if_long(kind, id, None)
        with transaction():
            _delete_stored_object(kind, id)


def add_model_routes(blueprint: ApiBlueprint, kind: str, body: type[ModelBody], *, update: Declare, delete: Declare) -> None:
    """Add the five operations that every kind of model object has.

    `update` and `delete` are requires(…) or session_only(…): who may create and replace, and who may delete.
    """
    MODEL[kind] = body()
    _add_reads(blueprint, kind, body)
    _add_writes(blueprint, kind, body, update, delete)


def fetch_attribute_texts(schema: dict[str, Any]) -> list[str]:
    """Return the stored texts of a schema's attributes, in the order of its groups."""
    sql = "SELECT id, body FROM schema_attributes WHERE tenant = ? AND schema_id = ?"
    bodies = dict(execute(sql, g.tenant, schema["id"]).fetchall())
    groups = sorted(schema["attributeGroups"], key=lambda group: group["sortOrder"])
    return [bodies[attribute] for group in groups for attribute in group["attributeIds"]]

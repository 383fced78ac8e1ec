"""The check of a seed's links: no id occurs twice, and everything that a part refers to is in the seed."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from sigma.http.errors import name_of
from sigma.http.nearest import what_there_is
from sigma.http.references import references
from sigma.http.strict_json import format_value
from sigma.resources.model import MODEL
from sigma.resources.option_lists import descendants

Bodies = list[tuple[str, dict[str, Any]]]  # each with its path in the seed


def paths_of(seed: dict[str, Any], *members: str) -> Bodies:
    """Return the objects in these lists of a seed, each with its path."""
    return [(f"{member}[{index}]", body) for member in members for index, body in enumerate(seed[member])]


def _missing(path: str, kind: str, id: str, known: Collection[str]) -> str:
    return f"{path}: {name_of(kind, id)} does not exist in this seed{what_there_is(id, known)}"


def _repeated(bodies: Iterable[tuple[str, dict[str, Any]]], member: str = "id") -> Iterator[str]:
    seen: set[str] = set()
    for path, body in bodies:
        if member in body and body[member] in seen:
            yield f"{path}.{member}: {format_value(body[member])} is already taken in this seed"
        seen.add(body.get(member, ""))


def _model_problems(model: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    stored = {(kind, body["id"]) for kind, body in model}
    for kind in MODEL:
        own = [(f"model[{index}][1]", body) for index, (named, body) in enumerate(model) if named == kind]
        yield from _repeated(own)
        yield from _repeated(own, "alias")
        for path, body in own:
            for field, target, id in references(MODEL[kind], body, f"{path}."):
                if (target, id) not in stored:
                    yield _missing(field, target, id, [known for kind, known in stored if kind == target])


def _role_problems(seed: dict[str, Any]) -> Iterator[str]:
    roles = {body["id"] for kind, body in seed["model"] if kind == "role"}
    for path, user in paths_of(seed, "users"):
        if user["roleId"] not in roles:
            yield _missing(f"{path}.roleId", "role", user["roleId"], roles)


def _record_problems(seed: dict[str, Any]) -> Iterator[str]:
    schemas = {body["id"] for kind, body in seed["model"] if kind == "schema"}
    for path, record in paths_of(seed, "records"):
        if record["schemaId"] not in schemas:
            yield _missing(f"{path}.schemaId", "schema", record["schemaId"], schemas)


def _variant_problems(seed: dict[str, Any]) -> Iterator[str]:
    records = {record["id"] for record in seed["records"]}
    places = {id: (id, 0) for id in records}  # record and level, by id of the records and the variants so far
    for path, variant in paths_of(seed, "variants"):
        record = variant["entityId"]
        parent = variant.get("parentId", record)
        if record not in records:
            yield _missing(f"{path}.entityId", "record", record, records)
        elif places.get(parent, ("", 0))[0] != record:
            expected = f"{format_value(record)} or a variant of it that comes before"
            yield f"{path}.parentId: expected {expected}, got {format_value(parent)}"
        else:
            level = places[parent][1] + 1
            places[variant["id"]] = record, level
            if variant.setdefault("level", level) != level:
                yield f"{path}.level: expected {level}, got {variant['level']}"


def _category_problems(seed: dict[str, Any]) -> Iterator[str]:
    catalogs = {body["id"] for kind, body in seed["model"] if kind == "catalog"}
    catalog_of = {body["id"]: catalog for catalog, body in seed["categories"]}
    bodies = [body for _, body in seed["categories"]]
    rooted = descendants((body["id"] for body in bodies if body["parentId"] not in catalog_of), bodies)  # in no cycle
    yield from _repeated((f"categories[{index}][1]", body) for index, body in enumerate(bodies))
    for index, (catalog, body) in enumerate(seed["categories"]):
        path, parent = f"categories[{index}]", body["parentId"]
        if catalog not in catalogs:
            yield _missing(f"{path}[0]", "catalog", catalog, catalogs)
        if body.get("catalogId", catalog) != catalog:
            yield f"{path}[1].catalogId: expected {format_value(catalog)}, got {format_value(body['catalogId'])}"
        if parent is not None and catalog_of.get(parent) != catalog:
            known = [id for id, other in catalog_of.items() if other == catalog]
            problem = f"{name_of('category', parent)} does not exist in {name_of('catalog', catalog)}"
            yield f"{path}[1].parentId: {problem}{what_there_is(parent, known)}"
        elif body["id"] not in rooted:
            yield f"{path}[1].parentId: expected a category that is not below this one, got {format_value(parent)}"


def _assignment_problems(seed: dict[str, Any]) -> Iterator[str]:
    categories = {body["id"] for _, body in seed["categories"]}
    records = {record["id"] for record in seed["records"]}
    for path, (category, record) in paths_of(seed, "assignments"):
        if category not in categories:
            yield _missing(f"{path}[0]", "category", category, categories)
        if record not in records:
            yield _missing(f"{path}[1]", "record", record, records)


def link_problems(seed: dict[str, Any]) -> Iterator[str]:
    """Yield the problems with the links between the parts of a seed, which all have ids. Fills in the levels of variants."""
    yield from _model_problems(seed["model"])
    yield from _repeated(paths_of(seed, "users"))
    yield from _role_problems(seed)
    yield from _repeated(paths_of(seed, "records", "variants"))
    yield from _record_problems(seed)
    yield from _variant_problems(seed)
    yield from _repeated(paths_of(seed, "history"))
    yield from _category_problems(seed)
    yield from _assignment_problems(seed)
    yield from _repeated(paths_of(seed, "savedQueries"))
    yield from _repeated(paths_of(seed, "webhooks"))

"""The OpenAPI document."""

import json
import re
from collections.abc import Iterator
from typing import Any

import marshmallow as ma
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask, current_app
from flask_smorest import Api, Blueprint

from sigma.docs.examples import SCHEMA_NAME, Examples, component_name, example_facts
from sigma.http.access import Access
from sigma.http.errors import ERRORS, Smorest
from sigma.http.fields import with_article
from sigma.http.strict_json import to_json
from sigma.permissions import PERMISSIONS
from sigma.resources.model import MODEL

HEADERS = {
    name: {"description": description, "required": True, "schema": {"type": "string", **schema}}
    for name, description, schema in (
        ("X-Request-Id", "Names the request in the service's log", {"pattern": "^[A-Za-z0-9._-]{1,64}$"}),
        ("X-Sigma-Required-Permission", "What a key needs; session: none may call", {"enum": [*PERMISSIONS, "session"]}),
        ("WWW-Authenticate", "How to authenticate", {}),
        ("Retry-After", "How many seconds to wait", {"type": "integer", "minimum": 1}),
    )
}

DESCRIPTION = """A local stand-in for the Sigma PIM API: same paths, same bodies, same refusals, real state.

Integrations send an API key in `X-Sigma-ApiKey`; people sign in at `POST /api/v1/auth/login` and send the token as
`Authorization: Bearer <token>`. Each operation says in `x-required-permission` which permission a key needs for it:

""" + "\n".join(f"- `{permission}`: {meaning}" for permission, meaning in PERMISSIONS.items())

DESCRIPTION += "\n\nEvery refusal has the same shape, and one of these codes:\n\n" + "\n".join(
    f"- {error.status} `{code}`: {error.meaning}" for code, error in ERRORS.items()
)


def name_titled(part: Any, schemas: dict[str, Any]) -> Any:
    """Return a part of a schema; what has a title there becomes a schema of its own, for which clients get one type."""
    if isinstance(part, list):
        return [name_titled(item, schemas) for item in part]
    if not isinstance(part, dict):
        return part
    part = {word: name_titled(item, schemas) for word, item in part.items()}
    if "type" not in part:
        part.pop("nullable", None)  # it would mean nothing: without a type, null is a value like any other
    if not isinstance(part.get("title"), str):
        return part
    title = part.pop("title")
    schemas.setdefault(title, part)
    return {"allOf": [{"$ref": f"#/components/schemas/{title}"}], "description": part["description"]}


def mentioned_schemas(part: Any, schemas: dict[str, Any]) -> set[str]:
    """Return the names of the schemas that a part of the document refers to, also through one another."""
    names = SCHEMA_NAME.findall(to_json(part))
    for name in names:  # grows as it goes
        names.extend(set(SCHEMA_NAME.findall(to_json(schemas[name]))) - set(names))
    return set(names)


def one_way(schema: dict[str, Any], body: ma.Schema | None, is_answer: bool) -> dict[str, Any]:
    """Return what a body is like in an answer, where what has a default is always there, or in a request, where it need not be.

    To generators of clients the word `default` would be a promise that it is there in both.
    """
    if body is None:
        return schema
    required, properties = set(schema.get("required", ())), {}
    for name, member in schema["properties"].items():
        default = body.fields[name].load_default
        is_optional = name not in required and default is not None
        dropped = {"default", "nullable"} if is_answer and is_optional else {"default"}
        properties[name] = {word: value for word, value in member.items() if word not in dropped}
        if default is not ma.missing and is_answer:
            required.add(name)
        elif default not in (ma.missing, None):
            absent = to_json(default() if callable(default) else default)
            properties[name]["description"] += f"; {absent} when absent"
    return {**schema, "properties": properties, **({"required": sorted(required)} if required else {})}


def split_bodies(operations: list[dict[str, Any]], schemas: dict[str, Any], bodies: dict[str, ma.Schema]) -> dict[str, Any]:
    """Return the schemas that operations use; one that is both sent and answered becomes two, unless that is the same."""
    sent = mentioned_schemas([operation.get("requestBody") for operation in operations], schemas)
    answered = mentioned_schemas([operation["responses"] for operation in operations], schemas)
    requests, answers = (
        {name: one_way(schema, bodies.get(name), is_answer) for name, schema in schemas.items()} for is_answer in (False, True)
    )
    twins = {
        name
        for name in sent & answered
        if any(requests[n] != answers[n] for n in {name, *mentioned_schemas(schemas[name], schemas)})
    }

    def as_sent(part: Any) -> Any:
        return json.loads(SCHEMA_NAME.sub(lambda name: name[0] + "Request" * (name[0] in twins), to_json(part)))

    for operation in operations:
        operation.update(as_sent({name: operation[name] for name in ("requestBody",) if name in operation}))
    used: dict[str, Any] = {}
    for name in schemas:
        used |= {name: answers[name]} if name in answered else {}
        used |= {name + "Request" * (name in twins): as_sent(requests[name])} if name in sent else {}
    return used


def who_may_call(access: Access) -> str:
    """Say what it takes to call an operation."""
    if access.permission == "public":
        return "Needs no credential."
    if access.permission == "credential":
        return "Every API key and every signed-in user may call it."
    if access.permission == "demo":
        return "Needs no credential. It is there only beside the demo workspace, and not for web pages of other origins."
    key = "No API key may call it" if access.permission == "session" else f"An API key needs `{access.permission}`"
    user = f"a signed-in user needs a role with `{access.flag}`" if access.flag else "any signed-in user may call it"
    return f"{key}; {user}."


def error_codes(access: Access, id: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    """Yield the codes with which an operation may refuse."""
    verb, _, noun = id.partition("_")
    guarded, has_body, beside_demo = access.permission != "public", "requestBody" in operation, access.permission == "demo"
    writes = verb in ("create", "replace", "set") and id not in (
        *("create_api_key", "replace_role", "replace_category", "create_test_workspace"),
    )
    comes = {
        "VALIDATION_ERROR": has_body or "parameters" in operation,
        "UNAUTHORIZED": (guarded and not beside_demo) or verb == "login",
        "PERMISSION_DENIED": guarded and access.permission != "credential",
        "LIMIT_EXCEEDED": id == "create_record",
        "NOT_FOUND": "{" in path or beside_demo,
        "METHOD_NOT_ALLOWED": False,
        "CONFLICT": writes or (verb == "delete" and noun.replace("_", "-") in MODEL),
        "UNSUPPORTED_MEDIA_TYPE": has_body,
        "TRANSITION_ERROR": verb == "transition",
        "RATE_LIMITED": verb == "login",
    }
    yield from (code for code in ERRORS if comes.get(code, True))


def response_headers(access: Access, *more: str) -> dict[str, Any]:
    """Refer to the headers of an answer."""
    names = ["X-Request-Id", *more] + (["X-Sigma-Required-Permission"] if access.is_announced else [])
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def refusal(access: Access, code: str, message: str) -> dict[str, Any]:
    """Describe an answer that refuses."""
    _, description, header = ERRORS[code]
    content = {"schema": {"$ref": "#/components/schemas/Error"}, "example": {"error": code, "message": message}}
    return {
        "description": description,
        "headers": response_headers(access, *([header] if header else [])),
        "content": {"application/json": content},
    }


def describe(operation: dict[str, Any], rule: Any, path: str, examples: dict[str, Any], shared: dict[str, Any]) -> None:
    """Say where an operation belongs, what it does, who may call it, and how it refuses; what guarded ones answer is shared."""
    access, id, text = rule.access, rule.endpoint.partition(".")[2], operation["summary"].removesuffix(".")
    schemes: dict[str, list[str]] = {"public": [], "demo": [], "session": ["session"]}
    operation |= {
        "operationId": id,
        "summary": re.split("[,;:.]", text)[0] + ".",
        "description": f"{text}.\n\n{who_may_call(access)}",
        "x-required-permission": access.permission,
        "security": [{scheme: []} for scheme in schemes.get(access.permission, ["apiKey", "session"])],
    }
    responses = operation["responses"] = {
        status: {**response, "headers": response_headers(access)}
        for status, response in operation["responses"].items()
        if status.startswith("2")
    }
    for code in error_codes(access, id, path, operation):
        message = examples["operations"].get(id, {}).get(code, examples["refusals"][code])
        response = refusal(access, code, message)
        if access.is_announced:
            shared[code], response = response, {"$ref": f"#/components/responses/{code}"}
        responses[str(ERRORS[code].status)] = response


def describe_parameters(path: str, parameters: list[dict[str, Any]], ids: dict[str, str]) -> None:
    """Say what stands in the places of a path."""
    for (noun, name), parameter in zip(re.findall("([a-z-]+)/{([a-z_]+)}", path), parameters, strict=True):
        kind = re.sub("ies$", "y", noun).removesuffix("s")
        parameter["description"] = "Alias of an attribute" if name == "attribute" else f"Id of {with_article(kind)}"
        parameter["example"] = ids.get(name, ids.get(noun))


def name_demo_credentials(schemes: dict[str, Any], demo: dict[str, Any]) -> None:
    """Say with what the demo workspace can be tried out, in the place where the docs ask for it."""
    key, user = demo["apiKeys"][0], demo["users"][0]
    schemes["apiKey"]["description"] += f"; the demo workspace has `{key['rawKey']}` ({', '.join(key['permissions'])})"
    schemes["session"]["description"] += f"; in the demo workspace as `{user['email']}` with the password `{user['password']}`"


def openapi_document(smorest: Api, blueprints: list[Blueprint], demo: dict[str, Any]) -> str:
    """Return the OpenAPI document: what flask-smorest knows, and of each operation its access, its errors and examples."""
    for blueprint in blueprints:  # only now, because it takes as long as all the rest of starting
        blueprint.register_views_in_doc(smorest, current_app, smorest.spec, name=blueprint.name, parameters=None)
    document = json.loads(to_json(smorest.spec.to_dict()))
    examples, components, operations = demo["examples"], document["components"], []
    components |= {"responses": {}, "headers": HEADERS}
    for rule in current_app.url_map.iter_rules():
        if rule.rule.startswith(("/api/", "/standin/")):
            path = re.sub("<([a-z_]+)>", r"{\1}", rule.rule)
            (method,) = {method.lower() for method in rule.methods or ()} - {"head", "options"}
            describe(document["paths"][path][method], rule, path, examples, components["responses"])
            operations.append(document["paths"][path][method])
    for path, item in document["paths"].items():
        describe_parameters(path, item.get("parameters", []), examples["ids"])
    bodies = {name: cls() for (cls, *_), name in smorest.ma_plugin.converter.refs.items()}
    schemas = components["schemas"]
    for name, body in bodies.items():
        schemas[name] = {**name_titled(schemas[name], schemas), "description": type(body).__doc__}
    components["schemas"] = split_bodies(operations, schemas, bodies)
    composer = Examples(components["schemas"], example_facts(demo, bodies))
    for operation in operations:
        id = operation["operationId"]
        composer.add_to(operation, examples["operations"].get(id, {}), keeps=id.startswith("replace_"))
    name_demo_credentials(components["securitySchemes"], demo)
    document["tags"] = [{"name": blueprint.name, "description": blueprint.description} for blueprint in blueprints]
    return to_json(document)


def make_api(app: Flask) -> Smorest:
    """Return the app's flask-smorest, with what the OpenAPI document says of the API as a whole."""
    smorest = Smorest(
        app,
        spec_kwargs={
            "title": "Sigma PIM API",
            "version": "1.0",
            "openapi_version": "3.0.3",
            "info": {
                "description": DESCRIPTION,
                "contact": {"name": "Whoever runs this service"},
                "license": {"name": "None stated", "url": "/"},
            },
            "servers": [{"url": "/", "description": "The host that serves this document"}],
            "marshmallow_plugin": MarshmallowPlugin(schema_name_resolver=component_name),
        },
    )
    key, session = "An integration's API key", "A person's session token, from logging in"
    scheme = smorest.spec.components.security_scheme
    scheme("apiKey", {"type": "apiKey", "in": "header", "name": "X-Sigma-ApiKey", "description": key})
    scheme("session", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": session})
    return smorest

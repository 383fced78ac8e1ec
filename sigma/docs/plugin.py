"""Operations and bodies in the OpenAPI document: what this service adds to apispec's plugin for marshmallow."""

import re
from typing import Any

import marshmallow as ma
from apispec.ext.marshmallow import MarshmallowPlugin

from sigma.docs.examples import Examples
from sigma.http.access import Access, Kind
from sigma.http.errors import ERRORS
from sigma.http.fields import with_article
from sigma.http.strict_json import to_json


def describe_error(code: str, message: str, headers: list[str]) -> dict[str, Any]:
    """Return the description of an error; apispec replaces the names of headers and schemas by references."""
    names = {name: name for name in (*headers, ERRORS[code].header) if name}
    content = {"application/json": {"schema": "ErrorResponse", "example": {"error": code, "message": message}}}
    return {"description": ERRORS[code].meaning, "headers": names, "content": content}


def _error_codes(access: Access, path: str, operation: dict[str, Any]) -> list[str]:
    """Return the error codes of an operation: those that follow from its access, path and body, and those of its view."""
    in_query = any(parameter["in"] == "query" for parameter in operation.get("parameters", ()))
    shared = {
        "VALIDATION_ERROR": "requestBody" in operation or in_query,
        "UNAUTHORIZED": access.needs_credential,
        "PERMISSION_DENIED": access.announced is not None or access.kind is Kind.DEMO,
        "NOT_FOUND": "{" in path or access.kind in (Kind.DEMO, Kind.SESSION_OR_DEMO),
        "UNSUPPORTED_MEDIA_TYPE": "requestBody" in operation,
    }
    declared = operation["responses"].values()
    return [code for code, error in ERRORS.items() if shared.get(code, error.status in (413, 500, 503)) or code in declared]


class ServicePlugin(MarshmallowPlugin):
    """Describes operations and bodies. A body of both requests and responses gets two descriptions: clients need two types.

    A member with a default may be left out of a request, and is always there in a response. An optional member may be null in
    a request, and never in a response. The keyword `default` is removed: to generators of clients it promises that the member
    is there.
    """

    def __init__(self, examples: dict[str, Any]):
        super().__init__(schema_name_resolver=self.unused_name)
        self.demo = examples  # of operations and refusals
        self.examples = Examples(examples["ids"], examples["objects"])
        self.is_request = False  # whether the bodies of requests are being described, or those of responses
        self.requests: list[tuple[ma.Schema, dict[str, Any]]] = []  # the bodies of requests, and where their descriptions go

    def init_spec(self, spec: Any) -> None:
        """Register describe_field(), which is called after apispec's own functions for fields."""
        super().init_spec(spec)
        self.converter.add_attribute_function(lambda _, field, ret: self.describe_field(field, ret))

    def path_helper(self, path: str, operations: Any, parameters: list[dict[str, Any]], rule: Any, **_: Any) -> None:
        """Describe the parameters of a path, and those for which this operation's example has another id."""
        (operation,) = operations.values()
        ids = self.demo["operations"].get(rule.endpoint.partition(".")[2], {}).get("ids", {})
        for (noun, name), parameter in zip(re.findall("([a-z-]+)/{([a-z_]+)}", path), parameters, strict=False):
            kind = re.sub("ies$", "y", noun).removesuffix("s")
            parameter["description"] = "Alias of an attribute" if name == "attribute" else f"Id of {with_article(kind)}"
            parameter["example"] = self.examples.id("alias" if name == "attribute" else kind)
            if kind in ids:  # an operation's parameter overrides its path's
                operation.setdefault("parameters", []).append({**parameter, "example": ids[kind]})

    def operation_helper(self, path: str, operations: dict[str, Any], rule: Any, **_: Any) -> None:
        """Describe what an operation does, who may call it, how it may fail, its request and its response."""
        (operation,), access, id = operations.values(), rule.access, rule.endpoint.partition(".")[2]
        text, example = operation.get("summary", id).removesuffix("."), self.demo["operations"].get(id, {})
        more = [*filter(None, (operation.get("description"), example.get("note"))), access.in_words]
        headers = ["X-Request-Id"] + ["X-Sigma-Required-Permission"] * (access.announced is not None)
        status = min(operation["responses"], key=str)  # the success; flask-smorest's default errors are dropped
        schemes = ["apiKey"] * (not access.is_for_sessions) + ["session"] if access.needs_credential else []
        no_credential: list[dict[str, Any]] = [{}] * (access.kind is Kind.SESSION_OR_DEMO)
        responses = {status: operation["responses"][status] | {"headers": {name: name for name in headers}}}
        for code in _error_codes(access, path, operation):  # operations that announce a permission share one text per code
            error = describe_error(code, example.get(code) or self.demo["refusals"].get(code, ERRORS[code].meaning), headers)
            responses[ERRORS[code].status] = code if access.announced else error
        operation |= {
            "operationId": id,
            "summary": re.split("[,;:.]", text)[0] + ".",
            "description": "\n\n".join([f"{text}.", *more]),
            "x-required-permission": access.requirement,
            **({"x-required-flag": access.flag} if access.flag else {}),
            "x-access": access.in_short,
            "security": [{scheme: []} for scheme in schemes] + no_credential,
            "responses": responses,
        }
        self.add_examples(operation, responses[status], example)
        super().operation_helper(path, operations)

    def add_examples(self, operation: dict[str, Any], success: dict[str, Any], given: dict[str, Any]) -> None:
        """Add examples of bodies, and set the bodies of requests aside for describe_requests()."""
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content["example"] = self.examples.body(content["schema"], given)
            self.requests.append((content.pop("schema"), content))
        for content in success.get("content", {}).values():
            body = content["schema"]
            if "example" not in content:  # a view may declare one
                content["example"] = given["answer"] if isinstance(body, dict) else self.examples.body(body, given)
            if operation["operationId"].endswith("_values"):  # values that the request does not name stay
                content["example"]["values"] = {**self.examples.body(body, {})["values"], **given["values"]}

    def describe_requests(self) -> None:
        """Describe the bodies of requests, now that all bodies of responses have their names."""
        self.is_request, self.converter.refs = True, {}
        for body, content in self.requests:
            content["schema"] = self.resolver.resolve_schema_dict(body)

    def unused_name(self, body: Any) -> str:
        """Return a name for a body that has none yet. The body of a PUT, whose id is optional, gets a name of its own."""
        name = type(body).__name__.removesuffix("Body") + ("Replacement" if body.partial else "")
        return name + "Request" if self.is_request and name in self.spec.components.schemas else name

    def schema_helper(self, name: str, _: Any, schema: Any = None, **options: Any) -> Any:
        """Describe a body."""
        described = super().schema_helper(name, _, schema, **options)
        described["description"] = type(schema).__doc__
        filled = {member for member, field in schema.fields.items() if field.load_default is not ma.missing}
        if filled and not self.is_request:
            described["required"] = sorted(filled.union(described.get("required", ())))
        return described

    def describe_field(self, field: ma.fields.Field, ret: dict[str, Any]) -> dict[str, Any]:
        """Return the description of a field, made from apispec's, which is `ret` and is emptied."""
        described, default, components = {**ret}, field.load_default, self.spec.components
        ret.clear()
        described.pop("default", None)
        if "pattern" in described:  # Python's `$` also matches before a final line break; other dialects do not need the remedy
            described["pattern"] = described["pattern"].removesuffix(r"(?!\n)")
        if "type" not in described or not (self.is_request or field.required or default is None):
            described.pop("nullable", None)  # without a type, null is a value like any other
        if "enum" in described and "nullable" not in described:
            described["enum"] = [value for value in described["enum"] if value is not None]
        if title := described.pop("title", None):  # a schema of its own, so that clients get one type for it
            example = {"example": described.pop("example")} if "example" in described else {}
            if components.schemas.get(title, described).get("additionalProperties") != described.get("additionalProperties"):
                title += "Request"
            components.schemas.setdefault(title, described)
            described = {"description": described["description"], "allOf": [components.get_ref("schema", title)], **example}
        if self.is_request and described.get("nullable") and default is ma.missing:
            described["description"] += "; null means absent"
        if self.is_request and default not in (ma.missing, None):
            described["description"] += f"; {to_json(default() if callable(default) else default)} when absent"
        return described

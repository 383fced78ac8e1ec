"""The examples of the OpenAPI document, from the demo's data."""

import re
from typing import Any, NamedTuple

import marshmallow as ma

from sigma.http.fields import Body
from sigma.resources.model import MODEL

SCHEMA_NAME = re.compile('(?<="#/components/schemas/)[A-Za-z]+')


def component_name(schema: Any) -> str:
    """Name a body in the OpenAPI document; one for PUT, whose id is optional, is a schema of its own."""
    cls = schema if isinstance(schema, type) else type(schema)
    return cls.__name__.removesuffix("Body") + ("Replacement" if getattr(schema, "partial", None) else "")


def example_facts(demo: dict[str, Any], bodies: dict[str, ma.Schema]) -> dict[str, dict[str, Any]]:
    """Return what the examples of each body say: what an object of the demo says, and what demo.json adds."""
    shown, more = demo["examples"]["ids"].values(), demo["examples"]["bodies"]
    facts = {component_name(MODEL[kind]): MODEL[kind].load(body) for kind, body in demo["model"] if body["id"] in shown}
    facts |= {"OptionValue": facts["OptionList"]["values"][0], "Transition": facts["Workflow"]["transitions"][0]}
    facts |= {"User": demo["users"][0], "Login": demo["users"][0], "Tenant": demo["workspace"], "ApiKey": demo["apiKeys"][0]}
    facts |= {"Record": demo["records"][0], "Variant": demo["variants"][0][1], "Category": demo["categories"][0][1]}
    for name, body in bodies.items():  # what is said of a body holds for those that are made from it
        bases = [component_name(base) for base in reversed(type(body).__mro__) if issubclass(base, Body)]
        said = [known.get(base, {}) for base in bases for known in (facts, more)]
        facts[f"{name}Request"] = facts[name] = {member: value for known in said for member, value in known.items()}
    return {**more, **facts}


class Examples(NamedTuple):
    """Composes examples of bodies."""

    schemas: dict[str, Any]
    facts: dict[str, dict[str, Any]]  # by the name of a schema

    def of(self, schema: dict[str, Any], said: dict[str, Any]) -> Any:
        """Return an example of what a schema describes; what is said of this one goes before what is said of all."""
        schema = schema.get("allOf", [schema])[0]
        if "items" in schema:
            return [self.of(schema["items"], said)]
        if "$ref" not in schema:
            return schema.get("example")
        name = schema["$ref"].rpartition("/")[2]
        body, known = self.schemas[name], {**self.facts.get(name, {}), **said}
        if "properties" not in body:
            return known
        return {
            member: known[member] if member in known else self.of(inner, {})
            for member, inner in body["properties"].items()
            if member in known or member in body.get("required", ())
        }

    def add_to(self, operation: dict[str, Any], said: dict[str, Any], keeps: bool) -> None:
        """Add examples of what is sent and answered; of objects in the answer, what is not sent may have been kept."""
        sent: dict[str, Any] = {}
        for content in operation.get("requestBody", {}).get("content", {}).values():
            sent = content["example"] = self.of(content["schema"], said)
        for content in operation["responses"][min(operation["responses"])].get("content", {}).values():
            example = content["example"] = self.of(content["schema"], {} if keeps else said)
            for member in sent.keys() & example.keys() if keeps else ():
                example[member] = {**example[member], **sent[member]} if isinstance(sent[member], dict) else sent[member]

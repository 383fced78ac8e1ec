"""Webhooks: which changes are sent, and where."""

import json
from collections.abc import Iterator
from typing import Any

from flask import Response, g
from marshmallow import fields, validate

from sigma.database import call_when_stored, execute, fetch_one, transaction
from sigma.http.access import session_only
from sigma.http.blueprint import ApiBlueprint
from sigma.http.errors import ApiError, get_or_404, holder_named, name_of, not_found_error, raise_for_problems
from sigma.http.fields import Body, Flag, Items, described, enum_field, id_field, name_field, string_field, unique_items
from sigma.http.masking import MASK
from sigma.http.responses import TEXT_OR_SIZE, Rows, json_list, json_response
from sigma.http.stamps import random_id
from sigma.http.strict_json import to_json
from sigma.resources.model import check_path_id
from sigma.resources.outbox import EVENTS
from sigma.resources.sender import wake_sender
from sigma.resources.webhook_addresses import URL_PATTERN, check_webhook_url, url_problem

blueprint = ApiBlueprint("Webhooks", "Where changes to records and variants are sent.")

MAX_WEBHOOKS = 50  # of a workspace: every write may make a delivery for each


def secret_field(description: str) -> fields.String:
    """Return a field for a secret that signs; null means none."""
    rule = validate.Length(1, 200, error="Expected 1 to 200 characters")
    return fields.String(allow_none=True, validate=rule, metadata=described(description, "a long random text"))


class WebhookBody(Body):
    """A receiver of events."""

    id = id_field("The webhook's id")
    name = name_field("Human-readable name")
    description = string_field("What it is for", required=False, longest=10_000)
    url = fields.String(
        required=True,
        validate=validate.Length(max=2000, error="Expected at most {max} characters"),
        metadata=described("Where events are sent: http or https", pattern=URL_PATTERN),
    )
    events = Items(
        enum_field("An event", EVENTS, "WebhookEvent", meanings=EVENTS),
        "The events that are sent to it",
        required=True,
        validate=[validate.Length(min=1, error="Expected at least one event"), unique_items()],
    )
    secret = string_field(f"Signs what is sent; shown as {MASK}, absent without one", required=False, example=MASK)
    active = Flag("Whether events are sent to it; false also pauses waiting deliveries", load_default=True)


class WebhookRequestBody(WebhookBody):
    """A receiver of events to be created, or to replace another."""

    id = id_field("The webhook's id; made when absent", required=False)
    secret = secret_field(f"Signs what is sent, and is never shown; {MASK} keeps the one that is there")


def webhook_problems(webhook: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield what is wrong with a webhook before it is stored; takes its path in the body."""
    if problem := url_problem(webhook["url"]):
        yield f"{path}url: {problem}"
    if webhook.get("secret") == MASK:
        yield f"{path}secret: Expected the secret itself, because there is none that {MASK} could keep"


def webhook_row(webhook: dict[str, Any]) -> tuple[str, str | None]:
    """Return what is stored of a webhook: its text as it is served, and its secret."""
    shown = {"id": webhook["id"], **webhook}
    if secret := webhook.get("secret"):
        shown["secret"] = MASK
    return to_json(shown), secret


def _fetch_webhook(id: str) -> tuple[str, str | None]:
    row = fetch_one("SELECT body, secret FROM webhooks WHERE tenant = ? AND id = ?", g.tenant, id)
    text, secret = get_or_404(row, "webhook", id)
    return text, secret


def _insert_webhook(webhook: dict[str, Any]) -> str:
    (count,) = fetch_one("SELECT count(*) FROM webhooks WHERE tenant = ?", g.tenant)
    if count >= MAX_WEBHOOKS:
        raise ApiError(409, f"This workspace has {count} webhooks, as many as it may have; delete one first")
    text, secret = webhook_row(webhook)
    with holder_named(lambda _: name_of("webhook", webhook["id"])):
        execute("INSERT INTO webhooks (tenant, body, secret) VALUES (?, ?, ?)", g.tenant, text, secret)
    return text


def _replace_webhook(webhook: dict[str, Any]) -> str:
    _, stored = _fetch_webhook(webhook["id"])
    if stored and webhook.get("secret") == MASK:
        webhook = {**webhook, "secret": stored}
    raise_for_problems(webhook_problems(webhook))
    text, secret = webhook_row(webhook)
    execute("UPDATE webhooks SET body = ?, secret = ? WHERE tenant = ? AND id = ?", text, secret, g.tenant, webhook["id"])
    return text


@blueprint.get("/webhooks")
@session_only()
@blueprint.ready_response(200, WebhookBody(many=True))
def list_webhooks() -> Response:
    """List all webhooks, in order of creation; secrets are never shown."""
    return json_list(Rows(f"SELECT {TEXT_OR_SIZE} FROM webhooks WHERE tenant = ? ORDER BY seq", (g.tenant,)))  # noqa: S608


@blueprint.post("/webhooks")
@session_only("canManageSchemas")
@blueprint.arguments(WebhookRequestBody())
@blueprint.ready_response(201, WebhookBody)
@blueprint.errors("CONFLICT")
def create_webhook(body: dict[str, Any]) -> Response:
    """Create a webhook; from now on, the events that it asks for are sent to it."""
    webhook = {"id": random_id("wh"), **body}
    raise_for_problems(webhook_problems(webhook))
    check_webhook_url(webhook["url"])
    with transaction():
        return json_response(_insert_webhook(webhook), 201)


@blueprint.get("/webhooks/<id>")
@session_only()
@blueprint.ready_response(200, WebhookBody)
def get_webhook(id: str) -> Response:
    """Get one webhook."""
    return json_response(_fetch_webhook(id)[0])


@blueprint.put("/webhooks/<id>")
@session_only("canManageSchemas")
@blueprint.arguments(WebhookRequestBody())
@blueprint.ready_response(200, WebhookBody)
def replace_webhook(body: dict[str, Any], id: str) -> Response:
    """Replace a webhook as a whole; a secret of eight bullets keeps the one that is there, and no secret removes it.

    Waiting deliveries are sent to the new URL, signed with the new secret.
    """
    webhook = check_path_id(body, id)
    if json.loads(_fetch_webhook(id)[0])["url"] != webhook["url"]:  # an unchanged URL may have become forbidden
        check_webhook_url(webhook["url"])
    with transaction():
        call_when_stored(wake_sender)  # after a pause, waiting deliveries are due
        return json_response(_replace_webhook(webhook))


@blueprint.delete("/webhooks/<id>")
@session_only("canManageSchemas")
@blueprint.response(204)
def delete_webhook(id: str) -> None:
    """Delete a webhook with all its deliveries; those that wait are not sent any more."""
    with transaction():
        if not execute("DELETE FROM webhooks WHERE tenant = ? AND id = ?", g.tenant, id).rowcount:
            raise not_found_error("webhook", id)

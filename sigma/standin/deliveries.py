"""The routes of deliveries: the health of webhooks, their deliveries, and sending deliveries again or at once."""

from typing import Any

from flask import Response, request

from sigma.http.access import session_or_demo
from sigma.http.paging import (
    DEFAULT_LIMIT,
    MAX_OFFSET,
    Parameter,
    choice_parameter,
    page_of,
    query_number,
    query_parameter,
)
from sigma.http.responses import json_response
from sigma.http.waiting import leave_worker
from sigma.resources.deliveries import (
    MAX_SHOWN,
    STATES,
    DeliveryBody,
    RunBody,
    fetch_deliveries,
    find_delivery,
    redeliver,
    send_all_waiting,
)
from sigma.resources.outbox import EVENTS
from sigma.resources.webhook_health import WebhookHealthBody, fetch_webhook_health
from sigma.standin.blueprint import blueprint

WORKSPACE = query_parameter(
    "workspace", "The demo workspace or one for tests; only for requests without a credential, if the database holds the demo"
)
FILTERS = (
    Parameter("webhookId", "Only deliveries of this webhook"),
    choice_parameter("state", "Only deliveries in this state", STATES),
    choice_parameter("event", "Only deliveries with this event", EVENTS),
)


@blueprint.get("/webhooks")
@session_or_demo("canManageSchemas")
@blueprint.doc(parameters=[WORKSPACE])
@blueprint.response(200, WebhookHealthBody(many=True))
def list_webhook_health() -> list[dict[str, Any]]:
    """List all webhooks, oldest first, each with the number of its deliveries in each state, and its latest attempt."""
    return fetch_webhook_health()


@blueprint.get("/deliveries")
@session_or_demo("canManageSchemas")
@blueprint.doc(
    parameters=[
        WORKSPACE,
        *(parameter.describe() for parameter in FILTERS),
        query_parameter("offset", "How many to skip", type="integer", minimum=0, maximum=MAX_OFFSET, default=0),
        query_parameter(
            "limit", "How many to return at most", type="integer", minimum=1, maximum=MAX_SHOWN, default=DEFAULT_LIMIT
        ),
    ]
)
@blueprint.ready_response(200, page_of(DeliveryBody))
def list_deliveries() -> Response:
    """List the deliveries of webhooks, newest first, each with its attempts."""
    wanted = {parameter.name: text for parameter in FILTERS if (text := parameter.read(request.args)) is not None}
    offset = query_number(request.args, "offset", 0, 0, MAX_OFFSET)
    limit = query_number(request.args, "limit", DEFAULT_LIMIT, 1, MAX_SHOWN)
    texts, total = fetch_deliveries(wanted, offset, limit)
    return json_response(f'{{"items":[{",".join(texts)}],"total":{total},"offset":{offset},"limit":{limit}}}')


@blueprint.get("/deliveries/<id>")
@session_or_demo("canManageSchemas")
@blueprint.doc(parameters=[WORKSPACE])
@blueprint.response(200, DeliveryBody)
def get_delivery(id: str) -> Any:
    """Get one delivery with its attempts."""
    return find_delivery(id)


@blueprint.post("/deliveries/<id>/redeliver")
@session_or_demo("canManageSchemas")
@blueprint.doc(parameters=[WORKSPACE])
@blueprint.response(200, DeliveryBody)
def resend_delivery(id: str) -> Any:
    """Send a delivery again, the same bytes under the same id, whatever its state.

    The service sends it at once, or the next run does. The response shows the delivery while it waits for that.
    """
    return redeliver(id)


@blueprint.post("/deliveries/run")
@session_or_demo("canManageSchemas")
@blueprint.doc(parameters=[WORKSPACE])
@blueprint.response(200, RunBody)
def run_deliveries() -> Any:
    """Send all waiting deliveries now, even those that are to be tried later, and report the outcome.

    Each delivery is tried once. Those of inactive webhooks keep waiting. The response comes when all are done, or after a
    minute with the outcome so far.
    """
    leave_worker()  # receivers may call back
    return send_all_waiting()

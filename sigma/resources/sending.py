"""Sending: how what waits for a webhook goes out, one delivery after another, by whoever holds the webhook's lease."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from flask import current_app

from sigma.database import execute, fetch_one, transaction
from sigma.http.stamps import format_time
from sigma.resources.webhook_calls import Outcome, Receiver, make_headers

RETRIES = (10, 60, 300)  # seconds from a failure until it is tried again; after as many, it is given up
LEASE = (
    15  # seconds that a sender has for one delivery: more than a call and a write take, and how long a dead one is waited for
)
LONGEST_WAIT = RETRIES[-1] + 2 * LEASE  # seconds; what is due later than that is due now, because the clock has stepped back
TURN = 10  # seconds after which a sender lets others have a go
MAX_WAITING = 10_000  # deliveries of a webhook; of more, the oldest fail
MAX_KEPT = 1000  # deliveries of a webhook that are kept when they have been sent, or have failed
KEPT_FOR = 7 * 24 * 3600  # seconds

clock = time.time  # of all times here; it may step back, and then nothing waits for longer than it would have


class Delivery(NamedTuple):
    """What is to be sent, and to whom."""

    id: str
    event: str
    body: str
    attempts: int  # so far, since it was made or sent again by hand
    resends: int
    url: str
    secret: str | None


class Lease(NamedTuple):
    """The right to send a webhook's deliveries, for a while."""

    tenant: str
    webhook: str
    name: str  # at random: who else has it, has another one


def _take_lease(tenant: str, id: str) -> Lease | None:
    """Return a new lease of a webhook, if nobody holds one.

    What is later than it can be, a lease's end or when a delivery is due, is from before the clock stepped back, and holds
    no more. Other senders' clocks may be a little ahead: they read them before they waited to write.
    """
    lease = Lease(tenant, id, secrets.token_hex(8))
    sql = (
        "UPDATE webhooks SET lease = ?, leased_until = ?"
        " WHERE tenant = ? AND id = ? AND is_active AND NOT (leased_until > ? AND leased_until <= ?)"
    )
    with transaction():
        now = clock()
        taken = execute(sql, lease.name, now + LEASE, tenant, id, now, now + 2 * LEASE).rowcount
        if taken:
            sql = "UPDATE deliveries SET next_at = 0 WHERE tenant = ? AND webhook_id = ? AND state = 'pending' AND next_at > ?"
            execute(sql, tenant, id, now + LONGEST_WAIT)
            drop_old_deliveries(tenant, id)  # not when all is sent: who waits for that wants to see what came of it
    return lease if taken else None


@contextmanager
def _leased(tenant: str, id: str) -> Iterator[Lease | None]:
    """Yield a lease of a webhook, or None, and give it back after the block."""
    lease = _take_lease(tenant, id)
    try:
        yield lease
    finally:
        if lease:
            with transaction():
                sql = "UPDATE webhooks SET lease = NULL, leased_until = ? WHERE tenant = ? AND id = ? AND lease = ?"
                execute(sql, clock(), *lease)


def _fetch_due(tenant: str, id: str, last: int | None) -> Delivery | None:
    """Return what a webhook is to be sent next: first what failed and is due again, which is older, then by age.

    With `last` it is only what is due at once, up to that place in the order.
    """
    sql = (
        "SELECT d.id, d.event, d.body, d.attempts, d.resends, json_extract(w.body, '$.url'), w.secret"
        " FROM webhooks w JOIN deliveries d ON d.tenant = w.tenant AND d.webhook_id = w.id"
        " WHERE w.tenant = ? AND w.id = ? AND w.is_active AND d.state = 'pending' AND d.next_at BETWEEN ? AND ?"
        " AND d.seq <= ? ORDER BY d.next_at, d.seq LIMIT 1"
    )
    for least, most in [(0, 0)] if last else [(0.001, clock()), (0, 0)]:
        if row := fetch_one(sql, tenant, id, least, most, last or 2**62):
            return Delivery(*row)
    return None


INSERT_ATTEMPT = (  # of deliveries that are still there; which ones is to follow
    "INSERT INTO delivery_attempts (tenant, delivery_id, number, at, status, ms, error)"
    " SELECT d.tenant, d.id, 1 + (SELECT ifnull(max(a.number), 0) FROM delivery_attempts a"
    " WHERE a.tenant = d.tenant AND a.delivery_id = d.id), ?, ?, ?, ? FROM deliveries d"
    " WHERE d.tenant = ?"
)


def _call(receiver: Receiver, delivery: Delivery) -> tuple[Outcome, tuple[Any, ...]]:
    """Send a delivery; return what came of it, and its row: at, status, ms and error."""
    at, began, body = clock(), time.monotonic(), delivery.body.encode()
    outcome = receiver.post(make_headers(delivery.event, delivery.id, delivery.secret, body), body)
    ms = round(1000 * (time.monotonic() - began), 1)
    return outcome, (format_time(at), outcome.status, ms, outcome.error)


def _record_attempt(lease: Lease, delivery: Delivery, outcome: Outcome, attempt: tuple[Any, ...]) -> bool:
    """Store what came of a call, and when the delivery is due again; return whether the lease still holds, for longer."""
    now, is_last = clock(), outcome.is_final or delivery.attempts >= len(RETRIES)
    state = "delivered" if outcome.error is None else "failed" if is_last else "pending"
    next_at = now + RETRIES[delivery.attempts] if state == "pending" else None
    with transaction():
        execute(f"{INSERT_ATTEMPT} AND d.id = ?", *attempt, lease.tenant, delivery.id)
        # One that somebody asks for again while it is being sent still waits, for one attempt more.
        sql = (
            "UPDATE deliveries SET state = ?, next_at = ?, attempts = attempts + 1 WHERE tenant = ? AND id = ? AND resends = ?"
        )
        execute(sql, state, next_at, lease.tenant, delivery.id, delivery.resends)
        sql = "UPDATE webhooks SET leased_until = ? WHERE tenant = ? AND id = ? AND lease = ?"
        is_ours = execute(sql, now + LEASE, *lease).rowcount > 0
    if state == "failed":
        message = "Delivery %s of webhook %s in workspace %s failed: %s"
        current_app.logger.warning(message, delivery.id, lease.webhook, lease.tenant, outcome.error)
    return is_ours


def send_waiting(tenant: str, id: str, is_stopping: Callable[[], bool], last: int | None = None) -> int:
    """Send what is due of a webhook, unless another sender does; return how many calls were made.

    It ends after a while, and after a call without an answer, so that slow receivers share the senders with others. While
    a receiver is called, no transaction is open and nothing is locked.
    """
    calls, until = 0, time.monotonic() + TURN
    with _leased(tenant, id) as lease:
        if lease is None or (delivery := _fetch_due(tenant, id, last)) is None:
            return 0
        with closing(Receiver(delivery.url)) as receiver:
            while delivery is not None and delivery.url == receiver.url and not is_stopping():
                outcome, attempt = _call(receiver, delivery)
                calls += 1
                is_ours = _record_attempt(lease, delivery, outcome, attempt)
                if not is_ours or outcome.status is None or time.monotonic() > until:
                    break
                delivery = _fetch_due(tenant, id, last)
    return calls


def drop_old_deliveries(tenant: str, id: str) -> None:
    """Delete what need not be kept of a webhook, and let the oldest fail of more than may wait; inside a transaction."""
    whose = tenant, id
    execute(
        "DELETE FROM deliveries WHERE tenant = ? AND webhook_id = ? AND state <> 'pending' AND seq < max("
        "ifnull((SELECT d.seq FROM deliveries d WHERE d.tenant = ? AND d.webhook_id = ? AND d.made_at >= ?"
        " ORDER BY d.seq LIMIT 1), 1 << 62), ifnull((SELECT d.seq FROM deliveries d WHERE d.tenant = ? AND d.webhook_id = ?"
        " AND d.state <> 'pending' ORDER BY d.seq DESC LIMIT 1 OFFSET ?), 0))",
        *(*whose, *whose, clock() - KEPT_FOR, *whose, MAX_KEPT - 1),
    )
    sql = "SELECT count(*) FROM deliveries WHERE tenant = ? AND webhook_id = ? AND state = 'pending'"
    (waiting,) = fetch_one(sql, *whose)
    if waiting > MAX_WAITING:
        sql = (
            "SELECT seq FROM deliveries WHERE tenant = ? AND webhook_id = ? AND state = 'pending' ORDER BY seq LIMIT 1 OFFSET ?"
        )
        (first_kept,) = fetch_one(sql, *whose, waiting - MAX_WAITING)
        error = f"Given up: more than {MAX_WAITING} were waiting"
        sql = f"{INSERT_ATTEMPT} AND d.webhook_id = ? AND d.state = 'pending' AND d.seq < ?"
        execute(sql, format_time(clock()), None, 0, error, *whose, first_kept)
        sql = (
            "UPDATE deliveries SET state = 'failed', next_at = NULL"
            " WHERE tenant = ? AND webhook_id = ? AND state = 'pending' AND seq < ?"
        )
        given_up = execute(sql, *whose, first_kept).rowcount
        message = "%d deliveries of webhook %s in workspace %s were given up: more than %d were waiting"
        current_app.logger.warning(message, given_up, id, tenant, MAX_WAITING)


def fetch_webhooks_in_turn() -> list[tuple[Any, ...]]:
    """Return each webhook for which something waits, and when it is due, longest without a sender first.

    It is what its tenant and id are, when its next delivery is due, and when its lease ends; both may be in the past.
    """
    now = clock()
    rows = execute(
        "SELECT tenant, id, next_at, last_at, leased_until FROM (SELECT w.tenant, w.id, w.leased_until,"
        " (SELECT min(d.next_at) FROM deliveries d WHERE d.tenant = w.tenant AND d.webhook_id = w.id AND d.state = 'pending')"
        " AS next_at,"
        " (SELECT max(d.next_at) FROM deliveries d WHERE d.tenant = w.tenant AND d.webhook_id = w.id AND d.state = 'pending')"
        " AS last_at FROM webhooks w WHERE w.is_active) WHERE next_at IS NOT NULL ORDER BY leased_until"
    )
    return [
        (tenant, id, 0 if last > now + LONGEST_WAIT else first, 0 if until > now + 2 * LEASE else until)
        for tenant, id, first, last, until in rows
    ]

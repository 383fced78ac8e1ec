"""Sending: the sender that holds a webhook's lease sends the webhook's waiting deliveries, one after another."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from flask import current_app

from sigma.database import execute, fetch_one, transaction
from sigma.http.stamps import format_time
from sigma.http.waiting import Places
from sigma.resources.webhook_calls import TIMEOUT, Outcome, Receiver, make_headers

RETRIES = (10, 60, 300)  # seconds between a failed attempt and the next; after the last of them, the delivery fails
ROOM_TIMEOUT = 3  # seconds that a sender waits until its body is not too much
LOCK_TIMEOUT = 20  # seconds that a sender waits for other writes: what was sent should be recorded

# Seconds that a sender has for one delivery, from the time when it may write to when it may write again; two of them for all
# that nothing limits. Other senders wait this long for a dead one.
LEASE = ROOM_TIMEOUT + TIMEOUT + LOCK_TIMEOUT + 2
LONGEST_WAIT = RETRIES[-1] + 2 * LEASE  # seconds; a later due time is from before the clock stepped back, and counts as now
TURN = 10  # seconds after which a sender gives way to other webhooks
MAX_WAITING = 10_000  # waiting deliveries of a webhook; if there are more, the oldest fail
MAX_KEPT = 1000  # delivered or failed deliveries of a webhook that are kept
KEPT_FOR = 7 * 24 * 3600  # seconds that they are kept
# Bytes of the bodies that a process sends at a time, for all workspaces and for one. A body that is larger is sent alone.
MAX_SENT, MAX_SENT_OF_ONE = 128 * 1024 * 1024, 96 * 1024 * 1024

_sent, _sizing = Places(MAX_SENT, MAX_SENT_OF_ONE), threading.Lock()
clock = time.time  # all times here are its; if it steps back, nothing waits longer than LONGEST_WAIT


class Delivery(NamedTuple):
    """A delivery to send, and where it goes."""

    id: str
    event: str
    attempts: int  # since it was made, or last resent by hand
    resends: int
    url: str
    secret: str | None


class Lease(NamedTuple):
    """The right to send a webhook's deliveries, for a while."""

    tenant: str
    webhook: str
    name: str  # random, so that each lease has its own


def _take_lease(tenant: str, id: str) -> Lease | None:
    """Return a new lease of a webhook, or None if another sender holds one or the webhook is inactive.

    A lease's end or a due time that is further ahead than it can be is from before the clock stepped back, and no longer
    counts. The second LEASE is a margin for senders that read the clock slightly later.
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
            drop_old_deliveries(tenant, id)  # not after the last call: a client that waits for it wants to see the outcome
    return lease if taken else None


@contextmanager
def _leased(tenant: str, id: str) -> Iterator[Lease | None]:
    lease = _take_lease(tenant, id)
    try:
        yield lease
    finally:
        if lease:
            with transaction():
                sql = "UPDATE webhooks SET lease = NULL, leased_until = ? WHERE tenant = ? AND id = ? AND lease = ?"
                execute(sql, clock(), *lease)


def _fetch_due(tenant: str, id: str, last: int | None) -> Delivery | None:
    """Return the delivery to send next: first the retries that are due, because they are older, then the oldest new one.

    With `last`, only deliveries that are due at once are returned, up to this `seq`.
    """
    sql = (
        "SELECT d.id, d.event, d.attempts, d.resends, json_extract(w.body, '$.url'), w.secret"
        " FROM webhooks w JOIN deliveries d ON d.tenant = w.tenant AND d.webhook_id = w.id"
        " WHERE w.tenant = ? AND w.id = ? AND w.is_active AND d.state = 'pending' AND d.next_at BETWEEN ? AND ?"
        " AND d.seq <= ? ORDER BY d.next_at, d.seq LIMIT 1"
    )
    for earliest, latest in [(0, 0)] if last else [(0.001, clock()), (0, 0)]:
        if row := fetch_one(sql, tenant, id, earliest, latest, last or 2**62):
            return Delivery(*row)
    return None


INSERT_ATTEMPT = (  # for deliveries that still exist; the caller adds the condition that chooses them
    "INSERT INTO delivery_attempts (tenant, delivery_id, number, at, status, ms, error)"
    " SELECT d.tenant, d.id, 1 + (SELECT ifnull(max(a.number), 0) FROM delivery_attempts a"
    " WHERE a.tenant = d.tenant AND a.delivery_id = d.id), ?, ?, ?, ? FROM deliveries d"
    " WHERE d.tenant = ?"
)


def _size_of(tenant: str, delivery: Delivery) -> int:
    """Return how many bytes a delivery's body has; 0 if the delivery is gone.

    One thread at a time asks, because SQLite reads the body for it. Connection.blobopen() need not, but leaks 90 bytes a call.
    """
    with _sizing:
        row = fetch_one("SELECT length(CAST(body AS BLOB)) FROM deliveries WHERE tenant = ? AND id = ?", tenant, delivery.id)
    return row[0] if row else 0


@contextmanager
def _body_of(tenant: str, delivery: Delivery, is_stopping: Callable[[], bool]) -> Iterator[bytes | None]:
    """Yield a delivery's body when there is room for it; None if there is none for too long, or the delivery is gone."""
    deadline, size = time.monotonic() + ROOM_TIMEOUT, _size_of(tenant, delivery)
    while not (has_room := _sent.take(tenant, size)) and time.monotonic() < deadline and not is_stopping():
        time.sleep(0.05)
    try:
        sql = "SELECT CAST(body AS BLOB) FROM deliveries WHERE tenant = ? AND id = ?"
        row = fetch_one(sql, tenant, delivery.id) if has_room else None
        yield row and row[0]
    finally:
        if has_room:
            _sent.give_back(tenant, size)


def _call(receiver: Receiver, delivery: Delivery, body: bytes) -> tuple[Outcome, tuple[Any, ...]]:
    """Send a delivery; return the outcome, and the attempt as a row: at, status, ms and error."""
    at, began = clock(), time.monotonic()
    outcome = receiver.post(make_headers(delivery.event, delivery.id, delivery.secret, body), body)
    ms = round(1000 * (time.monotonic() - began), 1)
    return outcome, (format_time(at), outcome.status, ms, outcome.error)


def _record_attempt(lease: Lease, delivery: Delivery, outcome: Outcome, attempt: tuple[Any, ...]) -> bool:
    """Store an attempt, and when the delivery is due again; renew the lease, and return whether it still holds."""
    now, is_last = clock(), outcome.is_final or delivery.attempts >= len(RETRIES)
    state = "delivered" if outcome.error is None else "failed" if is_last else "pending"
    next_at = now + RETRIES[delivery.attempts] if state == "pending" else None
    with transaction():
        execute(f"{INSERT_ATTEMPT} AND d.id = ?", *attempt, lease.tenant, delivery.id)
        # A delivery that was resent by hand during the call stays as it is, and waits for another attempt.
        sql = (
            "UPDATE deliveries SET state = ?, next_at = ?, attempts = attempts + 1 WHERE tenant = ? AND id = ? AND resends = ?"
        )
        execute(sql, state, next_at, lease.tenant, delivery.id, delivery.resends)
        sql = "UPDATE webhooks SET leased_until = ? WHERE tenant = ? AND id = ? AND lease = ?"
        is_ours = execute(sql, clock() + LEASE, *lease).rowcount > 0
    if state == "failed":
        message = "Delivery %s of webhook %s in workspace %s failed: %s"
        current_app.logger.warning(message, delivery.id, lease.webhook, lease.tenant, outcome.error)
    return is_ours


def send_waiting(tenant: str, id: str, is_stopping: Callable[[], bool], last: int | None = None) -> int:
    """Send the deliveries of a webhook that are due, unless another sender does; return how many calls were made.

    With `last`, only those that are due at once are sent, up to this `seq`. Sending ends after a while, and after a call
    without a response, so that slow receivers leave senders to others. During a call, no transaction is open and nothing is
    locked.
    """
    calls, deadline = 0, time.monotonic() + TURN
    with _leased(tenant, id) as lease:
        if lease is None or (delivery := _fetch_due(tenant, id, last)) is None:
            return 0
        with closing(Receiver(delivery.url)) as receiver:
            while delivery is not None and delivery.url == receiver.url and not is_stopping():
                with _body_of(tenant, delivery, is_stopping) as body:
                    if body is None:
                        break
                    outcome, attempt = _call(receiver, delivery, body)
                calls += 1
                is_ours = _record_attempt(lease, delivery, outcome, attempt)
                if not is_ours or outcome.status is None or time.monotonic() > deadline:
                    break
                delivery = _fetch_due(tenant, id, last)
    return calls


def drop_old_deliveries(tenant: str, id: str) -> None:
    """Delete deliveries that are too old or too many; if too many wait, fail the oldest. Call it inside a transaction."""
    webhook = tenant, id
    execute(
        "DELETE FROM deliveries WHERE tenant = ? AND webhook_id = ? AND state <> 'pending' AND seq < max("
        "ifnull((SELECT d.seq FROM deliveries d WHERE d.tenant = ? AND d.webhook_id = ? AND d.made_at >= ?"
        " ORDER BY d.seq LIMIT 1), 1 << 62), ifnull((SELECT d.seq FROM deliveries d WHERE d.tenant = ? AND d.webhook_id = ?"
        " AND d.state <> 'pending' ORDER BY d.seq DESC LIMIT 1 OFFSET ?), 0))",
        *(*webhook, *webhook, clock() - KEPT_FOR, *webhook, MAX_KEPT - 1),
    )
    sql = "SELECT count(*) FROM deliveries WHERE tenant = ? AND webhook_id = ? AND state = 'pending'"
    (waiting,) = fetch_one(sql, *webhook)
    if waiting > MAX_WAITING:
        sql = (
            "SELECT seq FROM deliveries WHERE tenant = ? AND webhook_id = ? AND state = 'pending' ORDER BY seq LIMIT 1 OFFSET ?"
        )
        (first_kept,) = fetch_one(sql, *webhook, waiting - MAX_WAITING)
        error = f"Given up: more than {MAX_WAITING} were waiting"
        sql = f"{INSERT_ATTEMPT} AND d.webhook_id = ? AND d.state = 'pending' AND d.seq < ?"
        execute(sql, format_time(clock()), None, 0, error, *webhook, first_kept)
        sql = (
            "UPDATE deliveries SET state = 'failed', next_at = NULL"
            " WHERE tenant = ? AND webhook_id = ? AND state = 'pending' AND seq < ?"
        )
        given_up = execute(sql, *webhook, first_kept).rowcount
        message = "%d deliveries of webhook %s in workspace %s were given up: more than %d were waiting"
        current_app.logger.warning(message, given_up, id, tenant, MAX_WAITING)


def fetch_webhooks_in_turn() -> list[tuple[Any, ...]]:
    """Return the active webhooks with waiting deliveries, the one that has been longest without a sender first.

    Each has its tenant and id, when its next delivery is due, and when its lease ends. Both times may be in the past.
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

"""The senders of one process: threads that send waiting deliveries, woken by its own writes and polling for those of others."""

import queue
import sqlite3
import threading
import time

from flask import Flask, current_app

from sigma.database import close_db, execute, fetch_one, transaction, use_small_cache
from sigma.files import close_as_threads_end
from sigma.resources.sending import LOCK_TIMEOUT, clock, drop_old_deliveries, fetch_webhooks_in_turn, send_waiting
from sigma.resources.webhook_calls import TIMEOUT

MAX_SENDERS = 64  # threads: this many receivers may be slow at once before others wait; a workspace has at most 50
POLL_INTERVAL = 0.5  # seconds within which a write of another process is noticed
TIDY_INTERVAL = 3600  # seconds within which old deliveries are removed, also those of webhooks that are sent nothing
CLOSING = 1  # seconds that the last thread of a worker waits for others to end, and closes their connections


class Sender:
    """A thread that finds the webhooks with due deliveries, and others that send them, side by side."""

    def __init__(self, app: Flask):
        self.app = app
        self.woken, self.stopping = threading.Event(), threading.Event()
        self.turns: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self.busy: set[tuple[str, str]] = set()  # the webhooks that have a turn in this process
        self.threads: list[threading.Thread] = []
        self.version, self.next_due, self.tidied_at = -1, 0.0, -float("inf")
        # The process waits for this thread to end, and so gives calls under way their time.
        self.dispatcher = threading.Thread(target=self._dispatch, name="webhooks", daemon=False)

    def start(self) -> None:
        """Send from now on, until the main thread ends."""
        self.dispatcher.start()
        threading.Thread(target=self._stop_with_main_thread, name="webhooks-end", daemon=True).start()

    def wake(self) -> None:
        """Look for waiting deliveries at once."""
        self.version = -1
        self.woken.set()

    def stop(self) -> None:
        """Begin no more calls, but let those under way end in their time; other processes repeat what is interrupted then."""
        self.stopping.set()
        self.woken.set()

    def _stop_with_main_thread(self) -> None:
        threading.main_thread().join()
        self.stop()

    def _dispatch(self) -> None:
        with self.app.app_context():
            while not self.stopping.is_set():
                try:
                    pause = self._hand_out()
                except Exception as error:  # whatever it is: without this thread, nothing is sent
                    self._log_failure(error)
                    close_db()
                    self.version, pause = -1, 2 * POLL_INTERVAL  # what was not seen may not change any more
                self.woken.wait(pause)
                self.woken.clear()
            close_db()
        until = time.monotonic() + TIMEOUT
        while self.busy and time.monotonic() < until:
            time.sleep(0.01)
        for _ in self.threads:
            self.turns.put(None)
        close_as_threads_end(CLOSING)

    def _log_failure(self, error: Exception) -> None:
        if isinstance(error, sqlite3.Error):
            self.app.logger.error("Webhooks wait, because the database does not answer: %s", error)
        else:
            self.app.logger.error("Webhooks wait, because looking for what is due failed", exc_info=error)

    def _hand_out(self) -> float:
        """Give a turn to each webhook with due deliveries, and return the number of seconds until the next look.

        While nothing is stored in the database and nothing becomes due, a look takes a few microseconds.
        """
        now, (version,) = clock(), fetch_one("PRAGMA data_version")
        if version != self.version or not now < self.next_due <= now + POLL_INTERVAL + TIDY_INTERVAL:
            self.version, self.next_due = version, now + TIDY_INTERVAL
            for tenant, id, due, leased_until in fetch_webhooks_in_turn():
                if (tenant, id) in self.busy:
                    continue
                if max(due, leased_until) > now:
                    self.next_due = min(self.next_due, max(due, leased_until))
                elif len(self.busy) < MAX_SENDERS:
                    self._give_turn(tenant, id)
        if time.monotonic() - self.tidied_at > TIDY_INTERVAL:
            self._tidy()
        return max(0.0, min(POLL_INTERVAL, self.next_due - now))

    def _give_turn(self, tenant: str, id: str) -> None:
        if len(self.threads) <= len(self.busy):
            thread = threading.Thread(target=self._work, name="webhook-sender", daemon=True)
            thread.start()  # it fails where the system allows no more threads
            self.threads.append(thread)
        self.busy.add((tenant, id))
        self.turns.put((tenant, id))

    def _work(self) -> None:
        use_small_cache()
        while turn := self.turns.get():
            try:
                with self.app.app_context():
                    # If power loss undoes what is stored here, it is sent again; the deliveries are on disk with their changes.
                    execute("PRAGMA synchronous = NORMAL")
                    execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT * 1000}")
                    send_waiting(*turn, self.stopping.is_set)
            except Exception:
                self.app.logger.exception("Sending for webhook %s in workspace %s failed", turn[1], turn[0])
                close_db()
                self.stopping.wait(1)
            finally:
                self.busy.discard(turn)
                self.wake()
        close_db()

    def _tidy(self) -> None:
        for tenant, id in execute("SELECT tenant, id FROM webhooks").fetchall():
            with transaction():
                drop_old_deliveries(tenant, id)
        self.tidied_at = time.monotonic()


def get_sender() -> Sender | None:
    """Return the sender of this process; None where the application is not one of the server's workers."""
    sender: Sender | None = current_app.extensions.get("sender")
    return sender


def wake_sender() -> None:
    """Let stored deliveries be sent at once, if this process sends."""
    if sender := get_sender():
        sender.wake()

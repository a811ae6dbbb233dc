"""Webhooks become inbox rows, durably, before anybody answers them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from worker.clock import Clock
from worker.creem.said import DisputeCreated
from worker.creem.webhooks import Webhook, read_webhook
from worker.store import inbox
from worker.store.bulk import Record, Tx
from worker.store.engine import Store
from worker.strict import Malformed, Reason, digest

SOURCE = "/creem"
Accepts = Callable[[str], bool]
"""True for the `mode` of an object of this installation's environment."""


class Received(StrEnum):
    """What became of one delivery."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    DEAD = "kept_as_dead_letter"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where signed deliveries are taken in. `accepts_mode` is None where no key says which environment this is."""

    store: Store
    clock: Clock
    accepts_mode: Accepts | None

    def receive(self, raw: bytes) -> tuple[Received, int | None]:
        """Makes one signed delivery durable; returns what became of it and the new row's id. Raises `TryLater` where the
        database is away.
        """
        now = self.clock.now()
        try:
            hook = read_webhook(raw)
            check_mode(hook, self.accepts_mode)
        except Malformed as fault:
            letter = _letter(raw, fault.reason, fault.detail, now)
            self.store.write(lambda tx: inbox.bury(tx, [letter]))
            return Received.DEAD, None
        return self.store.write(lambda tx: _commit(tx, hook, raw, now))


def check_mode(hook: Webhook, accepts_mode: Accepts | None) -> None:
    """Raises `Malformed` for a webhook of another environment: its money and its credits are not ours."""
    if hook.mode is not None and accepts_mode is not None and not accepts_mode(hook.mode):
        raise Malformed("other_environment", f"object.mode is {hook.mode}, which is another environment than the key's")


def row_of(hook: Webhook, now: datetime) -> Record:
    """The inbox row of a webhook. Whom it is about is found out when it is handled."""
    return inbox.new_row(
        source=SOURCE,
        event_id=hook.id,
        type=f"creem.{hook.type}",
        account_id=None,
        job_id=None,
        raw=hook.raw,
        sha256=hook.sha256,
        received_at=now,
        occurred_at=hook.created_at,
    )


def _commit(tx: Tx, hook: Webhook, raw: bytes, now: datetime) -> tuple[Received, int | None]:
    added = inbox.insert(tx, [row_of(hook, now)])
    if added:
        if isinstance(hook.said, DisputeCreated) and hook.said.unread:
            # it holds its charge; a person looks at what could not be read
            inbox.bury(tx, [_letter(raw, "bad_value", f"taken all the same, without {'; '.join(hook.said.unread)}", now)])
        return Received.STORED, added[SOURCE, hook.id]
    first = inbox.same_identity(tx, [(SOURCE, hook.id)])[SOURCE, hook.id]
    if first.sha256 == hook.sha256 or json.loads(first.raw) == json.loads(hook.raw):
        return Received.DUPLICATE, None
    detail = f"event {hook.id} is known with other content (first {first.sha256[:12]}, this {hook.sha256[:12]}); the first stays"
    inbox.bury(tx, [_letter(raw, "conflicting_content", detail, now)])
    return Received.DEAD, None


def _letter(raw: bytes, reason: Reason, detail: str, now: datetime) -> Record:
    return inbox.new_letter(key=f"creem:{digest(raw)}", reason=reason, detail=detail, raw=raw, received_at=now, now=now)

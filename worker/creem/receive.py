"""Webhooks become inbox rows."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from worker.clock import Clock
from worker.creem.webhooks import read_webhook
from worker.store import inbox
from worker.store.engine import Store
from worker.strict import Malformed, digest

SOURCE = "/creem"


class Received(StrEnum):
    STORED = "stored"
    DUPLICATE = "duplicate"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Receiver:
    store: Store
    clock: Clock
    accepts_mode: Callable[[str], bool] | None

    def receive(self, raw: bytes) -> tuple[Received, int | None]:
        now = self.clock.now()
        try:
            hook = read_webhook(raw)
        except Malformed as fault:
            letter = inbox.new_letter(key=f"creem:{digest(raw)}", reason=fault.reason, detail=fault.detail, raw=raw, received_at=now, now=now)
            self.store.write(lambda tx: inbox.bury(tx, [letter]))
            return Received.DEAD, None
        row = inbox.new_row(source=SOURCE, event_id=hook.id, type=f"creem.{hook.type}", account_id=None, job_id=None, raw=hook.raw,
                            sha256=hook.sha256, received_at=now, occurred_at=hook.created_at)
        ids = self.store.write(lambda tx: inbox.insert(tx, [row]))
        return (Received.STORED, next(iter(ids.values()))) if ids else (Received.DUPLICATE, None)

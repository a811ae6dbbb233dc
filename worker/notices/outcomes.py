"""Outcomes announced to the product on a stream (contract.md, "Commands out")."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from worker.errors import TryLater, one_line
from worker.store.arrays import encode

SOURCE = "/layer-refunds"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One announcement. `id` is the effect's key: an announcement sent twice carries one identity, so readers can tell."""

    id: str
    type: str
    time: str
    subject: str
    data: dict[str, Any]
    traceparent: str | None = None

    def document(self) -> str:
        """The CloudEvents 1.0 document."""
        envelope = {"specversion": "1.0", "id": self.id, "source": SOURCE, "type": self.type, "time": self.time}
        traced = {} if self.traceparent is None else {"traceparent": self.traceparent}
        return encode(envelope | traced | {"subject": self.subject, "data": self.data})


@dataclass(frozen=True, slots=True)
class OutcomeStream:
    """Announces on a Redis Stream, at least once."""

    client: redis.Redis
    stream: str

    def announce(self, outcomes: Sequence[Outcome]) -> None:
        """Puts all of them on the stream in one round trip. Raises `TryLater` when it cannot be known that all are there."""
        try:
            pipeline = self.client.pipeline(transaction=False)
            for outcome in outcomes:
                pipeline.xadd(self.stream, {"event": outcome.document()})
            pipeline.execute()
        except redis.RedisError as error:
            raise TryLater("Redis", one_line(error)) from error

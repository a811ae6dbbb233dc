"""The pipeline asked on a Redis Stream (contract.md, "Commands out")."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis

from worker.clock import written
from worker.errors import one_line
from worker.reruns.order import TOO_LATE, Answer, Reply, RerunOrder

SOURCE = "/layer-refunds"
TYPE = "layer_job.rerun_requested"


def command(order: RerunOrder) -> str:
    """The order as a CloudEvents 1.0 document. Its id stays the same, so the pipeline can tell a repeat from a second wish."""
    document = {
        "specversion": "1.0",
        "id": order.sent_as,
        "source": SOURCE,
        "type": TYPE,
        "time": written(order.asked_at),
        "subject": order.job_id,
        "data": {"job_id": order.job_id, "attempt": order.attempt, "case_id": order.case_id},
    }
    if order.traceparent is not None:
        document["traceparent"] = order.traceparent
    return json.dumps(document, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class PipelineStream:
    """Puts the order on the commands stream.

    On the stream counts as accepted: a pipeline that is away reads it when it is back.
    """

    client: redis.Redis
    stream: str
    timer: Callable[[], float] = time.monotonic

    def ask(self, order: RerunOrder, until: float) -> Reply:
        """Adds one command, never trimming: what nobody needs any more the intake forgets."""
        if self.timer() >= until:
            return TOO_LATE
        try:
            entry = self.client.xadd(self.stream, {"command": command(order)})
        except redis.RedisError as error:
            return Reply(Answer.NOT_HEARD, f"the command may not be on {self.stream}: {one_line(error)}")
        return Reply(Answer.ACCEPTED, f"on {self.stream} as {entry.decode() if isinstance(entry, bytes) else entry}")

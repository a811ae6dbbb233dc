"""Celery's way through Redis, past what is no message of Celery's.

By kombu's own, one thing in a queue that it cannot read ends the task process, and goes back into the queue as that process ends:
the next one dies of it too, until nobody decides anything. What is dropped here is a hint at most; the sweep finds its work.
"""

from collections.abc import Callable
from queue import Empty
from typing import Any

from celery.worker.state import reserved_requests
from kombu.transport import redis

from worker.errors import one_line
from worker.observe import log

NO_MESSAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What reading something else comes to. What Redis or the system refuses is none of these."""
_QoS: Any = redis.QoS
_Channel: Any = redis.Channel


def _say(where: str, error: Exception) -> None:
    log.error("task.no_message", where=where, error=f"{type(error).__name__}: {one_line(error)}", next="dropped")


class QoS(_QoS):  # type: ignore[misc]
    """What was taken and is not acknowledged yet."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Gives a message back to its queue; what is none would be tried every few seconds, before all others."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except NO_MESSAGE as error:
            _say("unacked", error)
            self._remove_from_indices(tag).execute()


class Channel(_Channel):  # type: ignore[misc]
    """One way to the queues, which goes on after what is no message."""

    QoS = QoS

    def basic_consume(self, queue: str, no_ack: bool, callback: Callable[[Any], Any], consumer_tag: str, **more: Any) -> Any:
        """Has what comes from the queue given to `callback`."""

        def take(message: Any) -> Any:
            try:
                return callback(message)
            except NO_MESSAGE as error:
                _say(queue, error)
                if not (no_ack or message.acknowledged):
                    message.ack()
                if any(request.message is message for request in reserved_requests):
                    # its place in the pool is not given back: a process that went on would take no task any more
                    raise RuntimeError("begun, and cannot be done: this process ends, and takes nothing along") from error
                return None

        return super().basic_consume(queue, no_ack, take, consumer_tag, **more)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except NO_MESSAGE as error:
            _say("a queue", error)
            raise Empty from None


class Transport(redis.Transport):
    """The same as kombu's, by such channels."""

    Channel = Channel

"""When a worker tells Flower what it does with its tasks: a moment later, and all of that moment at once.

Celery publishes what it has to tell before it gives the task to a process, which keeps every task waiting for a millisecond.
"""

from typing import Any

from celery import bootsteps

MOMENT = 0.05
"""Seconds."""


class TellLater(bootsteps.StartStopStep):  # type: ignore[misc]
    """Puts off what the worker's consumer has gathered to tell; each event still says when it happened. What is untold when
    the worker stops is told then, and what its last tasks come to as Celery does by itself.
    """

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, consumer: Any) -> None:
        """Called at every connection to the broker, with a dispatcher made for it."""
        hub, dispatcher = consumer.hub, consumer.event_dispatcher
        if hub is None:
            # a pool without an event loop gathers nothing
            return
        waiting = False

        def wait() -> None:
            nonlocal waiting
            if not waiting:
                waiting = True
                hub.call_later(MOMENT, tell)

        def tell() -> None:
            nonlocal waiting
            waiting = False
            dispatcher.flush()

        # whatever thread has something to tell, timers belong to the loop's own
        dispatcher.on_send_buffered = lambda: hub.call_soon(wait)

    def stop(self, consumer: Any) -> None:
        """Called before the dispatcher is closed; tasks may still run, and the loop turns no more."""
        dispatcher = consumer.event_dispatcher
        if dispatcher is not None:
            dispatcher.on_send_buffered = consumer.on_send_event_buffered
            dispatcher.flush()

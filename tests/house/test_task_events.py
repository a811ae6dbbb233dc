"""What Flower is told of tasks: after they were given to a process, what is close in time together, and all of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from celery import Celery
from kombu.asynchronous import Hub

from worker.app import app as ours
from worker.task_events import MOMENT, TellLater


@dataclass
class Published:
    """In place of the broker: the types of the events of each publication."""

    together: list[list[str]] = field(default_factory=list)

    def publish(self, events: list[dict[str, Any]], **_: Any) -> None:
        """One publication."""
        self.together.append([event["type"] for event in events])


@dataclass
class Consumer:
    """As much of Celery's consumer as the step sees: its loop, and its dispatcher, which gathers what there is to tell."""

    hub: Any
    event_dispatcher: Any

    def tell(self, *names: str) -> None:
        """Something happened to a task."""
        for name in names:
            self.event_dispatcher.send(name, uuid="1")

    def turn(self, times: int = 1) -> None:
        """Turns the loop; each turn sleeps until something is due, a tenth of a second at most."""
        loop = self.hub.create_loop()
        for _ in range(times):
            next(loop)


@pytest.fixture
def published() -> Published:
    return Published()


@pytest.fixture
def consumer(published: Published) -> Iterator[Consumer]:
    """With the step begun."""
    app, hub = Celery(broker="memory://", set_as_current=False), Hub()  # type: ignore[no-untyped-call]
    with app.connection_for_write() as connection:
        dispatcher = app.events.Dispatcher(
            connection, buffer_group=["task"], on_send_buffered=lambda: pytest.fail("told before the task is given to a process")
        )
        dispatcher.producer = published
        made = Consumer(hub, dispatcher)
        TellLater(made).start(made)
        yield made
    hub.close()  # type: ignore[no-untyped-call]


def test_workers_of_ours_tell_later() -> None:
    assert TellLater in ours.steps["consumer"]
    assert MOMENT <= 0.1, "somebody watches"


def test_what_happens_within_a_moment_is_told_together_after_it(consumer: Consumer, published: Published) -> None:
    consumer.tell("task-received", "task-started")
    assert published.together == []
    consumer.turn()
    consumer.tell("task-succeeded")
    consumer.turn(3)
    assert published.together == [["task-received", "task-started", "task-succeeded"]]
    consumer.tell("task-received")
    consumer.turn(3)
    assert published.together[1:] == [["task-received"]], "the next moment is told too"
    consumer.turn(2)
    assert len(published.together) == 2, "of nothing nothing is told"


def test_what_is_untold_when_the_worker_stops_is_told_then(consumer: Consumer, published: Published) -> None:
    consumer.tell("task-succeeded")
    TellLater(consumer).stop(consumer)
    assert published.together == [["task-succeeded"]]


def test_after_the_broker_was_away_it_tells_again(consumer: Consumer, published: Published) -> None:
    consumer.tell("task-received")
    consumer.turn()
    # Celery drops its timers with the connection, and starts the step anew
    consumer.hub.timer.clear()
    TellLater(consumer).start(consumer)
    consumer.tell("task-started")
    consumer.turn(4)
    assert published.together == [["task-received", "task-started"]]


def test_pool_that_gathers_nothing_is_left_alone(consumer: Consumer) -> None:
    before = consumer.event_dispatcher.on_send_buffered
    without = Consumer(None, consumer.event_dispatcher)
    TellLater(without).start(without)
    assert consumer.event_dispatcher.on_send_buffered is before
    TellLater(without).stop(Consumer(None, None))

"""What Flower is told of tasks: after they were given to a process, what is close in time together, and all of it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.asynchronous import Hub

from tests.servers import eventually
from worker.app import app as ours
from worker.sandbox.servers import start_redis
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

    def on_send_event_buffered(self) -> None:
        """How Celery tells by itself."""

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


HELD = """
import os
import redis
from celery import Celery
from worker.task_events import TellLater

app = Celery("held", broker=os.environ["BROKER"])
app.conf.update(worker_send_task_events=True, task_ignore_result=True)
app.steps["consumer"].add(TellLater)

@app.task(name="held")
def held():
    redis.Redis.from_url(os.environ["BROKER"]).blpop("let go", timeout=30)
"""


@contextmanager
def listening(app: Celery) -> Iterator[list[str]]:
    """The types of the events that come meanwhile, as they come."""
    heard: list[str] = []
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": lambda event: heard.append(event["type"])})
        thread = threading.Thread(target=receiver.capture, kwargs={"wakeup": False})
        thread.start()
        try:
            yield heard
        finally:
            receiver.should_stop = True
            thread.join()


@pytest.mark.landing
def test_task_that_ends_while_its_worker_stops_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "held_app.py").write_text(HELD)
    with start_redis(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        app = Celery("held", broker=server.url, set_as_current=False)
        command = [sys.executable, "-m", "celery", "-A", "held_app", "worker", "--concurrency", "1", "--loglevel", "error"]
        places = os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parents[2])])
        environment = {**os.environ, "BROKER": server.url, "PYTHONPATH": places}
        with listening(app) as heard, subprocess.Popen(command, env=environment, cwd=tmp_path) as worker:
            try:
                assert eventually(lambda: "worker-online" in heard, within=30)
                app.send_task("held", ignore_result=True)
                assert eventually(lambda: "task-started" in heard)
                worker.terminate()
                assert eventually(lambda: "worker-offline" in heard), "it takes nothing more, and waits for its task"
                client.rpush("let go", "now")
                assert worker.wait(20) == 0
                assert eventually(lambda: "task-succeeded" in heard)
            finally:
                worker.kill()

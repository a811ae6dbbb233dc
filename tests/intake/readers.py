"""What the consumer tests need around the consumer: an inbox that can fail, a log that can be read, a Redis of either kind."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import redis

from worker.intake.consumer import Consumer
from worker.intake.entry import Entry

STREAM = "layer-jobs:events"
GROUP = "refunds"
IDLE_AT_ONCE = {"reclaim_idle_ms": 0, "reclaim_every": 0.0}
"""For a consumer that takes over what another holds without waiting for it to have been silent."""


class Inbox:
    """Keeps what was accepted, each entry once; raises the planned faults first, before or after keeping."""

    def __init__(self) -> None:
        self.kept: dict[str, Entry] = {}
        self.calls: list[list[str]] = []
        self.refuse: list[Exception] = []
        self.poison: set[str] = set()
        self.before_return: Callable[[], None] = lambda: None

    def accept(self, entries: Sequence[Entry]) -> None:
        self.calls.append([entry.stream_id for entry in entries])
        if self.refuse:
            raise self.refuse.pop(0)
        if bad := self.poison.intersection(self.calls[-1]):
            raise ValueError(f"cannot keep {sorted(bad)}")
        self.kept.update({entry.stream_id: entry for entry in entries})
        self.before_return()

    @property
    def documents(self) -> list[bytes | None]:
        return [entry.raw for entry in self.kept.values()]


@contextmanager
def running(consumer: Consumer) -> Iterator[None]:
    """Runs the consumer in a thread for the length of the block; it must then end within its block time and a little."""
    stop = Event()
    thread = Thread(target=consumer.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(3)
    assert not thread.is_alive()


class Log:
    """Remembers what was said, and how many entries were said to be gone."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.gone = 0

    def __getattr__(self, level: str) -> Callable[..., None]:
        def say(event: str, **told: Any) -> None:
            self.said.append((level, event))
            self.gone += told["entries"] if event == "intake.entries_gone" else 0

        return say

    def events(self, level: str) -> list[str]:
        return [event for at, event in self.said if at == level]


class Reading:
    """A stream with its producers and as many consumers as a test wants."""

    def __init__(self, connect: Callable[[], redis.Redis]) -> None:
        self.connect = connect
        self.client: Any = connect()
        self.log = Log()

    def add(self, *documents: str) -> list[str]:
        return [self.client.xadd(STREAM, {"event": document}).decode() for document in documents]

    def consumer(self, inbox: Inbox, name: str = "one", **options: Any) -> Consumer:
        options = {"block_ms": 20, "stream": STREAM, "group": GROUP, "log": self.log, **options}
        return Consumer(options.pop("client", None) or self.connect(), inbox, name=name, **options)

    @property
    def pending(self) -> int:
        return int(self.client.xpending(STREAM, GROUP)["pending"])

"""Takes in what is on the stream and sweeps until nothing is due, without Celery."""

from collections.abc import Sequence

from worker.intake.consumer import Consumer
from worker.intake.entry import Entry
from worker.observe import log
from worker.runtime import Runtime
from worker.settings import GROUP, load_settings


class _Desk:
    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def accept(self, entries: Sequence[Entry]) -> None:
        self.runtime.desk.accept(entries)


def main() -> None:
    # nobody was sent a hint, so nothing is left to one
    runtime = Runtime.start(load_settings().model_copy(update={"hints": False})).ready()
    stream = runtime.settings.stream
    consumer = Consumer(runtime.redis, _Desk(runtime), stream=stream, group=GROUP, name="one-turn", log=log, block_ms=10)
    while consumer.step():
        pass
    while not runtime.sweeper.sweep().idle:
        pass

"""What the pipeline double says on the stream: which jobs it knows, and the outcome of a re-run, in its time."""

import heapq
import json
import threading
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any

import redis

from worker.clock import Clock
from worker.intake.wire import EventType, event_document

SOURCE = "/image-pipeline"
RETRY_SECONDS = 0.5


class Ending(Enum):
    """How a re-run ends, as an event."""

    COMPLETE = EventType.SUCCEEDED
    PARTLY = EventType.INCOMPLETE
    FAILED = EventType.FAILED


@dataclass(frozen=True, slots=True)
class KnownJob:
    """What the pipeline has to know of a job to report about it."""

    job_id: str
    account_id: str
    layers: int


class JobsOnStream:
    """The jobs that events on the stream name, read as far as needed and never twice."""

    def __init__(self, client: redis.Redis, stream: str) -> None:
        self._client, self._stream = client, stream
        self._known: dict[str, KnownJob] = {}
        self._after = "-"
        self._lock = threading.Lock()

    def learn(self, job_id: str, account_id: str, layers: int) -> None:
        """Makes a job known."""
        self._known[job_id] = KnownJob(job_id, account_id, layers)

    def find(self, job_id: str) -> KnownJob | None:
        """The job, if an event on the stream names it. A Redis that is away knows no job."""
        with self._lock:
            while job_id not in self._known and self._read():
                pass
            return self._known.get(job_id)

    def _read(self) -> bool:
        try:
            entries: Any = self._client.xrange(self._stream, min=self._after, count=1000)
        except redis.RedisError:
            return False
        for entry_id, fields in entries:
            self._after = f"({_text(entry_id)}"
            for value in fields.values():
                self._note(value)
        return bool(entries)

    def _note(self, value: Any) -> None:
        try:
            data = json.loads(value)["data"]
            job_id, account_id = data["job_id"], data["account_id"]
            layers = data.get("layers_expected") or (data.get("output") or {}).get("layers_expected") or 6
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            # the stream holds documents broken on purpose; they are the intake's business
            return
        if isinstance(job_id, str) and isinstance(account_id, str) and isinstance(layers, int):
            self._known.setdefault(job_id, KnownJob(job_id, account_id, layers))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class Answers:
    """Puts outcomes on the stream when their time has come: one thread and a heap, however many are waiting."""

    def __init__(self, client: redis.Redis, stream: str, clock: Clock) -> None:
        self._client, self._stream, self._clock = client, stream, clock
        self._heap: list[tuple[float, int, KnownJob, int, Ending]] = []
        self._number = 0
        self._saying = 0
        self._over = False
        self._woken = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="pipeline-answers", daemon=True)

    def start(self) -> None:
        """Begins to speak."""
        self._thread.start()

    def stop(self) -> None:
        """Falls silent; what has not been said never will be, as with a pipeline that died."""
        with self._woken:
            self._over = True
            self._woken.notify()
        self._thread.join()

    @property
    def pending(self) -> int:
        """Outcomes not yet on the stream."""
        with self._woken:
            return len(self._heap) + self._saying

    def later(self, seconds: float, job: KnownJob, attempt: int, ending: Ending) -> None:
        """Makes the outcome be said after so many seconds."""
        with self._woken:
            self._number += 1
            heapq.heappush(self._heap, (time.monotonic() + seconds, self._number, job, attempt, ending))
            self._woken.notify()

    def _run(self) -> None:
        while (due := self._next()) is not None:
            _, number, job, attempt, ending = due
            try:
                self._client.xadd(self._stream, {"event": self._document(number, job, attempt, ending)})
            except redis.RedisError:
                # said twice at worst, under the same id: that is what "at least once" means
                with self._woken:
                    heapq.heappush(self._heap, (time.monotonic() + RETRY_SECONDS, number, job, attempt, ending))
            with self._woken:
                self._saying = 0

    def _next(self) -> tuple[float, int, KnownJob, int, Ending] | None:
        with self._woken:
            while not self._over:
                wait = self._heap[0][0] - time.monotonic() if self._heap else None
                if wait is not None and wait <= 0:
                    self._saying = 1
                    return heapq.heappop(self._heap)
                self._woken.wait(wait)
            return None

    def _document(self, number: int, job: KnownJob, attempt: int, ending: Ending) -> str:
        delivered = {Ending.COMPLETE: job.layers, Ending.PARTLY: job.layers - 1, Ending.FAILED: 0}[ending]
        data: dict[str, Any] = {"job_id": job.job_id, "account_id": job.account_id, "attempt": attempt}
        data["output"] = {"layers_expected": job.layers, "layers_delivered": delivered, "corrupted": 0}
        if ending is Ending.PARTLY:
            data["failure"] = {"code": "missing_layers", "stage": "export", "message": "one layer has no pixels"}
        elif ending is Ending.FAILED:
            data["failure"] = {"code": "gpu_out_of_memory", "stage": "segment", "message": "CUDA out of memory"}
        name = f"evt-rerun-{job.job_id}-{attempt}-{number}"
        return event_document(ending.value, data, id=name, source=SOURCE, time=self._clock.now(), subject=job.job_id)

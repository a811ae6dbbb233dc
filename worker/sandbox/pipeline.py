"""A pipeline to ask for re-runs over HTTP, for the demo and the tests (contract.md, "Commands out").

It takes an order the way the real one must: by its `Idempotency-Key`, once. Each job has a plan that says how its re-run ends;
the outcome comes as an event on the stream, a little later, like everything a pipeline says.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import redis

from worker.clock import Clock, SystemClock
from worker.intake.process import stop_on_signals
from worker.listening import LOOPBACK, taking
from worker.sandbox.answers import Answers, Ending, JobsOnStream

BODY_LIMIT = 64 * 1024


class RerunPlan(Enum):
    """How the re-run of a job goes."""

    DELIVERS = "delivers"
    DELIVERS_PARTLY = "delivers_partly"
    FAILS = "fails"
    NEVER_ANSWERS = "never_answers"
    """Taken with 202, and nothing is ever heard of it."""
    REFUSES = "refuses"
    """409."""
    UNREACHABLE_ONCE = "unreachable_once"
    """503 for the first order, then it delivers."""


ENDING = {
    RerunPlan.DELIVERS: Ending.COMPLETE,
    RerunPlan.UNREACHABLE_ONCE: Ending.COMPLETE,
    RerunPlan.DELIVERS_PARTLY: Ending.PARTLY,
    RerunPlan.FAILS: Ending.FAILED,
}
PROPORTIONS = (
    (60, RerunPlan.DELIVERS),
    (12, RerunPlan.FAILS),
    (10, RerunPlan.DELIVERS_PARTLY),
    (8, RerunPlan.REFUSES),
    (6, RerunPlan.UNREACHABLE_ONCE),
    (4, RerunPlan.NEVER_ANSWERS),
)
"""Per cent of the jobs, for a pipeline that runs on its own."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One order as it came, and the status it was answered with."""

    job_id: str
    key: str
    body: dict[str, Any]
    status: int


class PipelineDouble:
    """The double, listening on loopback while its `with` block lasts; `url` is what `REFUNDS_PIPELINE_URL` would be.

    It knows the jobs that any event on the stream names, and those it was told with `learn`. With `dedupe=False` it is the
    pipeline nobody should have: every order, repeated or not, is a re-run of its own with an event of its own (CP13).
    """

    def __init__(
        self,
        redis: redis.Redis,
        stream: str,
        plan: Callable[[str], RerunPlan],
        clock: Clock,
        port: int = 0,
        *,
        answer_delay: tuple[float, float] = (0.05, 0.4),
        dedupe: bool = True,
        seed: int = 0,
    ) -> None:
        self.requests: list[Heard] = []
        self._plan, self._delay, self._dedupe, self._chance = plan, answer_delay, dedupe, Random(seed)
        self._lock = threading.Lock()
        self._taken: set[str] = set()
        self._turned_away: set[str] = set()
        self._jobs = JobsOnStream(redis, stream)
        self._answers = Answers(redis, stream, clock)
        self._server = _Server((LOOPBACK, port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="pipeline-double", daemon=True)

    def __enter__(self) -> Self:
        self._answers.start()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._answers.stop()

    @property
    def url(self) -> str:
        """The address to ask at."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def pending(self) -> int:
        """Outcomes that are still to be put on the stream."""
        return self._answers.pending

    def learn(self, job_id: str, account_id: str, layers: int = 6) -> None:
        """Makes a job known that the stream does not name."""
        self._jobs.learn(job_id, account_id, layers)

    def take(self, job_id: str, key: str, body: dict[str, Any]) -> int:
        """Takes one order; returns the HTTP status. A key that was taken before is answered as before and starts nothing."""
        with self._lock:
            status = self._take(job_id, key, int(body["attempt"]))
            self.requests.append(Heard(job_id, key, body, status))
            return status

    def _take(self, job_id: str, key: str, attempt: int) -> int:
        if self._dedupe and key in self._taken:
            return 202
        job = self._jobs.find(job_id)
        if job is None:
            return 404
        plan = self._plan(job_id)
        if plan is RerunPlan.REFUSES:
            return 409
        if plan is RerunPlan.UNREACHABLE_ONCE and job_id not in self._turned_away:
            self._turned_away.add(job_id)
            return 503
        self._taken.add(key)
        ending = ENDING.get(plan)
        if ending is not None:
            self._answers.later(self._chance.uniform(*self._delay), job, attempt, ending)
        return 202


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # a burst of orders waits in line instead of being refused
    request_queue_size = 128


def _handler(double: PipelineDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            status, said = self._heard()
            document = json.dumps({"status": said}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def _heard(self) -> tuple[int, str]:
            parts = self.path.split("/")
            if len(parts) != 4 or (parts[1], parts[3]) != ("jobs", "rerun"):
                return 404, "no such route"
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > BODY_LIMIT:
                return 413, "a body of at most 64 KiB is expected"
            key, job_id = self.headers.get("Idempotency-Key", ""), unquote(parts[2])
            try:
                body = json.loads(self.rfile.read(int(length)))
                sound = bool(key) and body["job_id"] == job_id and body["case_id"] and int(body["attempt"]) > 1
            except (ValueError, KeyError, TypeError):
                sound = False
            if not sound:
                return 400, "expected an Idempotency-Key and the body {job_id, attempt, case_id} of this very job"
            status = double.take(job_id, key, body)
            return status, {202: "accepted", 404: "no such job", 409: "the input is gone", 503: "starting up"}[status]

        def log_message(self, format: str, *args: object) -> None:
            # the double keeps its requests; stderr belongs to the logs of the worker
            pass

    return Handler


def plan_by_hash(seed: int) -> Callable[[str], RerunPlan]:
    """Plans in the `PROPORTIONS`, the same for a job id and a seed whatever was asked before."""

    def plan(job_id: str) -> RerunPlan:
        place = int.from_bytes(sha256(f"{seed}:{job_id}".encode()).digest()[:8]) % 100
        for percent, chosen in PROPORTIONS:
            if place < percent:
                return chosen
            place -= percent
        raise AssertionError("the proportions make 100 per cent")

    return plan


def serve(redis_url: str, stream: str, port: int, seed: int) -> None:
    """Runs the double until SIGINT or SIGTERM. To be called in the main thread of a process.

    Raises `Misconfigured` where it cannot listen.
    """
    over = stop_on_signals()
    client = redis.Redis.from_url(redis_url, socket_timeout=5, socket_connect_timeout=5)
    with taking(LOOPBACK, port, host_named="--port", port_named="--port"):
        listening = PipelineDouble(client, stream, plan_by_hash(seed), SystemClock(), port, seed=seed)
    with listening:
        over.wait()
    client.close()

"""The telling of one job: what the pipeline says about it, what its re-run comes to, and how it must end.

A story (`stories.py`) is a function over a `Telling`. It writes down the end next to the events, from the published policy and
without asking `policy.decide`, so that the demo and the tests compare the worker with something that is not the worker.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from random import Random
from typing import Any

from worker.intake.wire import EventType, event_document
from worker.sandbox.pipeline import RerunPlan

SOURCE = "/image-pipeline"
MESSAGES = {
    "gpu_out_of_memory": "CUDA out of memory: tried to allocate 2.4 GiB",
    "worker_crashed": "the process ended with signal 9",
    "invalid_image": "not an image: no PNG, JPEG or WebP header",
    "content_rejected": "the image was rejected by the safety model",
}


class Role(Enum):
    """Whose job a story is about."""

    BUYER = "buyer"
    """Bought credits; imported, active."""
    TWO_LOTS = "two_lots"
    """Bought credits twice, the first time only a few."""
    PASS_HOLDER = "pass_holder"
    NEWCOMER = "newcomer"
    """Known by `account.opened` alone; tries a free job."""
    SUSPENDED = "suspended"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Expectation:
    """How one job must end: the case in one of `states` (none given: no case at all), `credits` given back if it ends
    `refunded`, else none.
    """

    story: str
    states: frozenset[str]
    credits: int

    def holds(self, state: str | None, credits_reversed: int) -> bool:
        """True when a job whose case stands in `state` (None: no case), with so many credits given back, ended as it must."""
        if state is None or not self.states:
            return state is None and not self.states and credits_reversed == 0
        return state in self.states and credits_reversed == (self.credits if state == "refunded" else 0)


@dataclass(slots=True)
class Telling:
    """One job as its story makes it. Events go to `sent` in the order they are sent; `late` ones after everything settled."""

    job_id: str
    account_id: str
    price: int
    layers: int
    at: datetime
    turn: int
    """How often this story was told before: it walks through the failure codes."""
    chance: Random
    sent: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    plan: RerunPlan | None = None
    states: frozenset[str] = frozenset()
    credits: int = 0
    debit: int = 0
    in_order: bool = False
    """True where the order of sending is what the story is about."""
    conflicts: int = 0

    def one_of(self, *codes: str) -> str:
        """Another of the codes each time the story is told."""
        return codes[self.turn % len(codes)]

    def submitted(self, paid_with: str = "credits", *, expires_after: timedelta = timedelta(hours=24)) -> None:
        """The job was taken in and, if paid with credits, debited."""
        price = self.price if paid_with == "credits" else 0
        self.debit = price
        expires_at = (self.at + expires_after).isoformat()
        more = {"layers_expected": self.layers, "input_expires_at": expires_at}
        self._say(EventType.SUBMITTED, {"credits": price, "paid_with": paid_with, **more}, minutes=0)

    def imported(self, status: str, **more: Any) -> None:
        """The job comes with the product's history instead."""
        self.debit = self.price
        record = {"record": "layer_job", "id": self.job_id, "account_id": self.account_id, "credits": self.price}
        record |= {"paid_with": "credits", "status": status, "layers_expected": self.layers}
        self.records.append(record | {"submitted_at": self.at.isoformat()} | more)

    def failed(self, code: str, *, attempt: int = 1, delivered: int = 0, message: str | None = None) -> None:
        """The attempt failed with this code."""
        said = message or MESSAGES.get(code, f"{code} while splitting the image")
        failure = {"code": code, "stage": self.chance.choice(["load", "segment", "inpaint", "export"]), "message": said}
        self._say(
            EventType.FAILED, {"attempt": attempt, "failure": failure, "output": self._output(delivered)}, minutes=2 + attempt
        )

    def incomplete(self, code: str | None, *, missing: int = 1, corrupted: int = 0) -> None:
        """The attempt ended with layers missing or corrupted."""
        data: dict[str, Any] = {"attempt": 1, "output": self._output(self.layers - missing, corrupted)}
        if code is not None:
            data["failure"] = {"code": code, "stage": "export", "message": f"{missing} missing, {corrupted} corrupted"}
        self._say(EventType.INCOMPLETE, data, minutes=3)

    def succeeded(self, *, delivered: int | None = None, late: bool = False) -> None:
        """The attempt delivered, everything unless said otherwise."""
        output = self._output(self.layers if delivered is None else delivered)
        self._say(EventType.SUCCEEDED, {"attempt": 1, "output": output}, minutes=9 if late else 3, late=late)

    def downloaded(self) -> None:
        """The customer fetched the layers."""
        self._say(EventType.DOWNLOADED, {"at": (self.at + timedelta(minutes=10)).isoformat()}, minutes=10)

    def edited(self) -> None:
        """The customer worked on the layers."""
        self._say(EventType.EDITED, {}, minutes=15)

    def again(self, times: int = 1) -> None:
        """The last event comes again, byte for byte."""
        self.sent += [self.sent[-1]] * times

    def contradicted(self, tell: Callable[[], None]) -> None:
        """What `tell` says comes under the identity of the event before it: another content, which must not count."""
        number = len(self.sent)
        tell()
        self.sent[-1] = self.sent[-1].replace(f'"id":"{self._name(number)}"', f'"id":"{self._name(number - 1)}"', 1)
        self.conflicts += 1

    def rerun(self, plan: RerunPlan) -> None:
        """What comes of the re-run, should one be asked for."""
        self.plan = plan

    def ends(self, *states: str, credits: int = 0) -> None:
        """How it must end: see `Expectation`."""
        self.states, self.credits = frozenset(states), credits

    def _output(self, delivered: int, corrupted: int = 0) -> dict[str, int]:
        return {"layers_expected": self.layers, "layers_delivered": delivered, "corrupted": corrupted}

    def _name(self, number: int) -> str:
        return f"evt-{self.job_id}-{number}"

    def _say(self, type: EventType, data: dict[str, Any], *, minutes: int, late: bool = False) -> None:
        document = event_document(
            type,
            {"job_id": self.job_id, "account_id": self.account_id} | data,
            id=self._name(len(self.sent) + len(self.late)),
            source=SOURCE,
            time=self.at + timedelta(minutes=minutes),
            subject=self.job_id,
        )
        (self.late if late else self.sent).append(document)

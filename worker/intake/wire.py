"""Events as the pipeline sends them: CloudEvents 1.0, structured mode (contract.md, "Events in").

`read_event` is used twice on every event: at the edge, and again by the worker on the text kept in the inbox. It is therefore
a pure function of the bytes and of `now`; the same bytes judged at the same time always give the same answer.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from policy.facts import Output, PaidWith, ReportKind
from worker.clock import written
from worker.intake import fields
from worker.intake.fields import Attempt, Code, Credits, Email, Id, Instant, Layers, Message, Model, Name, Payment, Problem, Stage
from worker.strict import digest, loads, shown

SPEC_VERSION = "1.0"
FUTURE_TOLERANCE = timedelta(days=1)
"""A producer's clock may be wrong by this much; what lies further ahead is a wrong time, not a late one."""


class EventType(StrEnum):
    """The seven types of the contract."""

    ACCOUNT_OPENED = "account.opened"
    SUBMITTED = "layer_job.submitted"
    SUCCEEDED = "layer_job.succeeded"
    FAILED = "layer_job.failed"
    INCOMPLETE = "layer_job.incomplete"
    DOWNLOADED = "layer_job.downloaded"
    EDITED = "layer_job.edited"


@dataclass(frozen=True, slots=True)
class AccountOpened:
    """An account exists, reachable at this address."""

    email: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job was taken in, and `credits` were debited for it if `paid_with` says credits."""

    credits: int
    paid_with: PaidWith
    layers_expected: int | None = None
    input_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reported:
    """What the pipeline says about one attempt. `message` is free text: for people only, cut at 300 characters."""

    attempt: int
    kind: ReportKind
    code: str = ""
    stage: str = ""
    message: str = ""
    output: Output | None = None


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The customer fetched the layers; `at` is None where only the event's own time is known."""

    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Edited:
    """The customer worked on the layers; `at` as in `Downloaded`."""

    at: datetime | None = None


EventData = AccountOpened | Submitted | Reported | Downloaded | Edited


@dataclass(frozen=True, slots=True)
class Event:
    """One event, checked. Identity is `source` and `id`, compared byte for byte; `raw` is the document as it came."""

    source: str
    id: str
    type: str
    time: datetime
    account_id: str | None
    job_id: str | None
    data: EventData
    raw: str
    sha256: str
    trace: str | None = None


class _Envelope(Model):
    id: Name
    source: Name
    time: Instant


class _Account(Model):
    account_id: Id
    email: Email


class _Job(Model):
    job_id: Id
    account_id: Id


class _Submitted(_Job):
    credits: Credits
    paid_with: Payment
    layers_expected: Layers | None = None
    input_expires_at: Instant | None = None


class _Output(Model):
    layers_delivered: Layers
    layers_expected: Layers | None = None
    corrupted: Layers | None = None


class _Failure(Model):
    code: Code
    stage: Stage | None = None
    message: Message | None = None


class _Succeeded(_Job):
    attempt: Attempt
    output: _Output


class _Failed(_Job):
    attempt: Attempt
    failure: _Failure
    output: _Output | None = None


class _Incomplete(_Job):
    attempt: Attempt
    output: _Output
    failure: _Failure | None = None


class _Touched(_Job):
    at: Instant | None = None


def _reported(kind: ReportKind) -> Callable[[Any], EventData]:
    def build(said: Any) -> Reported:
        failure, output = getattr(said, "failure", None), said.output
        return Reported(
            attempt=said.attempt,
            kind=kind,
            code=failure.code if failure else "",
            stage=(failure.stage or "") if failure else "",
            message=(failure.message or "") if failure else "",
            output=Output(output.layers_delivered, output.layers_expected, output.corrupted or 0) if output else None,
        )

    return build


def _submitted(said: Any) -> Submitted:
    return Submitted(said.credits, said.paid_with, said.layers_expected, said.input_expires_at)


_TYPES: dict[str, tuple[type[Model], Callable[[Any], EventData]]] = {
    EventType.ACCOUNT_OPENED.value: (_Account, lambda said: AccountOpened(said.email)),
    EventType.SUBMITTED.value: (_Submitted, _submitted),
    EventType.SUCCEEDED.value: (_Succeeded, _reported(ReportKind.SUCCEEDED)),
    EventType.FAILED.value: (_Failed, _reported(ReportKind.FAILED)),
    EventType.INCOMPLETE.value: (_Incomplete, _reported(ReportKind.INCOMPLETE)),
    EventType.DOWNLOADED.value: (_Touched, lambda said: Downloaded(said.at)),
    EventType.EDITED.value: (_Touched, lambda said: Edited(said.at)),
}
_KNOWN = ", ".join(_TYPES)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def read_event(raw: bytes, now: datetime) -> Event:
    """The event that `raw` is, judged as received at `now`. Raises `Malformed`, naming every field that is wrong."""
    document = loads(raw)
    problems: list[Problem] = []
    if "specversion" not in document:
        problems.append(("missing_field", f'specversion is missing; expected "{SPEC_VERSION}"'))
    elif document["specversion"] != SPEC_VERSION:
        problems.append(("wrong_version", f'specversion is {shown(document["specversion"])}; expected "{SPEC_VERSION}"'))
    envelope = fields.read(_Envelope, document, "", problems)
    said, data = _said(document, problems)
    if envelope is not None and envelope.time > now + FUTURE_TOLERANCE:
        at = envelope.time.isoformat()
        problems.append(("from_the_future", f"time is {at}; expected a time at most a day after {now.isoformat()}, its receipt"))
    if problems or envelope is None or said is None or data is None:
        raise fields.malformed(problems)
    trace = document.get("traceparent")
    return Event(
        source=envelope.source,
        id=envelope.id,
        type=document["type"],
        time=envelope.time,
        account_id=said.account_id,
        job_id=getattr(said, "job_id", None),
        data=data,
        raw=raw.decode(),
        sha256=digest(raw),
        trace=trace if isinstance(trace, str) and _TRACEPARENT.fullmatch(trace) else None,
    )


def _said(document: dict[str, Any], problems: list[Problem]) -> tuple[Any, EventData | None]:
    kind = document.get("type")
    known = _TYPES.get(kind) if isinstance(kind, str) else None
    if "type" not in document:
        problems.append(("missing_field", f"type is missing; expected one of {_KNOWN}"))
    elif known is None:
        problems.append(("unknown_type", f"type is {shown(kind)}; expected one of {_KNOWN}"))
    if "data" not in document:
        problems.append(("missing_field", "data is missing; expected an object"))
    elif known is not None:
        model, build = known
        said = fields.read(model, document["data"], "data", problems)
        return said, None if said is None else build(said)
    return None, None


def event_document(
    type: str, data: Mapping[str, Any], *, id: str, source: str, time: datetime, subject: str | None = None
) -> str:
    """One event as a producer writes it: the text for the field `event` of a stream entry. `time` must carry a zone."""
    document: dict[str, Any] = {"specversion": SPEC_VERSION, "id": id, "source": source, "type": str(type)}
    document["time"] = written(time)
    if subject is not None:
        document["subject"] = subject
    return json.dumps({**document, "data": dict(data)}, separators=(",", ":"))

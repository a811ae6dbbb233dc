"""One thing done within a trace, named so that whoever tells it again tells the same span."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Span:
    """What was done, when it began, and what it is about: ids and words of ours, never what others wrote."""

    name: str
    traceparent: str
    """Its own; what follows from it elsewhere stands under it."""
    parent: str
    """The `traceparent` it stands under."""
    began: datetime
    about: Mapping[str, str | int]
    leaves: bool = False
    """Something went out to others, and not only a case moved."""


def within(trace: str, key: str) -> str:
    """The `traceparent` of what `key` names within the trace: the same at every try."""
    _, trace_id, _, flags = trace.split("-")
    return f"00-{trace_id}-{sha256(key.encode()).hexdigest()[:16]}-{flags}"

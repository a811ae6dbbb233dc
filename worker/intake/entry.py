"""One entry of the event stream."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the stream. `raw` is its field `event`, None where a producer wrote something else."""

    stream_id: str
    raw: bytes | None
    fields: dict[bytes, bytes]
    again: bool = False
    """It was handed out before, and not acknowledged: somebody failed or died over it."""

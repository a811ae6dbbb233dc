"""One entry of the event stream."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FIELD = b"event"
ENTRY_BYTES = 4 * 2**20
"""Most that an entry may weigh of which more than its id is looked at: many times what is taken of a document."""
UNREAD = {b"unread": b"the entry is too large to be read; it lies in the stream until that is trimmed"}
"""Stands for the fields of an entry that weighs more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the stream. `raw` is its field `event`, None where a producer wrote something else, or several of them."""

    stream_id: str
    raw: bytes | None
    fields: dict[bytes, bytes]
    again: bool = False
    """It was handed out before, and not acknowledged: somebody failed or died over it."""


def entry_of(stream_id: str, fields: dict[bytes, bytes], again: bool = False) -> Entry:
    """The entry as it is handed on."""
    kept = UNREAD if weight(fields) > ENTRY_BYTES else fields
    return Entry(stream_id, kept.get(FIELD), kept, again)


def weight(fields: Mapping[bytes, bytes]) -> int:
    """The bytes of the fields with their names."""
    return sum(map(len, fields)) + sum(map(len, fields.values()))


def told_apart(fields: Sequence[bytes]) -> list[bytes]:
    """Names and values of an entry, as Redis gives them, with a number behind each name that stands there more than once: whoever
    makes a dictionary of them would keep the last alone.
    """
    names = fields[::2]
    if len(set(names)) == len(names):
        return list(fields)
    times, seen, found = Counter(names), Counter[bytes](), list[bytes]()
    for name, value in zip(names, fields[1::2], strict=True):
        seen[name] += 1
        found += [name if times[name] == 1 else b"%b (%d of %d)" % (name, seen[name], times[name]), value]
    return found

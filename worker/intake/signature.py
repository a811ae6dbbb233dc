"""Who sent an entry: a signature beside the document, over its very bytes, with a key that speaks for one source.

Redis keeps no author with an entry, so that whoever may write to the stream could speak for everybody. Where keys are named
(`REFUNDS_EVENT_SECRETS`) an entry is taken only from whoever has one, and only under that key's source. A signed entry sent
again is the same event and changes nothing.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from worker.intake.entry import ENTRY_BYTES, UNREAD, Entry
from worker.intake.wire import Event, read_event
from worker.settings import EVENT_SECRET
from worker.strict import MAX_BYTES, Malformed, shown

FIELD = b"signature"
HOW = "producers sign with `signature` ID:HMAC-SHA256 over the bytes of `event`, in hexadecimal"


@dataclass(frozen=True, slots=True)
class Key:
    """One producer's key. Two for one source while one takes the place of the other."""

    id: str
    source: str
    secret: bytes = field(repr=False)

    def sign(self, raw: bytes) -> str:
        """The signature of these bytes."""
        return f"{self.id}:{hmac.digest(self.secret, raw, 'sha256').hex()}"


@dataclass(frozen=True, slots=True)
class Producers:
    """Who may speak on the stream. Without keys: whoever can write to it."""

    keys: Mapping[str, Key] = field(default_factory=dict)

    @classmethod
    def named(cls, secrets: SecretStr | None) -> "Producers":
        """Those of `REFUNDS_EVENT_SECRETS`, in the shape that settings have checked."""
        words = secrets.get_secret_value().split() if secrets is not None else []
        found = [matched.groups() for word in words if (matched := EVENT_SECRET.fullmatch(word))]
        return cls({name: Key(name, source, secret.encode()) for name, secret, source in found})

    def read(self, entry: Entry, now: datetime) -> Event:
        """The event that the entry is. Raises `Malformed` for one that cannot be read or was sent by nobody we know."""
        if entry.fields is UNREAD:
            raise Malformed("too_large", f"the stream entry weighs more than the {ENTRY_BYTES:,} bytes that are read of one")
        if entry.raw is None:
            right = "producers write XADD <stream> * event <json>, an entry for each event"
            raise Malformed("missing_field", f"the stream entry has no field `event`, or more than one; {right}")
        key = self._signer(entry.raw, entry.fields.get(FIELD)) if self.keys else None
        event = read_event(entry.raw, now)
        if key is not None and event.source != key.source:
            raise Malformed("bad_signature", f"key {key.id} speaks for {shown(key.source)}, and source is {shown(event.source)}")
        return event

    def signed(self, raw: bytes, source: str) -> dict[Any, Any]:
        """The fields of an entry with this document, signed where keys are named. Raises `Malformed` where none speaks for it."""
        if not self.keys:
            return {"event": raw}
        key = next((key for key in self.keys.values() if key.source == source), None)
        if key is None:
            raise Malformed("unsigned", f"no key of REFUNDS_EVENT_SECRETS speaks for {shown(source)}")
        return {"event": raw, "signature": key.sign(raw)}

    def _signer(self, raw: bytes, said: bytes | None) -> Key | None:
        # what is too large to be read is not worth a hash; the reader refuses it
        if len(raw) > MAX_BYTES:
            return None
        if said is None:
            raise Malformed("unsigned", f"the stream entry has no field `signature`; {HOW}")
        name = said.partition(b":")[0].decode(errors="replace")
        key = self.keys.get(name)
        if key is None:
            raise Malformed("bad_signature", f"no key is named {shown(name)}; {HOW}")
        if not hmac.compare_digest(said, key.sign(raw).encode()):
            raise Malformed("bad_signature", f"the signature is not that of key {key.id} over these bytes; {HOW}")
        return key

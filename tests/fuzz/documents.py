"""Parsers of documents: bytes in, something frozen out or the one declared error."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from policy import TermsError, load_editions
from policy.codes import failure_code
from tests.creem import test_webhooks as hooks
from tests.creem.world import a_transaction
from tests.fuzz.changes import MAIL_TRICKS, TOML_TRICKS, by_bytes, by_places
from tests.fuzz.parser import Check, Parser, pure
from tests.intake.documents import DATA, NOW, RECORDS, a_record, an_event
from tests.intake.mail.mails import TRUSTED, every, faults
from worker.creem.reading import Unreadable
from worker.creem.transactions import read_transaction
from worker.creem.webhooks import read_webhook
from worker.intake.mail.reader import read_mail
from worker.intake.records import read_record
from worker.intake.wire import Event, Reported, read_event
from worker.settings import DEFAULT_TERMS
from worker.strict import Malformed, digest, loads

UNCLEAN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
FREE = frozenset({"message", "stage", "raw"})
"""Free text and the document itself: kept as they came, and escaped by whoever shows them."""


def unclean(**texts: str | None) -> Iterator[str]:
    """A fault for every text that holds a control character, a line separator or half a character."""
    for name, text in texts.items():
        if text is not None and UNCLEAN.search(text):
            yield f"{name} is not clean: {text[:80]!r}"


def a_fault(error: Malformed) -> Iterator[str]:
    """What is wrong with an error that people and logs are told."""
    yield from unclean(detail=error.detail)
    if len(error.detail) > 2000:
        yield f"the detail has {len(error.detail)} characters"


def texts(thing: Any) -> dict[str, str]:
    """Every text of a frozen thing and of what it holds, but free text."""
    slots = {name: getattr(thing, name) for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())}
    inner = [
        value for value in slots.values() if hasattr(type(value), "__slots__") and type(value).__module__.startswith("worker")
    ]
    found = {name: str(value) for name, value in slots.items() if isinstance(value, str) and name not in FREE}
    return found | {name: text for each in inner for name, text in texts(each).items()}


def _strict(raw: bytes) -> Iterator[str]:
    try:
        document = loads(raw)
    except Malformed as error:
        yield from a_fault(error)
        return
    again = json.dumps(document).encode()
    if len(again) < 60_000 and loads(again) != document:
        yield "written out and read again it is another document"


def _event(raw: bytes) -> Iterator[str]:
    try:
        event = read_event(raw, NOW)
    except Malformed as error:
        yield from a_fault(error)
        return
    yield from _kept(raw, event.raw, event.sha256)
    yield from unclean(**texts(event))
    if isinstance(event.data, Reported):
        stored = f"{event.data.message}{event.data.stage}"
        if len(event.data.message) > 300 or len(event.data.stage) > 64 or re.search("[\x00\ud800-\udfff]", stored):
            yield "free text is longer than its column, or can be stored by no database"
        if failure_code(event.data.code) != event.data.code:
            yield "the code is none that the terms could list"
    again: Event = read_event(event.raw.encode(), NOW)
    if again != event:
        yield "read again from the text kept it is another event"


def _record(raw: bytes) -> Iterator[str]:
    try:
        record = read_record(raw)
    except Malformed as error:
        yield from a_fault(error)
        return
    yield from _kept(raw, record.raw, record.sha256)
    yield from unclean(**texts(record))
    if read_record(record.raw.encode()) != record:
        yield "read again from the text kept it is another record"


def _webhook(raw: bytes) -> Iterator[str]:
    try:
        hook = read_webhook(raw)
    except Malformed as error:
        yield from a_fault(error)
        return
    yield from _kept(raw, hook.raw, hook.sha256)
    yield from unclean(**texts(hook))
    amount = getattr(hook.said, "amount", 0) or 0
    if not 0 <= amount <= 10**12:
        yield f"an amount of {amount}"


def _transaction(raw: bytes) -> Iterator[str]:
    try:
        document: Any = loads(raw)
    except Malformed:
        return
    try:
        read = read_transaction(document)
    except Unreadable as error:
        yield from unclean(error=str(error))
        return
    yield from unclean(**texts(read))
    if read.remaining is not None and not 0 <= read.remaining <= (read.amount_paid or 0):
        yield f"{read.remaining} of {read.amount_paid} are left"


def _kept(raw: bytes, text: str, sha256: str) -> Iterator[str]:
    if text.encode() != raw or sha256 != digest(raw):
        yield "what is kept is not what came"


def _mail(raw: bytes) -> Iterable[str]:
    return faults(read_mail(raw, trusted=TRUSTED))


@contextmanager
def _terms(folder: Path) -> Iterator[Check]:
    def check(raw: bytes) -> Iterator[str]:
        (folder / "2025-12-03.toml").write_bytes(raw)
        try:
            editions = load_editions(folder)
        except TermsError as error:
            yield from unclean(**{f"fault {number}": fault for number, fault in enumerate(str(error).splitlines())})
            return
        for terms in editions:
            if terms.digest != digest(raw):
                yield "the digest is not that of the file"

    folder.mkdir(parents=True, exist_ok=True)
    yield check


def events() -> Sequence[bytes]:
    return [an_event(kind) for kind in DATA]


def deliveries() -> Sequence[bytes]:
    told: dict[str, dict[str, Any]] = {
        "refund.created": hooks.REFUND,
        "dispute.created": hooks.DISPUTE,
        "checkout.completed": hooks.CHECKOUT | {"order": hooks.ORDER | {"transaction": hooks.TRANSACTION}},
        "subscription.paid": hooks.SUBSCRIPTION | {"last_transaction": hooks.TRANSACTION},
        "subscription.scheduled_cancel": hooks.SUBSCRIPTION | {"status": "scheduled_cancel"},
        "product.updated": hooks.PRODUCT,
    }
    return [hooks.an_event(kind, said) for kind, said in told.items()]


PARSERS = (
    Parser("strict-json", lambda: [*events(), *deliveries()], by_places, pure(_strict)),
    Parser("event", events, by_places, pure(_event)),
    Parser("record", lambda: [a_record(kind) for kind in RECORDS], by_places, pure(_record)),
    Parser("webhook", deliveries, by_places, pure(_webhook)),
    Parser("transaction", lambda: [json.dumps(a_transaction()).encode()], by_places, pure(_transaction)),
    # a mail may be 25 MiB (tests/intake/mail/test_limits.py has the worst of them)
    Parser(
        "mail",
        lambda: list(every().values()),
        by_bytes(MAIL_TRICKS),
        pure(_mail),
        slowest=0.5,
        per_mib=2.0,
        most_memory=512 * 1024 * 1024,
    ),
    Parser(
        "terms",
        lambda: [path.read_bytes() for path in sorted(DEFAULT_TERMS.glob("*.toml"))],
        by_bytes(TOML_TRICKS),
        _terms,
        slowest=0.3,
        # twenty thousand unknown codes are each told their nearest known one
        per_mib=8.0,
    ),
)

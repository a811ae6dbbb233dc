"""Doors to the network: what comes in through them is in the books, or kept as a dead letter, or plainly refused."""

import hmac
import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import fakeredis
import httpx
from sqlalchemy import Table, func, select
from tenacity import wait_none

from tests.cases.world import HandClock
from tests.creem.world import a_transaction, an_error, here
from tests.fuzz.changes import by_bytes, by_places
from tests.fuzz.documents import deliveries, events, texts, unclean
from tests.fuzz.http import ask
from tests.fuzz.parser import Check, Parser, pure
from tests.intake.documents import NOW
from worker.creem.answers import CallOutcome
from worker.creem.client import CreemRefused
from worker.creem.credits import Booked
from worker.creem.credits import Entry as BookEntry
from worker.creem.environment import Environment
from worker.creem.receive import Receiver
from worker.creem.transactions import Transaction
from worker.creem.webhooks import MAX_BYTES
from worker.errors import TryLater
from worker.intake.accept import Desk
from worker.intake.entry import Entry
from worker.intake.signature import Key, Producers
from worker.reruns import Answer, PipelineHttp, RerunOrder
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.schema import upgrade
from worker.store.tables import dead_letters, inbox
from worker.strict import digest, loads
from worker.web.app import Web, make_app

SECRET = "a secret of the fuzzer"
KEYS = {name: Key(name, source, name.encode() * 16) for name, source in (("mill", "/image-pipeline"), ("shop", "/shop"))}
_CREDITS_PAGE = b'{"object":"list","data":[{"id":"cca_1","customer_id":"cust_1","name":"credits"}],"has_more":false}'
_ENTRY_URL = r"https://test-api\.creem\.io/v1/customer-credits/accounts/[\w-]+/(credit|debit)"
STATUSES = (200, 200, 200, 201, 204, 302, 400, 401, 404, 408, 422, 429, 500, 502, 503)


class Books:
    """An empty database, and how much is in it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.store = Store(f"sqlite:///{folder / 'fuzz.db'}")
        upgrade(self.store)

    def count(self) -> tuple[int, int]:
        """Events and dead letters."""
        return self.store.read(lambda tx: (_rows(tx, inbox), _rows(tx, dead_letters)))

    def holds(self, raw: bytes) -> bool:
        """Whether these very bytes are in the books, as an event or as a dead letter."""
        hashed = digest(raw)

        def looked(tx: Tx) -> bool:
            rows = tx.all(select(inbox.c.raw).where(inbox.c.sha256 == hashed))
            letters = tx.all(select(dead_letters.c.raw).where(dead_letters.c.sha256 == hashed))
            return any(row.raw.encode() == raw for row in rows) or any(bytes(row.raw) == raw for row in letters)

        return self.store.read(looked)


def _rows(tx: Tx, table: Table) -> int:
    return int(tx.all(select(func.count().label("n")).select_from(table))[0].n)


@contextmanager
def _entry(folder: Path) -> Iterator[Check]:
    """Entries of the stream: each one adds a row or a letter that holds what came, or repeats a row that is there."""
    books = Books(folder)
    desk, number, before = Desk(books.store, HandClock(NOW)), 0, (0, 0)

    def check(raw: bytes) -> Iterator[str]:
        nonlocal number, before
        number += 1
        fields = {b"event": raw} if raw[:1] != b"\xff" else {b"other": raw, raw[:64]: b""}
        accepted = desk.accept([Entry(f"{number}-0", fields.get(b"event"), fields)])
        now = books.count()
        new, before = (now[0] - before[0], now[1] - before[1]), now
        if len(accepted) != new[0]:
            yield f"{len(accepted)} rows were told of and {new[0]} are there"
        if new[0] + new[1] > 1:
            yield f"one entry became {new[0]} rows and {new[1]} letters"
        if b"event" in fields and not books.holds(raw) and (new != (0, 0) or not _repeats(books.store, raw)):
            yield "what came is nowhere in the books"
        if b"event" not in fields and new != (0, 1):
            yield "an entry without its field is not with the dead letters"

    yield check
    books.store.close()


@contextmanager
def _signed(folder: Path) -> Iterator[Check]:
    """Signed entries, the signature on a line before its document, none for one that is right: only what a key signed, for its
    own source, becomes a row; everything else is a letter with its bytes.
    """
    books = Books(folder)
    desk, number, before = Desk(books.store, HandClock(NOW), Producers(KEYS)), 0, (0, 0)

    def check(raw: bytes) -> Iterator[str]:
        nonlocal number, before
        number += 1
        said, _, document = raw.partition(b"\n")
        said = said or KEYS["mill"].sign(document).encode()
        signers = [
            key for key in KEYS.values() if said == f"{key.id}:{hmac.new(key.secret, document, sha256).hexdigest()}".encode()
        ]
        desk.accept([Entry(f"{number}-0", document, {b"event": document, b"signature": said})])
        now = books.count()
        new, before = (now[0] - before[0], now[1] - before[1]), now
        if new[0] and (not signers or loads(document)["source"] != signers[0].source):
            yield "taken from nobody who may say it"
        if not signers and new != (0, 1):
            yield f"signed by nobody, and became {new[0]} rows and {new[1]} letters"
        if not books.holds(document) and (new != (0, 0) or not _repeats(books.store, document)):
            yield "what came is nowhere in the books"

    yield check
    books.store.close()


def _repeats(store: Store, raw: bytes) -> bool:
    """Whether the document is in the books, written another way."""
    document = loads(raw)
    named = (inbox.c.source == document["source"]) & (inbox.c.event_id == document["id"])
    return any(loads(row.raw.encode()) == document for row in store.read(lambda tx: tx.all(select(inbox.c.raw).where(named))))


@contextmanager
def _delivery(folder: Path) -> Iterator[Check]:
    """Webhooks: nothing without its signature, and with it a row or a letter before the answer."""
    books = Books(folder)
    clock = HandClock(datetime(2026, 11, 10, 14, 0, tzinfo=UTC))
    receiver = Receiver(books.store, clock, Environment.TEST.accepts)
    web = Web(books.store, fakeredis.FakeRedis(), receiver, (SECRET,), clock, lambda _: None, clock.at - clock.at)
    app, before = make_app(web), (0, 0)

    def check(raw: bytes) -> Iterator[str]:
        nonlocal before
        sign = hmac.new(SECRET.encode(), raw, sha256).hexdigest().encode()
        for header in (raw[:64], sign.upper(), sign[:-1] + b"g", b"\xff" + sign):
            forged = ask(app, "POST", b"/webhooks/creem", [(b"creem-signature", header)], raw)
            if forged.status not in {401, 413}:
                yield f"unsigned, and answered {forged.status}"
        if books.count() != before:
            yield "unsigned, and stored"
        told = ask(app, "POST", b"/webhooks/creem", [(b"creem-signature", sign)], raw)
        now = books.count()
        new = now[0] - before[0], now[1] - before[1]
        if len(raw) > MAX_BYTES:
            if told.status != 413 or new != (0, 0):
                yield f"too large, and answered {told.status}"
        elif told.status != 200 or new not in {(1, 0), (0, 1), (0, 0)}:
            yield f"signed, and answered {told.status} with {new[0]} rows and {new[1]} letters"
        elif not books.holds(raw) and (new != (0, 0) or json.loads(told.body)["status"] != "duplicate"):
            yield "what came is nowhere in the books"
        before = now

    yield check
    books.store.close()


def _creem(raw: bytes) -> Iterator[str]:
    """Whatever Creem answers: a question is read, refused or asked later; a refund is never more than was said."""
    chosen = sha256(raw).digest()
    status = STATUSES[chosen[0] % len(STATUSES)]
    kind = (b"application/json", b"text/html", b"application/json; charset=utf-16", b"")[chosen[1] % 4]
    told = httpx.Response(
        status,
        content=raw,
        headers=[(b"content-type", kind), (b"retry-after", raw[:12])],
    )
    meets = here(told, chance=0.0)
    questions: tuple[Callable[[], list[Transaction]], ...] = (
        lambda: [each for each in [meets.creem.transaction("tran_1")] if each],
        lambda: meets.creem.transactions_of_customer("cust_1"),
    )
    for question in questions:
        try:
            for read in question():
                yield from unclean(**texts(read))
        except (TryLater, CreemRefused) as error:
            yield from unclean(error=str(error))
    asked = len(meets.sent)
    answer = meets.creem.refund(meets.armed())
    yield from unclean(detail=answer.detail, status=answer.status, refund_id=answer.refund_id, trace_id=answer.trace_id)
    if len(meets.sent) != asked + 1:
        yield f"one refund was {len(meets.sent) - asked} requests"
    if answer.outcome is CallOutcome.NOT_SENT:
        yield "answered, and taken for not sent"
    if answer.outcome is CallOutcome.ACCEPTED and not 200 <= status < 300:
        yield f"accepted by a {status}"
    if answer.outcome is CallOutcome.REFUSED and not (
        400 <= status < 500 and {"trace_id", "error", "message"} & json.loads(raw).keys()
    ):
        yield f"refused by a {status} without Creem's own envelope"
    if len(answer.raw) > 64 * 1024 or len(answer.detail) > 2000:
        yield "more was kept than a column takes"


def _credits(raw: bytes) -> Iterator[str]:
    """Whatever Creem answers about credits, to the question or to the entry: done only where it names our entry, short only for
    one that takes, and nothing asked without end.
    """
    chosen = sha256(raw).digest()
    told = httpx.Response(STATUSES[chosen[0] % len(STATUSES)] if chosen[1] % 2 else 422, content=raw)
    if chosen[2] % 2:
        told.status_code = 200
    entry = BookEntry("case_1:take", "cust_1", 5 if chosen[3] % 2 else -5, "job_1")
    for replies in ((told,), (httpx.Response(200, content=_CREDITS_PAGE), told)):
        meets = here(*replies, chance=0.0)
        try:
            answer = meets.creem.credits.book(entry, "credits")
        except (TryLater, CreemRefused) as error:
            yield from unclean(error=str(error))
            continue
        finally:
            if len(meets.sent) > 120:
                yield f"one entry was {len(meets.sent)} requests"
        yield from unclean(detail=answer.detail, transaction_id=answer.transaction_id)
        posts = [request for request in meets.sent if request.method == "POST"]
        astray = [url for url in map(str, (request.url for request in posts)) if not re.fullmatch(_ENTRY_URL, url)]
        if len(posts) > 1 or astray:
            yield f"one entry was {len(posts)} calls, some of them to {astray}"
        if answer.booked is Booked.DONE and (
            told.status_code not in {200, 201} or json.loads(raw)["idempotency_key"] != entry.key
        ):
            yield f"done by a {told.status_code} about something else"
        if answer.booked is Booked.SHORT and (told.status_code != 422 or entry.credits > 0):
            yield f"short by a {told.status_code} to {entry.credits}"


def _pipeline(raw: bytes) -> Iterator[str]:
    """Whatever the pipeline answers: one of three words and one clean line, without the password."""
    status = STATUSES[sha256(raw).digest()[0] % len(STATUSES)]
    password, job = "hunter-of-two", raw[:200].decode("latin-1")
    asked: list[httpx.URL] = []

    def answered(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(status, stream=httpx.ByteStream(raw + password.encode()), headers=[(b"retry-after", raw[-9:])])

    client = httpx.Client(transport=httpx.MockTransport(answered))
    pipeline = PipelineHttp(f"http://me:{password}@pipeline.example/v1", 5.0, client, sleep=lambda _: None, wait=wait_none())
    reply = pipeline.ask(RerunOrder(job, 2, "case_01", "rerun:job_42", NOW), math.inf)
    yield from unclean(detail=reply.detail)
    if reply.answer is Answer.ACCEPTED and not 200 <= status < 300:
        yield f"accepted by a {status}"
    if password in reply.detail or len(reply.detail) > 2000:
        yield f"the line for people is {reply.detail[:80]!r}"
    for url in asked:
        if url.host != "pipeline.example" or not re.fullmatch(rb"/v1/jobs/[^/?#]+/rerun", url.raw_path):
            yield f"another address was asked: {url}"


def _signatures() -> list[bytes]:
    """Right ones, one of another key, one under another's name, one of a key over a source that is not its own."""
    right, other = KEYS["mill"], KEYS["shop"]
    named = [other.sign(raw).replace("shop:", "mill:").encode() + b"\n" + raw for raw in events()[:2]]
    return (
        [b"\n" + raw for raw in events()]
        + named
        + [key.sign(events()[0]).encode() + b"\n" + events()[0] for key in (right, other)]
    )


def _credit_answers() -> list[bytes]:
    done = {"id": "cct_1", "idempotency_key": "case_1:take", "amount": "5"}
    short = {"error": {"code": "insufficient_balance", "message": "Insufficient balance"}}
    more = {"object": "list", "data": [{"id": "cca_1", "customer_id": "cust_1", "name": "other"}], "has_more": True}
    return [*(json.dumps(each).encode() for each in (done, short, more, an_error(404, "No such account"))), _CREDITS_PAGE]


def _answers() -> list[bytes]:
    done = {"id": "ref_1", "status": "succeeded", "amount": 5831, "currency": "EUR", "transaction": "tran_1"}
    errors = (an_error(400, "Transaction already refunded"), an_error(429, "Too many requests"), an_error(401, "Invalid key"))
    page = {
        "items": [a_transaction()],
        "pagination": {"total_records": 1, "total_pages": 1, "current_page": 1, "next_page": None},
    }
    return [json.dumps(each).encode() for each in (done, page, a_transaction(), *errors)]


DOORS = (
    Parser("stream-entry", events, by_places, _entry),
    Parser("signed-entry", _signatures, by_bytes(head=120), _signed),
    Parser("webhook-route", deliveries, by_places, _delivery, slowest=0.2),
    Parser("creem-answer", _answers, by_places, pure(_creem)),
    Parser("credits-answer", _credit_answers, by_places, pure(_credits)),
    Parser("pipeline-answer", lambda: [b"job_42", b'{"accepted": true}', b"retry later\r\n"], by_places, pure(_pipeline)),
)

"""The API as it is over HTTP, without a socket: method, path, headers and body in, an answer or none out."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from worker.sandbox.creem import documents
from worker.sandbox.creem.answers import Answer, Late, NoAnswer, Reply, Voice, as_json
from worker.sandbox.creem.book import Book
from worker.sandbox.creem.charges import Accepted, Charge
from worker.sandbox.creem.credits import ROOT as CREDITS
from worker.sandbox.creem.credits import Credits
from worker.sandbox.creem.documents import Document
from worker.sandbox.creem.names import Names
from worker.sandbox.creem.settings import Settings
from worker.sandbox.creem.switches import Switches
from worker.sandbox.creem.words import Fault, Lie, Lost, Meanwhile, Nested
from worker.strict import Malformed, loads

MOST_ON_A_PAGE = 100
"""[U] 100 works; a larger page is refused here."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that arrived. `status` is None when nothing was answered."""

    at: datetime
    method: str
    path: str
    query: dict[str, str]
    body: Any
    status: int | None


class Bad(Exception):
    """The request is refused with 400 and this message."""


class Desk:
    """Answers requests from the book, as the switches have it. Every call is made with the book's lock held."""

    def __init__(self, book: Book, settings: Settings, names: Names, api_key: str) -> None:
        self.requests: list[Seen] = []
        self.posts: Counter[str] = Counter()
        self._book, self._settings, self._names, self._api_key = book, settings, names, api_key
        self._voice = Voice(names)
        self.credits = Credits(names)
        self._routes: dict[tuple[str, str], Callable[[dict[str, str], Any, datetime], Reply]] = {
            ("GET", "/v1/transactions"): self._transaction,
            ("GET", "/v1/transactions/search"): self._search,
            ("GET", "/v1/subscriptions"): self._subscription,
            ("POST", "/v1/refunds"): self._refund,
        }

    def answer(self, method: str, target: str, headers: Mapping[str, str], raw: bytes, now: datetime) -> Reply:
        """The reply to one request, which is remembered as it arrived. Header names are in lower case."""
        path, _, query_string = target.partition("?")
        pairs = parse_qsl(query_string, keep_blank_values=True)
        query, (body, trouble) = dict(pairs), _body(headers, raw)
        reply = self._reply(method, path, pairs, headers, body, trouble, now)
        if isinstance(reply, NoAnswer) and reply.how is Fault.NOT_SENT:
            return reply
        self.requests.append(Seen(now, method, path, query, body, reply.status if isinstance(reply, Answer) else None))
        if (method, path) == ("POST", "/v1/refunds") and isinstance(body, dict) and isinstance(body.get("transaction_id"), str):
            self.posts[body["transaction_id"]] += 1
        return reply

    def _reply(
        self,
        method: str,
        path: str,
        pairs: list[tuple[str, str]],
        headers: Mapping[str, str],
        body: Any,
        trouble: str | None,
        now: datetime,
    ) -> Reply:
        if path.startswith(CREDITS):
            return self._credits(method, path, dict(pairs), headers, body, now)
        route = self._routes.get((method, path))
        if route is None:
            return self._voice.no_such_path(method, path, now)
        if headers.get("x-api-key") != self._api_key:
            return self._voice.wrong_key(self._settings.default, now)
        query = dict(pairs)
        try:
            if len(query) != len(pairs):
                twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
                raise Bad(f"{twice} must be a string")
            if method == "POST":
                _known(query, ())
                if trouble is not None:
                    raise Bad(trouble)
            return route(query, body, now)
        except Bad as error:
            return self._voice.error(400, str(error), now)

    # --- credits

    def _credits(
        self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], body: Any, now: datetime
    ) -> Reply:
        if headers.get("x-api-key") != self._api_key:
            return self._voice.wrong_key(self._settings.default, now)
        switches = self._settings.default
        books = method == "POST"
        fault = self._met("", "credit", switches.credit, switches.credit_times) if books else Fault.NONE
        if fault is Fault.NOT_SENT:
            return NoAnswer(fault)
        if fault is not Fault.NONE and switches.credit_side is Lost.BEFORE_COMMIT:
            return self._spoilt(fault, switches, None, now)
        sound = self.credits.answer(method, path, query, body, now)
        return sound if fault is Fault.NONE else self._spoilt(fault, switches, sound, now)

    # --- reads

    def _transaction(self, query: dict[str, str], _: Any, now: datetime) -> Reply:
        _known(query, ("transaction_id",))
        charge = self._charge(query, "transaction_id")
        if charge is None:
            return self._voice.error(404, "Transaction not found", now)
        payment, switches = charge.payment, self._settings.of(query["transaction_id"])
        asked = self.posts[payment.id] > 0
        what, times = (switches.probe, switches.probe_times) if asked else (switches.get, switches.get_times)
        fault = self._met(payment.id, "probe" if asked else "get", what, times)
        if fault is Fault.NOT_SENT:
            return NoAnswer(fault)
        self._once("before_read", switches.before_read, charge, switches, now)
        document = self._shown(charge, now)
        if isinstance(fault, Lie):
            return self._voice.lying_transaction(fault, document, payment.paid, now)
        sound = as_json(200, document)
        return sound if fault is Fault.NONE else self._voice.faulty(fault, switches, now, sound)

    def _shown(self, charge: Charge, now: datetime) -> Document:
        switches = self._settings.of(charge.payment.id)
        return documents.transaction(
            charge.payment, charge.seen(now - timedelta(seconds=switches.get_lag)), switches.docs_spelling
        )

    def _search(self, query: dict[str, str], _: Any, now: datetime) -> Reply:
        filters = ("customer_id", "order_id", "product_id")
        _known(query, (*filters, "page_number", "page_size"))
        number, size = _whole(query, "page_number", 1, None), _whole(query, "page_size", 10, MOST_ON_A_PAGE)
        found = [charge for charge in self._book.charges.values() if self._findable(charge, now)]
        for name in filters:
            if name in query:
                found = [charge for charge in found if getattr(charge.payment, name) == query[name]]
        found.sort(key=lambda charge: self._names.place(charge.payment.id))
        return self._read(as_json(200, documents.page([self._shown(charge, now) for charge in found], number, size)), now)

    def _findable(self, charge: Charge, now: datetime) -> bool:
        lag = self._settings.of(charge.payment.id).search_lag
        return charge.payment.known_at + timedelta(seconds=lag) <= now

    def _subscription(self, query: dict[str, str], _: Any, now: datetime) -> Reply:
        _known(query, ("subscription_id",))
        found = self._book.subscriptions.get(_text(query, "subscription_id"))
        if found is None:
            return self._voice.error(404, "Subscription not found", now)
        expanded = self._settings.of(found.last.id).nested is Nested.AS_DOCUMENTED
        return self._read(as_json(200, documents.subscription(found, expanded=expanded)), now)

    def _read(self, sound: Answer, now: datetime) -> Reply:
        switches = self._settings.default
        fault = self._met("", "read", switches.read, switches.read_times)
        return sound if fault is Fault.NONE or isinstance(fault, Lie) else self._voice.faulty(fault, switches, now, sound)

    # --- the one write

    def _refund(self, _: dict[str, str], body: Any, now: datetime) -> Reply:
        _known(body, ("transaction_id",))
        charge = self._charge(body, "transaction_id")
        if charge is None:
            return self._voice.error(404, "Transaction not found", now)
        switches = self._settings.of(charge.payment.id)
        fault = self._met(charge.payment.id, "post", switches.post, switches.post_times)
        if fault is Fault.NOT_SENT:
            return NoAnswer(fault)
        self._once("meanwhile", switches.meanwhile, charge, switches, now)
        if fault is not Fault.NONE and switches.post_side is Lost.BEFORE_COMMIT:
            return self._spoilt(fault, switches, None, now)
        if switches.slow_commit and self._settings.take(charge.payment.id, "slow_commit", switches.slow_times):
            return self._late(charge, switches, now)
        sound = self._commit(charge, switches, now, now)
        return sound if fault is Fault.NONE else self._spoilt(fault, switches, sound, now)

    def _late(self, charge: Charge, switches: Switches, arrived: datetime) -> NoAnswer:
        late = Late()

        def commit(due: datetime) -> None:
            late.answer = self._commit(charge, switches, due, arrived)

        self._book.later(arrived + timedelta(seconds=switches.slow_commit), commit)
        return NoAnswer(Fault.TIMEOUT, late)

    def _commit(self, charge: Charge, switches: Switches, at: datetime, arrived: datetime) -> Answer:
        if self._settings.take(charge.payment.id, "low_balance", switches.low_balance):
            return self._voice.error(400, "Insufficient balance to refund this transaction", at)
        outcome = self._book.refund(charge, switches, at, arrived)
        self._once("afterwards", switches.afterwards, charge, switches, at)
        if not isinstance(outcome, Accepted):
            return self._voice.error(400, outcome.message, at)
        return as_json(200, ({"id": outcome.refund_id} if switches.answer_id else {}) | {"status": outcome.word})

    def _spoilt(self, fault: Fault | Lie, switches: Switches, sound: Answer | None, now: datetime) -> Reply:
        if isinstance(fault, Lie):
            return self._voice.lying_post(fault, sound, now)
        return self._voice.faulty(fault, switches, now, sound)

    # --- counted and looked up

    def _met(self, transaction_id: str, name: str, fault: Fault | Lie, times: int) -> Fault | Lie:
        return fault if fault is not Fault.NONE and self._settings.take(transaction_id, name, times) else Fault.NONE

    def _once(self, name: str, what: Meanwhile, charge: Charge, switches: Switches, at: datetime) -> None:
        if what is not Meanwhile.NOTHING and self._settings.take(charge.payment.id, name, 1):
            self._book.happen(what, charge, switches, at)

    def _charge(self, given: Mapping[str, Any], name: str) -> Charge | None:
        return self._book.charges.get(_text(given, name))


def _body(headers: Mapping[str, str], raw: bytes) -> tuple[Any, str | None]:
    """What the body says, and why it is no good. A body that is not called JSON is not read, as with the real framework."""
    if not raw or headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return (raw.decode(errors="replace") if raw else None), "transaction_id must be a string"
    try:
        return loads(raw), None
    except Malformed as error:
        return raw.decode(errors="replace"), str(error)


def _known(given: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in given:
        if name not in names:
            raise Bad(f"property {name} should not exist")


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise Bad(f"{name} must be a string")
    return value


def _whole(query: Mapping[str, str], name: str, default: int, most: int | None) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) < 1:
        raise Bad(f"{name} must not be less than 1")
    if most is not None and int(text) > most:
        raise Bad(f"{name} must not be greater than {most}")
    return int(text)

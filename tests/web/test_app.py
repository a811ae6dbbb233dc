"""Webhooks over HTTP: nothing unsigned gets in, nothing signed gets lost, and no client can hold the process up."""

import asyncio
import hmac
import json
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any

import fakeredis
import httpx
import pytest
import uvicorn
from sqlalchemy import select

from policy import load_editions
from tests.cases.world import HandClock
from tests.logs import heard
from tests.servers import eventually
from tests.web.listening import listening, running
from worker.creem.environment import Environment
from worker.creem.receive import Receiver
from worker.creem.webhooks import MAX_BYTES
from worker.errors import TryLater
from worker.intake.stream import open_stream_client
from worker.sandbox.servers import start_redis
from worker.settings import DEFAULT_TERMS
from worker.store.engine import Store
from worker.store.tables import dead_letters, inbox
from worker.web.app import Web, make_app
from worker.web.metrics import Figures
from worker.web.serve import config_of

SECRET = "example-endpoint-secret"
NOW = datetime(2026, 11, 10, 14, 0, tzinfo=UTC)


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"creem-signature": hmac.new(secret.encode(), body, sha256).hexdigest(), "content-type": "application/json"}


def a_refund(name: str = "evt_1", **changes: Any) -> bytes:
    said = {
        "id": "ref_1",
        "mode": "test",
        "object": "refund",
        "status": "succeeded",
        "refund_amount": 900,
        "refund_currency": "USD",
        "reason": "other",
        "transaction": "tran_1",
        "created_at": 1794319327551,
    }
    return json.dumps({"id": name, "eventType": "refund.created", "created_at": 1794319327904, "object": said | changes}).encode()


class Site:
    """The application, asked in the same process."""

    def __init__(self, store: Store, *, secrets: tuple[str, ...] = (SECRET,), body_seconds: float = 10.0) -> None:
        self.store, self.clock, self.hints = store, HandClock(NOW), list[int]()
        self.unread_since: datetime | None = None
        receiver = Receiver(store, self.clock, Environment.TEST.accepts)
        limit = timedelta(seconds=120)
        web = Web(store, fakeredis.FakeRedis(), receiver, secrets, self.clock, self.hints.extend, limit, body_seconds)
        self.web = replace(web, unread_since=lambda: self.unread_since)
        self.app = make_app(self.web)

    def ask(self, method: str, path: str, content: Any = None, headers: Any = None) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
                return await client.request(method, path, content=content, headers=headers)

        return asyncio.run(once())

    def deliver(self, body: bytes, headers: Any = None) -> httpx.Response:
        return self.ask("POST", "/webhooks/creem", body, signed(body) if headers is None else headers)

    def rows(self) -> list[str]:
        return [row.event_id for row in self.store.read(lambda tx: tx.all(select(inbox.c.event_id).order_by(inbox.c.id)))]

    def letters(self) -> list[str]:
        return [row.reason for row in self.store.read(lambda tx: tx.all(select(dead_letters.c.reason)))]


@pytest.fixture
def site(store: Store) -> Site:
    return Site(store)


def test_signed_delivery_is_stored_and_answered_once_and_for_ever(site: Site) -> None:
    body = a_refund()
    assert [site.deliver(body).json()["status"] for _ in range(3)] == ["stored", "duplicate", "duplicate"]
    assert site.rows() == ["evt_1"]
    assert len(site.hints) == 1


BODY = a_refund()
FORGED = [
    {},
    {"creem-signature": ""},
    {"creem-signature": "0" * 64},
    {"creem-signature": signed(BODY)["creem-signature"].upper()},
    {"creem-signature": signed(BODY)["creem-signature"][:-1]},
    {"creem-signature": "sha256=" + signed(BODY)["creem-signature"]},
    {"creem-signature": signed(BODY + b" ")["creem-signature"]},
    {"creem-signature": signed(BODY, "another secret")["creem-signature"]},
    {"creem-signature": "ünsinn".encode()},
    {"x-creem-signature": signed(BODY)["creem-signature"]},
    [("creem-signature", signed(BODY)["creem-signature"])] * 2,
]


@pytest.mark.parametrize("headers", FORGED)
def test_delivery_without_one_valid_signature_is_turned_away_alike(site: Site, headers: Any) -> None:
    answer = site.deliver(BODY, headers)
    assert (answer.status_code, answer.json()) == (401, {"error": "no valid signature"})
    assert site.deliver(b"not even json", headers).content == answer.content
    assert site.rows() == []
    assert site.letters() == []


def test_without_a_secret_nothing_gets_in(store: Store) -> None:
    site = Site(store, secrets=())
    assert site.deliver(BODY, signed(BODY, "")).status_code == 401
    assert site.rows() == []


def test_two_secrets_are_taken_while_one_replaces_the_other(store: Store) -> None:
    site = Site(store, secrets=("old", "new"))
    assert site.deliver(BODY, signed(BODY, "old")).status_code == 200
    assert site.deliver(BODY, signed(BODY, "new")).json() == {"status": "duplicate"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not_json"),
        (b"[]", "not_an_object"),
        (b'{"id":"a","id":"b"}', "duplicate_key"),
        (b'{"id":"evt_1","eventType":"refund.created","created_at":1794319327904}', "missing_field"),
        (a_refund(refund_amount=9.5), "bad_value"),
        (a_refund(created_at=1794319327), "bad_value"),
        (a_refund(transaction={"id": None}), "bad_value"),
        (a_refund(mode="prod"), "other_environment"),
        (b'{"id":"evt_1","eventType":"refund.created","created_at":1,"object":{}}', "bad_value"),
    ],
)
def test_signed_delivery_that_cannot_be_read_is_kept(site: Site, body: bytes, reason: str) -> None:
    for _ in range(2):
        answer = site.deliver(body)
        assert (answer.status_code, answer.json()["status"]) == (200, "kept_as_dead_letter")
    assert site.letters() == [reason]


def test_other_content_under_a_known_id_is_kept_apart(site: Site) -> None:
    assert site.deliver(a_refund()).json()["status"] == "stored"
    assert site.deliver(a_refund(refund_amount=1)).json()["status"] == "kept_as_dead_letter"
    assert site.letters() == ["conflicting_content"]


@pytest.mark.parametrize("event", ["credits.granted", "something.new"])
def test_event_that_means_nothing_here_is_kept(site: Site, event: str) -> None:
    body = json.dumps({"id": "evt_9", "eventType": event, "created_at": 1794319327904, "object": {"id": "x"}}).encode()
    assert site.deliver(body).json() == {"status": "stored"}


def test_content_type_turns_no_signed_delivery_away(site: Site) -> None:
    assert site.deliver(BODY, signed(BODY) | {"content-type": "text/plain"}).status_code == 200


def test_encoded_body_is_refused_by_name(site: Site) -> None:
    assert site.deliver(BODY, signed(BODY) | {"content-encoding": "gzip"}).status_code == 415


def test_large_body_is_refused_before_it_is_read(site: Site) -> None:
    huge = b"x" * (MAX_BYTES + 1)
    assert site.deliver(huge).status_code == 413

    async def without_length() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * (MAX_BYTES // 8)

    assert site.ask("POST", "/webhooks/creem", without_length(), signed(BODY)).status_code == 413


def test_body_that_says_it_is_large_is_refused_without_a_look_at_it(site: Site) -> None:
    looked: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        looked.append(BODY)
        yield BODY

    said = signed(BODY) | {"content-length": str(MAX_BYTES + 1)}
    assert site.ask("POST", "/webhooks/creem", body(), said).status_code == 413
    assert looked == []


ASTRAY: dict[str, tuple[str, str, dict[str, str], int]] = {
    "a slash at the end": ("POST", "/webhooks/creem/", {}, 404),
    "the prefix of a proxy": ("POST", "/refunds/webhooks/creem", {}, 404),
    "redirected from http": ("GET", "/webhooks/creem", {}, 405),
    "encoded on the way": ("POST", "/webhooks/creem", {"content-encoding": "gzip"}, 415),
    "too large": ("POST", "/webhooks/creem", {"content-length": str(MAX_BYTES + 1)}, 413),
}


@pytest.mark.parametrize("name", ASTRAY)
def test_delivery_that_went_astray_on_the_way_is_told_to_who_is_on_call(site: Site, name: str) -> None:
    method, path, headers, status = ASTRAY[name]
    figures = Figures(site.store, fakeredis.FakeRedis(), "events", site.clock, load_editions(DEFAULT_TERMS))
    site.app = make_app(replace(site.web, figures=figures))
    with heard("warning") as said:
        assert site.ask(method, path, BODY, signed(BODY) | headers).status_code == status
        told = json.loads(said.getvalue())
        assert (told["event"], told["status"], told["path"]) == ("webhook.turned_away", status, path)
        assert (figures.deliveries["unsigned"], site.rows()) == (1, [])
        assert site.ask("POST", "/nothing", BODY).status_code == 404
    assert figures.deliveries["unsigned"] == 1


def test_database_that_is_away_asks_for_another_delivery(store: Store) -> None:
    class Away(Store):
        def write(self, work: Any) -> Any:
            raise TryLater("the database", "away")

    away = Away(store.url)
    answer = Site(away).deliver(BODY)
    away.close()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


def test_hint_that_fails_changes_nothing(store: Store) -> None:
    site = Site(store)

    class Broken(list[int]):
        def extend(self, _: Any) -> None:
            raise OSError("no broker")

    receiver = Receiver(store, site.clock, None)
    web = Web(store, fakeredis.FakeRedis(), receiver, (SECRET,), site.clock, Broken().extend, timedelta(1))
    site.app = make_app(web)
    assert site.deliver(BODY).json() == {"status": "stored"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/webhooks/creem", 405), ("PUT", "/webhooks/creem", 405), ("GET", "/nothing", 404), ("GET", "/healthz", 200)],
)
def test_every_answer_is_json_with_safe_headers(site: Site, method: str, path: str, status: int) -> None:
    answer = site.ask(method, path)
    assert answer.status_code == status
    assert isinstance(answer.json(), dict)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "server" not in answer.headers


def test_readiness_says_what_is_wrong(site: Site) -> None:
    assert site.ask("GET", "/readyz").json()["ready"] is True
    site.deliver(BODY)
    site.clock.pass_(minutes=5)
    answer = site.ask("GET", "/readyz")
    assert answer.status_code == 503
    assert "1 events wait" in answer.json()["checks"]["backlog_age"]["fault"]
    site.unread_since = site.clock.now() - timedelta(seconds=121)
    fault = site.ask("GET", "/readyz").json()["checks"]["backlog_age"]["fault"]
    assert fault == "the oldest entry of the stream waits for 121 s; is intake running?"


def test_readiness_and_figures_tell_of_a_redis_that_answers_and_takes_no_writes(site: Site, tmp_path: Path) -> None:
    def told() -> tuple[str | None, bool]:
        figures = Figures(site.store, client, "events", site.clock, load_editions(DEFAULT_TERMS)).text().decode()
        return site.ask("GET", "/readyz").json()["checks"]["redis"]["fault"], "refunds_redis_up 1.0\n" in figures

    with start_redis(tmp_path) as server, open_stream_client(server.url) as client:
        site.app = make_app(replace(site.web, redis=client))
        assert told() == (None, True)
        client.config_set("maxmemory", 1)
        assert told() == ("Redis takes no writes: command not allowed when used memory > 'maxmemory'.", False)
        client.config_set("maxmemory", 0)
        client.replicaof("127.0.0.1", "1")
        assert told() == ("Redis takes no writes: You can't write against a read only replica.", False)
        client.replicaof("NO", "ONE")
        (tmp_path / "dump.rdb").mkdir()
        client.config_set("save", "3600 1")
        client.bgsave()
        assert eventually(lambda: not told()[1])
        assert str(told()[0]).startswith("Redis takes no writes: MISCONF")
        client.config_set("save", "")
        assert told() == (None, True)
        assert client.keys() == [], "who asks writes nothing"


def test_delivery_in_hand_when_the_process_has_to_end_is_to_be_sent_again_and_is_no_defect(store: Store) -> None:
    held, free = Event(), Event()

    class Stands(Store):
        def write(self, work: Any) -> Any:
            held.set()
            free.wait(20)
            raise TryLater("the database", "away")

    stands = Stands(store.url)
    config = config_of(Site(stands).app)
    config.timeout_graceful_shutdown = 1
    web = uvicorn.Server(config)
    with (
        closing(stands),
        ThreadPoolExecutor() as pool,
        heard("warning") as said,
        socket.create_server(("127.0.0.1", 0)) as listening,
        running(web, sockets=[listening]),
    ):
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/webhooks/creem"
        answer = pool.submit(httpx.post, url, content=BODY, headers=signed(BODY), timeout=20)
        assert held.wait(10)
        web.should_exit = True
        assert answer.result().status_code == 503
        assert answer.result().headers["retry-after"] == "30"
        free.set()
    assert "running task(s), timeout graceful shutdown exceeded" in said.getvalue()
    assert "Traceback" not in said.getvalue()


def test_slow_client_gets_an_end_and_loses_nothing(store: Store) -> None:
    site = Site(store, body_seconds=0.3)
    head = f"POST /webhooks/creem HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n"
    head += f"creem-signature: {signed(BODY)['creem-signature']}\r\n\r\n"
    with listening(site.app) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
            slow.sendall(head.encode() + BODY[:20])
            assert b" 408 " in slow.recv(4096).split(b"\r\n")[0]
        assert httpx.post(f"http://127.0.0.1:{port}/webhooks/creem", content=BODY, headers=signed(BODY)).status_code == 200
    assert site.rows() == ["evt_1"]

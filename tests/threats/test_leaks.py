"""Canaries: secrets and personal texts go in everywhere, and come out nowhere they should not."""

import io
import json
import logging
import re
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import httpx
import psycopg
import pytest
import redis as redis_py
from pydantic import SecretStr
from sqlalchemy import make_url
from starlette.routing import Route

from tests.logs import heard
from tests.requests.world import PeopleWorld
from tests.scenarios.system import System, a_purchase, a_system, an_account, descendants, failed, submitted
from tests.servers import ON_POSTGRES, conninfo, eventually
from tests.web.console.site import PASSWORD, Site
from tests.web.test_app import Site as Receiving
from tests.web.test_app import a_refund, signed
from worker.cases.review.reviewer import Reviewer
from worker.credits.ledger import Ledger
from worker.errors import Misconfigured
from worker.observe import log
from worker.runtime import Runtime
from worker.sandbox.servers import free_port, start_redis
from worker.settings import Settings, load_settings
from worker.store.engine import Store
from worker.urls import redacted
from worker.web.site import site_of

SECRETS = {
    name: f"canary-{name}-7Qd2mVx0aLkR" for name in ("endpoint", "shared", "wrong", "message", "stage", "subject", "body", "file")
}
ADDRESS = "canary.person@example.org"


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """Everything that is logged, at the most talkative level."""
    with heard() as written:
        yield written


def test_no_secret_is_in_what_the_site_shows_of_itself(tmp_path: Path) -> None:
    secret = SecretStr("creem_test_canary")
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'books.db'}",
        redis_url=f"redis://127.0.0.1:{free_port()}/0",
        console_password=secret,
        creem_webhook_secret=secret,
        creem_api_key=secret,
    )
    runtime = Runtime.start(settings)
    shown = [repr(route) + repr(route.endpoint) for route in site_of(runtime, lambda _: None).routes if isinstance(route, Route)]
    runtime.store.engine.dispose()
    assert any("store=" in one for one in shown), "an endpoint shows what it works with"
    assert [one for one in shown if "canary" in one or "shared=" in one] == []


def test_no_canary_is_in_logs_pages_redis_or_task_arguments(store: Store, tmp_path: Path, said: io.StringIO) -> None:
    world = PeopleWorld(store, tmp_path)
    world.bought_once("ord_1", "acc_1")
    why = {"code": "model_error", "message": SECRETS["message"], "stage": SECRETS["stage"]}
    world.happen(world.submitted("job_1"), world.failed("job_1", failure=why), f'{{"broken": "{SECRETS["message"]}"')
    text = f"Please refund ord_1. {SECRETS['body']}"
    world.mail(text, subject=SECRETS["subject"], sender=ADDRESS, files={SECRETS["file"]: SECRETS["file"].encode()})
    world.sweep()

    receiving = Receiving(store, secrets=(SECRETS["endpoint"],))
    assert receiving.deliver(a_refund()).status_code == 401
    assert receiving.deliver(a_refund(), signed(a_refund(), SECRETS["endpoint"])).status_code == 200

    site = Site(world, password=SECRETS["shared"], raises=False)
    known, stranger = site.browser(), site.browser("127.0.0.2")
    pages = [known.sign_in("console", SECRETS["shared"]), stranger.sign_in("console", SECRETS["wrong"]), stranger.get("/cases")]
    pages += [known.get(path) for path in ("/", "/cases", "/review", "/dead", "/accounts/acc_1", "/overdue", "/no/such/page")]
    assert known.get("/cases").status_code == 200

    # what was logged is something, and holds no secret and nothing a customer wrote
    log = said.getvalue()
    assert "webhook.received" in log
    assert "webhook.unsigned" in log
    everywhere = [*SECRETS.values(), ADDRESS, PASSWORD]
    assert [each for each in everywhere if each in log] == []
    # pages show people what customers wrote, and nobody a password or a secret
    shown = "".join(page.text + json.dumps(dict(page.headers)) for page in pages)
    assert [SECRETS[name] for name in ("endpoint", "shared", "wrong") if SECRETS[name] in shown] == []
    assert ADDRESS not in stranger.get("/cases").text
    # what is told to the product, and what hints say, are ids
    stored = json.dumps(world.announced()) + repr(world.redis.keys()) + repr(receiving.hints)
    assert "job_1" in stored
    assert [each for each in everywhere if each in stored] == []
    world.close()


def defect() -> NoReturn:
    """A defect at work on what nobody else may see."""
    held = {"password": SECRETS["shared"], "address": ADDRESS, "text": SECRETS["body"]}
    raise LookupError(f"no such thing among {len(held)}")


class BrokenReviewer(Reviewer):
    def queue(self, *, limit: int, after: str | None) -> NoReturn:
        defect()


class BrokenLedger(Ledger):
    def book(self, *_: object) -> NoReturn:
        defect()


def test_page_and_step_that_break_tell_where_and_not_what(store: Store, tmp_path: Path, said: io.StringIO) -> None:
    world = PeopleWorld(store, tmp_path)
    world.bought_once("ord_1", "acc_1")
    world.arrive(world.submitted("job_1"), world.failed("job_1", failure={"code": "model_error", "message": SECRETS["message"]}))
    assert replace(world.assessor, ledger=BrokenLedger()).assess().failed == 2
    reviews = BrokenReviewer(store, Ledger(), world.bench, None, world.clock)
    site = Site(world, password=SECRETS["shared"], reviews=reviews, raises=False)
    browser = site.browser()
    assert browser.sign_in("console", SECRETS["shared"]).status_code == 303
    answer = browser.get(f"/review?find={SECRETS['subject']}", referer=f"http://127.0.0.1:8080/{SECRETS['stage']}")
    assert answer.status_code == 500
    log = said.getvalue()
    assert log.count("no such thing among 3") >= 3, "both events and the page"
    assert "test_leaks.py" in log, "the place of the defect"
    session = next(iter(browser.cookies.values()))
    everywhere = [*SECRETS.values(), ADDRESS, session]
    assert [each for each in everywhere if each in log] == []
    assert [each for each in everywhere if each in answer.text] == []
    world.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u:canary@h/d",
        "postgresql+psycopg://u@h/d?password=canary&sslpassword=canary",
        "postgresql+psycopg:///d?host=h&user=u&password=canary",
        "redis://:canary@h",
        "redis://u:can@canary@h/0",
        "rediss://h/0?ssl_password=canary",
    ],
)
def test_address_for_people_names_its_host_and_no_password(url: str) -> None:
    shown = redacted(url)
    assert "can" not in shown
    assert shown.count("***") == url.count("canary")
    assert "h" in re.split(r"[@/?&=]", shown)


@pytest.mark.parametrize("name", ["REFUNDS_REDIS_URL", "REFUNDS_PIPELINE_URL", "REFUNDS_CREEM_BASE_URL"])
@pytest.mark.parametrize("password", ["can/ary", "can#ary", "can?ary", "can[ary"])
def test_address_that_its_password_breaks_is_named_without_it(name: str, password: str) -> None:
    scheme = "redis" if "REDIS" in name else "http"
    with pytest.raises(Misconfigured, match=f"^{name}: expected a URL like .*%2F") as refused:
        load_settings({name: f"{scheme}://u:{password}@127.0.0.1:1/0"})
    assert "can" not in str(refused.value)
    assert "ary" not in str(refused.value)


NAMED = {
    "REFUNDS_CREEM_API_KEY": "creem_test_canary0key0aa",
    "REFUNDS_CREEM_WEBHOOK_SECRET": "canary-hook-7Qd2mVx0aLkR",
    "REFUNDS_CONSOLE_PASSWORD": "canary-door-7Qd2mVx0aLkR",
}
KEY, DATABASE, REDIS, MAIL, PIPELINE = (
    f"canary{name}7Qd2mVx0aLkR7Qd2mVx0aLkR" for name in ("key", "base", "red", "post", "pipe")
)


@pytest.mark.landing
@ON_POSTGRES
def test_no_secret_comes_out_of_real_processes_whose_neighbours_are_away(database_url: str, tmp_path: Path) -> None:
    """Every secret that settings know, with the pipeline, the mail server and Creem refusing every connection."""
    web, away = free_port(), f"127.0.0.1:{free_port()}"
    with start_redis(tmp_path / "redis", appendonly=False) as server, redis_py.Redis.from_url(server.url) as client:
        client.config_set("requirepass", REDIS)
        address = make_url(database_url)
        database = address if address.password else address.set(password=DATABASE)
        with a_system(
            database.render_as_string(hide_password=False),
            server.url.replace("//", f"//:{REDIS}@"),
            **NAMED,
            REFUNDS_EVENT_SECRETS=f"mill:{KEY}:/image-pipeline",
            REFUNDS_CREEM_BASE_URL=f"http://{away}",
            REFUNDS_NOTICES_URL=f"smtp://refunds:{MAIL}@{away}",
            REFUNDS_PIPELINE_URL=f"http://refunds:{PIPELINE}@{away}",
            REFUNDS_NOTICES_GATHER_SECONDS="0",
            REFUNDS_WEB_PORT=str(web),
            REFUNDS_LOG_LEVEL="debug",
        ) as system:
            told = _work(system, client, database_url, f"http://127.0.0.1:{web}")
    hidden = [*NAMED.values(), KEY, REDIS, MAIL, PIPELINE, str(database.password)]
    assert {where: [each for each in hidden if each in text] for where, text in told.items()} == {where: [] for where in told}
    people = [SECRETS["message"], "acc_1@example.org", "canary.signature"]
    machines = ("logs", "messages", "redis", "metrics", "commands", "stranger")
    assert {where: [each for each in people if each in told[where]] for where in machines} == {where: [] for where in machines}


def _work(system: System, client: redis_py.Redis, database_url: str, site: str) -> dict[str, str]:
    """What came out where, of a day on which everything outside is away and one event breaks its step."""
    system.load([an_account(), a_purchase()])
    intake = system.start("worker.cli", "intake")
    why = {"code": "model_error", "message": SECRETS["message"], "stage": "segment"}
    events = [submitted(f"job_{n}") for n in range(3)]
    system.emit([*events, failed("job_0", failure=why), failed("job_1", code="worker_crashed"), failed("job_2", failure=why)])
    assert eventually(lambda: _stored(client, "refunds:assess*"), within=60), system.logs()
    messages = _stored(client, "refunds:*")
    with psycopg.connect(conninfo(database_url)) as beside:
        beside.execute("update inbox set raw = %s where job_id = 'job_2'", (f'{{"broken": "{SECRETS["message"]}',))
    worker, served = system.worker(1), system.start("worker.cli", "web")
    system.comes_to("rerunning")
    # the pipeline and the mail server were both asked
    assert eventually(lambda: all(word in _logs(system) for word in ("rerun.asked", "notice.posted")), within=60), system.logs()
    with httpx.Client(base_url=site, timeout=10) as browser:
        assert eventually(lambda: _answers(browser), within=60), system.logs()
        stranger = [browser.get(path) for path in ("/sign-in", "/cases", "/no/such/page")]
        stranger.append(browser.post("/webhooks/creem", content=b"{}", headers={"creem-signature": "canary.signature"}))
        metrics = browser.get("/metrics")
        form = {"name": "console", "password": NAMED["REFUNDS_CONSOLE_PASSWORD"], "next": "/"}
        assert browser.post("/sign-in", data=form, headers={"origin": site}).status_code == 303
        pages = [browser.get(path) for path in ("/", "/cases", "/dead", "/review", "/accounts/acc_1", "/overdue")]
        assert [page.status_code for page in pages] == [200] * 6
    doctor = system.refunds("doctor", expect=None)
    started = [pid for one in (intake, worker, served) for pid in (one.pid, *descendants(one.pid))]
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in started if Path(f"/proc/{pid}").exists()]
    kept = _stored(client, "*", but="layer-jobs:events")
    system.stop()
    return {
        "logs": _logs(system),
        "messages": messages,
        "redis": kept,
        "metrics": metrics.text,
        "pages": _whole(pages),
        "stranger": _whole(stranger),
        "commands": doctor.stdout + doctor.stderr + b"\n".join(lines).decode(),
    }


@pytest.mark.parametrize("form", ["json", "console"])
def test_traceback_shows_nothing_that_its_code_held(form: str) -> None:
    # put together here: in one piece it would stand in the source that a traceback quotes
    key = "creem_" + "test_4711"
    with heard("info", form) as written:
        try:
            raise ValueError("the reason")
        except ValueError:
            log.exception("payment.stuck")
            logging.getLogger("a.library").exception("said by another")
    told = written.getvalue()
    assert told.count("ValueError: the reason") == 2
    assert key not in told


def _logs(system: System) -> str:
    return "".join(path.read_text(errors="replace") for path in sorted(system.folder.glob("*.log")))


def _answers(browser: httpx.Client) -> bool:
    try:
        return browser.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _whole(pages: Sequence[httpx.Response]) -> str:
    return "".join(page.text + json.dumps(dict(page.headers)) for page in pages)


def _stored(client: redis_py.Redis, pattern: str, *, but: str = "") -> str:
    """Everything under these keys, bodies of messages unpacked."""
    readers: dict[Any, Any] = {
        b"string": client.get,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
        # gone since it was listed: the processes go on meanwhile
        b"none": lambda key: None,
    }
    found = [repr((key, readers[client.type(key)](key))) for key in client.scan_iter(pattern, count=1000) if key.decode() != but]
    text = "\n".join(found)
    return text + "".join(b64decode(body).decode() for body in re.findall(r'"body": "([A-Za-z0-9+/=]+)"', text))

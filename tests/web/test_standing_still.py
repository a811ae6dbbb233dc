"""A server that stands still, its lines open, is told of like one that is away, and no delivery waits for it in vain."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakeredis
import httpx
import pytest

from policy import load_editions
from tests.deploy.shipped import status
from tests.intake.test_outage import frozen
from tests.postgres import RunningPostgres, start_postgres
from tests.scenarios.system import a_system
from tests.servers import ON_SQLITE, eventually, give_schema
from tests.web.test_app import SECRET, Site, a_refund, signed
from worker.patience import ANSWERS_WITHIN
from worker.runtime import Runtime
from worker.sandbox.servers import free_port, start_redis
from worker.settings import DEFAULT_TERMS, Settings
from worker.store.engine import Store
from worker.store.schema import require_current
from worker.web.app import make_app
from worker.web.metrics import Figures

pytestmark = pytest.mark.landing
SCRAPE_GIVES_UP = 10
"""Seconds after which Prometheus does, where it is told nothing else."""


@pytest.fixture(scope="module")
def server() -> Iterator[RunningPostgres]:
    with start_postgres(durable=False) as started:
        give_schema(started.url)
        yield started


def is_free(store: Store) -> bool:
    """Nobody looks any more, so what they looked by is closed with the store."""
    pool: Any = store.engine.pool
    looking = [thread for thread in threading.enumerate() if thread.name.endswith("(_take)")]
    return bool(pool.checkedout() == 0 and not looking)


def test_readiness_says_so_in_seconds_and_then_at_once(server: RunningPostgres) -> None:
    with closing(Store(server.url)) as store:
        site = Site(store)
        # the lines are kept from here on
        assert site.ask("GET", "/readyz").status_code == 200
        with frozen(server):
            for within in (2 * ANSWERS_WITHIN, 1.0):
                began = time.monotonic()
                answer = site.ask("GET", "/readyz")
                assert answer.status_code == 503
                assert answer.json()["checks"]["database"]["fault"] == "no answer within 5 s"
                assert answer.json()["checks"]["redis"]["ok"] is True
                assert time.monotonic() - began < within
        assert eventually(lambda: site.ask("GET", "/readyz").status_code == 200)


def test_figures_say_so_in_seconds(server: RunningPostgres) -> None:
    with closing(Store(server.url)) as store:
        site = Site(store)
        require_current(store)
        figures = Figures(store, fakeredis.FakeRedis(), "layer-jobs:events", site.clock, load_editions(DEFAULT_TERMS))
        site.app = make_app(replace(site.web, figures=figures))
        with frozen(server):
            began = time.monotonic()
            assert "\nrefunds_database_up 0.0\n" in site.ask("GET", "/metrics").text
            assert time.monotonic() - began < 2 * ANSWERS_WITHIN
        assert eventually(lambda: is_free(store))


def test_figures_by_the_time_of_the_database_say_so_in_seconds(server: RunningPostgres) -> None:
    """As the web process has them: what time it is there is asked first, and whoever waited for that kept all others out."""
    runtime = Runtime.start(Settings(database_url=server.url))
    require_current(runtime.store)
    figures = Figures(runtime.store, fakeredis.FakeRedis(), "layer-jobs:events", runtime.clock, load_editions(DEFAULT_TERMS))
    with closing(runtime.store) as store, ThreadPoolExecutor(1) as pool:
        with frozen(server):
            assert b"\nrefunds_database_up 0.0\n" in pool.submit(figures.text).result(3 * ANSWERS_WITHIN)
        assert eventually(lambda: is_free(store))


def test_figures_say_that_everything_stands_still_before_a_scrape_gives_up(server: RunningPostgres, tmp_path: Path) -> None:
    """Figures that come later are none, and an alert about them would never last."""
    with start_redis(tmp_path / "redis") as redis, ThreadPoolExecutor(1) as pool:
        runtime = Runtime.start(Settings(database_url=server.url, redis_url=redis.url))
        require_current(runtime.store)
        runtime.redis.ping()
        figures = Figures(runtime.store, runtime.redis, "layer-jobs:events", runtime.clock, runtime.editions)
        with closing(runtime.store) as store:
            with frozen(server), frozen(redis):
                told = pool.submit(figures.text).result(SCRAPE_GIVES_UP - 1)
                assert b"\nrefunds_database_up 0.0\n" in told
                assert b"\nrefunds_redis_up 0.0\n" in told
            assert eventually(lambda: is_free(store))


@ON_SQLITE
def test_deliveries_are_answered_at_once_while_redis_stands_still(database_url: str, tmp_path: Path) -> None:
    """Each of them is stored, and a hint is all that Redis is asked for."""
    port = free_port()
    with (
        start_redis(tmp_path / "redis") as redis,
        a_system(database_url, redis.url, REFUNDS_WEB_PORT=str(port), REFUNDS_CREEM_WEBHOOK_SECRET=SECRET) as system,
    ):
        system.start("worker.cli", "web")
        assert eventually(lambda: status(f"http://127.0.0.1:{port}/readyz") == 200, within=60), system.logs()
        with frozen(redis):
            for number in range(3):
                body = a_refund(f"evt_{number}")
                answer = httpx.post(f"http://127.0.0.1:{port}/webhooks/creem", content=body, headers=signed(body), timeout=4)
                assert answer.json() == {"status": "stored"}

"""A database that stands still, its lines open, is told of like one that is away."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import fakeredis
import pytest

from policy import load_editions
from tests.intake.test_outage import frozen
from tests.servers import eventually, give_schema
from tests.web.test_app import Site
from worker.patience import ANSWERS_WITHIN
from worker.sandbox.servers import RunningPostgres, start_postgres
from worker.settings import DEFAULT_TERMS
from worker.store.engine import Store
from worker.store.schema import require_current
from worker.web.app import make_app
from worker.web.metrics import Figures

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[RunningPostgres]:
    with start_postgres(durable=False) as started:
        give_schema(started.url)
        yield started


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

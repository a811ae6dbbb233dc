"""The figures: they agree with the rows, cost the same however many cases there are, and outlive the parts they tell of."""

import asyncio
from datetime import timedelta

import fakeredis
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, insert
from sqlalchemy.engine import Engine

from tests.cases.world import START, HandClock
from worker.creem.environment import Environment
from worker.creem.receive import Receiver
from worker.store.engine import Store
from worker.store.tables import accounts, breakers, cases
from worker.web.app import Web, make_app
from worker.web.metrics import KEEP_SECONDS, Figures

STREAM = "layer-jobs:events"


class Timer:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def values(text: bytes) -> dict[str, float]:
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def closed_cases(store: Store, number: int, *, took: float, state: str = "refunded", first: int = 0) -> None:
    rows = [
        {
            "case_id": f"case_{n}",
            "kind": "job",
            "subject": f"job_{n}",
            "account_id": "acc_1",
            "state": state,
            "credits_owed": 5,
            "credits_reversed": 5,
            "reruns": 0,
            "delivered_late": False,
            "stuck": 0,
            "failed_at": START - timedelta(hours=2, seconds=took),
            "opened_at": START - timedelta(hours=2),
            "due_at": START + timedelta(days=3),
            "warned_percent": 0,
            "closed_at": START - timedelta(hours=2),
        }
        for n in range(first, first + number)
    ]
    store.write(lambda tx: tx.connection.execute(insert(cases), rows))


@pytest.fixture
def account(store: Store) -> Store:
    row = {"account_id": "acc_1", "status": "active", "known": True, "opened_at": START, "reversals_today": 0}
    store.write(lambda tx: tx.connection.execute(insert(accounts), [row]))
    return store


def figures(store: Store, timer: Timer | None = None) -> Figures:
    return Figures(store, fakeredis.FakeRedis(), STREAM, HandClock(), timer or Timer())


def test_the_time_to_made_whole_is_counted_in_buckets_of_cases_closed_of_late(account: Store) -> None:
    closed_cases(account, 3, took=20)
    closed_cases(account, 2, took=2000, state="delivered", first=10)
    closed_cases(account, 4, took=20, state="declined", first=20)
    found = values(figures(account).text())
    name = "refunds_time_to_made_whole_seconds_bucket"
    assert (found[f"{name}[5.0]"], found[f"{name}[30.0]"], found[f"{name}[3600.0]"], found[f"{name}[+Inf]"]) == (0, 3, 5, 5)
    assert found["refunds_cases_closed_last_day[declined]"] == 4
    assert found["refunds_cases[refunded]"] == 3


def test_an_open_breaker_is_one_and_a_closed_one_zero(store: Store) -> None:
    row = {"name": "money", "failures": 1, "open_until": START + timedelta(hours=1), "needs_person": True}
    store.write(lambda tx: tx.connection.execute(insert(breakers), [row]))
    found = values(figures(store).text())
    assert (found["refunds_breaker_open[money]"], found["refunds_breaker_open[creem]"]) == (1, 0)


def statements(store: Store, work: Figures) -> int:
    seen: list[str] = []

    def note(*said: object) -> None:
        seen.append(str(said[2]))

    engine: Engine = store.engine
    event.listen(engine, "before_cursor_execute", note)
    work.text()
    event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def test_a_scrape_takes_as_many_statements_with_many_cases_as_with_none(account: Store) -> None:
    before = statements(account, figures(account))
    closed_cases(account, 500, took=20)
    assert 0 < statements(account, figures(account)) == before


def test_scrapes_within_seconds_share_one_reading(account: Store) -> None:
    timer = Timer()
    shared = figures(account, timer)
    assert statements(account, shared) > 0
    assert statements(account, shared) == 0
    timer.at = KEEP_SECONDS
    assert statements(account, shared) > 0


def test_a_database_that_is_away_is_told_and_not_an_error(tmp_path_factory: pytest.TempPathFactory) -> None:
    away = Store(f"sqlite:///{tmp_path_factory.mktemp('none')}/empty.db")
    found = values(figures(away).text())
    assert (found["refunds_database_up"], found["refunds_redis_up"]) == (0, 1)
    assert "refunds_cases[refunded]" not in found
    away.close()


def test_the_route_answers_in_the_text_format_without_a_sign_in(store: Store) -> None:
    clock = HandClock()
    receiver = Receiver(store, clock, Environment.TEST.accepts)
    site = Web(store, fakeredis.FakeRedis(), receiver, ("s",), clock, lambda _: None, timedelta(0), figures=figures(store))

    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(make_app(site)), base_url="http://site") as client:
            return await client.get("/metrics")

    answer = asyncio.run(asked())
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert values(answer.content)["refunds_database_up"] == 1

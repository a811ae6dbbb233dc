"""The figures: they agree with the rows, cost the same however many cases there are, and outlive the parts they tell of."""

import asyncio
import hmac
import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import fakeredis
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, insert, select, update
from sqlalchemy.engine import Engine

from policy import Editions, load_editions
from tests.cases.world import START, HandClock, World, a_purchase, an_account
from tests.money.world import MoneyWorld
from tests.policy import build
from tests.store.rows import a_case, given
from worker.cases.reconcile.reconciliation import came_to_its_end
from worker.clock import SystemClock
from worker.creem.environment import Environment
from worker.creem.receive import Receiver
from worker.sandbox.creem import Lost, Switches
from worker.sandbox.creem.words import Fault
from worker.settings import DEFAULT_TERMS, GROUP, Mode
from worker.store.engine import Store
from worker.store.schema import head
from worker.store.tables import accounts, breakers, cases, charges, creem_refunds, doubt_days, layer_jobs, payments
from worker.web.app import Web, make_app
from worker.web.metrics import KEEP_SECONDS, SILENT_SECONDS, Figures

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


def closed_cases(
    store: Store, number: int, *, took: float, state: str = "refunded", first: int = 0, ago: timedelta = timedelta(hours=2)
) -> None:
    closed = START - ago
    told: dict[str, Any] = {
        "state": state,
        "credits_owed": 5,
        "credits_reversed": 5,
        "failed_at": closed - timedelta(seconds=took),
        "opened_at": closed,
        "due_at": START + timedelta(days=3),
        "closed_at": closed,
    }
    rows = [a_case(f"case_{n}", f"job_{n}", **told) for n in range(first, first + number)]
    store.write(lambda tx: tx.connection.execute(insert(cases), rows))


@pytest.fixture
def account(store: Store) -> Store:
    row = {"account_id": "acc_1", "status": "active", "known": True, "opened_at": START, "reversals_today": 0}
    store.write(lambda tx: tx.connection.execute(insert(accounts), [row]))
    return store


def figures(store: Store, timer: Timer | None = None) -> Figures:
    return Figures(store, fakeredis.FakeRedis(), STREAM, HandClock(), load_editions(DEFAULT_TERMS), timer or Timer())


def test_the_time_to_made_whole_is_counted_in_buckets_of_cases_closed_of_late(account: Store) -> None:
    closed_cases(account, 3, took=20)
    closed_cases(account, 2, took=2000, state="delivered", first=10)
    closed_cases(account, 4, took=20, state="declined", first=20)
    closed_cases(account, 1, took=30, first=30)
    closed_cases(account, 7, took=20, first=40, ago=timedelta(hours=25))
    found = values(figures(account).text())
    name = "refunds_time_to_made_whole_seconds_bucket"
    assert (found[f"{name}[5.0]"], found[f"{name}[30.0]"], found[f"{name}[3600.0]"], found[f"{name}[+Inf]"]) == (0, 4, 6, 6)
    assert found["refunds_cases_closed_last_day[declined]"] == 4
    assert found["refunds_cases_closed_last_day[refunded]"] == 4
    assert found["refunds_cases[refunded]"] == 11


def test_promises_are_warned_of_where_a_share_has_gone_by_and_the_case_is_open(account: Store) -> None:
    warned = [a_case(f"case_{percent}", f"job_{percent}", warned_percent=percent) for percent in (0, 50, 80)]
    given(account, cases, *warned, a_case("case_over", "job_over", state="refunded", closed_at=START, warned_percent=50))
    assert values(figures(account).text())["refunds_promises_warned"] == 2


def test_next_deadline_is_that_of_the_first_case_a_person_has_to_look_at(account: Store) -> None:
    def left() -> float:
        return values(figures(account).text())["refunds_review_next_deadline_seconds"]

    def a_row(name: str, hours: int, **over: Any) -> None:
        given(account, cases, a_case(f"case_{name}", name, due_at=START + timedelta(hours=hours), **over))

    a_row("job_waits", 1)
    a_row("job_over", 1, state="declined", closed_at=START)
    assert math.isnan(left())
    a_row("job_odd", 5, state="review")
    assert left() == 5 * 3600
    a_row("parked", 3, kind="request", job_id=None)
    assert left() == 3 * 3600


@pytest.mark.parametrize(("seconds", "overdue"), [(29, 0), (31, 2)])
def test_a_look_is_overdue_once_the_sweeps_of_half_a_minute_have_missed_it(account: Store, seconds: int, overdue: int) -> None:
    closed_cases(account, 2, took=20)
    due = update(cases).values(next_action_at=START - timedelta(seconds=seconds))
    account.write(lambda tx: tx.connection.execute(due).rowcount)
    assert values(figures(account).text())["refunds_actions_overdue"] == overdue


@pytest.mark.parametrize(("hours", "late"), [(0.5, 0), (1.0, 0), (3.5, 2.5)])
def test_reconcile_is_late_once_its_time_is_over_since_it_last_came_to_its_end(store: Store, hours: float, late: float) -> None:
    store.write(lambda tx: came_to_its_end(tx, START - timedelta(hours=9)))
    store.write(lambda tx: came_to_its_end(tx, START - timedelta(hours=hours)))
    assert values(figures(store).text())["refunds_reconcile_late_seconds"] == late * 3600


def test_reconcile_that_has_never_run_is_late_from_the_upgrade_on(store: Store) -> None:
    asked = Figures(
        store, fakeredis.FakeRedis(), STREAM, SystemClock(), load_editions(DEFAULT_TERMS), Timer(), reconciles_every=timedelta(0)
    )
    assert values(asked.text())["refunds_reconcile_late_seconds"] > 0


def test_an_open_breaker_is_one_and_a_closed_one_zero(store: Store) -> None:
    until = {"money": START + timedelta(hours=1), "creem": START - timedelta(seconds=1)}
    rows = [{"name": name, "failures": 6, "open_until": at, "needs_person": False} for name, at in until.items()]
    given(store, breakers, *rows)
    found = values(figures(store).text())
    names = ("money", "creem", "creem_key")
    assert [found[f"refunds_breaker_open[{name}]"] for name in names] == [1, 0, 0]


@pytest.mark.parametrize("mode", Mode)
def test_mode_of_the_web_process_is_one_and_every_other_zero(store: Store, mode: Mode) -> None:
    asked = Figures(store, fakeredis.FakeRedis(), STREAM, HandClock(), load_editions(DEFAULT_TERMS), Timer(), mode=mode)
    found = values(asked.text())
    assert {other: found[f"refunds_mode[{other.value}]"] for other in Mode} == {other: int(other is mode) for other in Mode}


def test_calls_that_nobody_hears_are_counted_until_one_is_heard(store: Store) -> None:
    rows = [{"name": "pipeline", "failures": 7, "needs_person": False}, {"name": "money", "failures": 3, "needs_person": False}]
    store.write(lambda tx: tx.connection.execute(insert(breakers), rows))
    found = values(figures(store).text())
    assert (found["refunds_calls_unheard[pipeline]"], found["refunds_calls_unheard[creem]"]) == (7, 0)
    assert "refunds_calls_unheard[money]" not in found


def test_what_runs_is_said_with_the_terms_in_force_and_what_is_left_of_their_doubt(store: Store) -> None:
    terms = load_editions(DEFAULT_TERMS).at(START)
    yesterday = START.date() - timedelta(days=1)
    given(store, doubt_days, {"day": yesterday, "credits": 11}, {"day": START.date(), "credits": 7})
    found = values(figures(store).text())
    assert found["refunds_doubt_credits_left"] == terms.doubt_credits_per_day - 7
    assert [name for name in found if name.startswith("refunds_build_info") and terms.edition in name and head() in name]


def test_terms_that_leave_no_doubt_have_none_to_spend(store: Store) -> None:
    """Every unknown code goes to a person, as they say: nothing is used up, and no alert is to say so for ever."""
    none = Editions((build.terms(doubt_credits_per_day=0),))
    found = Figures(store, fakeredis.FakeRedis(), STREAM, HandClock(), none).text().decode()
    assert "# TYPE refunds_doubt_credits_left gauge" in found
    assert "refunds_doubt_credits_left" not in values(found.encode())


def test_money_that_went_back_by_another_hand_is_what_creem_shows_beyond_our_claims(store: Store) -> None:
    world = MoneyWorld(store)
    world.twice_charged()
    world.settle_down()
    assert values(figures(store).text())["refunds_money_unmatched_minor_units"] == 0, "a refund of our own is matched"
    world.double.refund_in_dashboard("tran_0", 250)
    world.settle_down(days=1)
    assert values(figures(store).text())["refunds_money_unmatched_minor_units"] == 250
    ours = select(payments.c.transaction_id).where(payments.c.state == "refunded").scalar_subquery()
    lags = update(charges).where(charges.c.transaction_id == ours).values(refunded=charges.c.refunded - 100)
    store.write(lambda tx: tx.connection.execute(lags).rowcount)
    assert values(figures(store).text())["refunds_money_unmatched_minor_units"] == 250, "of another charge, read too early"


def test_charges_of_which_creem_shows_less_given_back_than_was_known_or_told_of_more_are_counted(store: Store) -> None:
    paid = {"amount_paid": 900, "looks": 0}
    rows = [
        ("a", "paid", 0),
        ("b", "paid", 900),
        ("c", "partially_refunded", 900),
        ("d", "partialRefund", 400),
        ("e", "refunded", 900),
    ]
    given(store, charges, *({"transaction_id": name, "status": status, "refunded": gone, **paid} for name, status, gone in rows))
    told = {"currency": "USD", "status": "succeeded", "reason": "other", "created_at": START, "heard_at": START}
    twice = [{"refund_id": f"ref_{n}", "transaction_id": name, "amount": 900, **told} for n, name in enumerate("bee")]
    given(store, creem_refunds, *twice)
    found = values(figures(store).text())
    assert found["refunds_charges_in_doubt[refund_not_shown]"] == 2
    assert found["refunds_charges_in_doubt[refunded_beyond_what_was_paid]"] == 1


def test_money_of_a_call_whose_answer_was_lost_is_not_by_another_hand(store: Store) -> None:
    lost = Switches(post=Fault.TIMEOUT, post_side=Lost.AFTER_COMMIT, post_times=1)
    world = MoneyWorld(store, switches=lost)
    world.twice_charged()

    world.turn()
    # a process without the key cannot read the charge, and takes Creem's word for it
    heard = update(charges).where(charges.c.transaction_id == "tran_1").values(refunded=900)
    assert store.write(lambda tx: tx.connection.execute(heard).rowcount) == 1
    assert len(world.open_claims()) == 1
    assert values(figures(store).text())["refunds_money_unmatched_minor_units"] == 0
    world.settle_down()
    assert values(figures(store).text())["refunds_money_unmatched_minor_units"] == 0


def test_claim_that_is_due_and_that_nobody_takes_has_an_age(store: Store) -> None:
    world = MoneyWorld(store)
    world.twice_charged()
    world.clock.pass_(minutes=20)

    def age(environment: str | None = "test") -> float:
        terms = load_editions(DEFAULT_TERMS)
        asked = Figures(store, fakeredis.FakeRedis(), STREAM, world.clock, terms, Timer(), environment=environment)
        return values(asked.text())["refunds_payments_due_oldest_age_seconds"]

    assert age() == age(None) == 1200
    assert age("live") == 0, "a worker for live takes no claim of the tests before"
    world.settle_down()
    assert age() == age(None) == 0


def test_age_of_the_stream_is_that_of_its_oldest_entry_read_or_not(store: Store) -> None:
    client, stream = fakeredis.FakeRedis(), "events"
    at = START - timedelta(minutes=5)
    names = [f"{int(at.timestamp() * 1000)}-{number}" for number in range(2)]
    for name in names:
        client.xadd(stream, {"event": "x"}, id=name)

    def age() -> float:
        asked = Figures(store, client, stream, HandClock(), load_editions(DEFAULT_TERMS), Timer())
        return values(asked.text())["refunds_stream_oldest_age_seconds"]

    assert age() == 300
    client.xgroup_create(stream, GROUP, "0")
    client.xreadgroup(GROUP, "one", {stream: ">"})
    assert age() == 300, "read, and not yet in the inbox"
    client.xack(stream, GROUP, *names)
    assert age() == 0


def test_what_was_sent_is_counted_and_tells_how_long_it_has_outstayed(store: Store) -> None:
    client, sent = fakeredis.FakeRedis(), {"refunds:events": timedelta(hours=2)}
    seconds, _ = client.time()
    for ago in (10_000, 5):
        client.xadd("refunds:events", {"event": "x"}, id=f"{(int(seconds) - ago) * 1000}-0")
    asked = Figures(store, client, STREAM, HandClock(), load_editions(DEFAULT_TERMS), Timer(), sent=sent)
    found = values(asked.text())
    assert found["refunds_sent_entries[refunds:events]"] == 2
    assert 2_800 <= found["refunds_sent_overdue_seconds[refunds:events]"] < 2_900


def test_mails_that_lie_there_have_an_age_and_a_folder_that_cannot_be_read_takes_no_other_figure_along(store: Store) -> None:
    def told(mails: Callable[[], tuple[int, datetime | None]]) -> list[float | None]:
        terms = load_editions(DEFAULT_TERMS)
        found = values(Figures(store, fakeredis.FakeRedis(), STREAM, HandClock(), terms, Timer(), mails=mails).text())
        names = ("refunds_mails_waiting", "refunds_mails_oldest_age_seconds", "refunds_database_up", "refunds_redis_up")
        return [found.get(name) for name in names]

    def unreadable() -> tuple[int, datetime | None]:
        raise PermissionError(13, "Permission denied")

    assert told(lambda: (0, None)) == [0, 0, 1, 1]
    assert told(lambda: (2, START - timedelta(days=5))) == [2, 5 * 86_400, 1, 1]
    assert told(unreadable) == [None, None, 1, 1]


def test_maildir_that_does_not_answer_or_is_gone_is_as_old_as_its_last_answer(store: Store) -> None:
    found: list[Callable[[], tuple[int, datetime | None]]] = []
    clock, timer = HandClock(), Timer()
    figures = Figures(store, fakeredis.FakeRedis(), STREAM, clock, load_editions(DEFAULT_TERMS), timer, mails=lambda: found[-1]())

    def age(mails: Callable[[], tuple[int, datetime | None]]) -> tuple[float | None, float | None]:
        found.append(mails)
        timer.at += 3600
        said = values(figures.text())
        return said.get("refunds_mails_oldest_age_seconds"), said.get("refunds_database_up")

    def hangs() -> tuple[int, datetime | None]:
        raise TimeoutError(110, "the disk does not answer")

    def is_gone() -> tuple[int, datetime | None]:
        raise FileNotFoundError(2, "No such file or directory")

    assert age(is_gone) == (None, 1), "it may never have been there"
    assert age(hangs) == (0, 1), "it has only now been asked"
    clock.pass_(minutes=10)
    assert age(hangs) == (600, 1)
    assert age(lambda: (0, None)) == (0, 1)
    clock.pass_(minutes=40)
    assert age(hangs) == (2400, 1)
    assert age(is_gone) == (2400, 1)
    assert age(lambda: (1, clock.now() - timedelta(minutes=5))) == (300, 1)
    assert age(hangs) == (300, 1)


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


@pytest.mark.parametrize(("there", "kept"), [(True, 20 * 13), (False, SILENT_SECONDS)])
def test_long_look_is_kept_for_twenty_times_as_long_and_one_that_found_a_part_silent_for_less_than_its_alert_waits(
    account: Store, tmp_path: Path, there: bool, kept: float
) -> None:
    timer = Timer()

    def takes_long() -> tuple[int, datetime | None]:
        looks.append(timer.at)
        timer.at += 13
        return 0, None

    looks: list[float] = []
    store = account if there else Store(f"sqlite:///{tmp_path}/none.db")
    terms = load_editions(DEFAULT_TERMS)
    asked = Figures(store, fakeredis.FakeRedis(), STREAM, HandClock(), terms, timer, mails=takes_long)
    assert values(asked.text())["refunds_database_up"] == there
    for timer.at in (12 + kept, 13 + kept):
        asked.text()
    assert looks == [0, 13 + kept]
    if not there:
        store.close()


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


def test_jobs_are_counted_by_how_they_ended_within_the_hour(account: Store) -> None:
    ends = [("failed", 1), ("failed", 59), ("succeeded", 30), ("failed", 61), ("failed", -1), ("running", None)]
    rows: list[dict[str, Any]] = [
        {
            "job_id": f"job_{n}",
            "account_id": "acc_1",
            "paid_with": "credits",
            "price": 5,
            "undebited": False,
            "status": status,
            "reports": [],
            "downloads": 0,
            "ended_at": None if ago is None else START - timedelta(minutes=ago),
        }
        for n, (status, ago) in enumerate(ends)
    ]
    account.write(lambda tx: tx.connection.execute(insert(layer_jobs), rows))
    found = values(figures(account).text())
    by_status = [found[f"refunds_jobs_ended_last_hour[{status}]"] for status in ("failed", "succeeded", "incomplete")]
    assert by_status == [2, 1, 0]


def test_text_from_outside_makes_no_series_of_its_own(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase(credits=1_000))
    world.happen(world.submitted("job_0"), world.failed("job_0"), '{"broken": "plain"')
    before = set(values(figures(store).text()))
    hostile = [f'x{n}"}} 1\nrefunds_cases{{state="y{n}' for n in range(30)]
    for n, text in enumerate(hostile, 1):
        why = {"code": f"code_{n}", "message": text, "stage": text[:60]}
        world.happen(world.submitted(f"job_{n}"), world.failed(f"job_{n}", failure=why), f'{{"broken": {text}')
    told = figures(store).text()
    assert set(values(told)) == before
    assert not re.search(rb"code_|y[0-9]", told)


def test_webhooks_are_counted_by_how_this_process_answered_and_not_kept_for_later(store: Store) -> None:
    clock = HandClock()
    receiver = Receiver(store, clock, Environment.TEST.accepts)
    told = figures(store)
    web = Web(store, fakeredis.FakeRedis(), receiver, ("right",), clock, lambda _: None, timedelta(minutes=2), figures=told)

    async def deliver(secret: str, *bodies: bytes) -> None:
        transport = httpx.ASGITransport(make_app(web), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
            for body in bodies:
                signature = hmac.new(secret.encode(), body, "sha256").hexdigest()
                await client.post("/webhooks/creem", content=body, headers={"creem-signature": signature})

    def counted() -> dict[str, float]:
        found = values(told.text())
        return {name.partition("[")[2][:-1]: value for name, value in found.items() if name.startswith("refunds_webhooks_total")}

    assert counted() == {"taken": 0, "not_stored": 0, "unsigned": 0}, "from the start, or the first would be no increase"
    asyncio.run(deliver("wrong", b"{}", b"{}", b"{}"))
    assert counted() == {"taken": 0, "not_stored": 0, "unsigned": 3}
    asyncio.run(deliver("right", b'{"id": "evt_1", "eventType": "refund.created", "object": {}}'))
    assert counted() == {"taken": 1, "not_stored": 0, "unsigned": 3}

"""What stops money: each limit at its edge, and what opens and closes each breaker."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from policy import Terms
from tests.arena import Arena
from tests.logs import heard
from tests.money.plans import NASTY
from tests.money.world import MoneyWorld
from worker.cases.money import limits
from worker.clock import written
from worker.creem.answers import Answer, CallOutcome
from worker.errors import Refused
from worker.sandbox.creem.words import Fault
from worker.settings import DEFAULT_TERMS
from worker.store.breakers import BREAK_AFTER, CREEM, PIPELINE, answered, closed_to, standing
from worker.store.bulk import Tx
from worker.store.tables import actions, breakers, payment_attempts, payments

SENT = 900
"""Armed in the world of these tests, at its hour."""
ODD = {"hour": 10_000, "day": 20_000}


@pytest.fixture
def world(arena: Arena) -> Iterator[MoneyWorld]:
    with arena.empty() as store:
        made = MoneyWorld(store, switches=NASTY)
        yield made
        made.close()


def breaker(world: MoneyWorld, name: str) -> dict[str, Any] | None:
    rows = world.store.read(lambda tx: tx.all(select(breakers).where(breakers.c.name == name)))
    return dict(rows[0]._mapping) if rows else None


def held(world: MoneyWorld, *names: str, at: datetime | None = None) -> tuple[str, datetime] | None:
    return world.store.read(lambda tx: closed_to(tx, names, at or world.clock.now()))


def away(world: MoneyWorld, times: int) -> datetime | None:
    for number in range(times):
        world.store.write(lambda tx, number=number: limits.away(tx, f"trouble {number}", world.clock.now()))  # type: ignore[misc]
    found = breaker(world, CREEM)
    assert found is not None
    assert (found["failures"], found["last_error"], found["needs_person"]) == (times, f"trouble {times - 1}", False)
    until: datetime | None = found["open_until"]
    return until


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, None), (4, None), (5, 60), (6, 120), (7, 240), (8, 480), (9, 600), (10, 600), (40, 600)]
)
def test_nobody_calls_creem_after_five_failures_for_longer_and_longer(
    world: MoneyWorld, failures: int, seconds: int | None
) -> None:
    until = away(world, failures)
    assert until == (None if seconds is None else world.clock.now() + timedelta(seconds=seconds))


@pytest.mark.parametrize(("asked", "hours"), [("7200", 2.0), ("99999999", 6.0), (None, None), ("0", None)])
def test_nobody_calls_creem_for_as_long_as_it_asked_and_never_for_days(
    world: MoneyWorld, asked: str | None, hours: float | None
) -> None:
    world.twice_charged()
    world.double.switches = replace(NASTY, get=Fault.THROTTLED, get_times=99, retry_after=asked)
    world.pay()
    found = breaker(world, CREEM)
    assert found is not None
    assert found["open_until"] == (None if hours is None else world.clock.now() + timedelta(hours=hours))
    asked_before = len(world.double.requests)
    for _ in range(10 if hours else 0):
        world.clock.pass_(minutes=(hours or 0) * 6 - 0.1)
        world.pay()
    assert len(world.double.requests) == asked_before


def test_answer_of_creem_forgets_its_failures_and_nothing_else(world: MoneyWorld) -> None:
    now = world.clock.now()
    world.store.write(lambda tx: limits.open_until(tx, limits.KEY, now + timedelta(hours=1), "bad key"))
    away(world, 5)
    world.store.write(lambda tx: answered(tx, CREEM))
    assert breaker(world, CREEM) is None
    assert held(world, CREEM, limits.KEY) == ("creem_key: bad key", now + timedelta(hours=1))


def test_breaker_is_kept_open_longer_and_never_shorter(world: MoneyWorld) -> None:
    now = world.clock.now()
    for hours, why in ((2, "first"), (1, "shorter"), (2, "as long"), (3, "longer")):
        world.store.write(lambda tx, h=hours, w=why: limits.open_until(tx, limits.KEY, now + timedelta(hours=h), w))  # type: ignore[misc]
    found = breaker(world, limits.KEY)
    assert found == {
        "name": "creem_key", "failures": 2, "open_until": now + timedelta(hours=3), "last_error": "longer", "needs_person": False,
        "transaction_id": None,
    }  # fmt: skip


def test_what_stops_money_is_said_in_the_log_with_its_reason_and_its_end(world: MoneyWorld) -> None:
    until = world.clock.now() + timedelta(hours=1)
    with heard("warning") as said:
        world.store.write(lambda tx: limits.open_until(tx, limits.KEY, until, "bad key"))
        away(world, 6)
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    stopped = {"event": "money.stopped", "level": "error", "breaker": "creem_key", "until": until.isoformat(), "why": "bad key"}
    told = {"event": "creem.breaker_open", "level": "warning"}
    assert [{name: value for name, value in line.items() if name != "timestamp"} for line in lines] == [
        stopped,
        told | {"failures": 5, "seconds": 60.0, "error": "trouble 4"},
        told | {"failures": 6, "seconds": 120.0, "error": "trouble 5"},
    ]


def test_breaker_that_is_open_the_longest_speaks_until_its_very_moment(world: MoneyWorld) -> None:
    now, hour = world.clock.now(), timedelta(hours=1)
    world.store.write(lambda tx: limits.open_until(tx, limits.KEY, now + hour, "key"))
    world.store.write(lambda tx: limits.open_until(tx, limits.BALANCE, now + 2 * hour, "balance"))
    both = (limits.KEY, limits.BALANCE)
    assert held(world, *both) == ("creem_balance: balance", now + 2 * hour)
    world.store.write(lambda tx: limits.open_until(tx, limits.KEY, now + 3 * hour, "key still"))
    assert held(world, *both) == ("creem_key: key still", now + 3 * hour)
    world.store.write(
        lambda tx: (
            tx.connection.execute(
                update(breakers).where(breakers.c.name == limits.KEY).values(open_until=now + hour, last_error="key")
            ).rowcount
        )
    )
    assert held(world, limits.KEY) == ("creem_key: key", now + hour)
    assert held(world, limits.KEY, at=now + hour) is None
    assert held(world, *both, at=now + 2 * hour) is None
    assert held(world, limits.MONEY) is None
    open_at = [world.store.read(lambda tx, at=now + n * hour: [row.name for row in standing(tx, at)]) for n in (0, 1, 2)]  # type: ignore[misc]
    assert open_at == [["creem_balance", "creem_key"], ["creem_balance"], []]


def test_person_stops_and_releases_money_and_both_are_kept(world: MoneyWorld) -> None:
    now = world.clock.now()
    world.store.write(lambda tx: limits.stop(tx, by="ada", reason="to be sure", now=now))
    for_ever = datetime(9999, 1, 1, tzinfo=UTC)
    assert breaker(world, "money") == {
        "name": "money", "failures": 1, "open_until": for_ever, "last_error": "stopped by ada: to be sure", "needs_person": True,
        "transaction_id": None,
    }  # fmt: skip
    world.store.write(lambda tx: limits.release(tx, by="bob", reason="looked", now=now))
    assert breaker(world, "money") == {
        "name": "money", "failures": 0, "open_until": now, "last_error": "released by bob: looked", "needs_person": False,
        "transaction_id": None,
    }  # fmt: skip
    kept = world.store.read(lambda tx: tx.all(select(actions).order_by(actions.c.id)))
    assert [(row.at, row.by, row.action, row.subject, row.reason) for row in kept] == [
        (now, "ada", "money.stop", "money", "to be sure"),
        (now, "bob", "money.release", "money", "looked"),
    ]
    with pytest.raises(Refused, match=r"^money is not stopped; there is nothing to release$"):
        world.store.write(lambda tx: limits.release(tx, by="bob", reason="again", now=now))


@pytest.mark.parametrize(
    ("name", "person", "ends"),
    [
        (CREEM, False, "that ends by itself"),
        (limits.KEY, False, "nobody has to release that: correct REFUNDS_CREEM_API_KEY and restart"),
        (limits.BALANCE, False, "nobody has to release that: top up at Creem, or wait for the payout"),
        (limits.JOURNAL, False, "nobody has to release that: mend the disk of the claim journal"),
        (limits.RESTORE, True, "`refunds restore lift` ends that"),
    ],
)
def test_release_of_money_that_something_else_holds_says_what_ends_that(
    world: MoneyWorld, name: str, person: bool, ends: str
) -> None:
    now = world.clock.now()
    later = now + timedelta(minutes=10)
    world.store.write(lambda tx: limits.open_until(tx, name, later, "Creem answered 403", needs_person=person))
    world.store.write(lambda tx: limits.open_until(tx, PIPELINE, later, "is no matter of money's"))
    until = "" if person else f" until {written(later)}"
    said = f"money is not stopped; there is nothing to release; {name} holds it{until} (Creem answered 403): {ends}"
    with pytest.raises(Refused, match=f"^{re.escape(said)}$"):
        world.store.write(lambda tx: limits.release(tx, by="bob", reason="why not", now=now))


def test_release_opens_money_and_no_other_breaker(world: MoneyWorld) -> None:
    now = world.clock.now()
    world.store.write(lambda tx: limits.open_until(tx, limits.KEY, now + timedelta(hours=1), "key"))
    world.store.write(lambda tx: limits.stop(tx, by="ada", reason="to be sure", now=now))
    world.store.write(lambda tx: limits.release(tx, by="ada", reason="looked", now=now))
    assert held(world, limits.KEY, limits.MONEY) == ("creem_key: key", now + timedelta(hours=1))


def test_every_stop_stands_until_a_person_who_was_shown_all_releases_them(world: MoneyWorld) -> None:
    now, allowed = world.clock.now(), terms(world, hour=1000)
    assert admit(world, 1001, allowed, now) is not None
    for by, reason in (("ada", "fraud"), ("bob", "the bank called"), ("ada", "fraud")):
        world.store.write(lambda tx, by=by, why=reason: limits.stop(tx, by=by, reason=why, now=now))  # type: ignore[misc]
    before = f"money: {over(1001, 'hour')}"
    all_of_it = f"{before}; and stopped by ada: fraud; and stopped by bob: the bank called"
    assert held(world, limits.MONEY) == (all_of_it, limits.FOR_EVER)
    for shown in (before, f"{before}; and stopped by ada: fraud", ""):
        with pytest.raises(Refused, match=r"^money was stopped again meanwhile, so nothing was released: .*the bank called$"):
            world.store.write(lambda tx, s=shown: limits.release(tx, by="bob", reason="mine is over", now=now, shown=s))  # type: ignore[misc]
    assert f"money: {admit(world, 1, allowed, now)}" == all_of_it
    world.store.write(lambda tx: limits.release(tx, by="bob", reason="all looked at", now=now, shown=all_of_it))
    # the charge that the limit named was among what was shown
    assert admit(world, 1001, allowed, now) is None


def test_second_reason_to_stop_money_is_said_of_no_other_breaker(world: MoneyWorld) -> None:
    away(world, 5)
    before = breaker(world, CREEM)
    for reason in ("a drill", "another"):
        world.store.write(lambda tx: limits.stop(tx, by="ann", reason=reason, now=world.clock.now()))  # noqa: B023 - at once
    assert "another" in str(held(world, limits.MONEY))
    assert breaker(world, CREEM) == before


def test_alarm_that_comes_while_a_person_stops_money_is_kept(world: MoneyWorld) -> None:
    now = world.clock.now()
    world.store.write(lambda tx: limits.stop(tx, by="ada", reason="a drill", now=now))
    for until, person in ((limits.FOR_EVER, True), (now + timedelta(hours=1), False)):
        world.store.write(lambda tx, u=until, p=person: limits.open_until(tx, limits.MONEY, u, f"alarm {p}", needs_person=p))  # type: ignore[misc]
    assert held(world, limits.MONEY) == ("money: stopped by ada: a drill; and alarm True", limits.FOR_EVER)


@pytest.mark.parametrize(
    ("values", "wakes"),
    [
        ({}, True),
        ({"refusals": 1}, False),
        ({"next_step": "read", "state": "unknown"}, False),
    ],
)
def test_claim_that_waits_for_money_wakes_at_the_release(world: MoneyWorld, values: dict[str, Any], wakes: bool) -> None:
    world.twice_charged()
    now = world.clock.now()
    due = now + timedelta(hours=2)
    world.store.write(lambda tx: tx.connection.execute(update(payments).values(due_at=due, **values)))
    world.store.write(lambda tx: limits.go_on(tx, now))
    assert world.claim("tran_1").due_at == (now if wakes else due)


def test_claim_that_is_due_already_keeps_its_place(world: MoneyWorld) -> None:
    world.twice_charged()
    due = world.clock.now() - timedelta(minutes=1)
    world.store.write(lambda tx: tx.connection.execute(update(payments).values(due_at=due)))
    world.store.write(lambda tx: limits.go_on(tx, world.clock.now()))
    assert world.claim("tran_1").due_at == due


# --- how much


@pytest.mark.parametrize(("old", "new", "goes"), [(SENT - 1, SENT, True), (SENT, SENT - 1, False)])
def test_how_much_leaves_in_an_hour_is_said_by_the_edition_of_that_hour(
    arena: Arena, tmp_path: Path, old: int, new: int, goes: bool
) -> None:
    """A charge of before counts like any other: by its own limit the first of them stopped money for everybody."""
    for edition, limit in (("2025-12-03", old), ("2026-03-03", new)):
        text = (DEFAULT_TERMS / "2025-12-03.toml").read_text().replace("2025-12-03", edition)
        (tmp_path / f"{edition}.toml").write_text(text.replace("hour_minor_units = 200000", f"hour_minor_units = {limit}"))
    with arena.empty() as store:
        world = MoneyWorld(store, switches=NASTY, terms_dir=tmp_path)
        world.twice_charged()
        world.clock.pass_(days=2)
        world.pay()
        stopped = (f"money: {over(SENT, 'hour', 'tran_1').replace('1000', str(new))}", limits.FOR_EVER)
        assert held(world, limits.MONEY) == (None if goes else stopped)
        assert len(world.store.read(lambda tx: tx.all(select(payment_attempts)))) == int(goes)
        world.close()


def terms(world: MoneyWorld, **limit: int) -> Terms:
    found = world.bench.terms_at(world.clock.now())
    many = ODD | limit
    return replace(found, money_per_hour_minor_units=many["hour"], money_per_day_minor_units=many["day"])


def sent(world: MoneyWorld, outcome: str | None = "accepted") -> datetime:
    """One call of `SENT` was armed; returns when."""
    world.twice_charged()
    world.pay()
    world.store.write(lambda tx: tx.connection.execute(update(payment_attempts).values(outcome=outcome)))
    (armed,) = world.store.read(lambda tx: tx.all(select(payment_attempts.c.armed_at)))
    at: datetime = armed.armed_at
    return at


def test_call_that_is_still_on_its_way_is_no_end_of_those_in_vain(world: MoneyWorld) -> None:
    last = sent(world, None)
    (payment_id,) = world.store.read(lambda tx: tx.all(select(payments.c.payment_id)))[0]
    lost = {"payment_id": payment_id, "outcome": "unknown", "detail": "no answer", "answered_at": last, "deadline_at": last}

    def lose(tx: Tx) -> None:
        before = [lost | {"attempt": 9 - n, "armed_at": last - n * timedelta(minutes=1)} for n in range(1, BREAK_AFTER + 1)]
        tx.insert(payment_attempts, before)
        limits.call_in_vain(tx, Answer(CallOutcome.UNKNOWN, "no answer"), last)

    world.store.write(lose)
    assert f"of {BREAK_AFTER} refund calls in a row" in str(held(world, limits.CALLS, at=last))


def admit(world: MoneyWorld, amount: int, allowed: Terms, at: datetime, which: str = "tran_9") -> str | None:
    return world.store.write(lambda tx: limits.admit(tx, which, amount, allowed, at))


def over(minor_units: int, name: str, which: str = "tran_9") -> str:
    return f"{minor_units} minor units within one {name} are more than the terms' 1000, {which} among them"


@pytest.mark.parametrize("name", ["hour", "day"])
def test_limit_is_what_may_be_sent_and_one_unit_more_stops_money_for_a_person(world: MoneyWorld, name: str) -> None:
    at, allowed = sent(world), terms(world, **{name: 1000})
    assert admit(world, 100, allowed, at) is None
    why = over(1001, name)
    assert admit(world, 101, allowed, at) == why
    found = breaker(world, "money")
    assert found is not None
    assert (found["open_until"], found["last_error"], found["needs_person"]) == (limits.FOR_EVER, why, True)
    # and from here on nothing goes, however small
    assert admit(world, 1, allowed, at) == why


@pytest.mark.parametrize(("name", "span"), [("hour", timedelta(hours=1)), ("day", timedelta(days=1))])
def test_what_was_armed_counts_for_the_span_and_no_longer(world: MoneyWorld, name: str, span: timedelta) -> None:
    at, allowed = sent(world), terms(world, **{name: 1000})
    assert admit(world, 101, allowed, at + span) is None
    assert admit(world, 101, allowed, at + span - timedelta(milliseconds=1)) is not None


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [(None, True), ("unknown", True), ("accepted", True), ("throttled", True), ("not_sent", False), ("refused", False)],
)
def test_what_was_armed_counts_unless_it_is_known_to_have_moved_nothing(
    world: MoneyWorld, outcome: str | None, counts: bool
) -> None:
    at = sent(world, outcome)
    assert (admit(world, 101, terms(world, hour=1000), at) is not None) is counts


def test_first_refund_that_is_larger_than_the_limit_is_a_persons_and_goes_once_released(world: MoneyWorld) -> None:
    now, allowed = world.clock.now(), terms(world, hour=1000)
    assert admit(world, 1001, allowed, now) == over(1001, "hour")
    world.store.write(lambda tx: limits.release(tx, by="ada", reason="looked", now=now))
    # at the very moment of the release, and after it
    assert admit(world, 1001, allowed, now) is None
    assert admit(world, 1001, allowed, now + timedelta(seconds=1)) is None
    # what else went meanwhile changes nothing about the one that a person saw
    sent(world)
    assert admit(world, 1001, allowed, now + timedelta(seconds=2)) is None


@pytest.mark.parametrize(("name", "span"), [("hour", timedelta(hours=1)), ("day", timedelta(days=1))])
def test_release_lets_through_what_it_was_shown_for_and_no_longer_than_the_limit_looks_back(
    world: MoneyWorld, name: str, span: timedelta
) -> None:
    now, allowed = world.clock.now(), terms(world, **{name: 1000})
    assert admit(world, 1001, allowed, now) is not None
    world.store.write(lambda tx: limits.release(tx, by="ada", reason="looked", now=now))
    assert admit(world, 1001, allowed, now + span - timedelta(milliseconds=1)) is None
    assert admit(world, 1001, allowed, now + span) == over(1001, name)


def test_release_lets_nothing_through_that_nobody_was_shown(world: MoneyWorld) -> None:
    now, allowed = world.clock.now(), terms(world, hour=1000)
    assert admit(world, 1001, allowed, now) is not None
    world.store.write(lambda tx: limits.release(tx, by="ada", reason="looked", now=now))
    assert admit(world, 1002, allowed, now, "tran_8") == over(1002, "hour", "tran_8")


def test_release_of_a_drill_lets_nothing_through_that_is_over_a_limit(world: MoneyWorld) -> None:
    now, allowed = world.clock.now(), terms(world, hour=1000)
    assert admit(world, 1001, allowed, now) is not None
    world.store.write(lambda tx: limits.release(tx, by="ada", reason="looked", now=now))
    world.store.write(lambda tx: limits.stop(tx, by="ada", reason="a drill", now=now))
    world.store.write(lambda tx: limits.release(tx, by="ada", reason="the drill is over", now=now))
    assert admit(world, 1001, allowed, now) == over(1001, "hour")


def test_what_went_before_the_release_counts_no_more_and_what_went_after_it_does(world: MoneyWorld) -> None:
    at, allowed = sent(world), terms(world, hour=1000)
    second = timedelta(seconds=1)
    assert admit(world, 101, allowed, at) is not None
    world.store.write(lambda tx: limits.release(tx, by="ada", reason="looked", now=at))
    assert admit(world, 1000, allowed, at + second) is None
    world.store.write(lambda tx: tx.connection.execute(update(payment_attempts).values(armed_at=at + second)))
    assert admit(world, 101, allowed, at + 2 * second, "tran_8") == over(1001, "hour", "tran_8")

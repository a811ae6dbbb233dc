"""Whether a renewal was cancelled in time stands with its purchase, however the word of it and the purchase cross each other."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations
from json import dumps
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.arena import Arena, scratch
from tests.cases.test_batches import somebody_waits
from tests.cases.world import an_account
from tests.requests.world import PeopleWorld
from tests.servers import ON_POSTGRES, eventually
from tests.store.rows import before, given
from worker.clock import written
from worker.store.engine import Store
from worker.store.tables import inbox, purchases, subscriptions


@pytest.fixture
def world(world: PeopleWorld) -> PeopleWorld:
    """Somebody bought the month before, so what it grants is known."""
    world.bought_once("ord_0", "acc_0", kind="subscription", product_id="prod_month")
    world.load(an_account())
    return world


def paid(world: PeopleWorld, number: int, *, ago: int, order_id: str | None = None) -> dict[str, Any]:
    """A month of `sub_1` is paid, of which Creem tells at its next turn; returns its record as an import has it."""
    at: datetime = world.clock.now() - timedelta(days=ago)
    known: dict[str, Any] = {"customer_id": "cust_1", "product_id": "prod_month", "amount": 900}
    of_it: dict[str, Any] = {"subscription_id": "sub_1", "email": "acc_1@example.org", "announce": True, "order_id": order_id}
    world.double.pay(f"tran_m{number}", paid_at=at, period_start=at, period_end=at + timedelta(days=30), **of_it, **known)
    renewal = {"kind": "subscription", "billing": "renewal" if number else "first", "credits": 50}
    return world.bought(f"tran_m{number}", f"tran_m{number}", written(at), **known, **renewal)


def renewed(world: PeopleWorld) -> dict[str, Any]:
    """The second month is paid, and both are known; returns the record of the second."""
    paid(world, 0, ago=31)
    told = paid(world, 1, ago=1)
    world.double.tick()
    world.sweep()
    return told


def cancelled(world: PeopleWorld, *, ago: int = 2) -> None:
    """It was cancelled so many days ago, of which Creem tells at its next turn."""
    now, world.clock.at = world.clock.now(), world.clock.now() - timedelta(days=ago)
    world.double.cancel_subscription("sub_1")
    world.clock.at = now


def unhandled(world: PeopleWorld) -> dict[str, list[int]]:
    """Rows of the inbox that nobody handled: the word of the end, and all others."""
    world.double.tick()
    rows = world.store.read(
        lambda tx: tx.all(select(inbox.c.id, inbox.c.type).where(inbox.c.state == "new").order_by(inbox.c.id))
    )
    found: dict[str, list[int]] = {"cancelled": [], "paid": []}
    for row in rows:
        found["cancelled" if row.type.endswith("cancel") else "paid"].append(row.id)
    assert all(found.values())
    return found


def handles(world: PeopleWorld, ids: list[int]) -> Callable[[], object]:
    """A process that handles these rows and no others."""
    one = replace(world.assessor, batch=len(ids), held=set())
    return lambda: one.assess(ids)


@contextmanager
def comes_in_between(store: Store, what: str, work: Callable[[], object]) -> Iterator[None]:
    """Right before a first statement that says this, somebody else works until it is done, or waits for what is locked."""
    with ThreadPoolExecutor(1) as pool:
        working: list[Future[object]] = []

        def meanwhile() -> None:
            working.append(pool.submit(work))
            assert eventually(lambda: working[0].done() or somebody_waits(store))

        with before(store, what, meanwhile):
            yield
        working[0].result(30)


def ends(world: PeopleWorld) -> set[datetime | None]:
    of_it = select(purchases.c.cancelled_at).where(purchases.c.transaction_id.like("tran_m%"))
    return {row.cancelled_at for row in world.store.read(lambda tx: tx.all(of_it))}


def goes_to_a_person(world: PeopleWorld, case_id: str | None = None) -> None:
    """The mail about the last month, this one or another that comes now, is not declined."""
    case = world.case(case_id or world.mail("Please refund tran_m1.").case_id) or {}
    assert (case["state"], case["decision"]["rule"]) == ("review", "unused_purchase")
    assert world.dead() == []
    assert world.audit().breaches == []


@ON_POSTGRES
@pytest.mark.parametrize(("first", "stops_at"), [("paid", "INSERT INTO purchases"), ("cancelled", "UPDATE inbox SET state=rows")])
@pytest.mark.parametrize("known", ["nothing", "its start", "a month"])
def test_end_that_is_heard_of_while_a_purchase_is_taken_in_stands_with_it(
    world: PeopleWorld, store: Store, first: str, stops_at: str, known: str
) -> None:
    if known == "its start":
        started = {"subscription_id": "sub_1", "status": "active", "updated_at": world.clock.now() - timedelta(days=31)}
        given(store, subscriptions, started)
    if known == "a month":
        paid(world, 0, ago=31)
        world.double.tick()
        world.sweep()
    paid(world, 1, ago=1)
    cancelled(world)
    rows = unhandled(world)
    [other] = rows.keys() - {first}
    with comes_in_between(store, stops_at, handles(world, rows[other])):
        handles(world, rows[first])()
    assert ends(world) == {world.clock.now() - timedelta(days=2)}
    goes_to_a_person(world)


@ON_POSTGRES
def test_end_that_is_heard_of_while_a_purchase_is_told_of_again_stays(world: PeopleWorld, store: Store) -> None:
    told = renewed(world)
    cancelled(world)
    world.put_in(told | {"request_id": "chk_1"})
    rows = unhandled(world)
    with comes_in_between(store, "UPDATE purchases", handles(world, rows["cancelled"])):
        handles(world, rows["paid"])()
    assert ends(world) == {world.clock.now() - timedelta(days=2)}
    goes_to_a_person(world)


@ON_POSTGRES
def test_mail_that_is_judged_while_the_end_is_heard_of_is_judged_anew(world: PeopleWorld, store: Store) -> None:
    renewed(world)
    cancelled(world)
    world.double.tick()
    with comes_in_between(store, "UPDATE cases SET kind", world.sweep):
        taken = world.mail("Please refund tran_m1.")
    assert taken.state == "declined"
    world.sweep()
    goes_to_a_person(world, taken.case_id)


def test_purchase_whose_subscription_is_learnt_after_its_end_has_the_end(world: PeopleWorld) -> None:
    """An import names no subscription; the webhook of the same charge does, and may come last."""
    told = paid(world, 1, ago=1)
    cancelled(world)
    rows = unhandled(world)
    world.put_in(told)
    imported = max(unhandled(world)["paid"])
    for ids in ([imported], rows["cancelled"], rows["paid"]):
        handles(world, ids)()
    assert ends(world) == {world.clock.now() - timedelta(days=2)}
    goes_to_a_person(world)


def test_end_of_a_subscription_that_two_accounts_paid_stands_with_the_purchases_of_both(world: PeopleWorld) -> None:
    world.load(an_account("acc_2"))
    for number, account in enumerate(("acc_1", "acc_2")):
        world.load(paid(world, number, ago=31 - 30 * number) | {"account_id": account})
    world.double.tick()
    world.sweep()
    cancelled(world)
    world.double.tick()
    world.sweep()
    assert (ends(world), world.dead()) == ({world.clock.now() - timedelta(days=2)}, [])


def test_end_of_one_subscription_is_that_of_no_other_nor_of_what_others_bought(world: PeopleWorld, store: Store) -> None:
    at = world.clock.now() - timedelta(days=31)
    given(store, subscriptions, {"subscription_id": "sub_2", "status": "active", "updated_at": at})
    renewed(world)
    cancelled(world)
    world.double.tick()
    world.sweep()
    assert ends(world) == {world.clock.now() - timedelta(days=2)}
    p, s = purchases.c, subscriptions.c
    assert [row.cancelled_at for row in world.rows(select(p.cancelled_at).where(p.purchase_id == "ord_0"))] == [None]
    assert world.rows(select(s.status, s.cancelled_at, s.updated_at).where(s.subscription_id == "sub_2")) == [
        ("active", None, at)
    ]


def test_end_that_a_purchase_missed_is_found_by_the_audit_and_mended_by_reconcile(world: PeopleWorld) -> None:
    renewed(world)
    cancelled(world)
    world.double.tick()
    world.sweep()
    missed = update(purchases).where(purchases.c.transaction_id == "tran_m1").values(cancelled_at=None)
    world.store.write(lambda tx: tx.connection.execute(missed).rowcount)
    taken = world.mail("Please refund tran_m1.")
    assert world.state(taken.case_id) == "declined"
    assert [(one["check"], one["row"]) for one in world.audit().breaches] == [("purchases_know_their_end", "tran_m1")]
    mended = world.reconciler().reconcile().repaired
    assert [(one["check"], one["row"]) for one in mended] == [("subscription", "tran_m1")]
    world.sweep()
    goes_to_a_person(world, taken.case_id)
    assert world.reconciler().reconcile().repaired == []


@pytest.mark.parametrize(
    ("text", "rule", "about"),
    [
        ("Please refund my order ord_s.", "unused_purchase", "tran_m1"),
        ("Please refund my order ORD_S.", "unused_purchase", "tran_m1"),
        ("Please refund my order ord_s, that is tran_m0.", "window_passed", "ord_s"),
        # where a job is named as well, its order is that of the purchase which paid for it
        ("Please refund job_1 of my order ord_s.", "window_passed", "ord_s"),
    ],
)
def test_order_of_a_subscription_means_its_last_charge(world: PeopleWorld, text: str, rule: str, about: str) -> None:
    """Once its first: a renewal makes no order, and who asked for the last month in time was declined as too late."""
    paid(world, 0, ago=31, order_id="ord_s")
    world.double.tick()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"))
    paid(world, 1, ago=1)
    cancelled(world)
    world.double.tick()
    world.sweep()
    case = world.case(world.mail(text).case_id) or {}
    assert (case["decision"]["rule"], case["order_id"]) == (rule, about)


@pytest.mark.parametrize(("name", "about"), [("ord_s", "tran_m1"), ("tran_m0", "tran_m0")])
def test_of_charges_that_share_an_order_a_person_names_the_last_by_it_and_each_by_itself(
    world: PeopleWorld, name: str, about: str
) -> None:
    """Once it was whichever the database had first."""
    renewed(world)
    shared = update(purchases).where(purchases.c.transaction_id.like("tran_m%")).values(order_id="ord_s")
    world.store.write(lambda tx: tx.connection.execute(shared).rowcount)
    case_id = world.mail("I want my money back.").case_id
    assert world.reviewer.name(case_id, name, by="ann", reason="the last one")["purchase_id"] == about


def test_month_that_follows_a_trial_is_no_renewal_though_the_trials_webhook_named_its_price(world: PeopleWorld) -> None:
    """Once a trial that no webhook called free had been paid for: who asked at its end was declined as not cancelled."""
    start, now = world.clock.now() - timedelta(days=8), world.clock.now()
    for number, (begins, days, off) in enumerate([(start, 7, -900), (start + timedelta(days=7), 30, 0)]):
        world.clock.at = begins
        period: dict[str, Any] = {"paid_at": begins, "period_start": begins, "period_end": begins + timedelta(days=days)}
        of_it: dict[str, Any] = {"product_id": "prod_month", "subscription_id": "sub_1", "email": "acc_1@example.org"}
        # all of the trial's price is taken off
        world.double.pay(f"tran_m{number}", customer_id="cust_1", amount=900, tax=off, announce=True, **of_it, **period)
        world.double.tick()
        world.sweep()
        found = world.reconciler().reconcile().findings
        assert [finding.row for finding in found if finding.row.startswith("tran_m")] == []
    world.clock.at = now
    goes_to_a_person(world)
    trial = world.mail("Please refund tran_m0.", message_id="<trial@example.org>")
    case = world.case(trial.case_id) or {}
    assert (case["state"], case["decision"]["rule"]) == ("nothing_owed", "requested_cost_nothing")


SCHEDULED, IMMEDIATE, GOES_ON = "scheduled_cancel", "canceled", "active"


def hear(world: PeopleWorld, status: str, at: datetime) -> None:
    """Creem tells where `sub_1` stands since then."""
    canceled_at = written(at) if status == IMMEDIATE else None
    said = {"id": "sub_1", "mode": "test", "object": "subscription", "status": status, "canceled_at": canceled_at}
    milliseconds = int(at.timestamp() * 1000)
    event = {"id": f"evt_{status}_{milliseconds}", "eventType": f"subscription.{status}", "created_at": milliseconds}
    world.receiver.receive(dumps(event | {"object": said | {"updated_at": written(at)}}).encode())
    world.sweep()


def hear_of_payment(world: PeopleWorld) -> None:
    """Creem tells at last of a month that was paid a day ago."""
    world.load(paid(world, 1, ago=1))
    world.double.tick()
    world.sweep()


@pytest.mark.parametrize(
    "words",
    [
        # hours from the renewal on
        [(SCHEDULED, -2), (IMMEDIATE, 1)],
        [(SCHEDULED, -2), (GOES_ON, 0.1)],
        pytest.param([(GOES_ON, -100), (SCHEDULED, -2), (GOES_ON, 0.1)], marks=pytest.mark.landing),
    ],
    ids=["cancelled again", "goes on", "went on before"],
)
def test_renewal_of_what_was_cancelled_before_it_is_no_no_in_whatever_order_that_is_told(
    arena: Arena, words: list[tuple[str, float]]
) -> None:
    """Once the newest word counted: who had cancelled in time, and again after being charged, was declined."""
    for order in permutations([*words, None]):
        with arena.empty() as store, scratch("renewals") as folder:
            world = PeopleWorld(store, Path(folder))
            world.load(an_account())
            renewed_at = world.clock.now() - timedelta(days=1)
            for told in order:
                if told is None:
                    hear_of_payment(world)
                else:
                    hear(world, told[0], renewed_at + timedelta(hours=told[1]))
            goes_to_a_person(world)
            world.close()


def test_renewal_of_what_goes_on_since_before_it_is_one_that_was_not_cancelled(world: PeopleWorld) -> None:
    renewed_at = world.clock.now() - timedelta(days=1)
    for words in permutations([(SCHEDULED, -9), (GOES_ON, -5), (GOES_ON, -4)]):
        for status, hours in words:
            hear(world, status, renewed_at + timedelta(hours=hours))
    hear_of_payment(world)
    taken = world.mail("Please refund tran_m1.")
    assert (world.state(taken.case_id), world.audit().breaches) == ("declined", [])


def test_end_of_what_goes_on_again_is_mended_in_the_purchases_of_its_time_alone(world: PeopleWorld) -> None:
    renewed(world)
    paid(world, 2, ago=0)
    hear(world, SCHEDULED, world.clock.now() - timedelta(days=2))
    hear(world, GOES_ON, world.clock.now() - timedelta(hours=1))
    world.double.tick()
    world.sweep()
    missed = update(purchases).values(cancelled_at=None)
    world.store.write(lambda tx: tx.connection.execute(missed).rowcount)
    mended = world.reconciler().reconcile().repaired
    assert {(one["check"], one["row"]) for one in mended} == {("subscription", "tran_m0"), ("subscription", "tran_m1")}
    assert world.audit().breaches == []

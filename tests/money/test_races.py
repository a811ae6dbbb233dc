"""Two payers, webhooks and a reconcile at the same time on the same charges; and leases that are worth nothing."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import product
from typing import Any, TypeVar

import pytest
from sqlalchemy import literal, select, update

from policy.lifecycle import PAYMENT_MOVES, PaymentState
from tests.cases.test_batches import somebody_waits
from tests.cases.world import an_account
from tests.money.between import PassesOn
from tests.money.plans import NASTY
from tests.money.world import MoneyWorld
from tests.servers import ON_EACH, ON_POSTGRES, ON_SQLITE, eventually
from tests.store.rows import before
from tests.threads import at_once
from worker.cases.assess.imports import Importer
from worker.cases.money import limits
from worker.cases.money.claims import READ, SEND, go_on
from worker.cases.money.prove import LOOKS
from worker.cases.money.turn import Turn, defer, move
from worker.clock import written
from worker.creem.answers import Answer
from worker.creem.client import Armed
from worker.errors import Collision, InvariantBroken
from worker.intake.records import read_record
from worker.sandbox.creem import Lost, RefundAnswer, Switches
from worker.sandbox.creem.words import Fault
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import payment_attempts, payments, purchases

ROUNDS = pytest.mark.parametrize("rounds", [4, pytest.param(12, marks=pytest.mark.nightly)])
"""So many customers are charged twice, one after another."""
PAID = "2026-03-02T09:00:00Z"
SECOND = select(purchases.c.purchase_id).where(purchases.c.purchase_id == "ord_2")
T = TypeVar("T")


@pytest.fixture
def world(store: Store) -> Iterator[MoneyWorld]:
    made = MoneyWorld(store, switches=replace(NASTY, both_accepted=True))
    yield made
    made.close()


@ON_EACH
@ROUNDS
@pytest.mark.parametrize("turn_seconds", [50.0, 0.0], ids=["leases_hold", "leases_are_over_at_once"])
@pytest.mark.parametrize("announced", ["payers_alone", "told_by_webhook"])
def test_two_payers_a_webhook_and_a_reconcile_send_one_refund(
    world: MoneyWorld, rounds: int, turn_seconds: float, announced: str
) -> None:
    for turn in range(rounds):
        later = world.charged_again(turn)
        if announced == "told_by_webhook":
            world.double.refund_in_dashboard(later, 100) if turn % 3 == 2 else None
        payers = [replace(world.payer(), turn_seconds=turn_seconds) for _ in range(2)]
        works: list[Callable[[], object]] = [payer.pay for payer in payers]
        works += [world.reconciler().reconcile, world.double.tick, world.assessor.assess]
        at_once(*works)
        world.clock.pass_(seconds=3)
        at_once(*works)
    world.settle_down(days=2)
    for turn in range(rounds):
        later = f"tran_r{turn}_1"
        assert world.double.posts(later) <= 1, later
        assert world.double.gone(later) <= world.double.paid(later), later
        assert world.double.gone(f"tran_r{turn}_0") == 0
        state = world.state(f"ord_r{turn}_1")
        assert state in {"refunded", "review"}, (later, world.case(f"ord_r{turn}_1"))
    assert world.double.overpaid() == {}
    assert world.audit().breaches == []


@ON_SQLITE
def test_claim_moves_only_where_the_lifecycle_has_a_way(store: Store) -> None:
    def end(tx: Tx, was: PaymentState, to: PaymentState) -> str:
        # no such claim is there: where it may move, it is found to have moved meanwhile
        claim = {"payment_id": "pay_1", "state": was.value, "turn": 1}
        with pytest.raises((Collision, InvariantBroken)) as refused:
            move(tx, tx.one(select(*(literal(value).label(name) for name, value in claim.items()))), to)
        return str(refused.value)

    for was, to in product(PaymentState, repeat=2):
        known = to is was or to in PAYMENT_MOVES[was]
        said = "pay_1 moved meanwhile" if known else f"pay_1: {was.value} cannot become {to.value}"
        assert store.rehearse(partial(end, was=was, to=to)) == said


def test_claim_that_is_closed_or_has_to_be_read_is_not_gone_on_with(world: MoneyWorld) -> None:
    """Whoever decided so had looked at it before."""
    world.twice_charged()
    claim, now = world.claim("tran_1"), world.clock.now()
    turn = Turn("pay_1", claim.turn, "tran_1", "tran_0", claim.case_id, "acc_1", PaymentState.CLAIMED, SEND)
    for values in ({"next_step": READ}, {"next_step": SEND, "closed_at": now, "due_at": None}):
        world.store.write(lambda tx, values=values: tx.connection.execute(update(payments).values(values)).rowcount)  # type: ignore[misc]
        with pytest.raises(Collision, match="moved meanwhile"):
            world.store.write(lambda tx: go_on(tx, claim.payment_id, now + timedelta(hours=1)))
    world.store.write(lambda tx: defer(tx, replace(turn, payment_id=claim.payment_id), now + timedelta(hours=1)))
    assert world.claim("tran_1").due_at is None


@ON_EACH
@ROUNDS
def test_claiming_is_done_once_by_whoever_comes_first(store: Store, rounds: int) -> None:
    world = MoneyWorld(store, switches=Switches())
    for turn in range(rounds):
        world.charged_again(turn, settle=False)
        at_once(*(world.assessor.assess for _ in range(3)), world.reconciler().reconcile)
    assert len(list(world.claims())) == rounds
    world.settle_down(days=1)
    assert world.audit().breaches == []
    assert world.double.overpaid() == {}
    world.close()


@ON_POSTGRES
def test_two_that_arm_at_once_are_counted_one_after_the_other(store: Store) -> None:
    """Leases may be over while their holder goes on; the limit on money counts behind its own lock."""
    world = MoneyWorld(store, switches=NASTY)
    world.twice_charged()
    now, claim = world.clock.now(), world.claim("tran_1").payment_id
    terms = replace(world.bench.terms_at(now), money_per_hour_minor_units=1000)
    armed = {"payment_id": claim, "attempt": 1, "armed_at": now, "deadline_at": now}
    assert store.write(lambda tx: limits.admit(tx, "tran_1", 1, terms, now)) is None
    with store.engine.connect() as first, ThreadPoolExecutor(1) as pool:
        assert limits.admit(Tx(first), "tran_1", 900, terms, now) is None
        Tx(first).insert(payment_attempts, [armed])
        second = pool.submit(store.write, lambda tx: limits.admit(tx, "tran_9", 900, terms, now))
        assert eventually(lambda: second.done() or somebody_waits(store))
        first.commit()
        assert second.result() == "1800 minor units within one hour are more than the terms' 1000, tran_9 among them"
    world.close()


def test_lease_that_ran_out_in_the_middle_of_a_call_sends_nothing_twice(world: MoneyWorld) -> None:
    """A sender frozen between arming and the call wakes up when its time is over: not a byte leaves."""
    world.twice_charged()
    frozen = world.payer()

    class Freezes(PassesOn):
        def refund(self, armed: Armed) -> Answer:
            world.clock.pass_(minutes=5)
            world.pay()
            return super().refund(armed)

    replace(frozen, creem=Freezes(frozen.creem)).pay()
    world.settle_down(days=2)
    assert world.double.posts("tran_1") == 0
    assert world.state("ord_1") == "review"
    assert world.clock.now() - world.started > timedelta(hours=24)
    assert world.audit().breaches == []


@pytest.mark.parametrize(
    ("switches", "claim", "case", "gone"),
    [
        ({}, "in_progress", "refunding", 900),
        ({"answer": RefundAnswer.SUCCEEDED, "get_lag": 3600}, "confirming", "refunding", 900),
        ({"low_balance": 1}, "refused", "refunding", 900),
        ({"post": Fault.RESET, "post_side": Lost.BEFORE_COMMIT, "post_times": 1}, "unknown", "unknown", 0),
        ({"post": Fault.NOT_SENT, "post_times": 1}, "unknown", "unknown", 0),
    ],
    ids=["pending", "succeeded", "low balance", "lost", "not sent"],
)
def test_answer_that_comes_after_its_call_was_given_up_is_kept_and_goes_on_from_there(
    world: MoneyWorld, switches: dict[str, Any], claim: str, case: str, gone: int
) -> None:
    """The sender stood still between hearing the answer and recording it, and another found the call without one."""
    world.double.switches = replace(NASTY, settle_after=3600, turns_early=False, **switches)
    world.twice_charged()
    slow = world.payer()
    given_up = list[str | None]()

    class Freezes(PassesOn):
        def refund(self, armed: Armed) -> Answer:
            answer = super().refund(armed)
            world.clock.pass_(minutes=2)
            world.pay()
            given_up.append(world.claim("tran_1").state)
            return answer

    replace(slow, creem=Freezes(slow.creem)).pay()
    assert given_up == ["unknown"]
    assert (world.claim("tran_1").state, world.state("ord_1")) == (claim, case)
    world.settle_down(days=3)
    assert world.double.gone("tran_1") == gone
    assert world.state("ord_1") == ("refunded" if gone else "review")
    assert world.double.overpaid() == {}
    assert world.audit().breaches == []


def test_answer_is_kept_with_its_own_call_beside_one_that_has_none_yet(world: MoneyWorld) -> None:
    world.double.switches = replace(NASTY, settle_after=3600, turns_early=False)
    world.twice_charged()
    world.charged_again(1)
    slow = world.payer()
    answered = list[list[bool]]()

    class Freezes(PassesOn):
        def refund(self, armed: Armed) -> Answer:
            answer = super().refund(armed)
            world.clock.pass_(minutes=2)
            world.pay()
            calls = world.store.read(lambda tx: tx.all(select(payment_attempts.c.answered_at)))
            answered.append(sorted(call.answered_at is not None for call in calls))
            return answer

    replace(slow, creem=Freezes(slow.creem)).pay()
    assert answered == [[False, True]]
    world.settle_down(days=1)
    assert [world.double.gone(name) for name in ("tran_1", "tran_r1_1")] == [900, 900]
    assert world.audit().breaches == []


def test_word_of_the_refund_that_comes_while_its_charge_is_read_calls_the_claim_back(store: Store) -> None:
    """Once the read, which was behind, put the claim off for an hour, and for a day where it had waited long."""
    world = MoneyWorld(store, switches=Switches())
    world.twice_charged()
    before = world.payer().creem.transaction("tran_1")
    world.hears = False
    world.settle_down(days=1, done=lambda: world.double.posts("tran_1") == 1)
    payer = world.payer()
    inner, heard = payer.creem, list[bool]()

    class Behind:
        environment = inner.environment

        @staticmethod
        def transaction(transaction_id: str) -> object:
            if world.claim("tran_1").probes >= len(LOOKS) and not heard:
                world.hears = True
                world.double.tick()
                world.sweep()
                heard.append(world.claim("tran_1").due_at <= world.clock.now())
            return before

    behind = replace(payer, creem=Behind())  # type: ignore[arg-type]
    while not heard:
        world.clock.at = max(world.clock.now(), world.claim("tran_1").due_at)
        behind.pay()
    assert heard == [True]
    assert world.claim("tran_1").due_at <= world.clock.now() + LOOKS[0]
    world.clock.pass_(seconds=LOOKS[0].total_seconds())
    world.pay()
    assert world.claim("tran_1").state == "refunded"
    world.close()


class BeforeTheCommit(Store):
    """A session that does something else between writing the purchase and its commit, once."""

    def __init__(self, url: str, meanwhile: Callable[[], None]) -> None:
        super().__init__(url)
        self.meanwhile: Callable[[], None] | None = meanwhile

    def write(self, work: Callable[[Tx], T]) -> T:
        def unit(tx: Tx) -> T:
            done = work(tx)
            if self.meanwhile is not None and tx.all(SECOND):
                meanwhile, self.meanwhile = self.meanwhile, None
                meanwhile()
            return done

        return super().write(unit)


@ON_POSTGRES
@pytest.mark.parametrize(("by", "happened"), [("payer", "refunded"), ("reconcile", "refunded"), ("reconcile", "disputed")])
def test_charge_that_is_read_while_its_purchase_comes_in_takes_its_credits_along(
    world: MoneyWorld, store: Store, by: str, happened: str
) -> None:
    world.load(an_account(), world.bought("ord_1", "tran_1", PAID, product_id="prod_other"))
    for name in ("1", "2"):
        world.double.pay(f"tran_{name}", customer_id="cust_1", amount=900, order_id=f"ord_{name}", paid_at=world.clock.now())
    if happened == "refunded":
        world.double.refund_in_dashboard("tran_2")
    else:
        world.double.dispute("tran_2")
    # the payer reads what it was told of, reconcile what nobody told
    world.hears = by == "payer"
    world.double.tick()
    world.sweep()
    read: dict[str, Callable[[], object]] = {"payer": world.payer().pay, "reconcile": world.reconciler().reconcile}
    with ThreadPoolExecutor(1) as pool:
        reading = list[Future[object]]()

        def read_meanwhile() -> None:
            reading.append(pool.submit(read[by]))
            assert eventually(lambda: somebody_waits(store))

        importer = BeforeTheCommit(store.url, read_meanwhile)
        assessor = replace(world.assessor, store=importer)
        bought = world.bought("ord_2", "tran_2", PAID)
        Importer(importer, assessor, world.clock).take([read_record(json.dumps(bought).encode())], lambda _: None)
        reading[0].result(30)
        importer.close()
    assert world.lot("ord_2") == ((0, 0, 100) if happened == "refunded" else (0, 100, 0))
    assert world.audit().breaches == []


@ON_POSTGRES
def test_refunded_charge_whose_old_purchase_comes_in_under_reconcile_takes_its_credits_along(
    world: MoneyWorld, store: Store
) -> None:
    """Too old to be looked at again by itself: what the read books has to follow at once."""
    world.load(an_account(), world.bought("ord_1", "tran_1", PAID))
    old = world.clock.now() - timedelta(days=200)
    world.double.pay("tran_2", customer_id="cust_1", amount=900, order_id="ord_2", paid_at=old)
    world.double.refund_in_dashboard("tran_2")
    with before(store, "INSERT INTO charges", lambda: world.load(world.bought("ord_2", "tran_2", written(old)))):
        world.reconciler().reconcile()
    assert world.lot("ord_2") == (0, 0, 100)
    assert world.audit().breaches == []

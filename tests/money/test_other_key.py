"""Processes with the key of Creem's other environment, by mistake: what was claimed before is neither done again nor let go."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import select

from policy.lifecycle import CaseState, PaymentState
from tests.money.plans import NASTY
from tests.requests.world import PeopleWorld
from worker.cases.book.rows import case_of
from worker.cases.money import claims
from worker.cases.money.close import Closing, close
from worker.cases.money.facts import charge_of
from worker.cases.overview import overview
from worker.creem.answers import Answer
from worker.creem.client import Armed
from worker.creem.environment import Environment
from worker.creem.transactions import Transaction
from worker.sandbox.creem.words import Fault, Lost
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import cases, payments

UNTAKEN = "nobody took up the refund for 24 hours: it takes a process with Creem's"


@dataclass(frozen=True)
class Strange:
    """Creem's other side, which knows none of our charges."""

    environment: Environment = Environment.LIVE

    def transaction(self, transaction_id: str) -> Transaction | None:
        return None

    def transactions_of_customer(self, customer_id: str) -> list[Transaction]:
        return []

    def refund(self, armed: Armed) -> Answer:
        raise AssertionError("nothing is sent to a side that does not know the charge")


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[PeopleWorld]:
    made = PeopleWorld(store, tmp_path, switches=NASTY)
    yield made
    made.close()


def with_key(world: PeopleWorld, environment: Environment) -> None:
    """Every process is started anew, with a key of this environment."""
    world.settler = replace(world.settler, environment=environment)
    world.assessor = replace(world.assessor, settler=world.settler)
    world.sweeper = replace(world.sweeper, assessor=world.assessor)
    world.reviewer = replace(world.reviewer, environment=environment)
    world.creem = world.a_client() if environment is Environment.TEST else Strange(environment)


def reason(world: PeopleWorld, name: str) -> str:
    found = world.case(name)
    assert found is not None
    return str(found["decision"]["reason"])


def states(world: PeopleWorld) -> list[tuple[str, str]]:
    return [(claim.environment, claim.state) for claim in world.claims()]


def test_other_key_neither_claims_again_nor_frees_the_credits_of_a_refund_that_may_be_on_its_way(world: PeopleWorld) -> None:
    world.double.switches = replace(NASTY, post=Fault.TIMEOUT, post_side=Lost.AFTER_COMMIT)
    world.twice_charged()
    world.pay()
    with_key(world, Environment.LIVE)
    world.settle_down(days=4)
    assert states(world) == [("test", "unknown")]
    assert world.lot("ord_1") == (0, 100, 0)
    refused = world.choices("ord_1")["money"]["refused"]
    assert "with Creem's test key, and that is not ours: a refund may be on its way" in refused
    with_key(world, Environment.TEST)
    world.settle_down()
    assert world.state("ord_1") == "refunded"
    assert world.lot("ord_1") == (0, 0, 100)
    assert world.double.gone("tran_1") == 900


def test_claim_that_ends_leaves_frozen_what_another_environments_claim_holds(world: PeopleWorld) -> None:
    world.twice_charged()

    def beside(tx: Tx) -> None:
        # as a release before this one made it, or the claim journal brought it back
        charge = charge_of(tx, "ord_1")
        assert charge is not None
        case = case_of(tx.one(select(cases).where(cases.c.case_id == world.claim("tran_1").case_id)))
        now = world.clock.now()
        other = claims.make(Environment.LIVE, case, charge, None, now)
        claims.insert(tx, world.settler.ledger, [other], now)
        row = tx.one(select(payments).where(payments.c.payment_id == other["payment_id"]))
        close(tx, row, case, PaymentState.MISMATCH, CaseState.REVIEW, "not known", Closing(world.settler, now))

    world.store.write(beside)
    assert sorted(states(world)) == [("live", "mismatch"), ("test", "claimed")]
    assert world.lot("ord_1") == (0, 100, 0)
    world.settle_down()
    assert world.lot("ord_1") == (0, 0, 100)
    assert world.audit().breaches == []


def test_claim_that_no_process_can_carry_out_goes_to_a_person_who_may_have_it_claimed_anew(world: PeopleWorld) -> None:
    # whoever decides was told of the other environment than whoever pays
    with_key(world, Environment.LIVE)
    world.creem = world.a_client()
    world.twice_charged()
    world.settle_down(days=0.9)
    assert (world.state("ord_1"), states(world)) == ("refunding", [("live", "claimed")])
    world.settle_down(days=1)
    assert (world.state("ord_1"), reason(world, "ord_1")) == ("review", f"{UNTAKEN} live key")
    with_key(world, Environment.TEST)
    assert world.store.read(lambda tx: overview(tx, world.clock.now(), "test"))["payments"]["elsewhere"] == {"live": 1}
    assert "`refunds review withdraw" in world.choices("ord_1")["money"]["refused"]
    world.reviewer.withdraw("ord_1", "refund", by="ann", reason="claimed with the wrong key")
    world.decide("ord_1", "money")
    world.settle_down()
    assert (world.state("ord_1"), sorted(states(world))) == ("refunded", [("live", "not_needed"), ("test", "refunded")])
    assert world.double.gone("tran_1") == 900
    assert world.audit().breaches == []


def test_refund_on_a_request_that_no_process_can_carry_out_goes_to_a_person_again(world: PeopleWorld) -> None:
    world.bought_once()
    world.mail()
    [case_id] = world.queue()
    with_key(world, Environment.LIVE)
    world.decide(case_id, "money")
    world.creem = world.a_client()
    world.settle_down(days=2)
    assert (world.state(case_id), reason(world, case_id)) == ("review", f"{UNTAKEN} live key")
    assert world.queue() == [case_id]
    assert world.double.gone("tran_ord_1") == 0


def test_claim_that_somebody_goes_on_with_is_not_handed_over_as_one_that_nobody_took_up(world: PeopleWorld) -> None:
    world.double.switches = replace(NASTY, post=Fault.TIMEOUT, post_side=Lost.BEFORE_COMMIT)
    world.twice_charged()
    world.settle_down(days=5)
    assert reason(world, "ord_1") == "not proved within 24 hours: Creem still shows the charge as paid"

"""Reconcile comes to everything: what cannot be mended, and whom nothing can be learned of, stand in nobody's way."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any, NoReturn

import pytest
from sqlalchemy import select, text, update

from tests.cases.test_held import held
from tests.cases.world import a_job, a_purchase, an_account
from tests.money.world import MoneyWorld
from tests.servers import ON_POSTGRES
from tests.store.rows import allow_other_states, waiting_for_locks
from worker.cases.money import limits
from worker.cases.reconcile.compare import in_doubt
from worker.cases.reconcile.customers import MOST_IN_VAIN, _take_turn
from worker.cases.reconcile.reconcile import BUDGET_SECONDS, CHUNK
from worker.cases.reconcile.reconciliation import Reconciliation, last_end
from worker.creem.client import Creem, CreemAway, CreemRefused
from worker.creem.search import CameShort
from worker.creem.transactions import Transaction
from worker.errors import OutOfTime
from worker.sandbox.creem import Switches
from worker.sandbox.creem.words import Announced, Ending, RefundAnswer
from worker.store.breakers import BREAK_AFTER
from worker.store.engine import Store
from worker.store.tables import cases, charges, layer_jobs


@pytest.fixture
def world(store: Store) -> Iterator[MoneyWorld]:
    made = MoneyWorld(store)
    yield made
    made.close()


OUTPUT = {"expected": 6, "delivered": 0, "corrupted": 0}


@dataclass
class HalfDeaf:
    """Creem, which answers nothing about some customers; each question takes a second."""

    creem: Creem
    says: Exception
    about: frozenset[str]
    asked: Counter[str] = field(default_factory=Counter)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.creem, name)

    def transactions_of_customer(self, customer_id: str) -> list[Transaction]:
        """As Creem has it, or the error."""
        self.asked[customer_id] += 1
        if customer_id in self.about:
            raise self.says
        return self.creem.transactions_of_customer(customer_id)


def failed_behind_our_back(world: MoneyWorld, names: Iterable[str], reports: list[dict[str, Any]]) -> None:
    """The product's table says that these failed, and no event told us."""
    named, ended = layer_jobs.c.job_id.in_(list(names)), world.clock.now()
    failed = update(layer_jobs).where(named).values(status="failed", ended_at=ended, reports=reports)
    world.store.write(lambda tx: tx.connection.execute(failed))


def a_report(world: MoneyWorld, **more: Any) -> dict[str, Any]:
    at = world.clock.now().isoformat()
    return {"kind": "failed", "code": "model_error", "stage": "segment", "attempt": 1, "at": at, "output": OUTPUT, **more}


def checked(done: Reconciliation) -> Counter[str]:
    """How many rows of each check were left."""
    return Counter(finding.check for finding in done.findings)


@pytest.mark.parametrize(("minutes", "left"), [(1, [("charged_on_two_accounts", "ord_b", 900)]), (25 * 60, [])])
def test_customer_who_paid_the_same_for_two_accounts_is_a_persons(
    world: MoneyWorld, minutes: int, left: list[tuple[str, str, int]]
) -> None:
    """Once nobody saw it: each account's charges are compared among themselves, and policy.md says "same customer"."""
    paid = world.clock.now() - timedelta(days=3)
    of_it: dict[str, Any] = {"customer_id": "cust_1", "product_id": "prod_pack"}
    for number, name in enumerate("ab"):
        at = paid + number * timedelta(minutes=minutes)
        world.double.pay(f"tran_{name}", amount=900, order_id=f"ord_{name}", paid_at=at, request_id="chk_1", **of_it)
        bought = world.bought(f"ord_{name}", f"tran_{name}", at.isoformat(), account_id=f"acc_{name}", request_id="chk_1")
        world.load(an_account(f"acc_{name}"), bought)

    def found() -> list[tuple[str, str, int]]:
        return [(one.check, one.row, one.cents) for one in world.reconciler().reconcile(seconds=None).findings]

    world.settle_down(days=1)
    assert (found(), found()) == (left, left)
    assert (world.state("ord_b"), world.double.posts("tran_b")) == (None, 0)
    world.double.refund_in_dashboard("tran_b")
    world.settle_down(days=0.1)
    assert found() == [], "given back by whoever looked"


def test_refund_that_creem_showed_and_shows_no_more_is_a_persons_and_is_not_sent_again(store: Store) -> None:
    """Once nobody heard of it: the case had ended, and what reconcile found was a number in a line of the log."""
    bounces = Switches(
        answer=RefundAnswer.PENDING,
        ends=Ending.FAILED,
        turns_early=True,
        falls_back=True,
        settle_after=600,
        announced=Announced.BOTH,
    )
    world = MoneyWorld(store, switches=bounces)
    world.twice_charged()
    world.settle_down(days=3)
    assert (world.state("ord_1"), world.double.gone("tran_1")) == ("refunded", 0)
    for _ in range(2):
        world.clock.pass_(days=1)
        world.turn()
        [left] = [
            finding for finding in world.reconciler().reconcile(seconds=None).findings if finding.check == "refund_not_shown"
        ]
        assert (left.row, left.cents) == ("tran_1", 900)
        assert store.read(lambda tx: in_doubt(tx, world.clock.now()))["refund_not_shown"] == 1
    assert world.double.posts("tran_1") == 1
    world.close()


@pytest.mark.parametrize("odd", [[], [{"kind": "nonsense"}]], ids=["nothing is told of them", "nobody can read what is"])
def test_failed_job_is_made_whole_however_many_before_it_cannot_be(world: MoneyWorld, odd: list[dict[str, Any]]) -> None:
    hopeless, plain = [f"a_{number:03}" for number in range(CHUNK + 10)], ["b_1", "b_2"]
    world.load(an_account(), a_purchase("ord_1", "acc_1", 5000, amount=0), *(a_job(name) for name in (*hopeless, *plain)))
    failed_behind_our_back(world, hopeless, odd)
    failed_behind_our_back(world, plain, [a_report(world)])
    done = world.reconciler().reconcile()
    assert [item["row"] for item in done.repaired] == plain
    assert checked(done) == {"failed_job": len(hopeless)}
    assert [world.state(name) for name in plain] == ["refunded", "refunded"]


def test_periodic_run_looks_at_jobs_that_ended_of_late_and_a_whole_one_at_all(world: MoneyWorld) -> None:
    """Once it asked for all jobs ever each hour, and came to nothing any more where that took longer than a statement may."""
    world.load(an_account(), a_purchase("ord_1", "acc_1", 5000, amount=0), a_job("old"), a_job("new"))
    failed_behind_our_back(world, ["old"], [a_report(world)])
    world.clock.pass_(days=61)
    failed_behind_our_back(world, ["new"], [a_report(world)])
    assert [item["row"] for item in world.reconciler().reconcile().repaired] == ["new"]
    assert [item["row"] for item in world.reconciler().reconcile(seconds=None).repaired] == ["old"]
    assert [world.state(name) for name in ("old", "new")] == ["refunded", "refunded"]


@ON_POSTGRES
def test_part_that_runs_out_of_its_time_stands_in_no_others_way_and_the_run_is_not_called_whole(world: MoneyWorld) -> None:
    """Once nothing behind it was looked at, and what was said of it was that the database is not reachable."""
    charged(world, "cust_1")
    world.double.pay("tran_2", amount=900, order_id="ord_2", paid_at=world.clock.now(), customer_id="cust_1", product_id="prod_2")
    before = world.store.read(last_end)
    with world.store.engine.begin() as lunch:
        lunch.execute(text("lock table postings in access exclusive mode"))
        done = world.reconciler().reconcile(seconds=0.2, timer=lambda: 0.0)
    left = {finding.check: finding for finding in done.findings}
    assert set(left) == {"not_compared", "charge_without_purchase"}
    assert left["not_compared"].row == "jobs"
    assert "the database ended a statement before it was done: canceling statement" in left["not_compared"].problem
    assert world.store.read(last_end) == before
    world.reconciler().reconcile()
    assert world.store.read(last_end) == world.clock.now()


def test_task_that_is_ended_tells_what_it_found_and_begins_nothing_more(world: MoneyWorld) -> None:
    """Once the end of its time was one more part that failed: the others were begun, until the process was killed with all that
    had been found.
    """
    world.load(an_account(), a_purchase("ord_1", "acc_1", 5000, amount=0), a_job("job_1"))
    failed_behind_our_back(world, ["job_1"], [a_report(world)])
    charged(world, "cust_1")
    before = world.store.read(last_end)

    def end(*_: int) -> None:
        raise OutOfTime

    done = world.reconciler().reconcile(progress=end)
    assert [item["row"] for item in done.repaired] == ["job_1"]
    [left] = done.findings
    assert (left.check, left.row) == ("not_compared", "customers")
    assert left.problem == "could not be looked at to the end: the time that a task may take was over"
    assert "run `refunds reconcile`" in left.do
    assert "charges" not in done.checked
    assert world.store.read(last_end) == before


@ON_POSTGRES
def test_charge_that_only_a_newer_release_understands_stands_in_nobodys_way(world: MoneyWorld) -> None:
    world.twice_charged()
    allow_other_states(world.store)
    weighed = update(cases).values(state="weighed")
    world.store.write(lambda tx: tx.connection.execute(weighed))
    done = world.reconciler().reconcile()
    assert {(finding.check, finding.row) for finding in done.findings} == {("charge", "ord_0"), ("charge", "ord_1")}
    assert done.checked["customers"] == 1


@pytest.mark.parametrize("says", [CreemRefused(404, "no such customer"), CreemAway("500")], ids=["no", "nothing"])
def test_customer_of_whom_nothing_is_learned_stands_in_nobodys_way(world: MoneyWorld, says: Exception) -> None:
    charged(world, "cust_0", "cust_1", "cust_2")
    deaf = HalfDeaf(world.creem, says, frozenset({"cust_1"}))
    done = replace(world.reconciler(), creem=deaf).reconcile()
    assert deaf.asked == {"cust_0": 1, "cust_1": 1, "cust_2": 1}
    assert [finding.row for finding in done.findings if finding.check == "creem"] == ["cust_1"]


@ON_POSTGRES
def test_account_that_somebody_holds_is_walked_around(store: Store) -> None:
    with waiting_for_locks(store, milliseconds=100) as hasty:
        world = MoneyWorld(hasty)
        names = [f"cust_{number}" for number in range(4)]
        charged(world, *names)
        world.load(a_job("job_held", "acc_cust_1"), a_job("job_free", "acc_cust_2"))
        failed_behind_our_back(world, ["job_held", "job_free"], [a_report(world)])
        world.hears = False
        for name in names:
            world.double.refund_in_dashboard(f"tran_{name}")
        with held(store, "acc_cust_1"):
            done = world.reconciler().reconcile()
        gone = world.store.read(lambda tx: tx.all(select(charges.c.transaction_id).where(charges.c.refunded > 0)))
        assert {row.transaction_id for row in gone} == {"tran_cust_0", "tran_cust_2", "tran_cust_3"}
        assert world.state("job_held") is None
        assert world.state("job_free") is not None
        assert {finding.row for finding in done.findings if "another session" in finding.problem} == {"cust_1"}
        assert checked(done)["failed_job"] == 1
        assert world.reconciler().reconcile().ok
        assert world.state("job_held") is not None
        world.close()


@ON_POSTGRES
def test_charge_that_cannot_be_booked_stands_in_no_other_customers_way(world: MoneyWorld) -> None:
    world.twice_charged()
    charged(world, *(f"other_{number}" for number in range(3)))
    allow_other_states(world.store)
    weighed = update(cases).values(state="weighed")
    world.store.write(lambda tx: tx.connection.execute(weighed))
    world.hears = False
    refunded = ["tran_0", *(f"tran_other_{number}" for number in range(3))]
    for transaction_id in refunded:
        world.double.refund_in_dashboard(transaction_id)
    done = world.reconciler().reconcile()
    gone = world.store.read(lambda tx: tx.all(select(charges.c.transaction_id).where(charges.c.refunded > 0)))
    assert {row.transaction_id for row in gone} == set(refunded[1:])
    assert [finding.row for finding in done.findings if finding.check == "transaction"] == ["tran_0"]


@dataclass
class Short:
    """Creem, which says that each customer has one transaction more than it lists."""

    creem: Creem

    def __getattr__(self, name: str) -> Any:
        return getattr(self.creem, name)

    def transactions_of_customer(self, customer_id: str) -> list[Transaction]:
        """As Creem has it, and short."""
        raise CameShort("a search came to its end too soon", self.creem.transactions_of_customer(customer_id))


def test_what_a_list_that_came_short_does_show_counts_and_nothing_is_said_of_the_rest(world: MoneyWorld) -> None:
    """Once a count that stayed wrong hid the dispute that it showed, and three such customers ended the run."""
    names = [f"cust_{number}" for number in range(MOST_IN_VAIN + 2)]
    charged(world, *names, at_creem=names[1:])
    world.hears = False
    disputed = f"tran_{names[-1]}"
    world.double.dispute(disputed)
    done = replace(world.reconciler(), creem=Short(world.creem)).reconcile()
    assert (done.checked["customers"], checked(done)["creem"]) == (len(names), len(names))
    assert checked(done)["purchase_unknown_to_creem"] == 0
    assert world.state(disputed) == "review"


def test_creem_that_answers_nobody_is_not_asked_of_everybody(world: MoneyWorld) -> None:
    names = [f"cust_{number}" for number in range(10)]
    charged(world, *names)
    deaf = HalfDeaf(world.creem, CreemAway("503"), frozenset(names))
    done = replace(world.reconciler(), creem=deaf).reconcile()
    assert (deaf.asked.total(), checked(done)["creem"]) == (MOST_IN_VAIN, MOST_IN_VAIN)


@pytest.mark.parametrize("http_status", [400, 403])
def test_those_whom_creem_refuses_go_behind_the_others(world: MoneyWorld, http_status: int) -> None:
    """Once the three whose turn it was ended each run, stayed first, and nobody else was ever asked again."""
    refused, others = [f"cust_{number}" for number in range(MOST_IN_VAIN)], ["other_0", "other_1"]
    charged(world, *refused, *others)
    world.reconciler().reconcile()
    deaf = HalfDeaf(world.creem, CreemRefused(http_status, "no"), frozenset(refused))
    for _ in range(4):
        world.clock.pass_(hours=1)
        done = replace(world.reconciler(), creem=deaf).reconcile()
        assert {finding.row for finding in done.findings if finding.check == "creem"} <= set(refused)
    assert min(deaf.asked[name] for name in others) >= 2
    if http_status == 400:
        assert deaf.asked.total() == 4 * len([*refused, *others]), "an answer about one customer ends no run"


def test_key_that_may_not_ask_is_not_asked_with_of_everybody(world: MoneyWorld) -> None:
    names = [f"cust_{number}" for number in range(10)]
    charged(world, *names)
    deaf = HalfDeaf(world.creem, CreemRefused(401, "no such key"), frozenset(names))
    done = replace(world.reconciler(), creem=deaf).reconcile()
    assert (deaf.asked.total(), checked(done)["creem"]) == (MOST_IN_VAIN, MOST_IN_VAIN)


@pytest.mark.parametrize("seconds", [None, BUDGET_SECONDS], ids=["to the end", "for a while"])
def test_customers_of_whom_nobody_was_asked_are_not_agreed_with(world: MoneyWorld, seconds: float | None) -> None:
    """Once, while calls to Creem rested after an outage, "Both sides agree" was said of all of them."""
    charged(world, *(f"cust_{number}" for number in range(10)))

    def not_compared(creem: Any) -> list[str]:
        done = replace(world.reconciler(), creem=creem).reconcile(seconds=seconds)
        return [finding.problem.split(":")[0] for finding in done.findings if finding.check == "not_compared"]

    assert not_compared(world.creem) == []
    half_deaf = HalfDeaf(world.creem, CreemAway("503"), frozenset(f"cust_{number}" for number in range(10)))
    assert not_compared(half_deaf) == ["7 customers not asked for"]
    for _ in range(BREAK_AFTER):
        world.store.write(lambda tx: limits.away(tx, "503", world.clock.now()))
    assert not_compared(world.creem) == ["10 customers not asked for"]
    world.clock.pass_(hours=1)
    assert not_compared(world.creem) == []


def test_customers_left_to_later_runs_are_counted(world: MoneyWorld) -> None:
    charged(world, *(f"cust_{number}" for number in range(10)))
    seconds = count()
    done = world.reconciler().reconcile(seconds=4, timer=lambda: float(next(seconds)))
    assert done.ok
    assert done.checked["customers"] + done.checked["customers_for_later"] == 10
    assert done.checked["customers_for_later"] > 0
    assert "customers_for_later" not in world.reconciler().reconcile(seconds=None).checked


def test_those_whom_creem_does_not_know_leave_their_turns_to_others(world: MoneyWorld) -> None:
    # as after a move from another payment provider, whose customers are in the history too
    known, strangers = {"cust_0", "cust_1", "cust_2"}, [f"other_{number}" for number in range(60)]
    charged(world, *known, *strangers, at_creem=known)
    deaf = HalfDeaf(world.creem, CreemAway("500"), frozenset())
    for _ in range(8):
        seconds = count()
        replace(world.reconciler(), creem=deaf).reconcile(timer=lambda seconds=seconds: float(next(seconds)))  # type: ignore[misc]
        world.clock.pass_(hours=1)
    assert deaf.asked.total() < 8 * (BUDGET_SECONDS + 1)
    assert min(deaf.asked[name] for name in known) >= 2


def test_turn_of_one_customer_is_no_turn_of_another(world: MoneyWorld) -> None:
    charged(world, "cust_0", "cust_1")
    world.reconciler().reconcile()

    def read() -> dict[str, Any]:
        rows = world.store.read(lambda tx: tx.all(select(charges.c.transaction_id, charges.c.read_at)))
        return {row.transaction_id: row.read_at for row in rows}

    # of this one Creem knows nothing: it was never read, and being asked for is no read
    charged(world, "cust_2", at_creem=())
    before, later = read(), world.clock.now() + timedelta(hours=1)
    for customer in ("cust_0", "cust_2"):
        world.store.write(lambda tx, customer=customer: _take_turn(tx, customer, later))  # type: ignore[misc]
    assert read() == before | {"tran_cust_0": later}
    assert before["tran_cust_2"] is None


def charged(world: MoneyWorld, *customers: str, at_creem: Iterable[str] | None = None) -> None:
    """Each of these customers bought something yesterday; Creem knows those of `at_creem` (None: all)."""
    at = world.clock.now() - timedelta(days=1)
    known = set(customers if at_creem is None else at_creem)
    for customer in sorted(known):
        world.double.pay(f"tran_{customer}", customer_id=customer, amount=900, order_id=f"ord_{customer}", paid_at=at)
    for customer in customers:
        account = f"acc_{customer}"
        bought = {**world.bought(f"ord_{customer}", f"tran_{customer}", at.isoformat()), "account_id": account}
        world.load(an_account(account), {**bought, "customer_id": customer})


def told_of(
    world: MoneyWorld,
    refund_id: str,
    amount: int,
    *,
    currency: str = "USD",
    status: str = "succeeded",
    transaction_id: str = "tran_1",
) -> None:
    """Creem tells by webhook of a refund of the charge."""
    at = int(world.clock.now().timestamp() * 1000)
    transaction = {
        "id": transaction_id,
        "mode": "test",
        "object": "transaction",
        "amount": 900,
        "amount_paid": 900,
        "currency": "USD",
    }
    transaction |= {"type": "payment", "status": "paid", "created_at": at}
    said = {"id": refund_id, "mode": "test", "object": "refund", "status": status, "refund_amount": amount, "created_at": at}
    said |= {"refund_currency": currency, "reason": "other", "transaction": transaction}
    event = {"id": f"evt_{refund_id}", "eventType": "refund.created", "created_at": at, "object": said}
    world.receiver.receive(json.dumps(event).encode())
    world.sweep()


def test_charge_that_creem_says_went_back_twice_is_put_to_a_person(world: MoneyWorld) -> None:
    """Once the sum of what was told was cut to what was paid, and nobody heard of it."""
    world.twice_charged()
    world.settle_down(days=0.1)
    assert world.reconciler().reconcile().findings == []
    told_of(world, "ref_theirs", 900)
    told_of(world, "ref_failed", 900, status="failed")
    world.settle_down(days=0.1)
    (finding,) = world.reconciler().reconcile().findings
    assert (finding.check, finding.row, finding.cents) == ("refunded_beyond_what_was_paid", "tran_1", 900)
    assert finding.problem == "Creem told of 2 refunds, 18.00 USD of 9.00 USD paid"
    world.clock.pass_(days=61)
    assert world.reconciler().reconcile().findings == []


@dataclass
class Mute:
    """Creem, which shows no charge."""

    creem: Creem

    def __getattr__(self, name: str) -> Any:
        return getattr(self.creem, name)

    def transaction(self, transaction_id: str) -> NoReturn:
        raise CreemRefused(400, "no")

    def transactions_of_customer(self, customer_id: str) -> NoReturn:
        raise CreemRefused(400, "no")


@pytest.mark.parametrize("shows", [True, False], ids=["not_with_the_charge", "no_charge"])
def test_refund_that_creem_told_of_and_does_not_show_for_a_day_is_a_persons(world: MoneyWorld, shows: bool) -> None:
    """Once such a charge was read again and again, and nobody heard of it."""
    world.load(an_account(), *world.history_of_charges(1))
    well = world.creem
    if not shows:
        world.creem = Mute(well)
    told_of(world, "ref_1", 900, transaction_id="tran_0")
    world.pay()
    world.clock.pass_(hours=23)
    world.pay()

    def found() -> list[tuple[str, int]]:
        left = world.reconciler().reconcile().findings
        return [(one.row, one.cents) for one in left if one.check == "refund_not_read"]

    def counted() -> int:
        return world.store.read(lambda tx: in_doubt(tx, world.clock.now()))["refund_not_read"]

    assert (found(), counted()) == ([], 0)
    world.clock.pass_(hours=2)
    world.pay()
    assert (found(), counted()) == ([("tran_0", 900)], 1)
    world.creem = well
    world.double.refund_in_dashboard("tran_0")
    world.clock.pass_(days=1)
    world.pay()
    assert (found(), counted()) == ([], 0)


@pytest.mark.parametrize("shown", [True, False], ids=["shown", "not shown yet"])
def test_refund_told_in_another_currency_is_added_to_nothing_and_put_to_a_person(world: MoneyWorld, shown: bool) -> None:
    """Once its figure was taken for one in the currency of the charge, which was read again and again for it."""
    world.load(*world.history_of_charges(1))
    if shown:
        world.double.refund_in_dashboard("tran_0", 100)
    told_of(world, "ref_yen", 15000, currency="JPY", transaction_id="tran_0")
    world.settle_down(days=0.1)
    (charge,) = world.store.read(lambda tx: tx.all(select(charges).where(charges.c.transaction_id == "tran_0")))
    # something went back: while Creem does not show it, the charge is read again, and nothing is sent for it
    assert (charge.refunded, charge.due_at is None) == ((100, True) if shown else (0, False))
    (finding,) = world.reconciler().reconcile().findings
    assert (finding.check, finding.row) == ("refund_in_another_currency", "tran_0")
    assert finding.problem == "Creem told of ref_yen, 15000 JPY; the charge was booked in USD"

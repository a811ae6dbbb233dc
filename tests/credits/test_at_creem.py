"""Credits that live at Creem: booked there once for each posting, taken before money leaves, given back only where taken."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from policy.ledger import PostingKind
from tests.cases.world import a_purchase, an_account
from tests.doors import Doors, DoorStore
from tests.faults import death
from tests.money.world import MoneyWorld
from tests.servers import ON_SQLITE
from worker.cases.audit.audit import audit_home
from worker.cases.effects.book_at_creem import BooksAtCreem
from worker.cases.money import holds
from worker.cases.overview import overview
from worker.credits import at_creem
from worker.credits.at_creem import AtCreem
from worker.credits.ledger import Ledger, Posting
from worker.creem.credits import Booked, CreditAccounts, CreditAnswer, Entry
from worker.errors import Misconfigured
from worker.sandbox.creem import SecondRefund, Switches
from worker.sandbox.creem.words import Fault, Lost, RefundAnswer
from worker.settings import load_settings
from worker.store.engine import Store
from worker.store.tables import creem_credits

HOME = AtCreem("Default")


class DoorAccounts:
    """Accounts whose calls are doors."""

    def __init__(self, inner: CreditAccounts, doors: Doors) -> None:
        self._inner, self._doors = inner, doors

    def book(self, entry: Entry, name: str) -> CreditAnswer:
        nothing = CreditAnswer(Booked.LATER, "the connection was lost", heard=False)
        return self._doors.through("call", lambda: self._inner.book(entry, name), lambda: nothing)


class CreditsWorld(MoneyWorld):
    """A world whose customers have their credits at Creem."""

    def __init__(self, store: Store, **more: Any) -> None:
        super().__init__(store, ledger=Ledger(HOME), **more)
        store.write(lambda tx: HOME.begin(tx, self.clock.now()))
        self.booking = Doors()
        self.rooms = DoorStore(store, self.booking)

    def book(self) -> list[str]:
        """One process carries out what is due, and dies where it is told to."""
        accounts = DoorAccounts(self.a_client().credits, self.booking)
        books = BooksAtCreem(self.rooms, accounts, HOME.name, self.clock, timedelta(seconds=60))
        told = self.booking.process(books.carry_out)
        return self.booking.deaths[-1:] if told is None else told

    def pay(self) -> list[str]:
        self.book()
        return super().pay()

    def later(self) -> None:
        self.clock.pass_(minutes=6)
        self.book()

    def has(self, customer: str = "cust_1") -> int:
        return self.double.credits.of(customer).balance

    def entries(self) -> list[tuple[str, str, int | None]]:
        """(kind, state, booked), oldest first."""
        c = creem_credits.c
        rows = self.store.read(lambda tx: tx.all(select(c.kind, c.state, c.booked).order_by(c.id)))
        return [(row.kind, row.state, row.booked) for row in rows]

    def ended(self) -> list[datetime | None]:
        """When each entry ended, oldest first."""
        return [row.done_at for row in self.store.read(lambda tx: tx.all(select(creem_credits.c.done_at)))]

    def breaches(self) -> Sequence[dict[str, str]]:
        result = self.audit()
        self.store.read(lambda tx: audit_home(tx, result, HOME))
        return result.breaches

    def fail(self, job: str = "job_1") -> None:
        self.happen(self.submitted(job), self.failed(job))


@pytest.fixture
def world(store: Store) -> CreditsWorld:
    made = CreditsWorld(store)
    made.double.credits.open("cust_1", 95, "default")
    made.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100, customer_id="cust_1"))
    return made


def test_postings_of_before_credits_were_kept_at_creem_are_no_breach_of_theirs(store: Store) -> None:
    world = MoneyWorld(store)
    world.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100, customer_id="cust_1"))
    world.happen(world.submitted("job_1", credits=5), world.failed("job_1"))
    assert store.read(lambda tx: list(HOME.breaches(tx, 10))) == []
    store.write(lambda tx: HOME.begin(tx, world.clock.now() + timedelta(seconds=1)))
    assert store.read(lambda tx: list(HOME.breaches(tx, 10))) == []


def test_credits_of_a_failed_job_come_back_at_creem_once_and_the_case_says_so(world: CreditsWorld) -> None:
    world.fail()
    assert world.has() == 95, "nothing is called before the commit"
    assert world.book() == ["reversal:job_1:ord_1 done"]
    assert world.book() == []
    world.happen(world.failed("job_1"), world.failed("job_1", attempt=1))
    world.later()
    assert world.has() == 100
    case = world.case("job_1")
    assert case is not None
    (said,) = (step["detail"] for step in case["history"] if step["event"] == "credits.booked")
    assert (said["credits"], said["at"], said["transaction_id"][:4]) == (5, "creem", "cct_")
    assert world.double.credits.of("cust_1").entries == [("reversal:job_1:ord_1", 5)]
    assert world.breaches() == []


@ON_SQLITE
@pytest.mark.parametrize("side", list(Lost))
@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE])
def test_whatever_the_call_meets_it_is_booked_once(store: Store, fault: Fault, side: Lost) -> None:
    world = CreditsWorld(store, switches=Switches(credit=fault, credit_side=side, credit_times=2))
    world.double.credits.open("cust_1", 95)
    world.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100, customer_id="cust_1"))
    world.fail()
    for _ in range(4):
        world.later()
    assert world.entries() == [("reversal", "done", 5)]
    assert world.has() == 100
    assert world.breaches() == []


@ON_SQLITE
@pytest.mark.parametrize("points", list(combinations(range(9), 2)))
def test_dying_twice_at_any_two_points_it_is_booked_once(store: Store, points: tuple[int, int]) -> None:
    world = CreditsWorld(store)
    world.double.credits.open("cust_1", 95)
    world.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100, customer_id="cust_1"))
    world.fail()
    world.booking.faults = frozenset(map(death, points))
    [died] = world.book()
    assert died in {"before commit", "after commit", "before call", "after call"}
    world.later()
    world.later()
    assert (world.entries(), world.has()) == ([("reversal", "done", 5)], 100)


def test_one_that_overslept_its_claim_changes_nothing(world: CreditsWorld) -> None:
    world.fail()
    books = BooksAtCreem(world.store, Overslept(world), HOME.name, world.clock, timedelta(seconds=60))
    assert books.carry_out() == ["reversal:job_1:ord_1 done"]
    assert (world.entries(), world.has()) == ([("reversal", "done", 5)], 100)
    case = world.case("job_1")
    assert case is not None
    assert [step["event"] for step in case["history"]].count("credits.booked") == 1


class Overslept:
    """An account whose answer comes when another process has done it all."""

    def __init__(self, world: CreditsWorld) -> None:
        self._world, self._credits = world, world.a_client().credits

    def book(self, entry: Entry, name: str) -> CreditAnswer:
        answer = self._credits.book(entry, name)
        self._world.later()
        return answer


def test_credits_of_a_second_charge_are_taken_before_its_money_goes_back(store: Store) -> None:
    world = CreditsWorld(store, switches=Switches(second_refund=SecondRefund.PAYS_AGAIN))
    world.double.credits.open("cust_1", 200)
    world.twice_charged()
    assert MoneyWorld.pay(world) == ["later: its credits are not yet taken at Creem tran_1"]
    assert world.double.posts("tran_1") == 0
    world.settle_down()
    assert world.state("ord_1") == "refunded"
    assert (world.double.gone("tran_1"), world.has(), world.entries()) == (900, 100, [("freeze", "done", -100)])
    assert world.breaches() == []


def test_money_stays_where_the_customer_has_spent_the_credits_at_creem(store: Store) -> None:
    world = CreditsWorld(store)
    world.double.credits.open("cust_1", 99)
    world.twice_charged()
    world.settle_down(days=1)
    case = world.case("ord_1")
    assert case is not None
    assert case["state"] == "review"
    assert "not all of its credits could be taken back" in case["reason"]
    assert world.double.movements == []
    assert world.has() == 99, "what was never taken is not given back"
    world.later()
    assert world.entries() == [("freeze", "refused", None), ("release", "dropped", None)]
    assert world.breaches() == []


def test_credits_come_back_where_the_money_could_not(store: Store) -> None:
    world = CreditsWorld(store, switches=Switches(answer=RefundAnswer.FAILED, again_after_failed=False))
    world.double.credits.open("cust_1", 200)
    world.twice_charged()
    world.settle_down(days=40)
    world.later()
    kinds = [(kind, state) for kind, state, _ in world.entries()]
    assert world.double.movements == []
    assert kinds[0] == ("freeze", "done")
    assert world.has() == (200 if ("release", "done") in kinds else 100)
    assert world.breaches() == []


def test_what_is_released_is_what_was_taken(world: CreditsWorld) -> None:
    ledger, now = Ledger(HOME), world.clock.now()

    def hold(occasion: str) -> None:
        world.store.write(lambda tx: holds.freeze(tx, ledger, "ord_1", occasion=occasion, case_id=None, now=now))
        world.book()

    world.double.credits.of("cust_1").balance = 10
    world.happen(world.submitted("job_1", credits=5))
    hold("first")
    world.store.write(lambda tx: ledger.book(tx, [Posting(PostingKind.REVERSAL, "ord_1", 5, "job_1")], now))
    hold("second")
    world.store.write(lambda tx: holds.release(tx, ledger, "ord_1", occasion="both", case_id=None, now=now))
    world.book()
    assert world.entries() == [
        ("freeze", "refused", None),
        ("reversal", "done", 5),
        ("freeze", "done", -5),
        ("release", "done", 5),
    ]
    assert world.has() == 15
    hold("third")
    world.store.write(lambda tx: holds.release(tx, ledger, "ord_1", occasion="third", case_id=None, now=now))
    world.book()
    assert world.entries()[4:] == [("freeze", "refused", None), ("release", "dropped", None)]
    assert world.has() == 15
    assert all(at is not None for at in world.ended())


class TwoLots(CreditsWorld):
    """A customer with two purchases, whose credits at Creem are as many as are set, and holds on either lot."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.double.credits.open("cust_1", 0, "default")
        bought = [a_purchase(name, "acc_1", 100, customer_id="cust_1") for name in ("ord_1", "ord_2")]
        self.load(an_account("acc_1"), *bought)

    def set(self, credits: int) -> None:
        self.double.credits.of("cust_1").balance = credits

    def _on(self, move: Callable[..., int], lot: str, occasion: str) -> list[str]:
        now = self.clock.now()
        self.store.write(lambda tx: move(tx, Ledger(HOME), lot, occasion=occasion, case_id=None, now=now))
        return self.book()

    def hold(self, lot: str, occasion: str) -> list[str]:
        return self._on(holds.freeze, lot, occasion)

    def release(self, lot: str, occasion: str) -> list[str]:
        return self._on(holds.release, lot, occasion)

    def void(self, lot: str, occasion: str) -> list[str]:
        return self._on(holds.void, lot, occasion)

    def give_back(self, job: str, credits: int, lot: str = "ord_1") -> list[str]:
        wanted = [Posting(PostingKind.REVERSAL, lot, credits, job)]
        self.store.write(lambda tx: Ledger(HOME).book(tx, wanted, self.clock.now()))
        return self.book()

    def what_became(self, lot: str) -> at_creem.Taken:
        return self.store.read(lambda tx: at_creem.taken(tx, lot))


def test_a_hold_that_was_released_is_settled_and_the_next_is_given_back_whole(store: Store) -> None:
    world = TwoLots(store)
    assert world.hold("ord_1", "first") == ["freeze:ord_1:first short"]
    assert world.what_became("ord_1").refused is not None
    assert world.release("ord_1", "first") == ["release:ord_1:first dropped"]
    assert world.what_became("ord_1") == at_creem.Taken(pending=False, refused=None)
    world.set(100)
    assert world.hold("ord_1", "second") == ["freeze:ord_1:second done"]
    assert world.release("ord_1", "second") == ["release:ord_1:second done"]
    assert world.has() == 100


def test_what_another_lot_gives_back_or_loses_settles_nothing_of_this_one(store: Store) -> None:
    world = TwoLots(store)
    assert world.hold("ord_1", "first") == ["freeze:ord_1:first short"]
    world.set(100)
    assert world.hold("ord_2", "first") == ["freeze:ord_2:first done"]
    assert world.release("ord_2", "first") == ["release:ord_2:first done"]
    assert world.void("ord_2", "gone") == ["freeze:ord_2:gone done"]
    assert world.what_became("ord_1").refused is not None
    assert world.release("ord_1", "first") == ["release:ord_1:first dropped"]
    assert world.has() == 0


def test_a_lot_that_was_voided_is_settled_and_what_comes_to_it_later_is_given_back_whole(store: Store) -> None:
    world = TwoLots(store)
    world.happen(world.submitted("job_1", credits=5))
    assert world.void("ord_1", "gone") == ["freeze:ord_1:gone short"]
    assert world.what_became("ord_1") == at_creem.Taken(pending=False, refused=None)
    assert world.give_back("job_1", 5) == ["reversal:job_1:ord_1 done"]
    assert world.hold("ord_1", "later") == ["freeze:ord_1:later done"]
    assert world.release("ord_1", "later") == ["release:ord_1:later done"]
    assert world.has() == 5


def test_a_void_before_the_refusal_does_not_settle_it(store: Store) -> None:
    world = TwoLots(store)
    world.happen(world.submitted("job_1", credits=5))
    world.set(95)
    assert world.void("ord_1", "gone") == ["freeze:ord_1:gone done"]
    assert world.give_back("job_1", 5) == ["reversal:job_1:ord_1 done"]
    world.set(0)
    assert world.hold("ord_1", "later") == ["freeze:ord_1:later short"]
    assert world.what_became("ord_1").refused is not None
    assert world.release("ord_1", "later") == ["release:ord_1:later dropped"]
    assert world.has() == 0


def test_a_void_settles_no_more_of_a_refusal_than_it_covers(store: Store) -> None:
    world = TwoLots(store)
    world.happen(world.submitted("job_1", credits=5))
    world.set(88)
    assert world.hold("ord_1", "first") == ["freeze:ord_1:first short"]
    assert world.give_back("job_1", 5) == ["reversal:job_1:ord_1 done"]
    part = [Posting(kind, "ord_1", 5, occasion="part") for kind in (PostingKind.FREEZE, PostingKind.VOID)]
    world.store.write(lambda tx: Ledger(HOME).book(tx, part, world.clock.now()))
    assert world.book() == ["freeze:ord_1:part done"]
    assert world.what_became("ord_1").refused is not None
    assert world.release("ord_1", "first") == ["release:ord_1:first dropped"]
    assert world.has() == 88
    assert world.what_became("ord_1").refused is None


def test_what_creem_refused_is_told_once_for_its_lot_until_it_is_released(store: Store) -> None:
    world = TwoLots(store)
    world.hold("ord_1", "first")

    def told() -> list[tuple[str, str]]:
        return [
            (each.row, each.problem)
            for each in world.reconciler().reconcile(seconds=None).findings
            if each.check == "credits_not_moved"
        ]

    said = "of the credits of acc_1 100 are frozen and could not be taken: Creem answered 422: Balance too low for this debit"
    assert told() == [("ord_1", said)]
    world.release("ord_1", "first")
    assert told() == []


def test_entry_of_a_purchase_whose_customer_is_learnt_later_goes_to_that_customer(store: Store) -> None:
    world = CreditsWorld(store)
    world.double.credits.open("cust_0", 95, "default")
    world.double.credits.open("cust_1", 95, "default")
    world.load(an_account("acc_0"), a_purchase("ord_0", "acc_0", 100, customer_id="cust_0"))
    world.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100))
    world.fail()
    assert world.book() == ["reversal:job_1:ord_1 later"]
    world.load(a_purchase("ord_1", "acc_1", 100, customer_id="cust_1", product_id="prod_pack"))
    world.later()
    assert (world.entries(), world.has()) == ([("reversal", "done", 5)], 100)
    assert world.has("cust_0") == 95
    assert world.breaches() == []


class TestClaim:
    """Which entry is carried out next: one at a time of each lot, the longest due first, and by nobody else meanwhile."""

    LEASE = timedelta(seconds=60)

    @pytest.fixture
    def lots(self, store: Store) -> TwoLots:
        return TwoLots(store)

    def claim(self, world: TwoLots, *, after: float = 0) -> at_creem.Due | None:
        now = world.clock.now() + timedelta(seconds=after)
        return world.store.write(lambda tx: at_creem.claim(tx, now, self.LEASE))

    def entry(self, world: TwoLots, move: Callable[..., int], lot: str, occasion: str, *, after: float = 0) -> None:
        at = world.clock.now() + timedelta(seconds=after)
        world.store.write(lambda tx: move(tx, Ledger(HOME), lot, occasion=occasion, case_id=None, now=at))

    def key(self, due: at_creem.Due | None) -> str | None:
        return None if due is None else due.key

    def postponed(self, world: TwoLots, due: at_creem.Due, seconds: float) -> None:
        until = world.clock.now() + timedelta(seconds=seconds)
        assert world.store.write(lambda tx: at_creem.postpone(tx, due, until, "away"))

    def test_what_is_open_of_a_lot_holds_up_what_comes_after_it_and_no_other_lot(self, lots: TwoLots) -> None:
        self.entry(lots, holds.freeze, "ord_1", "a")
        self.entry(lots, holds.release, "ord_1", "a")
        self.entry(lots, holds.freeze, "ord_2", "a")
        first = self.claim(lots)
        assert first is not None
        assert first.key == "freeze:ord_1:a"
        self.postponed(lots, first, 50)
        assert self.key(self.claim(lots)) == "freeze:ord_2:a"
        assert self.claim(lots) is None
        again = self.claim(lots, after=50)
        assert again is not None
        assert (again.key, again.attempt) == ("freeze:ord_1:a", 2)

    def test_nothing_is_claimed_before_it_is_due_and_the_longest_due_comes_first(self, lots: TwoLots) -> None:
        self.entry(lots, holds.freeze, "ord_1", "a", after=20)
        self.entry(lots, holds.freeze, "ord_2", "a", after=10)
        assert self.claim(lots, after=9) is None
        assert [self.key(self.claim(lots, after=20)) for _ in range(3)] == ["freeze:ord_2:a", "freeze:ord_1:a", None]

    def test_of_two_due_at_once_the_older_comes_first(self, lots: TwoLots) -> None:
        self.entry(lots, holds.freeze, "ord_2", "a")
        self.entry(lots, holds.freeze, "ord_1", "a")
        assert [self.key(self.claim(lots)) for _ in range(3)] == ["freeze:ord_2:a", "freeze:ord_1:a", None]

    def test_nobody_else_has_it_until_its_lease_ends_and_then_the_first_can_end_nothing(self, lots: TwoLots) -> None:
        self.entry(lots, holds.freeze, "ord_1", "a")
        first = self.claim(lots)
        assert self.claim(lots, after=59) is None
        second = self.claim(lots, after=60)
        assert first is not None
        assert second is not None
        assert (first.attempt, second.attempt) == (1, 2)
        now = lots.clock.now()
        assert not lots.store.write(lambda tx: at_creem.done(tx, first, "cct_1", now))
        assert lots.store.write(lambda tx: at_creem.done(tx, second, "cct_2", now))
        assert lots.entries() == [("freeze", "done", -100)]

    def test_end_of_one_is_not_that_of_another_that_is_in_work_beside_it(self, lots: TwoLots) -> None:
        self.entry(lots, holds.freeze, "ord_1", "a")
        self.entry(lots, holds.freeze, "ord_2", "a")
        first, second = self.claim(lots), self.claim(lots)
        assert first is not None
        assert second is not None
        now = lots.clock.now()
        assert lots.store.write(lambda tx: at_creem.refused(tx, first, "too few", now))
        assert lots.store.write(lambda tx: at_creem.done(tx, second, "cct_1", now))
        assert not lots.store.write(lambda tx: at_creem.refused(tx, second, "once more", now))
        found = lots.store.read(lambda tx: tx.all(select(creem_credits.c.state).order_by(creem_credits.c.id)))
        assert [row.state for row in found] == ["refused", "done"]

    def test_what_was_postponed_is_due_and_says_why_and_once_done_no_more(self, lots: TwoLots) -> None:
        self.entry(lots, holds.freeze, "ord_1", "a")
        first = self.claim(lots)
        assert first is not None
        self.postponed(lots, first, 5)
        assert self.said(lots) == ("due", "away")
        second = self.claim(lots, after=5)
        assert second is not None
        assert lots.store.write(lambda tx: at_creem.done(tx, second, "cct_1", lots.clock.now()))
        assert self.said(lots) == ("done", None)

    def said(self, world: TwoLots) -> tuple[str, str | None]:
        (row,) = world.store.read(lambda tx: tx.all(select(creem_credits.c.state, creem_credits.c.result)))
        return row.state, row.result

    def test_what_had_never_been_taken_is_dropped_with_that_word(self, lots: TwoLots) -> None:
        assert lots.hold("ord_1", "a") == ["freeze:ord_1:a short"]
        assert lots.release("ord_1", "a") == ["release:ord_1:a dropped"]
        words = lots.store.read(lambda tx: tx.all(select(creem_credits.c.result).order_by(creem_credits.c.id)))
        assert words[1].result == "nothing of it had been taken"


def test_audit_asks_for_no_entry_of_what_was_booked_before_and_names_no_more_than_asked_for(store: Store) -> None:
    before = MoneyWorld(store)
    before.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100, customer_id="cust_1"))
    before.happen(before.submitted("job_0", credits=5), before.failed("job_0"))
    before.clock.pass_(hours=1)
    store.write(lambda tx: HOME.begin(tx, before.clock.now()))
    assert store.read(lambda tx: list(HOME.breaches(tx, 9))) == []
    after = MoneyWorld(store, ledger=Ledger(HOME))
    after.clock.pass_(hours=2)
    jobs = [f"job_{n}" for n in range(1, 4)]
    after.happen(*(after.submitted(job, credits=5) for job in jobs), *map(after.failed, jobs))
    assert store.read(lambda tx: list(HOME.breaches(tx, 9))) == []
    moved = {"key": creem_credits.c.key + ":x", "booked": 6, "state": "done", "transaction_id": "cct_1"}
    store.write(lambda tx: tx.connection.execute(update(creem_credits).values(moved)).rowcount)
    problems = [problem for _, problem in store.read(lambda tx: list(HOME.breaches(tx, 2)))]
    assert problems == [
        *["gives 5 and has no entry for Creem"] * 2,
        *["stands for Creem and was never booked"] * 2,
        *["gives 5, and Creem was told 6"] * 2,
    ]


def test_of_two_refusals_the_last_is_told(store: Store) -> None:
    world = TwoLots(store)
    world.happen(world.submitted("job_1", credits=5))
    assert world.hold("ord_1", "first") == ["freeze:ord_1:first short"]
    store.write(lambda tx: tx.connection.execute(update(creem_credits).values(result="long ago")).rowcount)
    assert world.give_back("job_1", 5) == ["reversal:job_1:ord_1 done"]
    world.set(0)
    assert world.hold("ord_1", "second") == ["freeze:ord_1:second short"]
    assert world.what_became("ord_1").refused == "Creem answered 422: Balance too low for this debit"


def test_an_entry_of_another_lot_holds_nothing_up(store: Store) -> None:
    world = TwoLots(store)
    now = world.clock.now()
    world.store.write(lambda tx: holds.freeze(tx, Ledger(HOME), "ord_2", occasion="first", case_id=None, now=now))
    assert world.what_became("ord_2").pending
    assert not world.what_became("ord_1").pending


def test_entries_wait_in_sight_until_there_is_an_account(store: Store) -> None:
    world = CreditsWorld(store)
    world.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100, customer_id="cust_1"))
    world.fail()
    world.book()
    world.later()
    found = store.read(lambda tx: overview(tx, world.clock.now()))["effects_due"]["credits"]
    assert (found["count"], found["oldest_at"] is not None) == (1, True)
    assert "no credits account 'Default' of cust_1" in store.read(lambda tx: tx.all(select(creem_credits)))[0].result
    world.double.credits.open("cust_1", 0, "default")
    world.later()
    assert (world.has(), world.entries()) == (5, [("reversal", "done", 5)])


def test_nobody_calls_while_creem_is_away(world: CreditsWorld) -> None:
    world.double.switches = Switches(get=Fault.ERROR_503, credit=Fault.ERROR_503)
    world.twice_charged()
    for _ in range(8):
        MoneyWorld.pay(world)
        world.clock.pass_(seconds=40)
    asked = len(world.double.requests)
    assert world.book() == []
    assert len(world.double.requests) == asked


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (delete(creem_credits), "gives 5 and has no entry for Creem"),
        (update(creem_credits).values(credits=4), "gives 5 and has an entry of 4 for Creem"),
        (update(creem_credits).values(key="reversal:job_9:ord_1"), "stands for Creem and was never booked"),
        (update(creem_credits).values(booked=6), "gives 5, and Creem was told 6"),
    ],
)
def test_audit_names_what_differs(world: CreditsWorld, damage: Any, said: str) -> None:
    world.fail()
    world.book()
    world.store.write(lambda tx: tx.connection.execute(damage).rowcount)
    assert said in [breach["problem"] for breach in world.breaches()]


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"REFUNDS_CREEM_CREDITS": "default"}, "credits at Creem need a REFUNDS_CREEM_API_KEY"),
        (
            {
                "REFUNDS_CREEM_CREDITS": "a",
                "REFUNDS_CREEM_API_KEY": "creem_test_x",
                "REFUNDS_BALANCE_TABLE": "t(account=a, balance=b)",
            },
            "credits live in one place",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        load_settings(environ)

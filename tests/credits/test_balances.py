"""Credits in the product's own table: changed in the transaction of the case, once, and never without it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import text

from policy.ledger import PostingKind
from tests.cases.world import World, a_purchase, an_account
from tests.money.world import MoneyWorld
from tests.servers import ON_POSTGRES
from worker.cases.audit.audit import Audit, audit_home
from worker.cases.review.reviewer import Reviewer
from worker.clock import SystemClock
from worker.credits.balances import Balances
from worker.credits.ledger import Ledger, Posting
from worker.creem.environment import Environment
from worker.errors import Misconfigured
from worker.runtime import Runtime
from worker.settings import Mode, load_settings
from worker.store.engine import Store
from worker.store.schema import upgrade

TABLE = "profiles(account=id, balance=credits)"
ENTRIES = "credit_entries(key=ref, account=user_id, credits=amount, kind=type, job=job, case=case_id, after=left, at=at, by='us')"
NUMBERED = "00000000-0000-4000-8000-00000000000{}"


def product(store: Store, *, account: str = "text", balance: str = "integer not null default 0", check: str = "") -> None:
    """The tables of an existing product."""

    at = "timestamptz" if store.dialect == "postgresql" else "text"

    def make(tx: Any) -> None:
        tx.connection.execute(text(f"create table profiles (id {account} primary key, name text, credits {balance} {check})"))
        tx.connection.execute(
            text(
                f"create table credit_entries (ref text primary key, user_id {account} not null references profiles (id), "
                f'amount bigint not null, type text, job text, case_id text, "left" integer, at {at}, '
                "by text not null)"
            )
        )

    store.write(make)


def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    return store.read(lambda tx: [tuple(row) for row in tx.connection.execute(text(sql))])


def run(store: Store, *statements: str) -> None:
    store.write(lambda tx: [tx.connection.execute(text(sql)) for sql in statements])


def balances(store: Store, entries: str | None = ENTRIES, table: str = TABLE) -> Balances:
    return store.read(lambda tx: Balances.open(tx, table, entries))


def world_of(store: Store, **options: Any) -> World:
    """A world whose customers have their credits in the product's tables; the product has granted and debited already."""
    found = balances(store)
    world = World(store, ledger=Ledger(found), **options)
    store.write(lambda tx: found.begin(tx, world.clock.now()))
    return world


def audited(world: World) -> Sequence[dict[str, str]]:
    result = world.audit()
    found = balances(world.store)
    world.store.read(lambda tx: audit_home(tx, result, found))
    return result.breaches


@pytest.fixture
def world(store: Store) -> World:
    product(store)
    run(store, "insert into profiles (id, credits) values ('acc_1', 95)")
    made = world_of(store)
    made.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100))
    return made


def balance(world: World, account: str = "acc_1") -> int:
    ((found,),) = rows(world.store, f"select credits from profiles where id = '{account}'")
    return int(found)


def test_credits_of_a_failed_job_are_on_the_products_balance_with_an_entry_that_says_why(world: World) -> None:
    world.happen(world.submitted("job_1", credits=5), world.failed("job_1"))
    case = world.case("job_1")
    assert case is not None
    assert case["state"] == "refunded"
    assert balance(world) == 100
    said = 'ref, user_id, amount, type, job, case_id, "left", by'
    assert rows(world.store, f"select {said} from credit_entries") == [
        ("refunds:reversal:job_1:ord_1", "acc_1", 5, "reversal", "job_1", case["case_id"], 100, "us")
    ]
    booked = "select 1 from credit_entries join postings on ref = 'refunds:' || postings.key and credit_entries.at = postings.at"
    assert len(rows(world.store, booked)) == 1
    assert audited(world) == []


def test_told_a_hundred_times_it_is_booked_once(world: World) -> None:
    world.happen(world.submitted("job_1", credits=5), world.failed("job_1"))
    for _ in range(3):
        world.happen(world.failed("job_1"), world.failed("job_1", attempt=1))
    assert balance(world) == 100
    assert len(rows(world.store, "select 1 from credit_entries")) == 1


def test_what_the_product_granted_and_took_itself_is_not_done_again(world: World) -> None:
    world.happen(world.submitted("job_1", credits=5))
    world.load(a_purchase("ord_2", "acc_1", 50))
    assert balance(world) == 95
    assert rows(world.store, "select * from credit_entries") == []


def test_many_jobs_of_one_account_in_one_batch_all_count(world: World) -> None:
    jobs = [f"job_{n}" for n in range(20)]
    world.happen(*(world.submitted(job, credits=1) for job in jobs))
    world.happen(*(world.failed(job) for job in jobs))
    assert balance(world) == 115
    assert rows(world.store, 'select max("left"), count(*) from credit_entries') == [(115, 20)]
    assert audited(world) == []


def test_nothing_of_the_case_stands_where_the_balance_cannot_be_changed(world: World) -> None:
    world.happen(world.submitted("job_1", credits=5))
    run(world.store, "insert into credit_entries values ('refunds:reversal:job_1:ord_1','acc_1',1,null,null,null,null,null,'x')")
    for _ in range(6):
        world.happen(world.failed("job_1"))
        world.clock.pass_(minutes=5)
        world.sweep()
    assert world.state("job_1") != "refunded"
    assert world.credits() == 95
    assert balance(world) == 95


def test_account_without_a_row_keeps_its_event_in_the_dead_letters_until_it_has_one(world: World) -> None:
    world.load(an_account("acc_2"), a_purchase("ord_2", "acc_2", 100))
    world.happen(world.submitted("job_2", account="acc_2", credits=5), world.failed("job_2", account="acc_2"))
    for _ in range(6):
        world.clock.pass_(minutes=5)
        world.sweep()
    (letter,) = rows(world.store, "select dead_id, detail from dead_letters")
    assert letter[1] == "Refused: account acc_2 has no row in profiles: its credits cannot come back"
    run(world.store, "insert into profiles (id, credits) values ('acc_2', 95)")
    world.letters.requeue(letter[0], by="ada", reason="the profile is there")
    world.sweep()
    assert world.state("job_2") == "refunded"
    assert balance(world, "acc_2") == 100
    assert audited(world) == []


def test_account_whose_balance_is_null_keeps_its_event_with_that_reason_until_it_has_one(store: Store) -> None:
    product(store, balance="integer")
    run(store, "insert into profiles (id, credits) values ('acc_1', null)")
    world = world_of(store)
    world.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100))
    world.happen(world.submitted("job_1", credits=5), world.failed("job_1"))
    for _ in range(6):
        world.clock.pass_(minutes=5)
        world.sweep()
    ((letter, detail),) = rows(store, "select dead_id, detail from dead_letters")
    said = "account acc_1 has no balance, profiles.credits is NULL in its row: its credits cannot come back"
    assert detail == f"Refused: {said}"
    run(store, "update profiles set credits = 95")
    world.letters.requeue(letter, by="ada", reason="the balance is there")
    world.sweep()
    assert (world.state("job_1"), balance(world), audited(world)) == ("refunded", 100, [])


class TestMoney:
    """Credits that are frozen while money goes back are taken from the product's balance first."""

    @pytest.fixture
    def charged(self, store: Store) -> Callable[[int], MoneyWorld]:
        """A customer charged twice for a hundred credits, who has so many by the product's table."""

        def charged(has: int) -> MoneyWorld:
            product(store)
            run(store, f"insert into profiles (id, credits) values ('acc_1', {has})")
            found = balances(store)
            world = MoneyWorld(store, ledger=Ledger(found))
            store.write(lambda tx: found.begin(tx, world.clock.now()))
            world.twice_charged()
            return world

        return charged

    def test_credits_of_the_second_charge_are_taken_before_its_money_goes_back(
        self, charged: Callable[[int], MoneyWorld]
    ) -> None:
        world = charged(200)
        assert (world.state("ord_1"), balance(world), world.double.gone("tran_1")) == ("refunding", 100, 0)
        world.settle_down()
        assert (world.state("ord_1"), balance(world), world.double.gone("tran_1")) == ("refunded", 100, 900)
        assert rows(world.store, "select type, amount from credit_entries") == [("freeze", -100)]
        assert audited(world) == []

    def test_credits_come_again_where_the_money_stays(self, charged: Callable[[int], MoneyWorld]) -> None:
        world = charged(200)
        world.hears = False
        world.double.refund_in_dashboard("tran_0")
        world.settle_down()
        assert (world.state("ord_1"), world.double.gone("tran_1")) == ("nothing_owed", 0)
        assert rows(world.store, "select type, amount from credit_entries where ref like '%ord_1%' order by amount") == [
            ("freeze", -100),
            ("release", 100),
        ]
        assert audited(world) == []

    def test_no_money_goes_back_for_credits_that_the_product_says_are_spent(self, charged: Callable[[int], MoneyWorld]) -> None:
        world = charged(99)
        world.settle_down()
        case = world.case("ord_1")
        assert case is not None
        assert (case["state"], balance(world), world.double.gone("tran_1")) == ("review", 99, 0)
        held = next(entry for entry in case["history"] if entry["event"] == "effect.held")
        assert held["detail"]["why"] == "acc_1 has 99 credits in profiles, fewer than the 100 of ord_1 to take back"
        assert rows(world.store, "select * from payments") == []

    def test_nothing_is_claimed_while_the_products_table_is_away_and_no_credits_are_written_off(self, store: Store) -> None:
        product(store)
        run(store, "insert into profiles (id, credits) values ('acc_1', 200)")
        found = balances(store)
        world = MoneyWorld(store, ledger=Ledger(found))
        store.write(lambda tx: found.begin(tx, world.clock.now()))
        records = world.history_of_charges()
        run(store, "alter table credit_entries rename to elsewhere")
        world.put_in(*records)
        with pytest.raises(Misconfigured, match=r"credit_entries.*: the table of the product"):
            world.sweep()
        assert (rows(store, "select * from payments"), rows(store, "select * from creem_credits"), balance(world)) == (
            [],
            [],
            200,
        )
        run(store, "alter table elsewhere rename to credit_entries")
        world.settle_down()
        assert (world.state("ord_1"), balance(world), world.double.gone("tran_1")) == ("refunded", 100, 900)
        assert audited(world) == []

    def test_owner_without_a_row_is_no_hindrance_to_what_is_proved(self, charged: Callable[[int], MoneyWorld]) -> None:
        world = charged(200)
        run(world.store, "delete from credit_entries", "delete from profiles")
        world.settle_down()
        assert (world.state("ord_1"), world.double.gone("tran_1")) == ("refunded", 900)


@pytest.mark.parametrize(
    ("lot", "has", "said"),
    [
        ("ord_1", 100, None),
        ("ord_1", 101, None),
        ("ord_1", 99, "acc_1 has 99 credits in profiles, fewer than the 100 of ord_1 to take back"),
        ("ord_2", 40, None),
        ("ord_2", 39, "acc_1 has 39 credits in profiles, fewer than the 40 of ord_2 to take back"),
        ("ord_1", None, "acc_1 has 0 credits in profiles, fewer than the 100 of ord_1 to take back"),
    ],
)
def test_a_lot_can_be_taken_back_where_the_balance_holds_all_of_it(store: Store, lot: str, has: int | None, said: str) -> None:
    product(store)
    world = world_of(store)
    world.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100), a_purchase("ord_2", "acc_1", 40))
    if has is not None:
        run(store, f"insert into profiles (id, credits) values ('acc_1', {has})")
    assert store.write(lambda tx: balances(store).short(tx, lot)) == said


def test_a_product_without_a_table_is_never_short(store: Store) -> None:
    world = World(store)
    world.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100))
    assert store.write(lambda tx: Ledger().short(tx, "ord_1")) is None


@ON_POSTGRES
class TestTriggers:
    """What the product's database does by itself at our change may not make another amount of it."""

    FUNCTION = "create function does() returns trigger language plpgsql as $$ begin {}; return new; end $$"
    CAPPED = ("new.credits := least(new.credits, 97)", "before update on profiles")
    AGAIN = ("update profiles set credits = credits + new.amount where id = new.user_id", "after insert on credit_entries")
    SUMMED = (
        "update profiles set credits = 95 + (select sum(amount) from credit_entries where user_id = id) where id = new.user_id",
        "after insert on credit_entries",
    )

    LATER = (AGAIN[0], f"{AGAIN[1]} deferrable initially deferred")
    CHECKED = (
        "if new.credits <> 95 + (select coalesce(sum(amount), 0) from credit_entries where user_id = new.id) then "
        "raise exception 'entries and balance differ'; end if",
        "after update on profiles deferrable initially deferred",
    )

    def does(self, store: Store, what: str, when: str) -> None:
        kind = "constraint trigger" if "deferred" in when else "trigger"
        run(store, self.FUNCTION.format(what), f"create {kind} does {when} for each row execute function does()")

    @pytest.mark.parametrize(
        ("trigger", "made"),
        [(CAPPED, 97), (AGAIN, 105), (LATER, 105)],
        ids=["less comes back", "twice as much comes back", "twice as much, at the commit"],
    )
    def test_what_comes_back_is_that_much_or_nothing_until_the_trigger_leaves_it_alone(
        self, world: World, store: Store, trigger: tuple[str, str], made: int
    ) -> None:
        self.does(store, *trigger)
        world.happen(world.submitted("job_1", credits=5), world.failed("job_1"))
        for _ in range(6):
            world.clock.pass_(minutes=5)
            world.sweep()
        ((letter, detail),) = rows(store, "select dead_id, detail from dead_letters")
        assert detail.startswith(f"Refused: acc_1 had 95 credits in profiles, and +5 made it {made}: a trigger of the product's")
        assert (balance(world), rows(store, "select 1 from credit_entries")) == (95, [])
        run(store, f"drop trigger does on {trigger[1].split()[3]}")
        world.letters.requeue(letter, by="ada", reason="the trigger leaves it alone")
        world.sweep()
        assert (world.state("job_1"), balance(world), audited(world)) == ("refunded", 100, [])

    def test_trigger_that_comes_to_the_same_is_no_hindrance(self, world: World, store: Store) -> None:
        self.does(store, *self.SUMMED)
        world.happen(world.submitted("job_1", credits=5), world.failed("job_1"))
        assert (world.state("job_1"), balance(world), audited(world)) == ("refunded", 100, [])

    def test_check_at_the_commit_sees_balance_and_entry_together(self, world: World, store: Store) -> None:
        self.does(store, *self.CHECKED)
        for job in ("job_1", "job_2"):
            world.happen(world.submitted(job, credits=5), world.failed(job))
        assert ([world.state("job_1"), world.state("job_2")], balance(world), audited(world)) == (["refunded"] * 2, 105, [])

    def test_check_at_the_commit_sees_them_together_at_each_change_of_a_transaction(self, world: World, store: Store) -> None:
        self.does(store, *self.CHECKED)
        moved = [Posting(PostingKind.REVERSAL, "ord_1", 5, "job_1"), Posting(PostingKind.FREEZE, "ord_1", 60, occasion="held")]
        store.write(lambda tx: balances(store).book(tx, moved, world.clock.now()))
        assert rows(store, "select amount from credit_entries order by amount") == [(-60,), (5,)]
        assert balance(world) == 40

    def test_account_that_a_check_at_the_commit_refuses_is_the_only_one_not_paid(self, world: World, store: Store) -> None:
        world.load(an_account("acc_2"), a_purchase("ord_2", "acc_2", 100))
        run(store, "insert into profiles (id, credits) values ('acc_2', 95)")
        self.does(store, "if new.id = 'acc_2' then raise exception 'acc_2 is closed'; end if", self.CHECKED[1])
        submitted = [world.submitted("job_1", credits=5), world.submitted("job_2", "acc_2", credits=5)]
        world.happen(*submitted, world.failed("job_1"), world.failed("job_2", "acc_2"))
        for _ in range(6):
            world.clock.pass_(minutes=5)
            world.sweep()
        assert (world.state("job_1"), balance(world)) == ("refunded", 100)
        ((detail,),) = rows(store, "select detail from dead_letters")
        assert "acc_2 is closed" in detail

    @pytest.mark.parametrize("trigger", [AGAIN, LATER], ids=["at once", "at the commit"])
    def test_hold_of_which_the_trigger_would_take_twice_takes_nothing_and_is_told(
        self, store: Store, trigger: tuple[str, str]
    ) -> None:
        world = TestRefusing.bought(store, has=150)
        self.does(store, *trigger)
        TestRefusing.dispute(world)
        assert rows(store, "select remaining, frozen from purchases") == [(0, 100)]
        assert (balance(world), rows(store, "select 1 from credit_entries")) == (150, [])
        [(_, problem)] = TestRefusing.told(world)
        assert "acc_1 had 150 credits in profiles, and -100 made it -50" in problem


class TestRefusing:
    """Whatever the product's table does not take, our books stand, and what differs is a person's to see."""

    @staticmethod
    def bought(store: Store, *, has: int | None, check: str = "", entries: str | None = ENTRIES) -> MoneyWorld:
        """A customer who bought a hundred credits, and who has so many by the product's table."""
        product(store, check=check)
        if has is not None:
            run(store, f"insert into profiles (id, credits) values ('acc_1', {has})")
        found = balances(store, entries)
        world = MoneyWorld(store, ledger=Ledger(found))
        store.write(lambda tx: found.begin(tx, world.clock.now()))
        world.load(*world.history_of_charges(1))
        return world

    @staticmethod
    def dispute(world: MoneyWorld) -> None:
        world.double.dispute("tran_0")
        world.settle_down(days=0.1)

    @staticmethod
    def win(world: MoneyWorld) -> None:
        ((case_id,),) = rows(world.store, "select case_id from cases where kind = 'dispute'")
        reviewer = Reviewer(world.guarded, world.settler.ledger, world.bench, Environment.TEST, world.clock)
        reviewer.decide(case_id, "won", by="ann", reason="the bank says so")

    @staticmethod
    def told(world: MoneyWorld) -> list[tuple[str, str]]:
        """What reconcile has to say of credits."""
        found = world.reconciler().reconcile(seconds=None).findings
        return [(each.row, each.problem) for each in found if each.check == "credits_not_moved"]

    def test_dispute_stands_though_the_customer_has_fewer_credits_and_only_what_was_taken_comes_again(self, store: Store) -> None:
        world = self.bought(store, has=70, check="check (credits >= 0)")
        self.dispute(world)
        assert rows(store, "select state from cases where kind = 'dispute'") == [("review",)]
        assert rows(store, "select remaining, frozen from purchases") == [(0, 100)]
        assert rows(store, "select count(*) from dead_letters") == [(0,)]
        assert (balance(world), rows(store, "select type, amount from credit_entries")) == (0, [("freeze", -70)])
        assert audited(world) == []
        [(lot, problem)] = self.told(world)
        assert (lot, problem.split(": ")[0]) == ("ord_0", "of the credits of acc_1 30 are frozen and could not be taken")
        self.win(world)
        assert rows(store, "select remaining, frozen from purchases") == [(100, 0)]
        assert balance(world) == 70
        assert (audited(world), self.told(world)) == ([], [])

    def test_refund_by_another_hand_is_booked_though_the_customer_has_fewer_credits(self, store: Store) -> None:
        world = self.bought(store, has=70, check="check (credits >= 0)")
        world.double.refund_in_dashboard("tran_0")
        world.settle_down(days=0.1)
        assert rows(store, "select refunded from charges") == [(900,)]
        assert rows(store, "select remaining, frozen, void from purchases") == [(0, 0, 100)]
        assert balance(world) == 0
        assert audited(world) == []
        for _ in range(2):
            [(lot, problem)] = self.told(world)
            assert (lot, problem.split(": ")[0]) == ("ord_0", "of the credits of acc_1 30 are void and could not be taken")

    @pytest.mark.parametrize("entries", [ENTRIES, None])
    def test_what_was_held_of_an_account_without_a_row_is_not_given_to_it_when_it_has_one(
        self, store: Store, entries: str | None
    ) -> None:
        world = self.bought(store, has=None, entries=entries)
        self.dispute(world)
        [(lot, problem)] = self.told(world)
        assert (lot, problem.split(": ")[1]) == ("ord_0", "account acc_1 has no row in profiles")
        run(store, "insert into profiles (id, credits) values ('acc_1', 100)")
        self.win(world)
        assert (balance(world), rows(store, "select * from credit_entries")) == (100, [])
        assert (audited(world), self.told(world)) == ([], [])

    def test_what_the_table_does_not_take_back_is_owed(self, store: Store) -> None:
        world = self.bought(store, has=100, check="check (credits <= 100)")
        self.dispute(world)
        run(store, "update profiles set credits = 50")
        self.win(world)
        assert rows(store, "select remaining, frozen from purchases") == [(100, 0)]
        assert balance(world) == 50
        [(_, problem)] = self.told(world)
        assert problem.split(": ")[0] == "of the credits of acc_1 100 can be spent again and could not be given back"
        assert audited(world) == []

    def test_no_money_leaves_for_credits_that_the_table_did_not_give(self, store: Store) -> None:
        product(store, check="check (credits >= 150)")
        run(store, "insert into profiles (id, credits) values ('acc_1', 200)")
        world = MoneyWorld(store, ledger=Ledger(balances(store)))
        world.twice_charged()
        world.settle_down(days=1)
        case = world.case("ord_1")
        assert case is not None
        assert (case["state"], world.double.gone("tran_1"), balance(world)) == ("review", 0, 200)
        assert case["reason"].startswith("not all of its credits could be taken back")

    def test_in_observe_no_balance_is_touched_and_what_was_held_then_is_not_given_back_later(self, store: Store) -> None:
        product(store)
        run(store, "insert into profiles (id, credits) values ('acc_1', 100)")
        named = {"DATABASE_URL": store.url, "BALANCE_TABLE": TABLE, "BALANCE_ENTRIES": ENTRIES, "MODE": "observe"}
        runtime = Runtime(load_settings({f"REFUNDS_{name}": value for name, value in named.items()}), SystemClock())
        world = MoneyWorld(store, ledger=runtime.ledger, mode=Mode.OBSERVE)
        world.load(*world.history_of_charges(1))
        self.dispute(world)
        assert rows(store, "select state from cases where kind = 'dispute'") == [("review",)]
        assert rows(store, "select remaining, frozen from purchases") == [(0, 100)]
        assert (balance(world), rows(store, "select * from credit_entries")) == (100, [])
        runtime.store.close()
        live = MoneyWorld(store, ledger=Ledger(balances(store)), clock=world.clock)
        [(_, problem)] = self.told(live)
        assert problem.split(": ")[1] == "in mode observe no balance is changed"
        self.win(live)
        assert (balance(live), audited(live), self.told(live)) == (100, [], [])

    @ON_POSTGRES
    @pytest.mark.parametrize(
        ("does", "when"),
        [
            ("raise exception 'never'", "trigger kept before update on profiles"),
            ("return null", "trigger kept before update on profiles"),
            ("raise exception 'never'", "constraint trigger kept after update on profiles deferrable initially deferred"),
        ],
        ids=["refused", "left out", "refused at the commit"],
    )
    def test_trigger_that_lets_nothing_be_taken_hinders_nothing(self, store: Store, does: str, when: str) -> None:
        world = self.bought(store, has=100)
        run(
            store,
            f"create function keep() returns trigger language plpgsql as $$ begin {does}; end $$",
            f"create {when} for each row execute function keep()",
        )
        self.dispute(world)
        assert rows(store, "select remaining, frozen from purchases") == [(0, 100)]
        assert (balance(world), rows(store, "select * from credit_entries")) == (100, [])
        assert len(self.told(world)) == 1


class TestAudit:
    """What somebody changed in the product's entries is found, row by row."""

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ("delete from credit_entries", "gives 5 and has no entry in credit_entries"),
            ("update credit_entries set amount = 6", "gives 5 and has an entry of 6 in credit_entries"),
            (
                "insert into credit_entries (ref, user_id, amount, by) values ('refunds:x','acc_1',1,'x')",
                "stands in credit_entries and was never booked",
            ),
        ],
    )
    def test_tampered_entry_is_named(self, world: World, change: str, problem: str) -> None:
        world.happen(world.submitted("job_1", credits=5), world.failed("job_1"))
        run(world.store, change)
        (breach,) = audited(world)
        assert (breach["check"], breach["problem"]) == ("balances_follow_postings", problem)

    def test_no_more_rows_are_named_than_were_asked_for(self, world: World) -> None:
        jobs = [f"job_{n}" for n in range(3)]
        world.happen(*(world.submitted(job, credits=5) for job in jobs), *map(world.failed, jobs))
        run(world.store, "update credit_entries set ref = 'refunds:x' || ref")
        found = list(world.store.read(lambda tx: list(balances(world.store).breaches(tx, 2))))
        assert [problem.split(" in ")[0] for _, problem in found] == ["gives 5 and has no entry"] * 2 + ["stands"] * 2

    def test_a_table_that_nothing_was_ever_booked_in_is_compared_with_nothing(self, store: Store) -> None:
        product(store)
        assert store.read(lambda tx: list(balances(store).breaches(tx, 10))) == []

    def test_what_was_booked_before_the_table_was_named_is_none_of_its_business(self, store: Store) -> None:
        product(store)
        run(store, "insert into profiles (id, credits) values ('acc_1', 100)")
        before = World(store)
        before.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100))
        before.happen(before.submitted("job_1", credits=5), before.failed("job_1"))
        before.clock.pass_(hours=1)
        found = balances(store)
        store.write(lambda tx: found.begin(tx, before.clock.now()))
        result = Audit(checked={"checks": 0})
        store.read(lambda tx: audit_home(tx, result, found))
        assert result.ok


class TestNames:
    """A table that cannot be booked into is refused at the start, with what is wrong."""

    def test_account_that_only_some_rows_have_once_is_none(self, store: Store) -> None:
        run(
            store,
            "create table plans (owner text, credits integer not null, active boolean not null)",
            "create unique index one_active on plans (owner) where active",
        )
        with pytest.raises(Misconfigured) as refused:
            balances(store, None, table="plans(account=owner, balance=credits)")
        assert "plans.owner needs a unique constraint" in str(refused.value)
        run(store, "create unique index one on plans (owner)")
        assert str(balances(store, None, table="plans(account=owner, balance=credits)").accounts) == "plans"

    def test_balance_that_the_database_works_out_is_none(self, store: Store) -> None:
        run(
            store,
            "create table plans (owner text primary key, granted integer not null, used integer not null, "
            "credits integer generated always as (granted - used) stored)",
        )
        with pytest.raises(Misconfigured) as refused:
            balances(store, None, table="plans(account=owner, balance=credits)")
        assert str(refused.value) == (
            "REFUNDS_BALANCE_TABLE: plans.credits is worked out by the database: nothing can be written there"
        )

    @ON_POSTGRES
    def test_entry_that_the_database_numbers_is_not_numbered_by_us(self, store: Store) -> None:
        product(store)
        run(
            store,
            "create table log (ref text primary key, who text not null, amount integer not null, "
            "number integer generated always as identity, what text generated always as (ref || '!') stored)",
        )
        parts = "key=ref, account=who, credits=amount"
        with pytest.raises(Misconfigured) as refused:
            balances(store, f"log({parts}, kind=what, number='7')")
        assert [line.split(" is ")[0] for line in refused.value.faults] == [
            "REFUNDS_BALANCE_ENTRIES: log.what",
            "REFUNDS_BALANCE_ENTRIES: log.number",
        ]
        assert str(balances(store, f"log({parts})").entries) == "log"

    @ON_POSTGRES
    def test_index_that_was_broken_off_keeps_nothing_unique(self, store: Store) -> None:
        run(
            store,
            "create table plans (owner text, credits integer not null)",
            "create unique index one on plans (owner)",
            "update pg_index set indisvalid = false where indexrelid = 'one'::regclass",
        )
        with pytest.raises(Misconfigured) as refused:
            balances(store, None, table="plans(account=owner, balance=credits)")
        assert "plans.owner needs a unique constraint" in str(refused.value)

    @pytest.mark.parametrize(
        ("table", "entries", "fault"),
        [
            (
                "profiles",
                None,
                "REFUNDS_BALANCE_TABLE: expected a table and its columns, like public.some_table(account=column, balance",
            ),
            ("profiles(account=id)", None, "REFUNDS_BALANCE_TABLE: no column is named for balance"),
            ("profiles(account=id, balance=id)", None, "REFUNDS_BALANCE_TABLE: a column is named twice"),
            ("profiles(account=id, account=id, balance=credits)", None, "'account' is named twice or no part"),
            ("profiles(account=id, balance=credits, name='x')", None, "\"name='x'\" is not part=column"),
            ("profiles(account=id, balance=credits; drop)", None, "'balance=credits; drop' is not part=column"),
            ("profile(account=id, balance=credits)", None, "REFUNDS_BALANCE_TABLE: there is no table profile"),
            ("profiles(account=id, balance=coins)", None, "profiles has no column coins"),
            ("profiles(account=id, balance=name)", None, "profiles.name is TEXT, which cannot hold what balance is"),
            ("profiles(account=name, balance=credits)", None, "profiles.name needs a unique constraint"),
            (TABLE, "credit_entries(key=ref, account=user_id)", "REFUNDS_BALANCE_ENTRIES: no column is named for credits"),
            (
                TABLE,
                "credit_entries(key=ref, account=user_id, credits=amount)",
                "credit_entries.by may not be empty and has no default: name it, as a part or as by='text'",
            ),
            (
                TABLE,
                "credit_entries(key=type, account=user_id, credits=amount, by='us')",
                "credit_entries.type needs a unique constraint",
            ),
        ],
    )
    def test_wrong_name_is_refused(self, store: Store, table: str, entries: str | None, fault: str) -> None:
        product(store)
        with pytest.raises(Misconfigured) as refused:
            balances(store, entries, table)
        assert fault in str(refused.value)

    def test_product_that_keeps_no_entries_has_its_balance_all_the_same(self, store: Store) -> None:
        product(store)
        run(store, "insert into profiles (id, credits) values ('acc_1', 95)")
        world = World(store, ledger=Ledger(balances(store, None)))
        world.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100))
        world.happen(world.submitted("job_1", credits=5), world.failed("job_1"))
        assert balance(world) == 100


@ON_POSTGRES
class TestPostgres:
    """Accounts under the names that a Postgres product gives them, and our tables in a schema of their own."""

    @pytest.mark.parametrize("column", ["profiles rename credits to {}", "credit_entries rename amount to {}"])
    def test_event_waits_while_a_column_of_the_product_has_another_name(self, world: World, store: Store, column: str) -> None:
        there, was = column.format("coins"), column.split()[2]
        world.happen(world.submitted("job_1", credits=5))
        run(store, f"alter table {there}")
        world.arrive(world.failed("job_1"))
        for _ in range(8):
            with pytest.raises(Misconfigured, match=rf"column .*{was}.* does not exist: the table of the product"):
                world.sweep()
            world.clock.pass_(minutes=5)
        run(store, f"alter table {there.split()[0]} rename coins to {was}")
        world.sweep()
        assert (world.state("job_1"), balance(world), rows(store, "select * from dead_letters")) == ("refunded", 100, [])

    @pytest.mark.parametrize(
        ("change", "said"),
        [("rename to gone", 'relation "shop.accounts"'), ("rename credits to coins", "column accounts.credits")],
        ids=["table", "column"],
    )
    def test_what_is_missing_of_the_product_is_not_taken_for_ours_of_that_name(
        self, store: Store, change: str, said: str
    ) -> None:
        run(store, "create schema shop", "create table shop.accounts (id text primary key, credits integer not null)")
        try:
            found = balances(store, None, table="shop.accounts(account=id, balance=credits)")
            run(store, f"alter table shop.accounts {change}")
            with pytest.raises(Misconfigured, match=f"{said} does not exist: the table of the product"):
                store.write(lambda tx: found.held(tx, {"acc_1"}))
        finally:
            run(store, "drop schema shop cascade")

    @pytest.mark.parametrize(
        ("account", "named", "kind"),
        [
            ("uuid", NUMBERED.format(1), "bigint not null"),
            ("bigint", "71", "numeric not null"),
            ("varchar(80)", "acc_1:a.b-c", "smallint"),
            ("text", "A", "integer"),
            ("char(20)", "acc_1", "integer"),
        ],
    )
    def test_names_and_numbers_of_every_kind(self, store: Store, account: str, named: str, kind: str) -> None:
        product(store, account=account, balance=kind)
        store.write(lambda tx: tx.connection.execute(text("insert into profiles (id, credits) values (:id, 95)"), {"id": named}))
        world = world_of(store)
        world.load(an_account(named), a_purchase("ord_1", named, 100))
        world.happen(world.submitted("job_1", account=named, credits=5), world.failed("job_1", account=named))
        assert rows(store, "select credits from profiles") == [(100,)]
        assert audited(world) == []

    @pytest.mark.parametrize(("account", "other"), [("uuid", "acc_1"), ("bigint", "071"), ("bigint", "9" * 30), ("bigint", "-1")])
    def test_account_that_the_product_cannot_have_is_said_to_have_no_row(self, store: Store, account: str, other: str) -> None:
        product(store, account=account)
        world = world_of(store)
        world.load(an_account(other), a_purchase("ord_1", other, 100))
        world.happen(world.submitted("job_1", account=other, credits=5), world.failed("job_1", account=other))
        for _ in range(6):
            world.clock.pass_(minutes=5)
            world.sweep()
        ((detail,),) = rows(store, "select detail from dead_letters")
        assert "has no row in profiles" in detail

    @pytest.mark.parametrize(("left", "after"), [("numeric(12,2)", "100.50"), ("integer", "101")])
    def test_balance_with_decimals_comes_to_what_it_was_and_is_written_down(self, store: Store, left: str, after: str) -> None:
        product(store, balance="numeric(12,2)")
        run(store, f'alter table credit_entries alter "left" type {left}')
        run(store, "insert into profiles (id, credits) values ('acc_1', 95.50)")
        world = world_of(store)
        world.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100))
        world.happen(world.submitted("job_1", credits=5), world.failed("job_1"))
        assert rows(store, 'select credits::text, "left"::text from profiles, credit_entries') == [("100.50", after)]
        assert (world.state("job_1"), audited(world)) == ("refunded", [])

    @pytest.mark.parametrize(
        ("kind", "fits", "wrong"),
        [
            ("shop.source", "us", "ours"),
            ("integer", "7", "seven"),
            ("boolean", "true", "maybe"),
            ("varchar(4)", "ours", "refunds"),
            ("char(4)", "ours", "refunds"),
            ("bit(2)", "01", "011"),
            ("uuid", NUMBERED.format(1), "1"),
            ("shop.short", "us", "refunds"),
        ],
    )
    def test_text_of_ours_stands_in_a_column_of_any_type_or_is_refused_at_the_start(
        self, store: Store, kind: str, fits: str, wrong: str
    ) -> None:
        product(store)
        run(
            store,
            "create schema shop",
            "create type shop.source as enum ('us', 'them')",
            "create domain shop.short as varchar(5)",
            f"alter table credit_entries add source {kind} not null",
            "insert into profiles (id, credits) values ('acc_1', 95), ('acc_2', 95)",
        )
        named = ENTRIES.replace("by='us'", "by='us', source='{}'")
        with pytest.raises(Misconfigured, match=rf"credit_entries.source is .*, which cannot hold '{wrong}'"):
            balances(store, named.format(wrong))
        world = World(store, ledger=Ledger(balances(store, named.format(fits))))
        world.load(*(made for n in "12" for made in (an_account(f"acc_{n}"), a_purchase(f"ord_{n}", f"acc_{n}", 100))))
        world.happen(*(world.submitted(f"job_{n}", account=f"acc_{n}", credits=5) for n in "12"))
        world.happen(*(world.failed(f"job_{n}", account=f"acc_{n}") for n in "12"))
        assert rows(store, "select credits, source::text from profiles join credit_entries on user_id = id") == [(100, fits)] * 2
        run(store, "drop table credit_entries", "drop schema shop cascade")

    @pytest.mark.parametrize(("kind", "doubtful"), [("varchar(36)", True), ("varchar(255)", False), ("text", False)])
    def test_column_that_is_too_short_for_keys_is_a_doubt(self, store: Store, kind: str, doubtful: bool) -> None:
        product(store)
        run(store, f"alter table credit_entries alter ref type {kind}")
        said = "credit_entries.ref takes 36 characters, and our keys are `refunds:reversal:JOB:PURCHASE`"
        assert [doubt.split(": a longer")[0] for doubt in store.read(balances(store).doubts)] == ([said] if doubtful else [])

    def test_least_rights_and_a_schema_of_our_own_are_enough(self, store: Store) -> None:
        name = f"worker_{store.engine.url.database}"
        product(store)
        run(
            store,
            "insert into profiles (id, credits) values ('acc_1', 95)",
            "create schema books",
            f"create role {name} login password 'x'",
            f"grant usage, create on schema books to {name}",
            f"grant select (id, credits), update (credits) on profiles to {name}",
            f'grant select (ref, user_id, amount, type, job, case_id, "left", at), insert on credit_entries to {name}',
        )
        url = store.engine.url.set(username=name, password="x", query={"options": "-csearch_path=books"})
        ours = Store(url.render_as_string(hide_password=False))
        try:
            upgrade(ours)
            found = balances(ours, ENTRIES.replace("credit", "public.credit", 1), f"public.{TABLE}")
            world = World(ours, ledger=Ledger(found))
            world.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100))
            world.happen(world.submitted("job_1", credits=5), world.failed("job_1"))
            assert rows(store, "select credits from profiles") == [(100,)]
            assert rows(store, "select count(*) from books.cases") == [(1,)]
            assert rows(store, "select count(*) from cases") == [(0,)]
        finally:
            ours.close()
            run(store, "drop schema books cascade", f"drop owned by {name}", f"drop role {name}")

    def test_missing_rights_are_named(self, store: Store) -> None:
        name = f"worker_{store.engine.url.database}"
        product(store)
        run(store, f"create role {name} login password 'x'", f"grant select on profiles, credit_entries to {name}")
        ours = Store(store.engine.url.set(username=name, password="x").render_as_string(hide_password=False))
        try:
            with pytest.raises(Misconfigured) as refused:
                balances(ours)
            assert "this role may not UPDATE profiles.credits" in refused.value.faults[0]
            assert "this role may not INSERT credit_entries.ref" in refused.value.faults[1]
        finally:
            ours.close()
            run(store, f"drop owned by {name}", f"drop role {name}")

    def test_rows_that_row_security_hides_from_us_are_a_doubt(self, store: Store) -> None:
        product(store)

        def without_the_right(tx: Any) -> list[str]:
            for sql in (
                "create role shopkeeper",
                "grant select on profiles, credit_entries to shopkeeper",
                "alter table profiles enable row level security",
                "set local role shopkeeper",
            ):
                tx.connection.execute(text(sql))
            return found.doubts(tx)

        found = balances(store)
        assert store.read(found.doubts) == []
        said = "profiles: row security hides rows from this role; give it BYPASSRLS, or a policy of its own"
        assert store.rehearse(without_the_right) == [said]

    def test_doubts_are_said_before_they_matter(self, store: Store) -> None:
        product(store, check="constraint not_below check (credits >= 0)")
        found = balances(store)
        (doubt,) = store.read(found.doubts)
        assert "the constraint not_below may refuse to take back credits" in doubt

"""A call that was written down in the journal and armed in vain: of that nothing left, and whoever armed it knows."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest

from tests.doors import DoorStore
from tests.faults import Crash, deadlock
from tests.money.between import PassesOn
from tests.restore.test_journal import standing_still
from tests.restore.world import RestoreWorld
from tests.servers import ON_POSTGRES, conninfo
from worker.cases.money import limits
from worker.cases.money.epoch import Watch, Witnesses
from worker.cases.money.journal import Call, Journal
from worker.cases.money.pay import Payer
from worker.creem.answers import Answer
from worker.creem.client import Armed
from worker.errors import TryLater
from worker.store.breakers import closed_to
from worker.store.bulk import Tx
from worker.store.engine import Store

T = TypeVar("T")


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[RestoreWorld]:
    made = RestoreWorld(store, tmp_path / "journal")
    made.film.rolls = False
    made.charged()
    yield made
    assert made.audit().breaches == []
    made.close()


class Cut(Journal):
    """A journal after whose first line of a call the database breaks the connection off: nothing is committed."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self.url, self.left = url, 1

    def add(self, mark: int, at: datetime, call: Call | None = None) -> None:
        super().add(mark, at, call)
        if call is not None and self.left:
            self.left -= 1
            with psycopg.connect(conninfo(self.url), autocommit=True) as admin:
                mine = "datname = current_database() and pid <> pg_backend_pid() and state = 'idle in transaction'"
                assert len(admin.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where {mine}").fetchall()) == 1


class Undoing(DoorStore):
    """A database that undoes the arming so many times, or says nothing of its commit."""

    def __init__(self, world: RestoreWorld, *, undone: int = 0, unsaid: int = 0) -> None:
        super().__init__(world.store, world.doors)
        self.undone, self.unsaid = undone, unsaid

    def write(self, work: Any) -> Any:
        armed = False

        def and_undone(tx: Tx) -> Any:
            nonlocal armed
            done = work(tx)
            armed = type(done).__name__ == "ArmedTurn"
            if armed and self.undone:
                self.undone -= 1
                deadlock()
            return done

        done = super().write(and_undone)
        if armed and self.unsaid:
            self.unsaid -= 1
            raise TryLater("the database", "the connection was lost")
        return done


class DiesOver(PassesOn):
    """A Creem over whose call the process dies."""

    def refund(self, armed: Armed) -> Answer:
        super().refund(armed)
        raise Crash


def process(world: RestoreWorld, journal: Journal, store: Store | None = None) -> Payer:
    """One process that pays, for as long as it lives."""
    made, witnesses = world.payer(), Witnesses(journal, world.marks)
    store = store or made.store
    fields = {name: getattr(made, name) for name in made.__dataclass_fields__}
    watch = Watch(store, witnesses, world.clock)
    return Payer(**fields | {"witnesses": witnesses, "watch": watch, "store": store})


def pays(world: RestoreWorld, payer: Payer) -> None:
    """The process takes its turns until nothing is open any more, or a day has passed."""
    for _ in range(24 * 6):
        world.double.tick()
        world.sweep()
        world.doors.process(payer.pay)
        if not world.open_claims():
            return
        world.clock.pass_(minutes=10)


@pytest.mark.parametrize("times", [1, 4, 6])
def test_arming_that_was_undone_goes_on_by_itself(world: RestoreWorld, times: int) -> None:
    """Once a person was called, and the customer waited a day, for a call of which no byte had left."""
    pays(world, process(world, Journal(world.folder), Undoing(world, undone=times)))
    assert (world.state("ord_1"), world.double.posts("tran_1"), world.double.gone("tran_1")) == ("refunded", 1, 900)
    assert world.restorer().check().missing == ()


def test_claim_that_ends_otherwise_after_it_was_armed_in_vain_leaves_no_call_that_the_journal_alone_knows(
    world: RestoreWorld,
) -> None:
    """Who looks after a restore would take it for one that was sent."""
    payer = process(world, Journal(world.folder), Undoing(world, undone=6))
    world.doors.process(payer.pay)
    world.double.refund_in_dashboard("tran_1")
    world.clock.pass_(minutes=30)
    pays(world, payer)
    assert (world.state("ord_1"), world.double.posts("tran_1")) == ("external", 0)
    assert world.restorer().check().missing == ()


@ON_POSTGRES
def test_connection_that_breaks_behind_the_line_in_the_journal_costs_nobody_a_day(world: RestoreWorld) -> None:
    pays(world, process(world, Cut(world.folder, world.store.url)))
    assert (world.state("ord_1"), world.double.posts("tran_1")) == ("refunded", 1)


def test_arming_whose_commit_is_not_answered_was_never_sent(world: RestoreWorld) -> None:
    pays(world, process(world, Journal(world.folder), Undoing(world, unsaid=1)))
    assert (world.state("ord_1"), world.double.posts("tran_1")) == ("refunded", 1)
    assert [call["outcome"] for call in world.case("ord_1")["payments"][0]["calls"]] == ["not_sent", "accepted"]  # type: ignore[index]


@pytest.mark.parametrize("fault", [{"undone": 6}, {"unsaid": 1}], ids=["undone", "not answered"])
def test_nobody_else_takes_it_for_one_of_which_nothing_left(world: RestoreWorld, fault: dict[str, int]) -> None:
    """Another process, or the same started anew, has the line alone."""
    world.doors.process(process(world, Journal(world.folder), Undoing(world, **fault)).pay)
    world.clock.pass_(minutes=10)
    other = process(world, Journal(world.folder))
    world.doors.process(other.pay)
    assert (world.state("ord_1"), world.double.posts("tran_1")) == ("unknown", 0)


def test_call_that_was_begun_is_never_taken_for_one_that_was_not(world: RestoreWorld) -> None:
    """Set back to before its arming, the database knows nothing of it, and who sent it does."""
    world.film.rolls = True
    payer = process(world, Journal(world.folder))
    world.film.add()
    before = len(world.film.frames) - 1
    world.doors.process(payer.pay)
    assert world.double.posts("tran_1") == 1
    world.set_back(before, redis=True)
    world.clock.pass_(minutes=10)
    world.doors.process(payer.pay)
    assert world.double.posts("tran_1") == 1


def test_another_call_of_the_charge_is_none_that_was_never_sent(world: RestoreWorld) -> None:
    """Armed in vain by one process, and then armed and sent by another, before which the database had been set back."""
    idle = process(world, Journal(world.folder), Undoing(world, undone=6))
    world.doors.process(idle.pay)
    for file in world.folder.glob("*.jsonl"):
        # whoever put the database back put the journal back as well, against what the README says
        file.unlink()
    world.clock.pass_(minutes=10)
    other = process(world, Journal(world.folder))
    world.doors.process(replace(other, creem=DiesOver(other.creem)).pay)
    assert (world.double.posts("tran_1"), world.claim("tran_1").state) == (1, "sending")
    world.clock.pass_(minutes=10)
    pays(world, idle)
    assert (world.state("ord_1"), world.double.posts("tran_1")) == ("refunded", 1)


def test_disk_of_the_journal_that_does_not_answer_stops_money_says_so_and_goes_on_by_itself(world: RestoreWorld) -> None:
    """Once each turn hung, with the account locked, until Celery ended its process, and no alert named the cause."""
    payer = process(world, Journal(world.folder, seconds=0.2))
    world.folder.mkdir()
    with standing_still(world.folder, f"{world.clock.now():%Y-%m}"):
        world.doors.process(payer.pay)
        why = world.store.read(lambda tx: closed_to(tx, [limits.JOURNAL], world.clock.now()))
        assert why is not None
        assert "the disk does not answer" in why[0]
    assert world.double.posts("tran_1") == 0
    world.clock.pass_(minutes=10)
    pays(world, payer)
    assert (world.state("ord_1"), world.double.posts("tran_1")) == ("refunded", 1)

"""When money stops after a restore, when it does not, and how it goes on."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis as redis_py
from sqlalchemy import delete, select, update

from tests.faults import Crash
from tests.money.between import PassesOn
from tests.money.plans import NASTY
from tests.money.world import MoneyWorld
from tests.restore.world import BEFORE_ALL, RestoreWorld
from tests.servers import ON_SQLITE, a_user
from worker.cases.money import epoch, limits
from worker.cases.money.epoch import MEMBER, Watch, Witnesses
from worker.cases.money.journal import Call, Journal
from worker.creem.answers import Answer
from worker.creem.client import Armed
from worker.errors import Refused, TryLater
from worker.intake.stream import open_stream_client
from worker.sandbox.servers import free_port
from worker.store.breakers import closed_to
from worker.store.engine import Store
from worker.store.tables import actions, case_history, epochs

BEFORE_THE_TURN = 1


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[RestoreWorld]:
    made = RestoreWorld(store, tmp_path / "journal", switches=NASTY)
    # frames are taken here where a test says so
    made.film.rolls = False
    yield made
    made.close()


def stopped(world: MoneyWorld) -> str | None:
    """Why money is stopped for a restore, if it is."""
    found = world.store.read(lambda tx: closed_to(tx, [limits.RESTORE], world.clock.now()))
    return None if found is None else found[0]


def nowhere() -> redis_py.Redis:
    """A Redis that is not there."""
    return open_stream_client(f"redis://127.0.0.1:{free_port()}/0")


def a_restored(world: RestoreWorld) -> None:
    """One refund is sent, and the database comes back from before its first turn."""
    world.charged()
    world.go_on(days=1)
    assert world.state("ord_1") == "refunded"
    world.set_back(BEFORE_THE_TURN)


def test_fresh_installation_starts_without_ceremony_and_every_witness_learns_of_it(world: RestoreWorld) -> None:
    world.charged()
    world.go_on(days=1)
    assert world.state("ord_1") == "refunded"
    found = world.restorer().check()
    assert (found.wrong, found.mark, found.remembered.redis, found.remembered.journal) == (None, 1, 1, 0)
    assert [call.attempt for call in world.witnesses().calls(("test", "tran_1"))] == [1]


def test_who_only_shows_what_is_remembered_shows_the_same_and_keeps_no_call(world: RestoreWorld) -> None:
    watching = world.witnesses()
    assert watching.show(world.store) == watching.ask(world.store)
    world.charged()
    world.go_on(days=1)
    shown = watching.show(world.store)
    assert watching.journal is not None
    assert (shown.journal, len(watching.journal)) == (0, 0)
    assert shown == watching.ask(world.store)
    assert len(watching.journal) == 1


def test_journal_that_takes_no_lines_stops_money_for_all_to_see_until_it_takes_them_again(world: RestoreWorld) -> None:
    def held() -> str | None:
        found = world.store.read(lambda tx: closed_to(tx, [limits.JOURNAL], world.clock.now()))
        return None if found is None else found[0]

    world.folder.write_text("not a folder")
    world.charged()
    for _ in range(5):
        world.go_on(minutes=4)
        assert str(held()).startswith("journal: the claim journal is not reachable"), "at every moment, or no alert lasts"
    claim = world.claim("tran_1")
    assert (claim.state, claim.attempts, world.double.posts("tran_1")) == ("claimed", 0, 0)
    assert claim.detail.startswith("the claim journal is not reachable")
    world.folder.unlink()
    world.go_on(minutes=3)  # before the alert, which waits for five, calls anybody
    assert (held(), world.double.posts("tran_1")) == (None, 1)


def test_upgraded_installation_goes_on_although_it_armed_calls_before(world: RestoreWorld) -> None:
    before = MoneyWorld(world.store, switches=NASTY)
    before.twice_charged()
    before.settle_down(days=1)
    assert before.state("ord_1") == "refunded"
    world.store.write(lambda tx: tx.connection.execute(delete(epochs)))
    later = world.charged_again(7)
    world.go_on(days=1)
    assert (world.state(f"ord_{later.removeprefix('tran_')}"), stopped(world)) == ("refunded", None)
    before.close()


def test_set_back_database_stops_money_and_nothing_else(world: RestoreWorld) -> None:
    a_restored(world)
    world.happen(world.submitted("job_1", credits=5), world.failed("job_1", code="invalid_image"))
    world.go_on(minutes=10)
    assert "was set back" in str(stopped(world))
    assert world.state("job_1") is not None
    assert world.double.posts("tran_1") == 1
    assert [call.transaction_id for call in world.restorer().check().missing] == ["tran_1"]
    with pytest.raises(Refused, match="recover first"):
        world.restorer().lift(by="ops", reason="in a hurry")


def test_recovered_claim_is_proved_by_reading_and_the_person_is_on_record(world: RestoreWorld) -> None:
    a_restored(world)
    done = world.restorer().recover(by="ops", reason="disk lost")
    assert [item["transaction_id"] for item in done.remembered] == ["tran_1"]
    assert world.claim("tran_1").state == "unknown"
    lifted = world.restorer().lift(by="ops", reason="compared")
    assert (lifted["mark"], lifted["claims_only_read"]) == (2, 0)
    world.go_on(days=1)
    assert (world.state("ord_1"), world.double.posts("tran_1"), world.restorer().check().wrong) == ("refunded", 1, None)
    rows = world.store.read(lambda tx: tx.all(select(actions).order_by(actions.c.id)))
    assert [(row.action, row.by) for row in rows] == [("restore.recover", "ops"), ("restore.lift", "ops")]
    assert world.audit().breaches == []


@ON_SQLITE
def test_call_that_database_and_journal_both_know_is_followed_by_the_next_where_it_was_refused(world: RestoreWorld) -> None:
    world.double.switches = replace(world.double.switches, low_balance=1)
    world.charged()
    world.go_on(days=3)
    assert (world.state("ord_1"), world.claim("tran_1").attempts) == ("refunded", 2)
    told = world.store.read(lambda tx: tx.all(select(case_history.c.event).where(case_history.c.event == "payment.unknown")))
    assert told == [], "nothing of it was ever in doubt"


@ON_SQLITE
def test_what_is_lifted_is_the_stop_for_a_restore_and_no_other(world: RestoreWorld) -> None:
    a_restored(world)
    world.restorer().recover(by="ops", reason="disk lost")
    now = world.clock.now()
    world.store.write(lambda tx: limits.stop(tx, by="ada", reason="to be sure", now=now))
    world.store.write(lambda tx: limits.open_until(tx, limits.KEY, now + timedelta(hours=1), "the key is refused"))
    world.restorer().lift(by="ops", reason="compared")
    assert stopped(world) is None
    stands = world.store.read(lambda tx: [closed_to(tx, [name], now) for name in (limits.MONEY, limits.KEY)])
    assert [found and found[0] for found in stands] == ["money: stopped by ada: to be sure", "creem_key: the key is refused"]


@ON_SQLITE
def test_lifted_database_that_is_set_back_again_stops_again(world: RestoreWorld) -> None:
    a_restored(world)
    world.restorer().recover(by="ops", reason="disk lost")
    world.restorer().lift(by="ops", reason="compared")
    world.set_back(BEFORE_THE_TURN)
    world.go_on(minutes=10)
    assert "was set back" in str(stopped(world))
    assert world.double.posts("tran_1") == 1


def test_call_that_was_under_way_when_the_database_stood_there_is_read_under_the_number_of_the_last(world: RestoreWorld) -> None:
    """The first was refused for want of balance and a second made: the backup knows neither."""
    world.double.switches = replace(NASTY, low_balance=1)

    class Films(PassesOn):
        def refund(self, armed: Armed) -> Answer:
            world.film.add()
            return super().refund(armed)

    world.creem = Films(world.creem)
    world.charged()
    under_way = len(world.film.frames)
    world.go_on(days=2)
    assert (world.state("ord_1"), world.claim("tran_1").attempts) == ("refunded", 2)
    world.set_back(under_way)
    assert (world.claim("tran_1").state, world.claim("tran_1").attempts) == ("sending", 1)
    done = world.restorer().recover(by="ops", reason="the disk was lost")
    assert [one["done"] for one in done.remembered] == ["unknown: the journal knows a call that the database does not"]
    assert (world.claim("tran_1").state, world.claim("tran_1").attempts) == ("unknown", 2)
    world.restorer().lift(by="ops", reason="compared")
    world.go_on(days=1)
    assert (world.state("ord_1"), world.refunds_moved(), world.double.posts("tran_1")) == ("refunded", 1, 2)
    assert world.audit().breaches == []


def test_stop_is_not_lifted_while_redis_cannot_be_told(world: RestoreWorld) -> None:
    a_restored(world)
    world.restorer().recover(by="ops", reason="the disk was lost")
    without = replace(world.restorer(), witnesses=Witnesses(Journal(world.folder), nowhere()))
    with pytest.raises(Refused, match="Redis cannot be told: "):
        without.lift(by="ops", reason="compared")
    assert stopped(world) is not None
    world.restorer().lift(by="ops", reason="compared")
    assert stopped(world) is None


def test_lift_of_which_redis_could_not_be_told_in_the_end_stands_beside_a_journal(
    world: RestoreWorld, redis: redis_py.Redis, redis_server: str
) -> None:
    a_restored(world)
    world.restorer().recover(by="ops", reason="the disk was lost")
    with a_user(redis, redis_server, "zadd") as url, open_stream_client(url) as mute:
        lifted = replace(world.restorer(), witnesses=Witnesses(Journal(world.folder), mute)).lift(by="ops", reason="compared")
    assert lifted["lifted"]
    assert world.restorer().check().wrong is None
    world.go_on(days=1)
    assert (world.state("ord_1"), world.double.posts("tran_1")) == ("refunded", 1)


@ON_SQLITE
def test_lift_is_refused_where_nothing_is_stopped(world: RestoreWorld) -> None:
    with pytest.raises(Refused, match="nothing to lift"):
        world.restorer().lift(by="ops", reason="to be sure")


def test_claim_that_our_facts_no_longer_lead_to_is_made_again(world: RestoreWorld) -> None:
    """As after a person's approval that was lost: here the history that comes back lacks the earlier charge."""
    world.charged()
    world.go_on(days=1)
    world.set_back(BEFORE_ALL)
    left = world.restorer().recover(by="ops", reason="disk lost").left
    assert [item["purchase_id"] for item in left] == ["ord_1"]
    world.import_again(1)
    assert world.restorer().recover(by="ops", reason="history is back").left == []
    world.restorer().lift(by="ops", reason="compared")
    world.go_on(days=1)
    found = world.case("ord_1")
    assert found is not None
    assert (found["state"], found["decision"]["rule"], world.double.posts("tran_1")) == ("refunded", "decided_by_person", 1)
    assert "the claim journal says" in found["decision"]["reason"]
    assert world.audit().breaches == []


def test_claim_closed_since_as_somebody_elses_is_ours_again(world: RestoreWorld) -> None:
    """Nobody noticed the restore, and the worker found the charge refunded: only the journal knows by whom."""
    world.charged()
    world.go_on(days=1)
    world.set_back(BEFORE_THE_TURN)
    replace(world.payer(), witnesses=Witnesses(), watch=None).pay()
    assert world.state("ord_1") == "external"
    world.restorer().recover(by="ops", reason="disk lost")
    world.restorer().lift(by="ops", reason="compared")
    world.go_on(days=1)
    assert (world.state("ord_1"), world.double.posts("tran_1")) == ("refunded", 1)
    assert world.audit().breaches == []


class DyingJournal(Journal):
    """The process dies when the line is on disk and before its commit."""

    def add(self, mark: int, at: datetime, call: Call | None = None) -> None:
        super().add(mark, at, call)
        if call is not None:
            raise Crash("after the journal, before the commit")


def test_line_without_its_call_counts_as_unknown_and_holds_up_nobody_else(world: RestoreWorld) -> None:
    world.charged()
    dying = replace(world.payer(), witnesses=Witnesses(DyingJournal(world.folder), world.marks))
    with pytest.raises(Crash):
        dying.pay()
    assert world.claim("tran_1").state == "claimed"
    other = world.charged_again(1)
    world.go_on(hours=8)
    world.sweep()
    assert (world.double.posts("tran_1"), world.state("ord_1")) == (0, "review")
    assert (world.double.posts(other), world.state("ord_r1_1"), stopped(world)) == (1, "refunded", None)
    assert world.restorer().check().wrong is None
    assert world.audit().breaches == []


@ON_SQLITE
def test_journal_that_cannot_be_written_lets_nothing_leave(world: RestoreWorld) -> None:
    world.charged()
    (world.folder.parent / "full").write_text("")
    full = Witnesses(Journal(world.folder.parent / "full"), world.marks)
    [said] = replace(world.payer(), witnesses=full).pay()
    assert said.startswith("later: the claim journal is not reachable")
    assert (world.double.posts("tran_1"), world.claim("tran_1").state) == (0, "claimed")
    world.go_on(days=1)
    assert world.state("ord_1") == "refunded"


class FullDisk(Journal):
    """A journal that can be read, and takes no line."""

    def add(self, mark: int, at: datetime, call: Call | None = None) -> None:
        raise TryLater("the claim journal", "no space left on device")


@ON_SQLITE
@pytest.mark.parametrize("redis", [True, False], ids=["with_redis", "alone"])
def test_journal_whose_disk_was_full_for_an_hour_stops_no_money_afterwards(world: RestoreWorld, redis: bool) -> None:
    """Once the mark rose unseen until it seemed that all witnesses were set back: money waited for a person."""
    world.charged()
    world.go_on(days=1)
    full = Witnesses(FullDisk(world.folder), world.marks if redis else None)
    for _ in range(6):
        world.clock.pass_(minutes=11)
        Watch(world.store, full, world.clock).look()
    world.charged_again(1)
    world.go_on(days=1)
    assert (stopped(world), world.state("ord_r1_1"), world.restorer().check().wrong) == (None, "refunded", None)


class SlowJournal(Journal):
    """A journal after whose reading the process stands still while others work, once."""

    def __init__(self, folder: Path, meanwhile: Callable[[], object]) -> None:
        super().__init__(folder)
        self.meanwhile: Callable[[], object] | None = meanwhile

    def look(self) -> None:
        super().look()
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


def test_calls_that_others_arm_after_the_witnesses_were_asked_are_no_restore(world: RestoreWorld) -> None:
    """Once that stopped all money until a person lifted it: the database stood two calls higher than was remembered before."""
    world.charged()
    world.go_on(days=1)
    later = [world.charged_again(n) for n in (1, 2, 3)]
    slow = Witnesses(SlowJournal(world.folder, world.payer().pay), world.marks)
    Watch(world.store, slow, world.clock).look()
    assert ([world.double.posts(one) for one in later], stopped(world)) == ([1, 1, 1], None)


@ON_SQLITE
def test_database_that_is_set_back_after_the_witnesses_were_asked_stops_money(world: RestoreWorld) -> None:
    world.charged()
    world.go_on(days=1)
    slow = Witnesses(SlowJournal(world.folder, lambda: world.set_back(BEFORE_THE_TURN)), world.marks)
    Watch(world.store, slow, world.clock).look()
    assert "was set back" in str(stopped(world))


@ON_SQLITE
@pytest.mark.parametrize("lost", ["redis", "journal"])
def test_one_witness_is_enough(world: RestoreWorld, lost: str) -> None:
    world.charged()
    world.go_on(days=1)
    if lost == "redis":
        world.marks.flushall()
    else:
        shutil.rmtree(world.folder)
    world.charged_again(1)
    world.go_on(days=1)
    found = world.restorer().check()
    assert (world.state("ord_r1_1"), found.wrong, found.remembered.redis, found.remembered.journal) == ("refunded", None, 2, 1)


@ON_SQLITE
def test_redis_away_is_no_reason_to_wait_beside_a_journal(world: RestoreWorld) -> None:
    world.charged()
    replace(world.payer(), witnesses=Witnesses(Journal(world.folder), nowhere()), watch=None).pay()
    world.go_on(days=1)
    assert (world.double.posts("tran_1"), world.state("ord_1")) == (1, "refunded")


@ON_SQLITE
def test_without_a_journal_money_waits_for_redis(world: RestoreWorld) -> None:
    world.charged()
    world.go_on(days=1)
    world.charged_again(1)
    (told,) = replace(world.payer(), witnesses=Witnesses(None, nowhere()), watch=None).pay()
    assert "no witness can be asked" in told
    assert world.double.posts("tran_r1_1") == 0


def test_without_a_journal_nothing_leaves_where_redis_cannot_be_told(
    world: RestoreWorld, redis: redis_py.Redis, redis_server: str
) -> None:
    """It could be asked a moment before. Were the database lost now, nobody would remember the call."""
    world.charged()
    with a_user(redis, redis_server, "zadd") as url, open_stream_client(url) as mute:
        (told,) = replace(world.payer(), witnesses=Witnesses(None, mute), watch=None).pay()
    assert told == "not_sent tran_1"
    claim = world.claim("tran_1")
    assert (claim.state, claim.next_step, claim.attempts, world.double.posts("tran_1")) == ("claimed", "send", 1, 0)
    assert "no witness could be told" in claim.detail


@ON_SQLITE
def test_check_without_anybody_to_ask_says_so_and_is_not_well(world: RestoreWorld) -> None:
    """The database was set back, and Redis alone could tell: once that was "knows what its witnesses remember"."""
    world.charged()
    world.go_on(days=1)
    raised = update(epochs).values(mark=5)
    world.store.write(lambda tx: tx.connection.execute(raised).rowcount)
    world.marks.zadd("refunds:epoch", {MEMBER: 8})
    here, away = (replace(world.restorer(), witnesses=Witnesses(None, redis)) for redis in (world.marks, nowhere()))
    assert "was set back" in str(here.check().wrong)
    assert "no witness can be asked" in str(away.check().wrong)
    assert not away.check().document()["ok"]
    assert not away.recover(by="ops", reason="disk lost").document()["ok"]
    assert stopped(world) is None, "nobody said anything against it either"


@ON_SQLITE
def test_check_beside_a_journal_that_vouches_needs_no_redis(world: RestoreWorld) -> None:
    world.charged()
    world.go_on(days=1)
    beside = replace(world.restorer(), witnesses=Witnesses(Journal(world.folder), nowhere()))
    assert beside.check().wrong is None
    assert beside.recover(by="ops", reason="to be sure").ok


def test_both_witnesses_lost_stop_money_until_a_person_lifts_it_and_a_day_longer(world: RestoreWorld) -> None:
    world.charged()
    world.go_on(days=1)
    world.charged_again(1)  # claimed, its turn not yet come
    world.marks.flushall()
    shutil.rmtree(world.folder)
    world.go_on(minutes=10)
    assert "no witness remembers it" in str(stopped(world))
    world.charged_again(2)  # claimed after the stop: it came out of no backup
    world.go_on(hours=1)
    lifted = world.restorer().lift(by="ops", reason="Redis was emptied by hand, the database is whole")
    assert lifted["claims_only_read"] == 1
    assert world.restorer().check().wrong is None
    world.go_on(hours=23)
    assert (world.double.posts("tran_r1_1"), world.double.posts("tran_r2_1")) == (0, 0)
    world.go_on(days=2)
    assert (world.double.posts("tran_r1_1"), world.double.posts("tran_r2_1")) == (0, 1)
    assert (world.state("ord_r1_1"), world.state("ord_r2_1")) == ("review", "refunded")
    assert (stopped(world), world.audit().breaches) == (None, [])


@ON_SQLITE
def test_clone_of_the_database_with_witnesses_of_its_own_sends_nothing(world: RestoreWorld, tmp_path: Path) -> None:
    world.charged()
    world.go_on(days=1)
    world.charged_again(1)  # claimed in both from here on
    staging = Witnesses(Journal(tmp_path / "staging"), fakeredis.FakeRedis())
    (told,) = replace(world.payer(), witnesses=staging, watch=None).pay()
    assert "no witness remembers it" in told
    assert world.double.posts("tran_r1_1") == 0


@ON_SQLITE
def test_without_a_journal_redis_alone_stops_money(world: RestoreWorld) -> None:
    world.charged()
    world.go_on(days=1)
    world.set_back(BEFORE_THE_TURN)
    alone = Witnesses(None, world.marks)
    (told,) = replace(world.payer(), witnesses=alone, watch=None).pay()
    assert "Redis remembers 1" in told
    assert world.double.posts("tran_1") == 1


def test_mark_rises_now_and_then_without_any_call_and_a_restore_of_that_is_seen(world: RestoreWorld) -> None:
    world.charged()
    world.go_on(days=1)
    world.film.add()
    world.clock.pass_(minutes=11)
    world.pay()
    assert (world.restorer().check().mark, world.mark()) == (2, 2.0)
    world.set_back(-1)
    world.pay()
    assert "remembers 2" in str(stopped(world))


@ON_SQLITE
def test_lower_mark_never_replaces_a_higher_one(world: RestoreWorld) -> None:
    seen = world.witnesses()
    for mark in (5, 3):
        assert seen.tell(mark) is None
    assert seen.ask(world.store).redis == 5


@pytest.mark.parametrize(
    ("mark", "remembered", "said"),
    [
        (0, {}, None),
        (1, {}, "no witness remembers it"),
        (5, {"redis": 5}, None),
        (5, {"redis": 4}, None),
        (5, {"redis": 3}, "no more than 3"),
        (5, {"redis": 3, "journal": 4}, None),
        (5, {"redis": 6, "journal": 4}, "Redis remembers 6"),
        (5, {"redis": 5, "journal": 6}, "the claim journal remembers 6"),
        (0, {"redis": 1}, "was set back"),
        (5, {"redis_away": "refused"}, None),
    ],
)
def test_database_is_behind_when_it_knows_less_or_nobody_vouches_for_it(
    mark: int, remembered: dict[str, Any], said: str | None
) -> None:
    found = epoch.behind(mark, epoch.Remembered(mark, **remembered))
    assert (found is None) if said is None else (said in str(found))

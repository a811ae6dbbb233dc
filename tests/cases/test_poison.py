"""What one bad event, one bad case or one absent service costs the others: nothing."""

import json
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Row, event, func, select, update

from policy.lifecycle import CaseState
from tests.cases.world import World, a_purchase, an_account, moves
from tests.doors import Doors, DoorStore
from tests.faults import Crash, death
from tests.logs import heard
from worker.cases.assess.assess import Assessed
from worker.cases.assess.assessor import OWN_HINT
from worker.cases.assess.imports import Importer
from worker.cases.assess.waker import Waker
from worker.cases.book.known import no_account, what_is_known
from worker.clock import moment, written
from worker.credits.ledger import JobCredits, Ledger
from worker.errors import Refused, TryLater
from worker.intake.entry import Entry
from worker.intake.records import read_record
from worker.reruns import Answer
from worker.store import effects
from worker.store import inbox as inbox_rows
from worker.store.bulk import Tx
from worker.store.effects import EffectKind
from worker.store.engine import Store
from worker.store.history import line
from worker.store.tables import case_history, cases, inbox


class Allergic(Ledger):
    """A ledger that cannot bear one job."""

    def booked(self, rows: Iterable[Row[Any]]) -> dict[str, JobCredits]:
        found = super().booked(rows)
        if "poison" in found:
            raise ZeroDivisionError("the ledger stumbles over poison")
        return found


class Deadly(Ledger):
    """A ledger that ends the process over one job."""

    def booked(self, rows: Iterable[Row[Any]]) -> dict[str, JobCredits]:
        found = super().booked(rows)
        if "poison" in found:
            raise Crash
        return found


@pytest.fixture
def world(store: Store) -> World:
    """Three jobs, submitted while all was well; from then on the ledger is allergic."""
    before = World(store)
    before.load(an_account(), a_purchase())
    before.happen(*(before.submitted(name) for name in ("job_1", "poison", "job_2")))
    return World(store, ledger=Allergic(), clock=before.clock)


def healthy(world: World) -> World:
    """The same installation with a ledger that bears everything."""
    return World(world.store, clock=world.clock)


def exhaust(world: World) -> None:
    for _ in range(8):
        world.clock.pass_(minutes=1)
        world.sweep()


def test_poisonous_event_spoils_only_itself_at_every_place_in_the_batch(world: World) -> None:
    world.happen(world.failed("job_1"), world.failed("poison"), world.failed("job_2"))
    assert [world.state(name) for name in ("job_1", "poison", "job_2")] == ["refunded", None, "refunded"]
    assert world.dead() == []
    exhaust(world)
    assert world.dead() == [("keeps_failing", "open")]
    assert world.state("poison") is None


def test_failure_of_an_event_is_said_of_its_own_job(world: World) -> None:
    with heard() as said:
        world.happen(world.failed("job_1"), world.failed("poison"), world.failed("job_2"))
    told = [json.loads(line) for line in said.getvalue().splitlines()]
    assert [line["job_id"] for line in told if line["event"] == "event.failed"] == ["poison"]


def test_one_poisonous_event_among_hundreds_costs_itself(world: World) -> None:
    names = [f"many_{n}" for n in range(200)]
    steady = healthy(world)
    steady.load(an_account("acc_many"), a_purchase("ord_many", "acc_many", credits=1000))
    steady.happen(*(steady.submitted(name, "acc_many", credits=1) for name in names))
    told = [world.failed(name, "acc_many") for name in names]
    world.happen(*told[:120], world.failed("poison"), *told[120:])
    ends = {name: world.state(name) for name in names}
    assert set(ends.values()) <= {"refunded", "review"}, "each was decided, at once"
    assert world.state("poison") is None
    exhaust(world)
    assert world.dead() == [("keeps_failing", "open")]


def test_event_that_kills_its_worker_is_set_aside_after_five_beginnings(world: World) -> None:
    world.arrive(world.failed("job_1"))
    for _ in range(5):
        # claimed, and then the process dies before the work ends
        now = world.clock.now()
        world.store.write(lambda tx, now=now: inbox_rows.claim(tx, ids=[], limit=9, now=now, lease=world.assessor.lease))  # type: ignore[misc]
        world.clock.pass_(minutes=1)
    world.sweep()
    assert world.dead() == [("kills_its_worker", "open")]


@pytest.mark.parametrize("at", range(3))
def test_event_that_ends_its_process_costs_none_of_its_batch_more_than_time(world: World, at: int) -> None:
    deadly = World(world.store, ledger=Deadly(), clock=world.clock)
    names = ["job_1", "job_2"]
    names.insert(at, "poison")
    deadly.arrive(*(deadly.failed(name) for name in names))
    for _ in range(12):
        with suppress(Crash):
            deadly.sweep()
        deadly.clock.pass_(minutes=1)
    assert (deadly.state("job_1"), deadly.state("job_2")) == ("refunded", "refunded")
    assert deadly.dead() == [("kills_its_worker", "open")]


def test_dead_letter_put_back_is_handled_like_any_other(world: World) -> None:
    world.happen(world.failed("poison"))
    exhaust(world)
    [letter], _ = world.letters.listing(state="open", limit=10, after=None)
    world.letters.requeue(letter["dead_id"], by="tester", reason="the ledger was mended")
    exhaust(world)
    assert world.dead() == [("keeps_failing", "open")], "while the fault stands it comes back, and does not loop"
    world.letters.requeue(letter["dead_id"], by="tester", reason="now really")
    mended = healthy(world)
    mended.happen()
    assert mended.state("poison") == "refunded"
    assert mended.letters.one(letter["dead_id"])["requeues"] == 2
    assert mended.dead() == [("keeps_failing", "requeued")]


def test_dead_letter_is_put_back_without_the_others(world: World) -> None:
    world.happen(world.failed("poison"), world.failed("poison", attempt=2))
    exhaust(world)
    letters, _ = world.letters.listing(state="open", limit=10, after=None)
    assert len(letters) == 2
    for letter, left in zip(letters, (["open", "requeued"], ["requeued", "requeued"]), strict=True):
        world.letters.requeue(letter["dead_id"], by="tester", reason="the ledger was mended")
        assert sorted(state for _, state in world.dead()) == left
        waiting = select(func.count()).where(inbox.c.state == "new")
        assert world.store.read(lambda tx: tx.value(waiting)) == left.count("requeued")  # noqa: B023 - read at once


def test_letter_of_an_event_that_is_not_dead_any_more_stays_open_for_nothing_is_put_back(world: World) -> None:
    """Once it was called requeued, and its event was never handled again."""
    world.happen(world.failed("poison"))
    exhaust(world)
    [letter], _ = world.letters.listing(state="open", limit=10, after=None)
    name = letter["dead_id"]
    world.store.write(lambda tx: tx.connection.execute(update(inbox).values(state="handled")).rowcount)
    assert world.letters.plan(name)["would_be"] == "open"
    with pytest.raises(Refused, match="is not dead any more"):
        world.letters.requeue(name, by="tester", reason="the ledger was mended")
    assert (world.dead(), world.letters.one(name)["requeues"]) == ([("keeps_failing", "open")], 0)


class Away(Ledger):
    """A ledger whose database has just gone away."""

    def booked(self, rows: Iterable[Row[Any]]) -> dict[str, JobCredits]:
        raise TryLater("the database", "connection reset")


def test_database_that_goes_away_in_the_middle_is_not_held_against_the_events(world: World) -> None:
    away = World(world.store, ledger=Away(), clock=world.clock)
    away.arrive(away.failed("job_1"), away.failed("job_2"))
    for _ in range(9):
        with pytest.raises(TryLater):
            away.assessor.assess()
    back = healthy(world)
    back.sweep()
    assert [back.state(name) for name in ("job_1", "job_2")] == ["refunded", "refunded"]
    assert back.dead() == []


def test_unreadable_letter_is_refused_at_requeue_and_can_be_put_aside(world: World) -> None:
    world.arrive(b"\xff not json")
    [letter], _ = world.letters.listing(state="open", limit=10, after=None)
    assert letter["reason"] == "not_utf8"
    assert world.letters.raw(letter["dead_id"]) == b"\xff not json"
    with pytest.raises(Refused, match="still cannot be read"):
        world.letters.requeue(letter["dead_id"], by="tester", reason="hope")
    world.letters.discard(letter["dead_id"], by="tester", reason="noise")
    with pytest.raises(Refused, match="already discarded by tester: noise"):
        world.letters.discard(letter["dead_id"], by="tester", reason="again")
    assert world.letters.raw(letter["dead_id"]) == b"\xff not json"


def test_oversized_documents_are_kept_whole_at_no_more_than_three_times_their_size(world: World) -> None:
    raws = [letter * 4 * 2**20 for letter in (b"x", b"\x00", b"\xff")]
    entries = [Entry(f"{n}-0", raw, {b"event": raw}) for n, raw in enumerate(raws)]
    world.store.read(lambda tx: None)
    with traced() as peak:
        world.desk.accept([*entries, *entries])
        found, _ = world.letters.listing(state="open", limit=10, after=None)
        assert peak() < 3 * len(raws[0])
    found.sort(key=lambda item: str(item["origin"]))
    assert [(item["origin"], item["reason"], item["bytes"]) for item in found] == [
        (f"stream:{n}-0", "too_large", len(raw)) for n, raw in enumerate(raws)
    ]
    assert [world.letters.raw(item["dead_id"]) for item in found] == raws


@contextmanager
def traced() -> Iterator[Callable[[], int]]:
    """The most bytes that were held at once so far."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_plan_says_what_becomes_of_a_letter_and_leaves_it_open(world: World) -> None:
    known = world.submitted("job_9")
    world.arrive(b"\xff not json", known)
    [letter], _ = world.letters.listing(state="open", limit=10, after=None)
    plan = world.letters.plan(letter["dead_id"])
    assert (plan["reason"], plan["would_be"]) == ("not_utf8", "open")
    assert "still cannot be read" in plan["next"]
    assert world.letters.plan_discard(letter["dead_id"])["would_be"] == "discarded"
    readable = inbox_rows.new_letter(
        key="stream:7-8", reason="wrong_version", detail="-", raw=world.failed("job_9").encode(),
        received_at=world.clock.now(), now=world.clock.now(),
    )  # fmt: skip
    again = {**readable, "dead_id": f"{readable['dead_id']}2", "key": "stream:7-9", "raw": known.encode()}
    world.store.write(lambda tx: inbox_rows.bury(tx, [readable, again]))
    assert world.letters.plan("stream:7-8")["would_be"] == "requeued"
    assert "already known" in world.letters.plan("stream:7-9")["next"]
    assert len(world.dead()) == 3
    world.letters.discard("stream:7-9", by="tester", reason="twice")
    for plan_of in (world.letters.plan, world.letters.plan_discard):
        with pytest.raises(Refused, match="already discarded by tester: twice"):
            plan_of("stream:7-9")


def test_plans_of_letters_with_one_event_say_what_putting_them_back_does(world: World) -> None:
    now = world.clock.now()
    raws = [world.failed("job_1").encode(), world.failed("job_1").encode(), b"{", world.failed("job_2").encode()]
    letters = [
        inbox_rows.new_letter(key=f"stream:{n}-0", reason="wrong_version", detail="-", raw=raw, received_at=now, now=now)
        for n, raw in enumerate(raws)
    ]
    world.store.write(lambda tx: inbox_rows.bury(tx, letters))
    names = [letter["dead_id"] for letter in letters]
    planned = [(plan["would_be"], plan["next"]) for plan in world.letters.plans(names)]
    assert planned[0][0] == "requeued"
    assert "an event with this identity is already known" in planned[1][1]
    done = []
    for name in names:
        try:
            done.append(("requeued", world.letters.requeue(name, by="tester", reason="readable now")))
        except Refused as refusal:
            done.append(("open", str(refusal)))
    assert planned == done


def test_redelivered_malformed_entry_makes_one_letter(world: World) -> None:
    from worker.intake.entry import Entry

    entry = Entry("7-7", b"{", {b"event": b"{"})
    world.desk.accept([entry])
    world.desk.accept([entry, Entry("8-8", None, {b"other": b"x"})])
    assert sorted(world.dead()) == [("missing_field", "open"), ("not_json", "open")]


def test_case_that_cannot_be_judged_never_stops_the_others_and_ends_with_a_person(world: World) -> None:
    before = healthy(world)
    before.happen(*(before.failed(name, code="job_timeout") for name in ("job_1", "poison", "job_2")))
    world.clock.pass_(minutes=61)
    exhaust(world)
    assert [world.state(name) for name in ("job_1", "job_2")] == ["refunded", "refunded"]
    case = world.case("poison")
    assert case is not None
    assert (case["state"], case["owner"]) == ("review", "person")
    assert "ZeroDivisionError" in case["reason"]


@pytest.mark.parametrize("by_hand", [{"subject": "job_9"}, {"job_id": "job_9"}, {"kind": "dispute"}], ids=str)
def test_case_that_is_due_and_moved_by_nothing_ends_with_a_person(store: Store, by_hand: dict[str, str]) -> None:
    """As after a row was changed by hand: it stayed due, in every sweep it took the place of another, and nobody was told."""
    world = World(store, batch=1)
    world.load(an_account(), a_purchase())
    world.happen(*(world.submitted(name) for name in ("job_1", "job_2")))
    world.happen(world.failed("job_1", code="job_timeout"))
    world.clock.pass_(minutes=1)
    world.happen(world.failed("job_2", code="job_timeout"))
    damaged = world.case("job_1")
    assert damaged is not None
    changed = update(cases).where(cases.c.case_id == damaged["case_id"]).values(by_hand)
    store.write(lambda tx: tx.connection.execute(changed))
    world.clock.pass_(minutes=61)
    for _ in range(8):
        world.sweeper.sweep()
        world.clock.pass_(seconds=30)
    found = world.case(damaged["case_id"])
    assert found is not None
    assert (world.state("job_2"), found["state"], found["owner"]) == ("refunded", "review", "person")
    assert found["reason"].startswith("the worker could not judge it: its time came, and nothing in the books moves it")


def test_case_that_is_set_aside_takes_none_along_that_stands_as_it_does(world: World) -> None:
    steady = healthy(world)
    steady.happen(steady.failed("poison", code="job_timeout"))
    world.clock.pass_(minutes=50)
    steady.happen(steady.failed("job_1", code="job_timeout"))
    assert steady.state("poison") == steady.state("job_1")
    beside = steady.case("job_1")
    world.clock.pass_(minutes=11)
    for _ in range(40):
        world.sweeper.sweep()
        world.clock.pass_(seconds=1)
    assert (world.state("poison"), world.case("job_1")) == ("review", beside)


def test_case_that_cannot_be_judged_is_tried_after_growing_waits_and_then_once_a_day(world: World) -> None:
    healthy(world).happen(world.failed("poison", code="job_timeout"))
    world.clock.pass_(minutes=61)
    for _ in range(40):
        world.sweeper.sweep()
        world.clock.pass_(seconds=1)
    case = world.case("poison")
    assert case is not None
    at = [datetime.fromisoformat(entry["at"]) for entry in case["history"] if entry["event"] == "case.stuck"]
    assert [(later - earlier).total_seconds() for earlier, later in pairwise(at)] == [2, 4, 8, 16]
    for hours, times in ((23, 5), (2, 6)):
        world.clock.pass_(hours=hours)
        world.sweeper.sweep()
        assert moves(world.case("poison")).count("case.stuck") == times


def test_case_that_could_not_be_judged_for_a_year_is_tried_on_and_costs_the_others_nothing(world: World) -> None:
    steady = healthy(world)
    steady.happen(steady.failed("poison", code="job_timeout"))
    world.clock.pass_(minutes=61)
    exhaust(world)
    tried = moves(world.case("poison")).count("case.stuck")
    a_year_of_tries = update(cases).where(cases.c.subject == "poison").values(stuck=366)
    world.store.write(lambda tx: tx.connection.execute(a_year_of_tries))
    for day in range(1, 4):
        name = f"day_{day}"
        steady.happen(steady.submitted(name), steady.failed(name, code="job_timeout"))
        world.clock.pass_(days=1, minutes=1)
        world.sweep()
        assert world.state(name) == "refunded"
        assert moves(world.case("poison")).count("case.stuck") == tried + day


def test_case_that_cannot_even_be_set_aside_costs_the_others_nothing(world: World) -> None:
    healthy(world).happen(*(world.failed(name, code="job_timeout") for name in ("job_1", "poison", "job_2")))
    world.clock.pass_(minutes=61)

    def stumble(*told: Any) -> None:
        if told[2].startswith("SELECT cases.state, cases.stuck"):
            raise ZeroDivisionError("setting aside stumbles too")

    event.listen(world.store.engine, "before_cursor_execute", stumble)
    world.sweep()
    event.remove(world.store.engine, "before_cursor_execute", stumble)
    assert [world.state(name) for name in ("job_1", "poison", "job_2")] == ["refunded", "rerunning", "refunded"]
    world.sweep()
    assert moves(world.case("poison")).count("case.stuck") == 1, "it stayed due"


def fall_due(world: World, *names: str) -> World:
    """Cases that time out at once, before a ledger that ends its process over one of them."""
    healthy(world).happen(*(world.failed(name, code="job_timeout") for name in names))
    world.clock.pass_(minutes=61)
    return World(world.store, ledger=Deadly(), clock=world.clock)


@pytest.mark.parametrize("at", range(3))
def test_case_that_ends_its_process_costs_those_due_with_it_none_but_time(world: World, at: int) -> None:
    names = ["job_1", "job_2"]
    names.insert(at, "poison")
    deadly = fall_due(world, *names)
    deaths = 0
    for _ in range(12):
        try:
            deadly.sweep()
        except Crash:
            deaths += 1
        deadly.clock.pass_(minutes=1)
    assert (deadly.state("job_1"), deadly.state("job_2")) == ("refunded", "refunded")
    assert (deadly.state("poison"), deaths) == ("review", 5)
    told = deadly.case("poison")
    assert told
    assert "its process ended in 5 attempts" in told["reason"]
    assert moves(told).count("case.stuck") == 1
    deadly.clock.pass_(days=2)
    deadly.sweep()
    assert deadly.state("poison") == "review", "nobody dies over it again by himself"
    healthy(world).requeuer.requeue("poison", by="tester", reason="the ledger was mended")
    healthy(world).sweep()
    assert world.state("poison") == "refunded"


def test_case_that_two_sweeps_found_at_the_same_moment_is_set_aside_once(world: World) -> None:
    deadly = fall_due(world, "poison")
    for _ in range(5):
        with pytest.raises(Crash):
            deadly.sweep()
        deadly.clock.pass_(minutes=2)
    case = deadly.case("poison")
    assert case
    for _ in range(2):
        Waker(world.store, deadly.assessor, deadly.clock).wake({case["case_id"]: 5}, Assessed())
    told = deadly.case("poison")
    assert told
    assert (told["state"], moves(told).count("case.stuck")) == ("review", 1)


def test_database_that_goes_away_is_not_held_against_the_cases_that_are_due(world: World) -> None:
    fall_due(world, "job_1", "job_2")
    away = World(world.store, ledger=Away(), clock=world.clock)
    for _ in range(9):
        with pytest.raises(TryLater):
            away.sweep()
    back = healthy(world)
    back.sweep()
    assert [back.state(name) for name in ("job_1", "job_2")] == ["refunded", "refunded"]


def test_requeue_rehearses_first_and_never_repeats_an_effect(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    plan = world.requeuer.plan("job_1")
    assert plan.nothing
    assert (plan.document()["job_id"], plan.document()["order_id"]) == ("job_1", None)
    assert world.requeuer.requeue("job_1", by="tester", reason="to be sure").nothing
    world.sweep()
    assert world.credits() == 100
    assert "case.requeued" not in [row["event"] for row in world.case("job_1")["history"]]  # type: ignore[index]


def test_requeue_plan_changes_nothing_and_its_real_run_does_what_it_said(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    world.clock.pass_(minutes=61)  # past the re-run's deadline, and no sweep has come by
    plan = world.requeuer.plan("job_1")
    assert (plan.state, plan.would_be, plan.credits) == ("rerunning", "refunded", 5)
    assert world.state("job_1") == "rerunning"
    assert world.credits() == 95
    world.requeuer.requeue("job_1", by="tester", reason="customer on the phone")
    world.sweep()
    assert world.state("job_1") == "refunded"
    row = next(row for row in world.case("job_1")["history"] if row["event"] == "case.requeued")  # type: ignore[index]
    assert (row["by"], row["detail"]) == ("tester", {"reason": "customer on the phone"})


def test_requeue_of_a_case_that_goes_on_waiting_for_its_rerun_costs_one_look(store: Store) -> None:
    """It stood due until the re-run's deadline: every sweep looked at it, and as many as a batch has kept all others waiting."""
    world = World(store)
    world.load(an_account(), a_purchase())
    world.pipeline.answer = lambda order: Answer.NOT_HEARD
    world.happen(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    before = world.case("job_1")
    world.clock.pass_(minutes=1)
    world.requeuer.requeue("job_1", by="tester", reason="the pipeline is back")
    # raises where it never comes to rest
    world.sweep()
    after = world.case("job_1")
    assert before
    assert after
    assert (after["state"], after["next_action_at"]) == ("rerunning", before["next_action_at"])


def test_requeue_brings_nothing_forward_but_its_own_case(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase())
    world.pipeline.answer = lambda order: Answer.NOT_HEARD
    for name in ("job_1", "job_2"):
        world.happen(world.submitted(name), world.failed(name, code="job_timeout"))
    asked = [order.job_id for order in world.pipeline.orders]
    world.requeuer.requeue("job_1", by="tester", reason="the pipeline is back")
    world.pipeline.answer = lambda order: Answer.ACCEPTED
    world.sweep()
    assert [order.job_id for order in world.pipeline.orders] == [*asked, "job_1"]


def test_requeue_takes_no_effect_out_of_the_hands_of_who_does_it(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"))
    world.arrive(world.failed("job_1", code="job_timeout"))
    world.assessor.assess()

    def claim(tx: Tx) -> list[str]:
        now, lease = world.clock.now(), world.assessor.lease
        return [effect.key for effect in effects.claim(tx, EffectKind.RERUN, keys=[], limit=9, now=now, lease=lease)]

    assert store.write(claim) == ["rerun:job_1"]
    assert world.requeuer.requeue("job_1", by="tester", reason="does it hang?").effects == ("rerun (rerun:job_1)",)
    assert store.write(claim) == []
    world.clock.pass_(minutes=1)
    assert store.write(claim) == ["rerun:job_1"], "whoever had it is dead by now"


@pytest.mark.parametrize("dies_at", range(6), ids=lambda point: f"point {point}")
def test_requeue_of_many_killed_in_the_middle_is_repeated_without_harm(store: Store, dies_at: int) -> None:
    world = World(store)
    world.load(an_account(), a_purchase())
    for name in ("job_1", "job_2", "job_3"):
        world.happen(world.submitted(name), world.failed(name, code="job_timeout"))
    world.clock.pass_(minutes=61)
    doors = Doors(frozenset({death(dies_at)}))
    mortal = DoorStore(store, doors)
    names, _ = world.requeuer.matching(state=CaseState.RERUNNING, limit=10)
    dying = replace(world.requeuer, store=mortal)
    assert doors.process(lambda: [dying.requeue(name, by="ann", reason="all of them") for name in names]) is None
    assert len(doors.deaths) == 1
    for name in world.requeuer.matching(state=CaseState.RERUNNING, limit=10)[0]:
        world.requeuer.requeue(name, by="ann", reason="once more")
    world.sweep()
    assert [world.state(name) for name in ("job_1", "job_2", "job_3")] == ["refunded"] * 3
    assert (world.credits(), world.audit().breaches) == (100, [])


@pytest.mark.parametrize("dies_at", range(8))
def test_import_killed_in_the_middle_is_repeated_without_harm(store: Store, dies_at: int) -> None:
    world = World(store)
    records = [read_record(json.dumps(record).encode()) for record in (an_account(), a_purchase(), a_purchase("ord_2"))]
    doors = Doors(frozenset({death(dies_at)}))
    mortal = DoorStore(store, doors)
    dying = Importer(mortal, replace(world.assessor, store=mortal, batch=1), world.clock)
    assert doors.process(lambda: dying.take(records, lambda _: None)) is None
    assert len(doors.deaths) == 1
    world.clock.pass_(minutes=1)
    world.load(an_account(), a_purchase(), a_purchase("ord_2"))
    world.sweep()
    assert (world.credits(), world.audit().breaches) == (200, [])


def test_requeue_of_nothing_known_says_what_is_known(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"))
    with pytest.raises(Refused, match="is a job of acc_1, running, and has no case"):
        world.requeuer.plan("job_1")
    with pytest.raises(Refused, match="no case, job, order or account of that name"):
        world.requeuer.plan("job_404")
    world.arrive(world.failed("job_2"))
    with pytest.raises(Refused, match=f"job_2 has no case yet: 1 event about it, the first of {moment(world.clock.now())}"):
        world.requeuer.plan("job_2")


def test_claim_of_a_dead_process_ends_and_a_late_worker_finds_it_gone(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"))
    world.arrive(world.failed("job_1"))
    [claim] = store.write(lambda tx: inbox_rows.claim(tx, ids=[], limit=9, now=world.clock.now(), lease=world.assessor.lease))
    assert world.sweeper.sweep().idle, "the claim holds"
    world.clock.pass_(seconds=31)
    store.write(lambda tx: inbox_rows.claim(tx, ids=[], limit=9, now=world.clock.now(), lease=world.assessor.lease))
    assert store.write(lambda tx: inbox_rows.lock(tx, [claim])) == [], "by then another has it in hand"
    world.clock.pass_(seconds=31)
    world.sweep()
    assert world.state("job_1") == "refunded"
    assert store.write(lambda tx: inbox_rows.lock(tx, [claim])) == [], "what woke up late finds nothing of its own"


def test_task_leaves_fresh_rows_to_their_own_tasks_and_takes_along_what_has_waited(store: Store) -> None:
    world = World(store)
    rows = world.arrive(*(world.submitted(f"job_{n}", credits=0) for n in range(5)))
    assert world.assessor.assess([rows[0].inbox_id], waited=OWN_HINT).handled == 1
    world.clock.pass_(seconds=2)
    assert world.assessor.assess([rows[1].inbox_id], waited=OWN_HINT).handled == 4


def test_name_that_nothing_has_is_answered_with_the_first_ids_that_begin_so(world: World) -> None:
    world.load(an_account("acc_1"), an_account("acc_2"), an_account("acc-3"), a_purchase("ord_1", "acc_1", 50))
    for name, said in (
        ("acc_", "acc_: no case, job, order or account of that name; there are acc_1, acc_2"),
        ("or", "or: no case, job, order or account of that name; there are ord_1"),
        ("%", "%: no case, job, order or account of that name"),
        ("", '"": no case, job, order or account of that name'),
    ):
        assert world.store.read(lambda tx, name=name: what_is_known(tx, name, [])) == said  # type: ignore[misc]
    assert world.store.read(lambda tx: no_account(tx, " ")) == '" ": no account of that name or address'


def test_id_that_was_pasted_with_what_stood_around_it_leads_to_those_that_it_may_mean(world: World) -> None:
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.failed("job_1"), world.submitted("job_12"))
    found = world.case("job_1")
    assert found is not None
    case_id = found["case_id"]
    for pasted, meant in (
        (f"{case_id}.", case_id),
        (f" {case_id} ", case_id),
        (case_id.upper(), case_id),
        (f"{case_id[:20].lower()}.", case_id),
        (f"\u202e{case_id}\u200b", case_id),
        ("job job_1,", "job_1"),
        ('"ord_1"', "ord_1"),
        ("<ACC_1@example.org>", "acc_1"),
    ):
        in_place = world.store.read(lambda tx, pasted=pasted: what_is_known(tx, pasted, []))  # type: ignore[misc]
        assert in_place.endswith(f": no case, job, order or account of that name; there are {meant}")
        of_accounts = world.store.read(lambda tx, pasted=pasted: no_account(tx, pasted))  # type: ignore[misc]
        assert of_accounts.endswith(f": no account of that name or address; there are {meant}")
    none = world.store.read(lambda tx: what_is_known(tx, " job_404 ", []))
    assert none == '" job_404 ": no case, job, order or account of that name'


def test_customer_at_creem_leads_to_the_account(world: World) -> None:
    world.load(an_account(), a_purchase("ord_9", customer_id="cust_1"))
    said = "cust_1 is the customer at Creem of acc_1: `refunds account acc_1`, `refunds cases --account acc_1`"
    assert world.store.read(lambda tx: what_is_known(tx, "cust_1", [])) == said
    assert world.store.read(lambda tx: no_account(tx, "cust_1")) == said


def test_id_of_an_event_leads_to_what_became_of_it(world: World) -> None:
    def said(name: str) -> str:
        return world.store.read(lambda tx: what_is_known(tx, name, []))

    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.failed("job_1"), world.submitted("job_1", id="evt-9", credits=7))
    world.arrive(world.failed("job_2"))
    at = moment(world.clock.now())
    assert said("job_1-failed-1") == (
        f"job_1-failed-1 is layer_job.failed of /image-pipeline about job_1, received {at}, handled {at}: `refunds show job_1`"
    )
    assert said("job_2-failed-1") == (
        f"job_2-failed-1 is layer_job.failed of /image-pipeline about job_2, received {at}, not yet handled: `refunds show job_2`"
    )
    letter = next(item["dead_id"] for item in world.letters.listing(state="open", limit=9, after=None)[0])
    assert (
        said("evt-9")
        == f"evt-9 is layer_job.submitted of /image-pipeline about job_1, a dead letter: `refunds dead show {letter}`"
    )
    assert said("evt-4") == "evt-4: no case, job, order or account of that name"


def test_name_of_what_is_no_account_leads_to_the_account_whose_it_is(world: World) -> None:
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    found = world.case("job_1")
    assert found is not None
    leads = "`refunds account acc_1`, `refunds cases --account acc_1`"
    for name, what in ((found["case_id"], "a case"), ("job_1", "a job"), ("ord_1", "an order")):
        assert world.store.read(lambda tx, name=name: no_account(tx, name)) == f"{name} is {what} of acc_1: {leads}"  # type: ignore[misc]


def test_history_writes_its_moments_as_the_case_does_whichever_release_kept_them(world: World) -> None:
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    case = world.case("job_1")
    assert case is not None
    assert case["history"][0]["detail"]["failed_at"] == case["failed_at"]
    at, said = written(world.clock.now()).replace("Z", "+00:00"), "+00:00 is where I live"
    before = {"failed_at": at, "said": said, "all": ["2026-03-02T10:00:00+00:00"]}
    row = line(case["case_id"], "case.of_before", "worker", world.clock.now(), **before)
    world.store.write(lambda tx: tx.insert(case_history, [row]))
    after = world.case("job_1")
    assert after is not None
    assert after["history"][-1]["detail"] == {
        "failed_at": written(world.clock.now()), "said": said, "all": ["2026-03-02T10:00:00Z"],
    }  # fmt: skip

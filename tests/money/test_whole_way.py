"""A share of all faults at all doors on the whole way of money, and the doors that matter by name; `make prove` plays all."""

import pytest

from tests.arena import Arena
from tests.faults import Fault, How
from tests.money.plans import Plan, Played, play_in, singles, what_is_wrong
from tests.money.prove import every_fault, pairs_of_deaths

SHARE, SHARE_OF_PAIRS = 47, 97
"""Primes: every so manyth plan, so that each kind of fault and each process has its turn."""
PROCESSES = {"import", "web", "sweep", "pay", "reconcile"}


@pytest.fixture(scope="module")
def plain(arena: Arena) -> Played:
    """One claim's way without faults."""
    return play_in(arena, Plan())


def before(doors: list[str], door: str, of: str) -> int:
    """The passage of the last `door` before the first `of`."""
    return max(number for number, name in enumerate(doors[: doors.index(of)]) if name == door)


def after(doors: list[str], door: str, of: str) -> int:
    """The passage of the first `door` after the first `of`."""
    return doors.index(door, doors.index(of) + 1)


def struck(arena: Arena, passage: int, how: How, story: str = "one_claim") -> Played:
    """One claim's way with this one fault."""
    played = play_in(arena, Plan(story, faults=frozenset({Fault(passage, how)})))
    assert played.wrong == []
    return played


def test_share_of_all_faults_at_all_doors_holds(arena: Arena) -> None:
    every = every_fault(arena)
    assert len(every) > 750
    assert what_is_wrong(arena, every[::SHARE]) == {}


@pytest.mark.landing
def test_share_of_them_with_everything_told_twice_holds(arena: Arena) -> None:
    assert what_is_wrong(arena, every_fault(arena, doubled=True)[3 :: 2 * SHARE]) == {}


def test_dying_again_while_the_first_death_is_made_good_sends_nothing_twice(arena: Arena) -> None:
    few = pairs_of_deaths(arena, every=29)
    assert what_is_wrong(arena, few[::SHARE_OF_PAIRS]) == {}


def test_every_process_on_the_way_passes_doors(arena: Arena) -> None:
    doors = play_in(arena, Plan("reconciled")).doors
    assert {door.partition(":")[0] for door in doors} == PROCESSES
    assert {"pay: journal line", "pay: redis ZADD", "pay: call", "reconcile: search", "sweep: redis pipeline"} <= set(doors)


def test_journal_line_whose_commit_never_came_is_an_unknown_call_and_nothing_is_sent(arena: Arena, plain: Played) -> None:
    """CP21: the line is on disk, its arming is not, and whoever knew that nothing left is dead."""
    played = struck(arena, plain.doors.index("pay: journal line"), How.DIES_AFTER)
    assert (played.states, played.posts) == (["review"], 0)


@pytest.mark.parametrize("line", [True, False], ids=["no commit", "no word of the commit"])
def test_call_that_a_living_payer_armed_in_vain_is_made_after_all_once(arena: Arena, plain: Played, line: bool) -> None:
    """CP17, CP21, X5: the line is there and its arming is not, or that stands and the one who made it was told that it failed."""
    doors = plain.doors
    door = doors.index("pay: journal line") if line else before(doors, "pay: commit", "pay: journal line")
    played = struck(arena, door, How.ANSWER_LOST)
    assert (played.states, played.posts, played.deaths) == (["refunded"], 1, 0)


@pytest.mark.parametrize("how", [How.DIES_BEFORE, How.FAILS_BEFORE, How.DIES_AFTER, How.ANSWER_LOST])
def test_record_of_the_answer_that_is_lost_is_made_good_by_reading(arena: Arena, plain: Played, how: How) -> None:
    """CP20: the money moved, and whoever knew is dead or was told that it could not write it down."""
    played = struck(arena, after(plain.doors, "pay: commit", "pay: call"), how)
    assert (played.states, played.posts) == (["refunded"], 1)


def test_call_that_was_never_made_and_looks_lost_costs_a_person(arena: Arena, plain: Played) -> None:
    """CP18: its price."""
    played = struck(arena, plain.doors.index("pay: call"), How.DIES_BEFORE)
    assert (played.states, played.posts) == (["review"], 0)


@pytest.mark.parametrize(
    ("process", "story"), [("import", "one_claim"), ("web", "one_claim"), ("sweep", "reconciled"), ("reconcile", "reconciled")]
)
def test_whoever_else_dies_costs_nobody_anything(arena: Arena, process: str, story: str) -> None:
    """CP15, CP29, CP31: half an import, half a sweep, half a repair is ended by the next one; at the middle door of each."""
    way = play_in(arena, Plan(story))
    doors = [number for number, door in enumerate(way.doors) if door.startswith(f"{process}: ")]
    played = struck(arena, doors[len(doors) // 2], How.DIES_AFTER, story)
    assert (played.states, played.posts, played.deaths) == (["refunded"], 1, 1)


def test_plan_goes_the_same_way_when_it_is_played_again(arena: Arena) -> None:
    plan = Plan("two_claims", doubled=True, faults=frozenset({Fault(30, How.ANSWER_LOST), Fault(41, How.DIES_AFTER)}))
    assert play_in(arena, plan) == play_in(arena, plan)


def test_plan_prints_as_what_can_be_played_again() -> None:
    plan = Plan("two_claims", "get_lags", "answers_failed", "swapped", True, frozenset({Fault(3, How.DIES_AFTER)}))
    assert Plan.parse(str(plan)) == plan
    assert Plan.parse(str(Plan())) == Plan()
    for text in ("nonsense", "one_claim/nothing+nothing+nothing+nothing/", "one_claim/nothing+nothing+nothing/3 lives"):
        with pytest.raises(ValueError, match=r"no plan|is not a valid How"):
            Plan.parse(text)


def test_every_single_fault_is_another_plan(plain: Played) -> None:
    assert len({str(plan) for plan in singles(plain)}) == len(How) * len(plain.doors)

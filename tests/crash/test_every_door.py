"""Every fault at every door of the shortest way, and a share of all others; `make prove` plays all of them."""

import pytest

from tests.arena import Arena, Stage
from tests.crash.plans import Plan, once_more, singles, ways
from tests.crash.prove import Theatre
from tests.crash.world import Way
from tests.faults import DEATHS, Fault, How
from tests.servers import ON_POSTGRES

SHARE = 31
"""Every so manyth plan of the large sets: prime, so that each kind of fault has its turn."""


@pytest.fixture(scope="module")
def theatre(arena: Arena) -> Theatre:
    return Theatre(arena)


def faults(plans: list[Plan], theatre: Theatre) -> dict[str, list[str]]:
    """What was wrong, by plan; empty where every plan held."""
    played = (theatre.play(plan) for plan in plans)
    return {str(one.plan): one.wrong for one in played if one.wrong}


@pytest.mark.parametrize("way", list(Way))
def test_any_fault_at_any_door_changes_nothing_in_the_end(theatre: Theatre, way: Way) -> None:
    plain = theatre.plain(Plan("credits_back", way))
    assert plain.end["cases"] == [("job_1", "refunded", 5, 0)]
    assert len(plain.doors) > 10
    assert faults(singles(plain), theatre) == {}


@pytest.mark.landing
def test_share_of_all_faults_in_all_stories_told_once_and_twice(theatre: Theatre) -> None:
    every = [plan for way in ways() for plan in singles(theatre.plain(way))]
    assert len(every) > 700
    assert faults(every[::SHARE], theatre) == {}
    assert faults([Plan(plan.story, plan.way, True, plan.faults) for plan in every[5 :: 2 * SHARE]], theatre) == {}


@pytest.mark.landing
def test_dying_again_while_the_first_death_is_made_good(theatre: Theatre) -> None:
    plain = theatre.plain(Plan("rerun_fails"))
    twice = once_more(singles(plain, DEATHS)[::7], theatre.play)
    assert faults(twice[::SHARE], theatre) == {}
    thrice = once_more(twice[7::151], theatre.play)
    assert {len(plan.faults) for plan in thrice} == {3}
    assert faults(thrice[::11], theatre) == {}


def test_dying_while_a_case_is_woken_whose_time_is_over(theatre: Theatre) -> None:
    plain = theatre.plain(Plan("rerun_unheard"))
    assert plain.end["reruns"] == [("job_1", 2, "expired")]
    assert plain.end["cases"] == [("job_1", "refunded", 5, 1)]
    woken = range(len(plain.doors) - 6, len(plain.doors))
    plans = [plan for plan in singles(plain, DEATHS) if {fault.passage for fault in plan.faults} <= set(woken)]
    assert faults(plans, theatre) == {}


@ON_POSTGRES
@pytest.mark.parametrize("way", list(Way))
def test_dying_anywhere_holds_on_postgres(stage: Stage, way: Way) -> None:
    """Before and after every commit; the night has every fault at every door."""
    theatre = Theatre(stage)
    plain = theatre.plain(Plan("two_of_one_account", way))
    commits = {number for number, door in enumerate(plain.doors) if door == "commit"}
    assert len(commits) >= 2
    plans = [plan for plan in singles(plain, DEATHS) if {fault.passage for fault in plan.faults} <= commits]
    assert faults(plans, theatre) == {}


@pytest.mark.nightly
@ON_POSTGRES
@pytest.mark.parametrize("way", list(Way))
def test_dying_anywhere_in_every_story_holds_on_postgres(stage: Stage, way: Way) -> None:
    theatre = Theatre(stage)
    every = [plan for plain in ways() if plain.way is way for plan in singles(theatre.plain(plain))]
    assert faults(every, theatre) == {}


def test_plan_prints_as_what_can_be_played_again() -> None:
    plan = Plan("rerun_fails", Way.DRAINED, True, frozenset({Fault(3, How.DIES_AFTER), Fault(12, How.ANSWER_LOST)}))
    assert Plan.parse(str(plan)) == plan
    assert Plan.parse("credits_back/stored/") == Plan("credits_back")
    with pytest.raises(ValueError, match="no plan"):
        Plan.parse("nonsense")

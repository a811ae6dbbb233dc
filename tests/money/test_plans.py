"""Every single trouble and a share of all pairs of them; `make prove` plays all. Deaths are in test_whole_way.py."""

import pytest

from tests.arena import Arena
from tests.faults import DEATHS, Fault, How
from tests.money.between import PassesOn
from tests.money.plans import Plan, Played, play, play_in, singles, what_is_wrong
from tests.money.prove import pairs, pairs_with_webhooks, troubles
from tests.servers import ON_EACH
from worker.creem.answers import Answer, CallOutcome
from worker.creem.client import Armed
from worker.store.engine import Store

SHARE = 389
"""A prime: every so manyth plan of the large sets, so that no single trouble is left out."""


@pytest.mark.landing
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.nightly) for part in range(1, 6))])
def test_every_trouble_alone_ends_proved_or_with_a_person(arena: Arena, part: int) -> None:
    assert what_is_wrong(arena, troubles()[part::6]) == {}


@pytest.mark.landing
def test_dying_around_a_call_that_the_reads_do_not_show_yet_sends_nothing_twice(arena: Arena) -> None:
    lagging = play_in(arena, Plan(at="lost_and_get_lags"))
    assert lagging.states == ["refunded"]
    called = lagging.doors.index("pay: call")
    near = [plan for plan in singles(lagging, DEATHS) if all(-3 <= fault.passage - called < 6 for fault in plan.faults)]
    assert what_is_wrong(arena, near) == {}


@pytest.mark.landing
@pytest.mark.nightly
def test_share_of_all_pairs_holds(arena: Arena) -> None:
    assert what_is_wrong(arena, [*pairs(), *pairs_with_webhooks()][::SHARE]) == {}


@ON_EACH
@pytest.mark.parametrize(
    "plan",
    [
        Plan(),
        Plan(at="post_timeout_after_commit"),
        Plan(at="post_timeout_before_commit"),
        Plan(at="low_balance_twice"),
        Plan(before="disputed_before_read"),
        # wrong once: told of by webhook, not yet shown by the read
        Plan(before="refunded_before_read", at="lost_and_get_lags"),
        Plan(before="disputed_before_read", at="lost_and_get_lags"),
        Plan(faults=frozenset({Fault(24, How.DIES_AFTER)})),
        Plan(faults=frozenset({Fault(20, How.ANSWER_LOST), Fault(40, How.DIES_BEFORE)})),
        Plan("two_claims", doubled=True, faults=frozenset({Fault(22, How.DIES_AFTER)})),
        Plan("reconciled", faults=frozenset({Fault(25, How.DIES_AFTER)})),
    ],
    ids=str,
)
def test_plans_hold_on_each_engine(store: Store, plan: Plan) -> None:
    played: Played = play(plan, store)
    assert played.wrong == []


class AsksAgain(PassesOn):
    """The client nobody may have: it takes a lost answer for a reason to ask once more."""

    def refund(self, armed: Armed) -> Answer:
        first = self.inner.refund(armed)
        return self.inner.refund(Armed("tran_1", armed.until)) if first.outcome is CallOutcome.UNKNOWN else first


def test_judge_catches_a_client_that_asks_again(arena: Arena) -> None:
    plan = Plan(at="post_timeout_after_commit")
    with arena.empty() as store:
        played = play(plan, store, client=AsksAgain)
    assert played.overpaid == 900
    assert any("more than one refund" in one for one in played.wrong)
    assert any("no way of the model" in one for one in played.wrong)

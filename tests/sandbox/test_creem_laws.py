"""What holds whatever is switched on: the ledger only says what the switches allow, nothing crashes, the same seed repeats."""

from itertools import product
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sandbox.test_creem_world import World, a_world
from worker.sandbox.creem import SecondRefund, Switches
from worker.sandbox.creem.catalogue import AT_POST, BEFORE_POST, WEBHOOKS, merge, named

EVERYTHING = {name: switches for group in (BEFORE_POST, AT_POST, WEBHOOKS) for name, switches in group}


def test_each_name_stands_for_one_setting_and_each_setting_for_one_name() -> None:
    for group in (BEFORE_POST, AT_POST, WEBHOOKS):
        names, kinds = [name for name, _ in group], [switches for _, switches in group]
        assert len(set(names)) == len(names)
        assert len(set(kinds)) == len(kinds)
    assert named("low_balance_twice+three_copies") == merge(EVERYTHING["low_balance_twice"], EVERYTHING["three_copies"])
    with pytest.raises(ValueError, match="there is no scenario 'flood'"):
        named("flood")


def test_the_catalogue_uses_every_switch() -> None:
    plain = Switches()
    fields = Switches.__dataclass_fields__
    used = {name for name in fields for switches in EVERYTHING.values() if getattr(switches, name) != getattr(plain, name)}
    # how long is a race, and after how many seconds the client of the catalogue's slow answer is gone, are not troubles; what
    # the booking of customer credits meets is no trouble of a charge (tests/credits/test_at_creem.py has it)
    assert used == set(fields) - {"race_window", "credit", "credit_side", "credit_times"}


def careful(world: World) -> None:
    """Read, one POST if all is well, read on for a week: what a client does that never pays twice."""
    before = attempt(world, "GET")
    if before == ("paid", 5831):
        attempt(world, "POST")
    for step in ({"seconds": 5}, {"minutes": 2}, {"days": 1}, {"days": 10}):
        world.pass_(**step)
        attempt(world, "GET")


def attempt(world: World, method: str) -> Any:
    try:
        if method == "POST":
            return world.refund().status_code
        said = world.get("/v1/transactions", transaction_id="tran_1").json()
        return said["status"], said["amount_paid"] - (said["refunded_amount"] or 0)
    except (httpx.TransportError, ValueError, KeyError, TypeError):
        return None


@pytest.mark.parametrize(
    "trouble", ["post_reset_after_commit", "post_timeout_after_commit", "post_500_after_commit", "slow_commit"]
)
def test_a_client_that_tries_again_is_found_out(trouble: str) -> None:
    """The double can see what it is there to see: looking before asking again does not help either."""
    slow_to_show = Switches(turns_early=False, settle_after=60.0)
    for checks_first in (True, False):
        with a_world(merge(named(f"{trouble}+second_while_pending_200_pays_again"), slow_to_show)) as world:
            assert attempt(world, "POST") in (None, 500)
            if not checks_first or attempt(world, "GET") == ("paid", 5831):
                attempt(world, "POST")
            world.pass_(days=1)
            assert world.double.overpaid() == {"tran_1": 5831}


@pytest.mark.landing
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.nightly) for part in range(1, 5))])
def test_one_post_never_pays_twice_under_any_pair_of_troubles(part: int) -> None:
    """The client above, under all pairs of what comes before and at the POST; a fifth of them, with every trouble in it, at each
    commit. Only what others do comes on top.
    """
    for (before_name, before), (at_name, at) in [*product(BEFORE_POST, AT_POST)][part::5]:
        with a_world(merge(before, at)) as world:
            careful(world)
            name = f"{before_name}+{at_name}"
            assert world.double.posts("tran_1") <= 1, name
            assert world.double.gone("tran_1", "refund") <= 5831, name
            others = world.double.gone("tran_1", "dashboard") + world.double.gone("tran_1", "chargeback")
            assert others <= 5831, name
            assert not world.double.overpaid() or (others and at_name.endswith("pays_again")), name
            assert world.double.next_due() is None, name


@pytest.mark.parametrize("name", [name for name, _ in WEBHOOKS])
def test_what_is_told_wrong_moves_no_money(name: str) -> None:
    with a_world(EVERYTHING[name]) as world:
        world.refund()
        world.pass_(days=10)
        assert world.double.overpaid() == {}
        told = {event["object"]["id"] for event in world.endpoint.events}
        assert len(told) == (0 if name.endswith("dropped") else 1)


ACTS = st.sampled_from(["post", "part", "rest", "dispute", "second", "hour"])
PAYS_AGAIN = {"second_refund", "second_while_pending", "refund_of_disputed"}


@given(acts=st.lists(ACTS, max_size=12), name=st.sampled_from(sorted(EVERYTHING)), seed=st.integers(0, 3))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_money_is_conserved_and_a_seed_repeats_itself(acts: list[str], name: str, seed: int) -> None:
    first, second = (story(acts, EVERYTHING[name], seed) for _ in range(2))
    assert first == second


def story(acts: list[str], switches: Switches, seed: int) -> list[Any]:
    heard: list[Any] = []
    with a_world(switches, seed=seed) as world:
        for act in acts:
            heard.append(done(world, act))
            heard.append(attempt(world, "GET"))
            watch(world, switches)
        world.pass_(days=20)
        watch(world, switches)
        return [*heard, world.endpoint.bodies, list(world.double.movements), list(world.double.requests)]


def done(world: World, act: str) -> Any:
    try:
        match act:
            case "post":
                return attempt(world, "POST")
            case "part":
                return world.double.refund_in_dashboard("tran_1", 1000)
            case "rest":
                return world.double.refund_in_dashboard("tran_1")
            case "dispute":
                return world.double.dispute("tran_1")
            case _:
                return world.pass_(seconds=1 if act == "second" else 3600)
    except ValueError as error:
        return str(error)


def watch(world: World, switches: Switches) -> None:
    """The ledger: only positive sums, no more than was paid but where a switch or a dispute beside an open refund has it so."""
    movements = world.double.movements
    assert all(one.amount > 0 and one.transaction_id == "tran_1" for one in movements)
    assert world.gone == sum(one.amount for one in movements)
    assert sum(1 for one in movements if one.kind == "chargeback") <= 1
    assert sum(1 for one in movements if one.kind == "refund") <= max(world.double.posts("tran_1"), 0)
    again = any(getattr(switches, name) is SecondRefund.PAYS_AGAIN for name in PAYS_AGAIN)
    crossed = any(one.kind == "chargeback" for one in movements)
    if not (again or switches.both_accepted or crossed):
        assert world.double.overpaid() == {}

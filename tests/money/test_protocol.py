"""The protocols hold in every order of events, and each safeguard taken away does its harm.

That the code goes the model's ways is part of every plan (plans.py).
"""

import pytest

from policy.lifecycle import PAYMENT_MOVES
from tests.intake.protocol import Intake
from tests.money.plans import MODEL
from tests.money.protocol import Refund, Row, View, follow
from tests.money.search import search

JOURNAL, REDIS = frozenset({"journal"}), frozenset({"redis"})
ARMED, UNKNOWN, REFUNDED = Row("sending", "read", 1), Row("unknown", "read", 1), Row("refunded", "read", 1, True)


@pytest.mark.parametrize(
    ("model", "worlds"),
    [
        (Refund(), 1_540),
        (Refund(calls=4, shows_anything=True), 5_000),
        (Refund(witnesses=JOURNAL, restores=True), 20_000),
        (Refund(witnesses=JOURNAL | REDIS, restores=True, redis_too=True), 40_000),
        (Refund(witnesses=REDIS, restores=True, slowly=True), 10_000),
    ],
    ids=[
        "as it is",
        "four calls, and Creem shows anything",
        "set back, with the journal",
        "set back, Redis too",
        "set back slowly, with Redis alone",
    ],
)
def test_refund_moves_money_once_and_ends_whatever_the_order(model: Refund, worlds: int) -> None:
    found = search(model)
    assert (found.harm, found.way) == (None, ())
    assert len(found.worlds) >= worlds


@pytest.mark.parametrize(
    ("model", "steps"),
    [
        (Refund(restores=True), 11),
        (Refund(without="a lost answer is no reason to call"), 8),
        (Refund(without="paid proves nothing"), 9),
        (Refund(without="found armed is unknown"), 7),
        (Refund(without="arm first"), 9),
        (Refund(without="arms only what stands as it was"), 9),
        (Refund(witnesses=REDIS, restores=True, slowly=True, without="a stop is heeded"), 11),
        (Refund(witnesses=JOURNAL, restores=True, without="journal first"), 11),
        # the journal is read while arming; Redis may be asked a moment before the other call is told to it
        (Refund(witnesses=REDIS, restores=True), 11),
    ],
    ids=[
        "M_RESTORE",
        "M_RETRY",
        "M_CHECKRETRY",
        "M_RESEND",
        "M_SENDFIRST",
        "M_NOCAS",
        "stop not heeded",
        "journal after the call",
        "set back within one permission, with Redis alone",
    ],
)
def test_refund_without_one_safeguard_pays_twice_in_a_few_steps(model: Refund, steps: int) -> None:
    found = search(model)
    assert (found.harm, len(found.way)) == ("money moved twice", steps), found.way
    assert sum(step.endswith(("calls", "calls again")) for step in found.way) == 2


def test_event_is_handled_once_and_acknowledged_whatever_the_order() -> None:
    found = search(Intake())
    assert (found.harm, found.way) == (None, ())
    assert len(found.worlds) >= 500


@pytest.mark.parametrize(
    ("without", "harm", "way"),
    [
        (
            "commit first",
            "nothing can end it any more",
            ("intake A reads or reclaims it", "intake A acknowledges", "intake A dies"),
        ),
        ("sweep", "nothing can end it any more", None),
        ("one transaction", "handled twice", None),
    ],
    ids=["M_ACKFIRST", "M_NOSWEEP", "M_CHECKTHENACT"],
)
def test_event_without_one_safeguard_is_lost_or_handled_twice(without: str, harm: str, way: tuple[str, ...] | None) -> None:
    found = search(Intake(without))
    assert found.harm == harm
    assert found.way == (way or found.way)
    assert 3 <= len(found.way) <= 10


def test_models_moves_of_a_claim_are_the_lifecycle_s() -> None:
    model = Refund(shows_anything=True)
    rows = {
        (world.row.state, after.row.state)
        for world in search(model).worlds
        for _, after in model.moves(world)
        if world.row is not None and after.row is not None and world.row.state != after.row.state
    }
    assert rows == {(was.value, to.value) for was, some in PAYMENT_MOVES.items() for to in some}


@pytest.mark.parametrize(
    ("views", "stands"),
    [
        ([(Row(), 0), (ARMED, 0), (ARMED, 1), (UNKNOWN, 1), (REFUNDED, 1)], 5),
        # a call before the intent is written
        ([(Row(), 0), (Row(), 1)], 1),
        # a second one under the same intent
        ([(Row(), 0), (ARMED, 0), (ARMED, 1), (ARMED, 2)], 3),
        # one after nobody knows how the first ended
        ([(Row(), 0), (ARMED, 0), (ARMED, 1), (UNKNOWN, 1), (ARMED._replace(attempts=2), 1)], 4),
        # a claim that is closed goes on
        ([(Row(), 0), (Row("mismatch", "read", 0, True), 0), (ARMED, 0)], 2),
    ],
)
def test_way_that_is_none_is_found_out_where_it_leaves_the_model(views: list[View], stands: int) -> None:
    assert follow(MODEL, views) == stands

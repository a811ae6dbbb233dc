"""The protocols hold in every order of events, each safeguard taken away does its harm, and no way but the models' is accepted.

That the code goes the models' ways is part of every plan of the money prover and of every simulated seed (`ways.py`).
"""

from collections.abc import Callable, Hashable
from contextlib import closing
from typing import Any

import pytest

from policy.lifecycle import PAYMENT_MOVES
from tests.arena import Arena
from tests.cases.world import World
from tests.crash.world import STREAM
from tests.models.intake import Acknowledged
from tests.models.intake import Row as Event
from tests.models.prove import HARMS, HOLD
from tests.models.refund import Call, Read, Refund, Row
from tests.models.search import SetBack, follow, search
from tests.models.ways import INTAKE, REFUND, Events, HeardRedis
from worker.intake.stream import as_text
from worker.settings import GROUP

CLAIMED, ARMED, UNKNOWN = Row(), Row("sending", "read", 1), Row("unknown", "read", 1)
REFUNDED = Row("refunded", "read", 1, True)
PAID, GONE, CALL = Read(False), Read(True), Call()
NEW, BEGUN, HANDLED, ACKNOWLEDGED = Event(), Event("new", 1), Event("handled", 1), Acknowledged()


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.nightly if long else ()) for name, _, _, long in HOLD])
def test_protocol_holds_whatever_the_order_and_everything_can_still_end(name: str) -> None:
    model, least = next((model, least) for known, model, least, _ in HOLD if known == name)
    found = search(model)
    assert (found.harm, found.way) == (None, ())
    assert len(found.worlds) >= least


@pytest.mark.parametrize("name", [name for name, *_ in HARMS])
def test_protocol_without_one_safeguard_does_its_harm_in_a_few_steps(name: str) -> None:
    model, harm, steps = next((model, harm, steps) for known, model, harm, steps in HARMS if known == name)
    found = search(model)
    assert (found.harm, len(found.way)) == (harm, steps), found.way


def test_models_moves_of_a_claim_are_the_lifecycle_s() -> None:
    model = Refund(followed=True)
    rows = {
        (world.row.state, after.row.state)
        for world in search(model).worlds
        for _, after in model.moves(world)
        if world.row is not None and after.row is not None and world.row.state != after.row.state
    }
    assert rows == {(was.value, to.value) for was, some in PAYMENT_MOVES.items() for to in some}


WENT = [CLAIMED, PAID, ARMED, CALL, UNKNOWN, PAID, GONE, REFUNDED]


@pytest.mark.parametrize(
    "way",
    [
        WENT,
        # refused for want of balance, then anew through the whole procedure
        [
            CLAIMED,
            PAID,
            ARMED,
            CALL,
            Row("refused", "send", 1),
            PAID,
            Row("sending", "read", 2),
            CALL,
            UNKNOWN._replace(attempts=2),
        ],
        # an answer that came after the call had been given up
        [CLAIMED, PAID, ARMED, CALL, UNKNOWN, Row("confirming", "read", 1), GONE, REFUNDED],
        # set back to before the call, of which the journal tells
        [CLAIMED, PAID, ARMED, CALL, SetBack(CLAIMED), PAID, UNKNOWN, GONE, REFUNDED],
        [CLAIMED, PAID, ARMED, CALL, SetBack(None), UNKNOWN, GONE, REFUNDED],
        # taken back by a person before anything was sent
        [CLAIMED, PAID, Row("not_needed", "read", 0, True)],
        # armed in vain, behind its line in the journal: whoever did it arms again, anybody else has the line alone
        [CLAIMED, PAID, Row("sending", "read", 2), CALL],
        [CLAIMED, PAID, CLAIMED._replace(attempts=1), PAID, Row("sending", "read", 2), CALL],
        [CLAIMED, PAID, PAID, UNKNOWN],
    ],
    ids=[
        "proved",
        "refused and sent again",
        "late answer",
        "set back",
        "set back to before the claim",
        "withdrawn",
        "armed in vain",
        "armed in vain and put off",
        "armed in vain by another",
    ],
)
def test_ways_of_a_refund_are_the_models(way: list[Hashable]) -> None:
    assert follow(REFUND, way) == len(way)


@pytest.mark.parametrize(
    ("way", "stands"),
    [
        ([CLAIMED, PAID, CALL], 2),
        ([CLAIMED, PAID, ARMED, CALL, CALL], 4),
        ([CLAIMED, ARMED], 1),
        ([CLAIMED, UNKNOWN], 1),
        ([CLAIMED, PAID, UNKNOWN], 2),
        ([CLAIMED, GONE, ARMED], 2),
        ([CLAIMED, PAID, ARMED, CLAIMED._replace(attempts=1), Row("sending", "read", 2)], 4),
        ([*WENT[:5], Row("sending", "read", 2)], 5),
        ([*WENT[:5], CALL], 5),
        ([*WENT[:5], REFUNDED], 5),
        ([*WENT[:6], REFUNDED], 6),
        ([CLAIMED, PAID, Row("mismatch", "read", 0, True), PAID, ARMED], 4),
        ([*WENT, UNKNOWN], 8),
        ([CLAIMED, PAID, ARMED, CALL, SetBack(CLAIMED), PAID, ARMED], 6),
        ([CLAIMED, PAID, ARMED, CALL, SetBack(None), CLAIMED, PAID, ARMED], 7),
        ([CLAIMED, PAID, SetBack(UNKNOWN)], 2),
    ],
    ids=[
        "call before its intent is written",
        "second call under one intent",
        "armed before the charge was read",
        "unknown before the charge was read",
        "unknown to whoever armed it in vain",
        "armed although it was read as refunded",
        "two armed on one read",
        "armed while the first is unknown",
        "called while the first is unknown",
        "done without any proof",
        "done on a read that proves nothing",
        "closed claim that goes on",
        "done claim that is opened",
        "armed after a restore, against the journal",
        "claimed and armed after a restore, against the journal",
        "set back to what never was",
    ],
)
def test_way_of_a_refund_that_is_none_is_found_out_where_it_leaves_the_model(way: list[Hashable], stands: int) -> None:
    assert follow(REFUND, way) == stands


@pytest.mark.parametrize(
    "way",
    [
        [NEW, ACKNOWLEDGED, BEGUN, HANDLED],
        [HANDLED, ACKNOWLEDGED],
        [NEW, BEGUN, ACKNOWLEDGED, Event("new", 2), Event("handled", 2), ACKNOWLEDGED],
        [NEW, ACKNOWLEDGED, BEGUN, Event("waiting", 1), Event("handled", 1)],
        [NEW, ACKNOWLEDGED, BEGUN, NEW, BEGUN, *(Event("new", n) for n in range(2, 7)), Event("dead", 6)],
        [HANDLED, ACKNOWLEDGED, SetBack(None), NEW, ACKNOWLEDGED, BEGUN, HANDLED],
    ],
    ids=["row first", "at once", "its worker died", "waited for its job", "killed six workers", "set back and sent again"],
)
def test_ways_of_an_event_are_the_models(way: list[Hashable]) -> None:
    assert follow(INTAKE, way) == len(way)


@pytest.mark.parametrize(
    ("way", "stands"),
    [
        ([ACKNOWLEDGED, NEW], 0),
        ([NEW, HANDLED], 1),
        ([NEW, Event("handled", 0)], 1),
        ([HANDLED, ACKNOWLEDGED, BEGUN], 2),
        ([NEW, BEGUN, HANDLED, Event("handled", 2)], 3),
        ([NEW, BEGUN, Event("dead", 0)], 2),
        ([NEW, Event("new", 2)], 1),
        ([HANDLED, ACKNOWLEDGED, SetBack(None), ACKNOWLEDGED], 3),
    ],
    ids=[
        "acknowledged before its commit",
        "handled and not counted",
        "handled under no attempt",
        "begun again when it was done",
        "handled twice",
        "buried under another's number",
        "counted twice at once",
        "acknowledged again while it is in no book",
    ],
)
def test_way_of_an_event_that_is_none_is_found_out_where_it_leaves_the_model(way: list[Hashable], stands: int) -> None:
    assert follow(INTAKE, way) == stands


@pytest.mark.parametrize("commits_first", [True, False])
def test_acknowledgement_before_the_commit_is_heard_and_found_out(arena: Arena, commits_first: bool) -> None:
    with arena.empty() as store:
        world = World(store)
        redis: Any = HeardRedis()
        with closing(Events(store, redis)) as events:
            document = world.event("submitted", "job_1", "acc_1", credits=5, paid_with="credits")
            entry = redis.xadd(STREAM, {"event": document})
            events.added(as_text(entry), document)
            redis.xgroup_create(STREAM, GROUP, id="0")
            redis.xreadgroup(GROUP, "one", {STREAM: ">"})
            steps: list[Callable[[], object]] = [lambda: world.arrive(document), lambda: redis.xack(STREAM, GROUP, entry)]
            for step in steps if commits_first else steps[::-1]:
                step()
            assert bool(list(events.strange())) is not commits_first

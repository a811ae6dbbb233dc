"""Rows that only a newer release understands, met by this one beside it: left alone, counted, and lost by nobody."""

import pytest
from sqlalchemy import select, text, update

from tests.cases.world import World, a_purchase, an_account
from tests.servers import ON_POSTGRES
from tests.store.rows import allow_other_states
from worker.cases.overview import overview
from worker.store.engine import Store
from worker.store.tables import cases, effects

pytestmark = ON_POSTGRES


@pytest.fixture
def world(store: Store) -> World:
    """A case that a newer release has put into a state of its own, due at once, and another job beside it."""
    world = World(store)
    world.load(an_account(), a_purchase())
    world.happen(*(world.submitted(name) for name in ("job_1", "job_2")), world.incomplete("job_1"))
    assert world.state("job_1") == "rerunning"
    allow_other_states(store)
    put_into(world, "parked")
    return world


def put_into(world: World, state: str) -> None:
    moved = update(cases).where(cases.c.job_id == "job_1").values(state=state, next_action_at=world.clock.now())
    world.store.write(lambda tx: tx.connection.execute(moved))


def a_while(world: World) -> None:
    for _ in range(20):
        world.clock.pass_(minutes=1)
        world.sweeper.sweep()


def test_event_about_its_case_is_left_for_it_and_costs_others_nothing(world: World) -> None:
    world.arrive(world.succeeded("job_1", attempt=2), world.failed("job_2"))
    a_while(world)
    assert (world.state("job_1"), world.state("job_2")) == ("parked", "refunded")
    assert world.dead() == [], "twenty looks later it is still no dead letter"
    assert world.store.read(lambda tx: overview(tx, world.clock.now()))["backlog"] == 1
    # a process of the newer release goes on with it; then so does this one
    put_into(world, "rerunning")
    a_while(world)
    assert world.state("job_1") == "delivered"
    assert world.audit().ok


def test_its_case_is_not_woken_and_stands_in_the_overview(world: World) -> None:
    before = world.case("job_1")
    a_while(world)
    assert world.case("job_1") == before
    found = world.store.read(lambda tx: overview(tx, world.clock.now()))
    assert found["cases"]["parked"] == found["open_cases"] == 1


def test_effect_that_only_it_knows_how_to_do_is_left_for_it_and_costs_others_nothing(world: World) -> None:
    with world.store.engine.begin() as connection:
        connection.execute(text("alter table effects drop constraint if exists ck_effects_kind"))
        connection.execute(text("update effects set kind = 'ring', state = 'due', due_at = :now"), {"now": world.clock.now()})
    world.happen(world.failed("job_2"))
    a_while(world)
    assert world.state("job_2") == "refunded"
    done = {(row.kind, row.state) for row in world.store.read(lambda tx: tx.all(select(effects)))}
    assert done == {("ring", "due"), ("announce", "done")}

"""Forged, tampered and replayed messages: nobody is given more than was taken from them."""

from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.arena import Arena
from tests.cases.world import World, a_purchase, an_account
from tests.drawn import drawn
from tests.fuzz.http import ask
from tests.web.console.site import Site
from worker.store.engine import Store


def a_world(store: Store) -> World:
    world = World(store)
    world.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 100))
    return world


def test_forged_job_and_its_failure_move_nothing(store: Store) -> None:
    world = a_world(store)
    world.happen(world.failed("job_forged"))
    assert world.credits() == 100
    world.happen(world.submitted("job_forged", credits=60))
    assert world.credits() == 100
    world.happen(world.failed("job_forged", id="again"), world.failed("job_forged", id="and again", attempt=2))
    assert world.credits() == 100
    assert world.audit().ok


def test_amount_a_failure_names_is_not_looked_at(store: Store) -> None:
    world = a_world(store)
    world.happen(
        world.submitted("job_1", credits=5), world.failed("job_1", credits=5000, refund_amount=900, credits_reversed=5000)
    )
    assert world.credits() == 100
    # what a second submission says about a job that is known is not looked at either
    world.happen(world.submitted("job_2", credits=5))
    world.happen(world.submitted("job_2", credits=5000, id="job_2-other"), world.failed("job_2"))
    assert world.credits() <= 100
    assert world.audit().ok


def test_stream_replayed_a_year_later_changes_nothing(store: Store) -> None:
    world = a_world(store)
    said = [world.submitted("job_1"), world.failed("job_1"), world.submitted("job_2"), world.succeeded("job_2")]
    world.happen(*said)
    before = world.digest(), world.credits(), world.announced()
    world.clock.pass_(days=365)
    world.happen(*said, *reversed(said))
    assert (world.digest(), world.credits(), world.announced()) == before
    assert world.audit().ok


KINDS = st.sampled_from(["submitted", "failed", "incomplete", "succeeded"])
STEPS = st.lists(
    st.tuples(KINDS, st.sampled_from(["job_1", "job_2"]), st.integers(1, 3), st.integers(0, 500)), min_size=1, max_size=8
)


LAYERS = {"layers_expected": 6, "layers_delivered": 3, "corrupted": 0}
SHAPE: dict[str, dict[str, Any]] = {
    "submitted": {"paid_with": "credits", "layers_expected": 6},
    "failed": {"failure": {"code": "model_error"}, "output": LAYERS | {"layers_delivered": 0}},
    "incomplete": {"output": LAYERS},
    "succeeded": {"output": LAYERS | {"layers_delivered": 6}},
}


@drawn(25, HealthCheck.too_slow)
@given(steps=STEPS)
def test_no_sequence_of_events_gives_more_than_was_bought(arena: Arena, steps: list[tuple[str, str, int, int]]) -> None:
    with arena.empty() as store:
        world = a_world(store)
        for number, (kind, job, attempt, credits) in enumerate(steps):
            named: dict[str, Any] = {"credits": credits} if kind == "submitted" else {"attempt": attempt}
            world.happen(world.event(kind, job, id=f"evt-{number}", **SHAPE[kind], **named))
        assert 0 <= world.credits() <= 100
        assert world.audit().ok


def test_address_with_a_slash_too_many_leads_to_no_foreign_name(store: Store) -> None:
    site = Site(World(store))
    for path in (b"/cases/", b"/review/", b"/healthz/", b"//evil.example/"):
        said = ask(site.app, "GET", path, [(b"host", b"evil.example")])
        assert said.status in {404, 421}
        assert "location" not in said.headers
        assert "evil.example" not in said.text

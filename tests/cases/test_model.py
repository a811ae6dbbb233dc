"""The life of cases against a reference of a few dozen lines: events repeated, reordered, delayed, batched anyhow.

The reference knows nothing of inboxes, cases, effects or lots. It says, job by job, what a customer who reads the policy
page would expect. Whatever the order of arrival, the worker must come to the same credits and the same ends.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.arena import Stage
from tests.cases.world import World, a_purchase, an_account, layers
from tests.drawn import drawn

RERUNNABLE = {"gpu_out_of_memory", "job_timeout", "worker_crashed"}
NOT_OURS = {"invalid_image", "content_rejected", "cancelled_by_user"}
CODES = [*sorted(RERUNNABLE), "model_error", "internal_error", "gremlins", *sorted(NOT_OURS)]
SOME, TOTALS = [layers(0), layers(3), {"layers_delivered": 3}], [{}, {"layers_expected": None}]
"""What there is of an output that is not whole, and what the submission says of how many layers there will be: not every pipeline
says that in either.
"""


@dataclass(frozen=True)
class Story:
    """What really happens to one job. `code` None: it succeeds at once; "short": some layers are missing."""

    code: str | None
    some: dict[str, int]
    total: dict[str, None]
    paid_with: str
    credits: int
    rerun: str  # delivers | fails | short | silence
    suspended: bool
    told_twice: bool


STORIES = st.builds(
    Story,
    code=st.sampled_from([None, "short", *CODES]),
    some=st.sampled_from(SOME),
    total=st.sampled_from(TOTALS),
    paid_with=st.sampled_from(["credits", "credits", "credits", "pass", "free"]),
    credits=st.integers(0, 9),
    rerun=st.sampled_from(["delivers", "fails", "short", "silence"]),
    suspended=st.booleans(),
    told_twice=st.booleans(),
)


def reference(story: Story) -> tuple[str | None, int]:
    """(how the case ends, or None for no case; credits that come back), straight from the policy page."""
    debit = story.credits if story.paid_with == "credits" else 0
    if story.code is None:
        return None, 0
    rerunnable = story.code in RERUNNABLE or story.code == "short"
    if debit == 0:
        free = story.paid_with != "credits"
        if not (free and rerunnable and not story.suspended):
            return "nothing_owed", 0
        return ("delivered" if story.rerun == "delivers" else "nothing_owed"), 0
    if story.code in NOT_OURS:
        return "declined", 0
    if rerunnable and not story.suspended and story.rerun == "delivers":
        return "delivered", 0
    return "refunded", debit


@dataclass
class Told:
    """The documents of one example, and what the pipeline will say once asked for a re-run."""

    waiting: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)


def tell(world: World, stories: list[Story], tag: str) -> Told:
    told = Told()
    for n, story in enumerate(stories):
        job, account = f"{tag}-{n}", f"acc-{tag}-{'s' if story.suspended else 'a'}"
        told.waiting.append(world.submitted(job, account, credits=story.credits, paid_with=story.paid_with, **story.total))
        if story.code is None:
            told.waiting.append(world.succeeded(job, account))
        elif story.code == "short":
            told.waiting.append(world.incomplete(job, account, output=story.some))
        else:
            told.waiting.append(world.failed(job, account, code=story.code, output=story.some))
            if story.told_twice:
                told.waiting.append(world.failed(job, account, code=story.code, output=story.some, id=f"{job}-again"))
        if story.rerun == "delivers":
            told.answers[job] = world.succeeded(job, account, attempt=2)
        elif story.rerun == "fails":
            told.answers[job] = world.failed(job, account, code="model_error", attempt=2)
        elif story.rerun == "short":
            told.answers[job] = world.incomplete(job, account, delivered=5, attempt=2)
    return told


def play(world: World, told: Told, chance: Random) -> None:
    """Delivers everything, in some order, some of it again, with sweeps and the pipeline's answers in between."""
    documents = told.waiting + chance.choices(told.waiting, k=len(told.waiting) // 2)
    chance.shuffle(documents)
    answered = 0
    while documents or answered < len(world.pipeline.orders):
        some, documents = documents[: (size := chance.randint(1, 12))], documents[size:]
        world.arrive(*some)
        if chance.random() < 0.7:
            world.sweeper.sweep()
        if chance.random() < 0.3:
            world.clock.pass_(seconds=chance.randint(1, 20))
        if chance.random() < 0.5 or not documents:
            answered = answer(world, told, answered)
    world.sweep()
    answer(world, told, answered)
    world.clock.pass_(minutes=90)  # past every deadline of a re-run that nobody answered
    world.sweep()


def answer(world: World, told: Told, since: int) -> int:
    orders = world.pipeline.orders[since:]
    world.arrive(*(told.answers[order.job_id] for order in orders if order.job_id in told.answers))
    return since + len(orders)


@pytest.fixture
def begun(stage: Stage) -> Callable[[], World]:
    """A world that knows nothing, on the same database each time."""

    def begin() -> World:
        with stage.empty() as store:
            return World(store)

    return begin


@drawn(60, HealthCheck.function_scoped_fixture, HealthCheck.too_slow)
@given(stories=st.lists(STORIES, min_size=1, max_size=14), seed=st.integers(0, 2**32))
def test_any_order_of_arrival_comes_to_the_reference(begun: Callable[[], World], stories: list[Story], seed: int) -> None:
    world, tag = begun(), "x"
    # an account of each standing, with credits enough, far below the velocity limit
    world.load(
        an_account(f"acc-{tag}-a"),
        a_purchase(f"one-{tag}-a", f"acc-{tag}-a", 7),
        a_purchase(f"two-{tag}-a", f"acc-{tag}-a", 200, "2026-03-01T10:00:00Z"),
        an_account(f"acc-{tag}-s", "suspended"),
        a_purchase(f"one-{tag}-s", f"acc-{tag}-s", 200),
    )
    play(world, tell(world, stories, tag), Random(seed))

    spent = {"a": 0, "s": 0}
    for n, story in enumerate(stories):
        state, back = reference(story)
        found = world.case(f"{tag}-{n}")
        assert (found["state"] if found else None) == state, (story, found)
        assert (found["credits_reversed"] if found else 0) == back, (story, found)
        spent["s" if story.suspended else "a"] += (story.credits if story.paid_with == "credits" else 0) - back
    assert world.credits(f"acc-{tag}-a") == 207 - spent["a"]
    assert world.credits(f"acc-{tag}-s") == 200 - spent["s"]
    assert len({order.job_id for order in world.pipeline.orders}) == len(world.pipeline.orders), "a job is re-run at most once"
    assert world.dead() == []
    assert world.audit().breaches == []

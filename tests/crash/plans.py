"""Stories of one or two jobs, played with faults at chosen doors, and compared with how they end without any."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import func, select

from tests.cases.world import a_purchase, an_account
from tests.crash.world import Installation, Way
from tests.faults import DEATHS, Fault, How, faults_read, faults_written, one_more
from worker.store.engine import Store
from worker.store.tables import inbox, reruns

Story = Callable[[Installation], list[str]]


def credits_back(world: Installation) -> list[str]:
    """A job fails and its credits come back."""
    return [world.submitted("job_1"), world.failed("job_1")]


def two_of_one_account(world: Installation) -> list[str]:
    """Two jobs of one account fail, one of them told of before it was submitted."""
    return [world.submitted("job_1"), world.failed("job_2"), world.failed("job_1"), world.submitted("job_2")]


def rerun_delivers(world: Installation) -> list[str]:
    """Incomplete output is run again, and that run delivers."""
    world.reacts = lambda order: world.emit(world.succeeded(order.job_id, attempt=2, id=next(world.again)))
    return [world.submitted("job_1"), world.incomplete("job_1")]


def rerun_fails(world: Installation) -> list[str]:
    """Incomplete output is run again, that run fails, and the credits come back."""
    world.reacts = lambda order: world.emit(world.failed(order.job_id, attempt=2, id=next(world.again)))
    return [world.submitted("job_1"), world.incomplete("job_1")]


def rerun_unheard(world: Installation) -> list[str]:
    """Incomplete output is to be run again, nothing ever comes of it, its time passes, and the credits come back."""
    return [world.submitted("job_1"), world.incomplete("job_1")]


def beside_bad_events(world: Installation) -> list[str]:
    """A good event between one that cannot be read and one that contradicts another; either of those two may come first."""
    twin = world.failed("job_1").replace("model_error", "internal_error")
    return [world.submitted("job_1"), "{no json", world.failed("job_1"), twin]


STORIES: dict[str, Story] = {
    story.__name__: story
    for story in (credits_back, two_of_one_account, rerun_delivers, rerun_fails, rerun_unheard, beside_bad_events)
}


@dataclass(frozen=True)
class Plan:
    """One run: a story, the way its events take, whether everything is told twice, and what goes wrong where."""

    story: str
    way: Way = Way.STORED
    doubled: bool = False
    faults: frozenset[Fault] = frozenset()

    def __str__(self) -> str:
        return f"{self.story}/{self.way}{'/doubled' if self.doubled else ''}/" + faults_written(self.faults)

    @classmethod
    def parse(cls, text: str) -> "Plan":
        """The plan that prints so. Raises `ValueError` for anything else."""
        story, way, *rest = [*text.split("/"), "", ""][: max(2, text.count("/") + 1)]
        if story not in STORIES or way not in set(Way) or not rest or rest[0] not in {"doubled", rest[-1]}:
            raise ValueError(f"{text}: no plan; `credits_back/stored/3 dies after` would be one")
        return cls(story, Way(way), rest[0] == "doubled", faults_read(rest[-1]))


@dataclass
class Played:
    """What came of it."""

    plan: Plan
    doors: list[str] = field(default_factory=list)
    end: dict[str, Any] = field(default_factory=dict)
    deaths: int = 0
    wrong: list[str] = field(default_factory=list)


def play(plan: Plan, store: Store) -> Played:
    """Plays the plan on an empty database until nothing is left to do."""
    world = Installation(store, plan.faults, way=plan.way)
    world.load(an_account(), a_purchase())
    documents = STORIES[plan.story](world)
    if plan.doubled:
        documents = [one for document in documents for one in (document, document)]
    played = Played(plan)
    world.emit(*documents)
    try:
        rests = world.live()
        if rests and plan.doubled:
            world.emit(*documents)
            rests = world.live()
    except Exception as error:
        played.wrong.append(f"a defect: {error!r}")
        rests = True
    if not rests:
        played.wrong.append("never comes to rest")
    played.doors, played.deaths = world.doors.names, len(world.doors.deaths)
    played.end = _end(world)
    played.wrong += [f"{breach['check']}: {breach['row']} {breach['problem']}" for breach in world.audit().breaches]
    return played


def _end(world: Installation) -> dict[str, Any]:
    counted = world.store.read(
        lambda tx: (
            # what a pipeline says that was asked twice, and ran it twice, comes on top
            tx.connection.execute(select(func.count()).where(inbox.c.event_id.not_like("again-%"))).scalar_one(),
            [tuple(row) for row in tx.all(select(reruns.c.job_id, reruns.c.attempt, reruns.c.state))],
        )
    )
    told = {note["id"]: (note["type"], note["data"]["job_id"]) for note in world.announced()}
    return {
        "cases": world.digest(),
        "credits": world.credits(),
        "events": counted[0],
        "reruns": counted[1],
        "orders": sorted({(order.job_id, order.attempt) for order in world.behind.orders}),
        "announced": sorted(told.values()),
        "dead letters": sorted(Counter(reason for reason, _ in world.dead())),
    }


def compared(played: Played, plain: Played) -> Played:
    """The same, with every difference from the run without faults counted as wrong."""
    for name, value in plain.end.items():
        if played.end.get(name) != value:
            played.wrong.append(f"{name}: {played.end.get(name)} and not {value}")
    return played


def plain(plan: Plan) -> Plan:
    """The plan without its faults, told once."""
    return replace(plan, faults=frozenset(), doubled=False)


def ways() -> list[Plan]:
    """Every story each way, without faults."""
    return [Plan(story, way) for story in STORIES for way in Way]


def singles(of: Played, hows: Iterable[How] = How) -> list[Plan]:
    """Everything that can go wrong at every door that the run passed, beyond what went wrong in it already."""
    return [replace(of.plan, faults=faults) for faults in one_more(of.plan.faults, len(of.doors), hows)]


def pairs(of: Played, play_one: Callable[[Plan], Played]) -> list[Plan]:
    """Dying twice: at every door, and again at every later door of the run that resumes."""
    return once_more(singles(of, DEATHS), play_one)


def once_more(plans: Iterable[Plan], play_one: Callable[[Plan], Played]) -> list[Plan]:
    """Each of these with one more death: at every door of the run that resumes after those it has."""
    return [later for plan in plans for later in singles(play_one(plan), DEATHS)]

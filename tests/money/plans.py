"""Plans: a story, one trouble before the call, one at it, one with the webhooks, and what goes wrong at which door.

Each is played on a fresh database to its end, and judged by the double's own ledger; and the way of each claim, with the calls
on the wire, has to be a way of the model (tests/models/refund.py).
"""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from policy.lifecycle import CaseState
from tests.arena import Arena, scratch
from tests.chance import chance_of
from tests.faults import Fault, How, faults_read, faults_written, one_more
from tests.models.ways import Refunds
from tests.money.whole_way import WholeWay
from worker.creem.client import Creem
from worker.sandbox.creem import SecondRefund, Switches
from worker.sandbox.creem.catalogue import AT_POST, BEFORE_POST, WEBHOOKS, merge
from worker.settings import DEFAULT_TERMS
from worker.store.engine import Store

NASTY = Switches(second_refund=SecondRefund.PAYS_AGAIN, second_while_pending=SecondRefund.PAYS_AGAIN)
"""The provider pays whatever it is asked to pay: only we stand between it and a second refund."""
BEFORE, AT, HOOKS = dict(BEFORE_POST), dict(AT_POST), dict(WEBHOOKS)
BEYOND_US = {"refunded_meanwhile", "refunded_in_part_meanwhile", "disputed_meanwhile", "disputed_afterwards"}
"""Somebody else moves the same money between our read and our call, or after it: what they move adds up with what we move."""
SHOWN_AND_TAKEN_BACK = {"pending_fails_after_refunded_was_shown", "pending_fails_and_refunded_stays_shown"}
"""Creem shows the charge as refunded and no money leaves: nobody can tell from outside."""
DAYS, PATIENCE_HOURS, BALANCE_DAYS = 8, 2, 3
"""The published terms wait longer for a proof and for a balance; the steps they take meanwhile are the same."""
FINAL = [state.value for state in CaseState if state.final]


@dataclass(frozen=True)
class Story:
    """A customer charged so many times for one thing; all but the first go back."""

    charges: int = 2
    reconciled: bool = False
    """The history names no transactions: only reconcile finds which charge is whose, and claims."""


STORIES = {"one_claim": Story(), "two_claims": Story(charges=3), "reconciled": Story(reconciled=True)}
"""Two claims are of one account: the limits, the floor and the account's lock are shared."""


@dataclass(frozen=True)
class Plan:
    """What goes wrong in one run."""

    story: str = "one_claim"
    before: str = "nothing"
    at: str = "nothing"
    hooks: str = "nothing"
    doubled: bool = False
    """The history is imported twice, each webhook delivered twice, each turn taken twice."""
    faults: frozenset[Fault] = frozenset()

    def __str__(self) -> str:
        troubles = "+".join((self.before, self.at, self.hooks))
        return f"{self.story}/{troubles}{'/doubled' if self.doubled else ''}/{faults_written(self.faults)}"

    @classmethod
    def parse(cls, text: str) -> "Plan":
        """The plan that prints so. Raises `ValueError` for anything else."""
        match text.split("/"):
            case [story, troubles, faults]:
                doubled = False
            case [story, troubles, "doubled", faults]:
                doubled = True
            case _:
                story, troubles, doubled, faults = "", "", False, ""
        before, at, hooks, *rest = [*troubles.split("+"), "", ""]
        if story not in STORIES or before not in BEFORE or at not in AT or hooks not in HOOKS or any(rest):
            raise ValueError(f"{text}: no plan; `one_claim/nothing+nothing+nothing/13 dies after` would be one")
        return cls(story, before, at, hooks, doubled, faults_read(faults))

    @property
    def switches(self) -> Switches:
        """The double's switches of this plan; later ones count where two say something."""
        return merge(merge(merge(NASTY, BEFORE[self.before]), HOOKS[self.hooks]), AT[self.at])

    @property
    def untroubled(self) -> bool:
        """True where Creem itself does nothing but what it promises."""
        return (self.before, self.at, self.hooks) == ("nothing", "nothing", "nothing")


@dataclass
class Played:
    """What came of it."""

    plan: Plan
    doors: list[str] = field(default_factory=list)
    deaths: int = 0
    states: list[str | None] = field(default_factory=list)
    """How the case of each charge that was to go back stands, first to last."""
    requests: int = 0
    posts: int = 0
    overpaid: int = 0
    """Minor units that we sent beyond what was paid. Always 0."""
    beside_us: int = 0
    """Minor units that left beyond what was paid because somebody else moved the same money in the same moment."""
    unproved: int = 0
    """Claims that are neither proved nor with a person at the end. Always 0."""
    wrong: list[str] = field(default_factory=list)

    @property
    def with_person(self) -> int:
        """How many cases a person has to look at."""
        return self.states.count("review")


@cache
def impatient_terms() -> Path:
    """The published terms with less patience, in a folder of their own."""
    folder = Path(tempfile.mkdtemp(prefix="refunds-terms-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for file in DEFAULT_TERMS.glob("*.toml"):
        text = file.read_text().replace("unproved_payment_hours = 24", f"unproved_payment_hours = {PATIENCE_HOURS}")
        (folder / file.name).write_text(text.replace("refused_payment_days = 14", f"refused_payment_days = {BALANCE_DAYS}"))
    return folder


def play_in(arena: Arena, plan: Plan) -> Played:
    """This plan on a database that is made empty, until nothing happens any more."""
    with arena.empty() as store:
        return play(plan, store)


def play(plan: Plan, store: Store, client: Callable[[Creem], Creem] = lambda creem: creem) -> Played:
    """The same on any database that is empty, and with another client in front of the double."""
    story = STORIES[plan.story]
    # the names of claims decide which of two that are due at once is paid first
    with scratch("journal") as folder, chance_of(0):
        world = WholeWay(
            store, journal=Path(folder), doubled=plan.doubled, reconciles=story.reconciled,
            switches=plan.switches, faults=plan.faults, terms_dir=impatient_terms(),
        )  # fmt: skip
        ways = Refunds(store, world.double)
        world.creem = client(ways.between(world.creem))
        played = Played(plan)
        try:
            nameless: dict[str, Any] = {"transaction_id": None} if story.reconciled else {}
            world.exported(world.history_of_charges(story.charges, **nameless))
            world.settle_down(days=DAYS, done=lambda: _over(world))
            world.sweep()
            _judge(played, world, story)
            played.wrong += ways.strange()
        except Exception as error:
            played.wrong.append(f"a defect: {error!r}")
        finally:
            ways.close()
            world.close()
        played.doors, played.deaths = world.doors.names, len(world.doors.deaths)
    return played


def _over(world: WholeWay) -> bool:
    """Nothing is open, or what is open is with a person and has been for days."""
    if world.at_rest():
        return True
    waited = world.clock.now() - world.started
    return (
        waited > timedelta(hours=2 * PATIENCE_HOURS)
        and all(state == "review" for state, _ in world.open_claims())
        and world.nothing_to_do()
        and world.double.next_due() is None
    )


def _judge(played: Played, world: WholeWay, story: Story) -> None:
    double, plan, wrong = world.double, played.plan, played.wrong
    played.requests = len(double.requests)
    for number in range(1, story.charges):
        _judge_charge(played, world, f"ord_{number}", f"tran_{number}")
    kept = double.gone("tran_0", "refund")
    if kept:
        wrong.append(f"{kept} went back of the charge that stays")
    played.overpaid += kept
    if sum(one.kind == "refund" for one in double.movements) >= story.charges:
        wrong.append("more than one refund of ours moved money for one charge")
    if plan.before == "disputed_before_read" and played.posts:
        wrong.append("a call was sent under dispute")
    played.unproved = sum(state != "review" for state, _ in world.open_claims())
    if played.unproved:
        wrong.append(f"a claim is neither proved nor with a person: {world.open_claims()}")
    if not world.nothing_to_do():
        wrong.append(f"never comes to rest: {world.effects_left()}, all handled: {world.all_handled()}")
    wrong += [f"{breach['check']}: {breach['row']} {breach['problem']}" for breach in world.audit().breaches]


def _judge_charge(played: Played, world: WholeWay, order: str, transaction: str) -> None:
    double, plan, wrong = world.double, played.plan, played.wrong
    state, paid = world.state(order), double.paid(transaction)
    ours, everybody = double.gone(transaction, "refund"), double.gone(transaction)
    played.states.append(state)
    played.posts += double.posts(transaction)
    played.overpaid += max(0, ours - paid)
    if ours > paid:
        wrong.append(f"we sent {ours} of {paid} paid for {order}")
    beside = max(0, everybody - paid) - max(0, ours - paid)
    if beside and not BEYOND_US & {plan.before, plan.at}:
        wrong.append(f"{everybody} left for {order}, {paid} were paid")
    played.beside_us += beside
    if state not in {*FINAL, "review"}:
        wrong.append(f"the case of {order} stands in {state}")
    taken_back = SHOWN_AND_TAKEN_BACK & {plan.at} or plan.hooks == "told_at_creation_then_fails"
    if state in {"refunded", "external"} and everybody < paid and not taken_back:
        wrong.append(f"{order} is {state}, and only {everybody} of {paid} left")
    notes = [note for note in world.announced() if note["type"] == "refund.payment_refunded"]
    told = {note["id"] for note in notes if note["data"]["order_id"] == order}
    if len(told) != (state == "refunded"):
        wrong.append(f"{order} is {state}, and its refund was announced under {len(told)} names")


def singles(of: Played, hows: Iterable[How] = How) -> list[Plan]:
    """Everything that can go wrong at every door that the run passed, beyond what went wrong in it already."""
    return [replace(of.plan, faults=faults) for faults in one_more(of.plan.faults, len(of.doors), hows)]


def what_is_wrong(arena: Arena, plans: Iterable[Plan]) -> dict[str, list[str]]:
    """By plan; empty where every plan held."""
    played = (play_in(arena, plan) for plan in plans)
    return {str(one.plan): one.wrong for one in played if one.wrong}

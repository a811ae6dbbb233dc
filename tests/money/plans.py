"""Plans: one trouble before the call, one at it, one with the webhooks, and the points at which the process dies.

Each is played on a fresh database to its end, and judged by the double's own ledger.
"""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path

from sqlalchemy import select

from policy.lifecycle import CaseState
from tests.arena import Arena
from tests.money.world import MoneyWorld
from worker.creem.client import Creem
from worker.sandbox.creem import SecondRefund, Switches
from worker.sandbox.creem.catalogue import AT_POST, BEFORE_POST, WEBHOOKS, merge
from worker.settings import DEFAULT_TERMS
from worker.store.engine import Store
from worker.store.tables import cases, payments

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
class Plan:
    """What goes wrong in one run."""

    before: str = "nothing"
    at: str = "nothing"
    hooks: str = "nothing"
    dies_at: frozenset[int] = frozenset()

    def __str__(self) -> str:
        deaths = f" dies at {sorted(self.dies_at)}" if self.dies_at else ""
        return f"{self.before} + {self.at} + {self.hooks}{deaths}"

    @property
    def switches(self) -> Switches:
        """The double's switches of this plan; later ones count where two say something."""
        return merge(merge(merge(NASTY, BEFORE[self.before]), HOOKS[self.hooks]), AT[self.at])


@dataclass
class Played:
    """What came of it."""

    plan: Plan
    state: str | None = None
    passages: int = 0
    requests: int = 0
    posts: int = 0
    overpaid: int = 0
    """Minor units that we sent beyond what was paid. Always 0."""
    beside_us: int = 0
    """Minor units that left beyond what was paid because somebody else moved the same money in the same moment."""
    unproved: int = 0
    """Claims that are neither proved nor with a person at the end. Always 0."""
    with_person: bool = False
    wrong: list[str] = field(default_factory=list)


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
    """Two charges of the same thing, five minutes apart, under this plan, until nothing happens any more."""
    with arena.empty() as store:
        return play(plan, store)


def play(plan: Plan, store: Store, client: Callable[[Creem], Creem] = lambda creem: creem) -> Played:
    """The same on any database that is empty, and with another client in front of the double."""
    world = MoneyWorld(store, switches=plan.switches, dies_at=plan.dies_at, terms_dir=impatient_terms())
    world.creem = client(world.creem)
    try:
        world.twice_charged()
        world.settle_down(days=DAYS, done=lambda: _over(world))
        world.sweep()
        return _judge(plan, world)
    finally:
        world.close()


def _over(world: MoneyWorld) -> bool:
    """Nothing is open, or what is open is with a person and has been for days."""
    if world.at_rest():
        return True
    waited = world.clock.now() - world.started
    return (
        waited > timedelta(hours=2 * PATIENCE_HOURS)
        and all(state == "review" for state, _ in _open_claims(world))
        and world.double.next_due() is None
    )


def _open_claims(world: MoneyWorld) -> list[tuple[str, str]]:
    joined = select(cases.c.state, payments.c.state.label("claim")).join(payments, payments.c.case_id == cases.c.case_id)
    return [(row.state, row.claim) for row in world.store.read(lambda tx: tx.all(joined.where(payments.c.closed_at.is_(None))))]


def _judge(plan: Plan, world: MoneyWorld) -> Played:
    double, played = world.double, Played(plan)
    found = world.case("ord_1")
    played.state = found["state"] if found else None
    played.passages, played.requests = world.doors.passed, len(double.requests)
    played.posts = double.posts("tran_1")
    paid = double.paid("tran_1")
    ours, everybody = double.gone("tran_1", "refund"), double.gone("tran_1")
    played.overpaid = max(0, ours - paid) + double.gone("tran_0", "refund")
    beside = max(0, everybody - paid) - max(0, ours - paid)
    played.with_person = played.state == "review"
    played.unproved = sum(state != "review" for state, _ in _open_claims(world))
    wrong = played.wrong
    if played.overpaid:
        wrong.append(f"we sent {ours} of {paid} paid, and {double.gone('tran_0', 'refund')} on the charge that stays")
    if beside and not BEYOND_US & {plan.before, plan.at}:
        wrong.append(f"{everybody} left, {paid} were paid")
    played.beside_us = beside
    if sum(one.kind == "refund" for one in double.movements) > 1:
        wrong.append("more than one refund of ours moved money")
    if plan.before == "disputed_before_read" and played.posts:
        wrong.append("a call was sent under dispute")
    if played.unproved:
        wrong.append(f"a claim is neither proved nor with a person: {_open_claims(world)}")
    if played.state not in {*FINAL, "review"}:
        wrong.append(f"the case stands in {played.state}")
    taken_back = SHOWN_AND_TAKEN_BACK & {plan.at} or plan.hooks == "told_at_creation_then_fails"
    if played.state == "refunded" and everybody < paid and not taken_back:
        wrong.append(f"refunded, and only {everybody} of {paid} left")
    if played.state == "external" and everybody < paid and not taken_back:
        wrong.append(f"external, and only {everybody} of {paid} left")
    wrong += [f"{breach['check']}: {breach['row']} {breach['problem']}" for breach in world.audit().breaches]
    return played


def deaths(played: Played) -> list[Plan]:
    """The same plan, dying once at every point that it passed."""
    return [replace(played.plan, dies_at=played.plan.dies_at | {point}) for point in range(2 * played.passages)]

"""One seed: weeks of a town under its weather, then calm until nothing is left to do, then the audit and the reference."""

import atexit
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path

from sqlalchemy import select

from tests.arena import Rows, scratch
from tests.cases.glance import looks_wrong
from tests.cases.world import HandClock
from tests.models.ways import Events, Refunds
from tests.money.plans import impatient_terms
from tests.simulation.hub import Hub, Weather
from tests.simulation.people import People
from tests.simulation.size import WEEKS, Size
from tests.simulation.stories import CHANGED_CODE, GRANTED, DoubleCharge, Teller, Told, allowed
from tests.simulation.town import Town, world_of
from worker.cases.money import limits
from worker.errors import Refused
from worker.sandbox.creem.catalogue import merge
from worker.sandbox.creem.switches import ALWAYS, Switches
from worker.sandbox.creem.words import Fault
from worker.store.engine import Store
from worker.store.tables import case_history, cases, inbox, payments

CALM_DAYS = 12
OUTAGES = ("database", "redis", "pipeline", "creem", "webhooks", "disk")
LATENESS = frozenset(
    {
        *("effects_are_not_forgotten", "claims_take_their_turns", "unhandled_rows_are_young", "open_cases_have_owner_and_time"),
        "waiting_events_have_no_job",
        "notices_are_not_forgotten",
    }
)
"""Checks of what is late: while the weather lasts it may be."""
MONEY_ENDS = {"refunded", "external"}
SHORT, LONG = timedelta(minutes=10), timedelta(hours=10)


@dataclass
class Played:
    """What came of one seed."""

    seed: int
    trace: str = ""
    days: float = 0.0
    turns: int = 0
    events: int = 0
    jobs: int = 0
    deaths: int = 0
    refunds: int = 0
    met: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@cache
def two_editions(second: str) -> Path:
    """The impatient terms, and beside them an edition of later that reads one code otherwise."""
    folder = Path(tempfile.mkdtemp(prefix="refunds-editions-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (first,) = impatient_terms().glob("*.toml")
    text = first.read_text()
    (folder / first.name).write_text(text)
    changed = text.replace(f', "{CHANGED_CODE}"]', "]").replace('"invalid_image"', f'"invalid_image", "{CHANGED_CODE}"')
    (folder / f"{second}.toml").write_text(changed.replace('edition = "2025-12-03"', f'edition = "{second}"'))
    return folder


class Fates:
    """What befalls the town at drawn times: outages, kills, flushes, restores, people."""

    def __init__(self, town: Town) -> None:
        self.town, self.chance, self.hub = town, town.hub.chance, town.hub
        self.backup: Rows = town.back_up()
        self.happened: Counter[str] = Counter()

    def draw(self, told: Told) -> None:
        """Draws them all; what is away is away when there is something to do, the pipeline when a job has to be run again."""
        weather, town = self.town.weather, self.town
        start = town.clock.now()

        def some_time() -> timedelta:
            return timedelta(days=self.chance.uniform(0.1, town.size.days))

        for what in self.chance.sample(OUTAGES, weather.outages):
            at = self.chance.choice(told.reruns if what == "pipeline" and told.reruns else told.moments)
            lasts = timedelta(seconds=self.chance.uniform(SHORT.total_seconds(), LONG.total_seconds()))
            self.hub.at(at, f"{what} goes", lambda what=what: self._goes(what))  # type: ignore[misc]
            self.hub.at(at + lasts, f"{what} comes", lambda what=what: self._comes(what))  # type: ignore[misc]
        for name, times, happens in (
            ("kill", weather.kills, self._kill),
            ("flush", weather.flushes, self._flush),
            ("restore", weather.restores, self._restore),
            ("requeue", weather.requeues, self._requeue),
            ("stop", weather.stops, self._stop),
            ("jump", weather.jumps, self._jump),
        ):
            for _ in range(times):
                self.hub.at(start + some_time(), name, happens)
        if weather.restores:
            for day in range(town.size.days):
                self.hub.at(start + timedelta(days=day, hours=3), "backup", self._back_up)

    def _goes(self, what: str) -> None:
        self.happened[f"{what} away"] += 1
        if what == "creem":
            fault = self.chance.choice([Fault.ERROR_503, Fault.TIMEOUT, Fault.RESET])
            broken = Switches(get=fault, get_times=ALWAYS, post=fault, post_times=ALWAYS)
            self.town.double.switches = merge(self.town.double.switches, broken)
        elif what == "webhooks":
            self.town.hears = False
        else:
            self.town.gates.away.add(what)

    def _comes(self, what: str) -> None:
        if what == "creem":
            self.town.double.switches = self.town.fair
        elif what == "webhooks":
            self.town.hears = True
        else:
            self.town.gates.away.discard(what)
            unsent, self.town.unsent = self.town.unsent, []
            self.town.send(*unsent)
        self.hub.comes_back()
        self.hub.stir("rows", "stream")

    def _kill(self) -> None:
        # not one who is at work in this moment: mostly nobody is
        self.town.gates.doomed += 1

    def _flush(self) -> None:
        if "redis" not in self.town.gates.away:
            self.happened["Redis emptied"] += 1
            self.town.flush()

    def _back_up(self) -> None:
        self.backup = self.town.back_up()

    def _restore(self) -> None:
        self.happened["database set back"] += 1
        self.town.restore(self.backup)
        self.hub.at(self.town.clock.now() + timedelta(hours=self.chance.uniform(0.2, 8)), "recover", self._recover)

    def _recover(self) -> None:
        if self.town.gates.away:
            self.hub.at(self.town.clock.now() + timedelta(hours=1), "recover", self._recover)
        else:
            self.town.recover()
            # a stop may have come back that somebody had released since
            self.hub.at(self.town.clock.now() + timedelta(hours=self.chance.uniform(1, 20)), "release", self._release)

    def _jump(self) -> None:
        self.happened["clock jumped"] += 1
        hours = self.chance.choice([-1, 1]) * self.chance.uniform(0.1, 12)
        right = self.town.jump(timedelta(hours=hours))
        self.hub.at(self.town.clock.now() + timedelta(hours=self.chance.uniform(0.2, 8)), "put right", right)

    def _requeue(self) -> None:
        if self.chance.random() < 0.2:
            self.town.deal_with_letters()
        try:
            self.town.requeue()
            self.happened["requeued"] += 1
        except Refused:
            pass

    def _stop(self) -> None:
        now = self.town.clock.now()
        self.happened["money stopped"] += 1
        self.town.store.write(lambda tx: limits.stop(tx, by="ops", reason="to be sure", now=now))
        later = now + timedelta(hours=self.chance.uniform(1, 20))
        self.hub.at(later, "release", self._release)

    def _release(self) -> None:
        try:
            now = self.town.clock.now()
            self.town.store.write(lambda tx: limits.release(tx, by="ops", reason="looked at", now=now))
            self.hub.stir("rows")
        except Refused:
            pass  # a restore undid the stop


def play(
    seed: int,
    store: Store,
    weather: Weather | None = None,
    spoils: Callable[[Town], None] = lambda town: None,
    size: Size = WEEKS,
) -> Played:
    """Plays the seed on an empty database; `spoils` may tamper with it before it is judged."""
    played = Played(seed)
    clock, chance = HandClock(), random.Random(seed)
    hub = Hub(clock, chance)
    with world_of(seed, clock, hub.pause), scratch("journal") as folder:
        weather = weather or Weather.drawn(chance, size.rarer)
        terms = two_editions(size.second_edition) if weather.editions else impatient_terms()
        town = Town(store, Path(folder), hub, weather, terms, seed, clock, size)
        claims, events = Refunds(store, town.double), Events(store, town.inside)
        town.creem, town.added = claims.between(town.creem), events.added
        try:
            _play(town, played, spoils)
            played.wrong += [*claims.strange(), *events.strange()]
        finally:
            hub.end()
            claims.close()
            events.close()
            town.close()
    return played


def _play(town: Town, played: Played, spoils: Callable[[Town], None]) -> None:
    hub, start, weather = town.hub, town.clock.now(), town.weather
    told = Teller(town).tell()
    fates = Fates(town)
    fates.draw(told)
    people = People(town, told) if town.weather.people else None
    if people is not None:
        people.draw()
    town.open()
    looks = 0

    def holds() -> bool:
        """The oracles of every moment: no money twice, and every so often the whole audit. True stops the run."""
        nonlocal looks
        looks += 1
        if over := town.double.overpaid():
            played.wrong.append(f"paid twice: {over}")
        if looks % 150 == 0:
            _audit(town, played, of_lateness=False)
        return bool(played.wrong or hub.defects)

    def at_rest() -> bool:
        return not town.left() and not (people and people.waiting())

    hub.run(start + town.size.weather_ends, due=town.due, each=holds)
    town.gates.calm, town.weather = True, Weather()
    hub.run(
        town.clock.now() + timedelta(days=CALM_DAYS),
        due=town.due,
        each=lambda: holds() or (town.clock.now() - start > town.size.at_least and at_rest()),
    )
    played.wrong += [f"a defect: {one}" for one in hub.defects[:3]]
    _audit(town, played, of_lateness=True)
    if not played.wrong:
        spoils(town)
        _judge(town, told, fates, played)
        if weather.one_mind:
            played.wrong += [f"{name} was run again after its credits came back" for name in town.remedied_twice]
        if people is not None:
            played.wrong += people.wrong(disturbed=_disturbed(fates))
    hub.note("end", sorted(played.ends.items()), town.digest())
    played.trace, played.turns, played.events, played.jobs = hub.trace, hub.turns, len(town.sent), len(told.jobs)
    played.days = (town.clock.now() - start) / timedelta(days=1)
    played.deaths = sum(process.deaths for process in hub.processes)
    played.refunds = sum(one.kind == "refund" for one in town.double.movements)
    played.met = town.gates.met + fates.happened + (people.happened if people is not None else Counter())


def _audit(town: Town, played: Played, *, of_lateness: bool) -> None:
    if not of_lateness and not town.store.read(lambda tx: looks_wrong(tx, town.clock.now(), LATENESS)):
        return
    found = [breach for breach in town.audit().breaches if of_lateness or breach["check"] not in LATENESS]
    played.wrong += [f"{breach['check']}: {breach['row']} {breach['problem']}" for breach in found[:5]]


def _judge(town: Town, told: Told, fates: Fates, played: Played) -> None:
    """The reference: what must have come of everything that was told."""
    wrong, disturbed, decided = played.wrong, _disturbed(fates), _decided(town)
    if left := town.left():
        wrong.append(f"never comes to rest: {left}")
    found = {row.subject: row for row in town.rows(select(cases).where(cases.c.kind == "job").order_by(cases.c.subject))}
    spent: Counter[str] = Counter()
    for job in told.jobs:
        case = found.pop(job.name, None)
        state, back = (case.state, case.credits_reversed) if case is not None else (None, 0)
        played.ends[str(state)] += 1
        if state not in (ends := allowed(job, told, disturbed, case is not None and case.case_id in decided)):
            wrong.append(f"{job.name} ends {state}, the policy allows {sorted(map(str, ends))}")
        if back != (job.costs if state == "refunded" and job.known else 0):
            wrong.append(f"{job.name} is {state} and {back} of its {job.costs} credits came back")
        spent[job.account] += job.costs * job.known - back
    wrong += [f"a case of nothing that was told: {name}" for name in found if name not in told.besides]
    for account in told.accounts:
        if town.credits(account) != GRANTED - spent[account]:
            wrong.append(f"{account} has {town.credits(account)} credits and not {GRANTED - spent[account]}")
    for charge in told.charges:
        _judge_charge(town, charge, decided, played)
    kept = {row.event_id for row in town.rows(select(inbox.c.event_id))}
    lost = {json.loads(document)["id"] for document in town.sent if not document.startswith("{bad")} - kept
    wrong += [f"{len(lost)} events are in no book: {sorted(lost)[:3]}"] if lost else []
    dead = sum(reason == "not_json" for reason, _ in town.dead())
    if dead < told.bad:
        wrong.append(f"{told.bad} bad documents, {dead} dead letters")
    if not disturbed:
        notes = town.told()
        wrong += [f"nobody was told of {name}" for name in sorted(_closed(town) - {note["data"]["job_id"] for note in notes})]
        contents = {(note["id"], note["type"], note["data"]["job_id"]) for note in notes}
        wrong += ["one identity, two announcements"] if len(contents) != len({note["id"] for note in notes}) else []


def _judge_charge(town: Town, charge: DoubleCharge, decided: set[str], played: Played) -> None:
    stays, goes = charge.both
    order = goes.replace("tran", "ord")
    case, gone = town.case(order), town.double.gone(goes, "refund")
    state = case["state"] if case else None
    played.ends[f"charge {state}"] += 1
    if gone > 900 or town.double.gone(stays, "refund") > (900 if charge.touched else 0):
        played.wrong.append(f"{goes}: {gone} of 900 went back")
    if state is None or state not in MONEY_ENDS | {"review", "declined"} | ({"nothing_owed"} if charge.touched else set()):
        played.wrong.append(f"{order} ends {state}")
    if charge.trouble or charge.touched or (case and case["case_id"] in decided):
        return
    doubted = town.rows(select(payments).where(payments.c.transaction_id == goes))
    if state != "refunded" and not (doubted and state == "review"):
        played.wrong.append(f"{order} ends {state} with nothing in its way")
    if state == "refunded" and gone != 900:
        played.wrong.append(f"{order} is refunded and {gone} of 900 went back")


def _disturbed(fates: Fates) -> bool:
    """True where books or Redis were lost: what was told since is in no book."""
    return bool(fates.happened["Redis emptied"] or fates.happened["database set back"])


def _decided(town: Town) -> set[str]:
    """Cases that a person said something about."""
    said = select(case_history.c.case_id).where(case_history.c.event == "review.decided")
    return {row.case_id for row in town.rows(said)}


def _closed(town: Town) -> set[str]:
    made_whole = select(cases.c.job_id).where(cases.c.kind == "job", cases.c.state.in_(["refunded", "delivered"]))
    return {row.job_id for row in town.rows(made_whole)}

"""Many processes in one thread: who goes on, and what befalls it, is drawn from a seed. Time passes when nobody can go on."""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from importlib import import_module
from itertools import count
from typing import Any

import redis

from tests.cases.world import HandClock
from tests.faults import Crash, deadlock
from worker.errors import TryLater

_greenlets: Any = import_module("greenlet")
LOOKS_AGAIN, SKEWED, SOON = timedelta(seconds=30), timedelta(minutes=4), timedelta(seconds=2)
Step = Callable[[], object]
"""One turn of a process; it returns how long it rests, or true where it did something that others might have waited for."""

Asked = Callable[[datetime], list[tuple[datetime, str]]]


@dataclass(eq=False)
class Process:
    """One process that is born, takes turns, dies and is born again without a memory."""

    name: str
    role: str
    born: Callable[[], Step]
    hears: str
    """What wakes it: `stream` or `rows`."""
    wake: datetime | None = None
    """When it goes on; None while it waits to be called."""
    heard: int = 0
    called: bool = True
    in_turn: bool = False
    deaths: int = 0
    in_vain: int = 0
    """Turns in a row that ended at something that was away."""
    body: Any = None


class Hub:
    """The scheduler: processes, things that happen at their time, and the trace of everything."""

    def __init__(self, clock: HandClock, chance: random.Random) -> None:
        self.clock, self.chance = clock, chance
        self.processes: list[Process] = []
        self.stirred: Counter[str] = Counter()
        self.running: Process | None = None
        self.turns = 0
        self.defects: list[str] = []
        self._happenings: list[tuple[datetime, int, str, Callable[[], None]]] = []
        self._order = count()
        self._asked: datetime | None = None
        self._again: dict[str, datetime] = {}
        self._trace = sha256()
        self._root = _greenlets.getcurrent()

    # what a process may do

    def pause(self, seconds: float) -> None:
        """The process that runs stands still so long; it may be killed meanwhile."""
        process = self.running
        assert process is not None
        process.wake = self.clock.now() + timedelta(seconds=seconds)
        self._root.switch()

    def note(self, *words: object) -> None:
        """One more line of the trace."""
        who = self.running.name if self.running else "-"
        self._trace.update(f"{self.clock.now().timestamp():.3f} {who} {words}\n".encode())

    @property
    def trace(self) -> str:
        """What was noted so far, as one short name: two runs of one seed have the same."""
        return self._trace.hexdigest()[:16]

    # processes

    def start(self, name: str, role: str, hears: str, born: Callable[[], Step]) -> None:
        """One more process."""
        process = Process(name, role, born, hears)
        process.body = _greenlets.greenlet(lambda: self._live(process), self._root)
        self.processes.append(process)

    def kill(self, process: Process) -> None:
        """Ends it where it stands; it is born again a little later."""
        if process.in_turn:
            self.note("killed", process.name)
            self._go_on(process, Crash("killed"))

    def stir(self, *whom: str) -> None:
        """There may be something to do for those who hear it."""
        self.stirred.update(whom)

    def _live(self, process: Process) -> None:
        while True:
            step = process.born()
            try:
                while True:
                    self._wait_to_be_called(process)
                    self._turn(process, step)
            except Crash:
                process.deaths += 1
                process.in_turn, process.called, process.in_vain = False, True, 0
                self.pause(self.chance.uniform(0.5, 90))

    def _wait_to_be_called(self, process: Process) -> None:
        if not process.called:
            process.wake = None
            self._root.switch()
        process.called, process.heard = False, self.stirred[process.hears]

    def _turn(self, process: Process, step: Step) -> None:
        process.in_turn = True
        pause = self.chance.uniform(0.01, 2)
        try:
            done = step()
            process.in_vain = 0
            if isinstance(done, timedelta):
                process.called, pause = True, done.total_seconds()
            elif done:
                process.called = True
                self.stir("rows")
        except (TryLater, redis.RedisError):
            process.called, pause = True, self._after_in_vain(process)
        except Exception as error:
            # a real process logs it and goes on; here it is a finding
            self.defects.append(f"{process.name}: {type(error).__name__}: {error}")
            process.called, pause = True, self.chance.uniform(1, 60)
        process.in_turn = False
        self.pause(pause)

    def _after_in_vain(self, process: Process) -> float:
        # a real one tries each minute, all the night long: after a few times that is the same turn again and again
        process.in_vain += 1
        return self.chance.uniform(1, 60) * 2.0 ** min(process.in_vain - 1, 5)

    def comes_back(self) -> None:
        """What was away is there again: whoever tried in vain tries within a minute."""
        for process in self.processes:
            if process.in_vain and not process.in_turn and process.wake is not None:
                process.wake = min(process.wake, self.clock.now() + timedelta(seconds=self.chance.uniform(1, 60)))

    # time

    def at(self, when: datetime, name: str, do: Callable[[], None]) -> None:
        """This happens then, between two turns."""
        heapq.heappush(self._happenings, (when, next(self._order), name, do))

    def run(self, until: datetime, *, due: Asked, each: Callable[[], bool]) -> None:
        """Lets everybody go on until then, or until `each`, asked after every turn, is true. `due` says what falls due for which
        role, or fell due since then.
        """
        while self.clock.now() < until:
            now = self.clock.now()
            if self._happenings and self._happenings[0][0] <= now:
                _, _, name, do = heapq.heappop(self._happenings)
                self.note("happens", name)
                do()
            elif ready := [process for process in self.processes if self._may_go_on(process, now)]:
                self.turns += 1
                self._go_on(self.chance.choice(ready))
            else:
                if each():
                    return
                self._let_time_pass(until, due)
                continue
            if self.turns % 64 == 0 and each():
                return

    def end(self) -> None:
        """Nobody goes on."""
        for process in self.processes:
            process.body = None

    def _may_go_on(self, process: Process, now: datetime) -> bool:
        if process.wake is not None:
            return process.wake <= now
        return process.called or self.stirred[process.hears] != process.heard

    def _go_on(self, process: Process, *thrown: BaseException) -> None:
        before, self.running = self.running, process
        try:
            if thrown:
                process.body.throw(*thrown)
            else:
                process.body.switch()
        finally:
            self.running = before

    def _let_time_pass(self, until: datetime, ask: Asked) -> None:
        now = self.clock.now()
        wakes = [process.wake for process in self.processes if process.wake is not None]
        if wakes and min(wakes) - now < SOON:
            # what falls due within it is noticed a breath later, as everywhere
            self.clock.at = max(now, min(wakes)) + timedelta(milliseconds=1)
            return
        # what fell due while others were at work for longer is due still
        since, self._asked = min(now - SKEWED, self._asked or now), now
        due = ask(since)
        # a host whose clock is behind finds nothing yet; a real one would look again two seconds later
        for moment, role in due:
            if since <= moment <= now:
                # and not later each time that anybody else is at work
                self._again.setdefault(role, now + max(LOOKS_AGAIN, now - moment))
        due = [(moment, role) for moment, role in due if moment > now] + [(at, role) for role, at in self._again.items()]
        ahead = [moment for moment, _ in due] + wakes + [moment for moment, *_ in self._happenings[:1]]
        at = max(now, min([*ahead, now + timedelta(hours=6), until])) + timedelta(milliseconds=1)
        roles = {role for moment, role in due if moment <= at}
        self._again = {role: moment for role, moment in self._again.items() if moment > at}
        if at - now > timedelta(hours=6):
            roles = {process.role for process in self.processes}
        for process in self.processes:
            process.called = process.called or process.role in roles
        self.clock.at = at


@dataclass(frozen=True)
class Weather:
    """How likely each trouble is at a door, and which troubles there are at all. Drawn once a seed, each on or off first."""

    dies_before: float = 0.0
    dies_after: float = 0.0
    commit_lost: float = 0.0
    """Done and told as failed, or failed and not done."""
    redis_lost: float = 0.0
    pipeline_lost: float = 0.0
    freezes: float = 0.0
    skew: float = 0.0
    """Seconds by which hosts' clocks may be apart."""
    duplicates: float = 0.0
    late: float = 0.0
    kills: int = 0
    outages: int = 0
    flushes: int = 0
    restores: int = 0
    requeues: int = 0
    stops: int = 0
    storms: int = 0
    bad_documents: int = 0
    creem_troubles: bool = False
    pipeline_troubles: bool = False
    editions: bool = False
    drains: bool = False
    hands_on: bool = False
    dies_during: float = 0.0
    """Within a unit of work, before its commit."""
    deadlocks: float = 0.0
    """Deadlocks and serialization errors: units that the database throws away and that are repeated."""
    jumps: int = 0
    """How often the clock of one host is hours off for a while."""
    people: bool = False
    """People decide cases, write for money back, dispute charges and act in Creem's dashboard."""
    dies_abroad: float = 0.0
    """Before or after a call that leaves the house; of these there are few."""
    creem_lost: float = 0.0

    @property
    def one_mind(self) -> bool:
        """Whether all agree on the time and on what has happened, and nobody but they gives credits back."""
        return not (self.skew or self.jumps or self.restores or self.people)

    @classmethod
    def drawn(cls, chance: random.Random, rarer: int = 1) -> "Weather":
        """One mixture: every trouble is off half the time. What is counted comes so many times more rarely."""

        def rate(most: float) -> float:
            return chance.choice([0.0, chance.uniform(0, most)])

        def times(most: int) -> int:
            return chance.choice([0, chance.randint(1, -(-most // rarer))])

        def either() -> bool:
            return chance.random() < 0.5

        return cls(
            *(rate(0.02), rate(0.02), rate(0.03), rate(0.03), rate(0.3), rate(0.02), rate(90.0), rate(0.3), rate(0.3)),
            *(times(12), times(6), times(2), times(2), times(12), times(2), times(1), times(4)),
            *(either(), either(), either(), either()),
            hands_on=either(),
            dies_during=rate(0.02),
            deadlocks=rate(0.1),
            jumps=times(4),
            people=either(),
            dies_abroad=rate(0.5),
            creem_lost=rate(0.6),
        )


SERVICES = {
    **{"commit": "database", "redis": "redis", "pipeline": "pipeline", "letter": "mail"},
    **{"call": "creem", "read": "creem", "search": "creem"},
}
"""Whom each kind of door leads to."""
DYING, FAILING = ("dies before", "dies after"), ("answer lost", "fails before")
NEVER_FAIL = {"letter"}
"""Doors through which everything comes that does not die on the way."""
BEFALLS = {
    *(f"{door}: {fate}" for door in SERVICES for fate in DYING),
    *(f"{door}: {fate}" for door in SERVICES.keys() - NEVER_FAIL for fate in FAILING),
    *(f"{door}: away" for door in ("commit", "redis", "pipeline")),
    *("commit: dies during", "commit: deadlock", "killed", "frozen"),
    *("Redis emptied", "database set back", "clock jumped", "requeued", "money stopped"),
}
"""What has to befall somebody in every run that is long enough: what never happens proves nothing."""


@dataclass
class Doors:
    """Every commit, Redis command and outside call of a process. Here it is overtaken, frozen, cut off or killed."""

    hub: Hub
    weather: Weather
    calm: bool = False
    away: set[str] = field(default_factory=set)
    """What nobody reaches just now: `database`, `redis`, `pipeline`, and `disk`, which is full."""
    met: Counter[str] = field(default_factory=Counter)
    doomed: int = 0
    """How many of those who come next are killed where they stand."""

    def through(self, name: str, work: Callable[[], Any], lost: Callable[[], Any] | None = None) -> Any:
        """Does `work` for the process that runs; `lost` is what it meets where no answer comes."""
        if self.hub.running is None:
            return work()
        self._stand_still()
        fate = self._fate(name, lost is not None)
        self.hub.note(name, fate)
        if fate:
            self.met[f"{name.partition(' ')[0]}: {fate}"] += 1
        if fate == "dies before":
            raise Crash(name)
        if lost is not None and fate in {"away", "fails before"}:
            return lost()
        result = work()
        self._stand_still()
        if fate == "dies after":
            raise Crash(name)
        return lost() if lost is not None and fate == "answer lost" else result

    def within(self, name: str) -> None:
        """A unit of work has done all but commit: here it is thrown away, or its process dies."""
        if self.hub.running is None or self.calm:
            return
        draw = self.hub.chance.random()
        if draw < self.weather.dies_during:
            self._meets(name, "dies during")
            raise Crash(name)
        if draw < self.weather.dies_during + self.weather.deadlocks:
            self._meets(name, "deadlock")
            deadlock()

    def _meets(self, name: str, fate: str) -> None:
        self.hub.note(name, fate)
        self.met[f"{name}: {fate}"] += 1

    def _stand_still(self) -> None:
        draw = self.hub.chance.random()
        if self.doomed and not self.calm:
            self.doomed -= 1
            self.met["killed"] += 1
            raise Crash("killed")
        if not self.calm and draw < self.weather.freezes:
            self.met["frozen"] += 1
            self.hub.pause(self.hub.chance.uniform(20, 900))
        elif draw > 0.7:
            self.hub.pause(self.hub.chance.uniform(0, 0.3))

    def _fate(self, name: str, can_be_lost: bool) -> str:
        weather, draw = self.weather, self.hub.chance.random()
        service = SERVICES[name.partition(" ")[0]]
        if can_be_lost and service in self.away:
            return "away"
        if self.calm:
            return ""
        dies = (weather.dies_before, weather.dies_after) if service in {"database", "redis"} else (weather.dies_abroad / 2,) * 2
        rates = {
            "database": weather.commit_lost,
            "redis": weather.redis_lost,
            "pipeline": weather.pipeline_lost,
            "creem": weather.creem_lost,
        }
        lost = rates[service] / 2 if can_be_lost else 0.0
        for fate, share in zip((*DYING, *FAILING), (*dies, lost, lost), strict=True):
            if draw < share:
                return fate
            draw -= share
        return ""

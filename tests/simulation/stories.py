"""What customers and the pipeline do, and what must come of it: the reference, which knows the policy and none of our code.

Every story says which ends its case may come to. Where nothing but reports is uncertain that is one end; where a re-run, a
deadline or a lost provider comes in between, each end that the policy allows at that moment is named.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from tests.cases.world import a_job, a_purchase, an_account
from tests.simulation.town import Town
from worker.clock import written
from worker.reruns import Answer, RerunOrder
from worker.sandbox.creem.catalogue import AT_POST, BEFORE_POST, WEBHOOKS, merge

GRANTED, PRICE = 2_000, 5
DECLINED = {"declined"}
PERSON_MAY = {"review"}
PERSON_SAYS = {"refunded", "declined"}
CODES_TO_RERUN = ("worker_crashed", "storage_error", "gpu_out_of_memory", "stage_timeout", "queue_timeout")
CODES_AT_ONCE = ("model_error", "internal_error")
CODES_OF_CUSTOMERS = ("invalid_image", "content_rejected", "cancelled_by_user", "unsupported_format")
CHANGED_CODE = "bad_output"
"""A fault of ours by the first edition, of the customer by the second."""
TROUBLES = (BEFORE_POST, AT_POST, WEBHOOKS)
SOMEBODY_ELSE = ("meanwhile", "before_read", "afterwards", "disputed")


@dataclass
class Job:
    """One job and what may come of it."""

    name: str
    account: str
    ends: set[str | None]
    """The states its case may end in; None: no case."""
    costs: int = PRICE
    known: bool = True
    """Whether the product ever told of its start."""


@dataclass
class DoubleCharge:
    """Two charges of the same thing; the later one goes back."""

    name: str
    at: datetime
    trouble: str = ""
    touched: bool = False
    """Whether people do something about either of the two."""

    @property
    def account(self) -> str:
        return f"acc_{self.name}"

    @property
    def both(self) -> tuple[str, str]:
        """The transactions, the one that stays first."""
        return f"tran_{self.name}_0", f"tran_{self.name}_1"


@dataclass
class Told:
    """Everything that was played into one town."""

    accounts: list[str] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    charges: list[DoubleCharge] = field(default_factory=list)
    bad: int = 0
    besides: set[str] = field(default_factory=set)
    """Jobs whose end depends on what people do about their purchase."""
    crowded: set[str] = field(default_factory=set)
    """Accounts that may meet the day's limit of automatic reversals."""
    reruns: list[datetime] = field(default_factory=list)
    """When somebody will have to run a job again."""
    moments: list[datetime] = field(default_factory=list)
    """When something is sent."""


class Teller:
    """Draws stories, and lets them happen at their time."""

    def __init__(self, town: Town) -> None:
        self.town, self.size, self.told = town, town.size, Told()
        self._kinds: dict[str, tuple[str, str]] = {}
        """What becomes of a job's re-run, and whose job it is."""
        self._answers: dict[str, str] = {}
        """What the pipeline told of a re-run, once it was asked."""
        self.chance, self.weather = town.hub.chance, town.weather

    def tell(self) -> Told:
        """Draws everything that will happen."""
        start = self.town.clock.now()
        self.told.accounts += [f"acc_{number}" for number in range(self.chance.randint(2, 5))]
        paid = written(start - timedelta(days=1))
        each = [(an_account(name), a_purchase(f"ord_{name}", name, GRANTED, paid)) for name in self.told.accounts]
        self.town.know(*chain(*each))
        tellers: list[Callable[[str, str, datetime], None]] = [
            *(
                self._goes_well,
                self._fails_at_once,
                self._fails_at_once,
                self._runs_again,
                self._runs_again,
                self._comes_incomplete,
            ),
            *(
                self._fault_of_the_customer,
                self._costs_nothing,
                self._code_nobody_knows,
                self._never_submitted,
                self._changed_code,
            ),
        ]
        for number in range(self.chance.randint(*self.size.jobs)):
            self.chance.choice(tellers)(f"job_{number}", self.chance.choice(self.told.accounts), self._some_time())
        for number in range(self.weather.storms):
            self._storm(number)
        for number in range(self.chance.choice(self.size.charges_among_people if self.weather.people else self.size.charges)):
            self._charged_twice(number)
        for number in range(self.weather.bad_documents):
            self.told.bad += 1
            self._later(self._some_time(), f"{{bad {number}")
        return self.told

    def _some_time(self) -> datetime:
        return self.town.clock.now() + timedelta(days=self.chance.uniform(0, self.size.days))

    # how documents travel

    def _later(self, at: datetime, *documents: str) -> None:
        """They are sent then; some twice and some much later, where the weather has it so."""
        for document in documents:
            when = at + timedelta(seconds=self.chance.uniform(0, 20))
            if self.chance.random() < self.weather.late:
                when += timedelta(hours=self.chance.uniform(0, self.size.most_late))
            self.told.moments.append(when)
            self._send_at(when, document)
            while self.chance.random() < self.weather.duplicates:
                self._send_at(when + timedelta(hours=self.chance.expovariate(0.2)), document)

    def _send_at(self, at: datetime, document: str) -> None:
        self.town.hub.at(at, "sent", lambda: self.town.send(document))

    def _at(self, at: datetime, document: Callable[..., str], *words: Any, **more: Any) -> str:
        """A document as it is written at that time."""
        clock = self.town.clock
        now, clock.at = clock.at, at
        try:
            return document(*words, **more)
        finally:
            clock.at = now

    def _job(self, name: str, account: str, at: datetime, ends: set[str | None], *, tells: bool = True, **more: Any) -> Job:
        paid_with = more.get("paid_with", "credits")
        job = Job(name, account, ends, PRICE if paid_with == "credits" else 0, tells)
        self.told.jobs.append(job)
        if tells:
            self._later(at, self._at(at, self.town.submitted, name, account, **{"credits": job.costs, **more}))
            record = a_job(name, account, job.costs, **more) | {"submitted_at": written(at)}
            # should the events be lost, the product's own list of jobs knows at least that there was one
            self.town.hub.at(at, "known", lambda: self.town.records.append(record))
        self.town.runs[name] = lambda order: Answer.REFUSED
        return job

    # the stories

    def _goes_well(self, name: str, account: str, at: datetime) -> None:
        self._job(name, account, at, {None})
        self._later(at + timedelta(minutes=5), self._at(at + timedelta(minutes=5), self.town.succeeded, name, account))

    def _fails(self, name: str, account: str, at: datetime, code: str) -> None:
        self._later(at, self._at(at, self.town.failed, name, account, code=code))

    def _fails_at_once(self, name: str, account: str, at: datetime) -> None:
        self._job(name, account, at, {"refunded"})
        self._fails(name, account, at + timedelta(minutes=5), self.chance.choice(CODES_AT_ONCE))

    def _fault_of_the_customer(self, name: str, account: str, at: datetime) -> None:
        self._job(name, account, at, set(DECLINED))
        self._fails(name, account, at + timedelta(minutes=5), self.chance.choice(CODES_OF_CUSTOMERS))

    def _changed_code(self, name: str, account: str, at: datetime) -> None:
        failed = at + timedelta(minutes=5)
        ends: set[str | None] = {"refunded"}
        if self.weather.editions:
            changes = datetime.fromisoformat(f"{self.size.second_edition}T00:00:00+00:00")
            if abs(failed - changes) < timedelta(days=1):
                ends |= DECLINED  # which zone's midnight is not for the reference to say
            elif failed > changes:
                ends = set(DECLINED)
        self._job(name, account, at, ends)
        self._fails(name, account, failed, CHANGED_CODE)

    def _code_nobody_knows(self, name: str, account: str, at: datetime) -> None:
        # within the day's budget for doubt, or with a person once a storm has spent it
        self._job(name, account, at, {"refunded"})
        self._fails(name, account, at + timedelta(minutes=5), "flux_capacitor_empty")

    def _never_submitted(self, name: str, account: str, at: datetime) -> None:
        # nothing is known of what it cost: after the terms' hours a person is asked
        self._job(name, account, at, {"review"}, tells=False)
        self._fails(name, account, at, "model_error")

    def _costs_nothing(self, name: str, account: str, at: datetime) -> None:
        self._job(name, account, at, {"nothing_owed"}, paid_with=self.chance.choice(["pass", "free"]))
        self._fails(name, account, at + timedelta(minutes=5), self.chance.choice(CODES_AT_ONCE))

    def _runs_again(self, name: str, account: str, at: datetime) -> None:
        ends = self._rerun(name, account)
        self._job(name, account, at, ends)
        self.town.runs[name] = self._run
        self.told.reruns.append(at + timedelta(minutes=5))
        self._fails(name, account, at + timedelta(minutes=5), self.chance.choice(CODES_TO_RERUN))

    def _comes_incomplete(self, name: str, account: str, at: datetime) -> None:
        ends = self._rerun(name, account)
        self._job(name, account, at, ends)
        self.town.runs[name] = self._run
        told = at + timedelta(minutes=5)
        self.told.reruns.append(told)
        self._later(told, self._at(told, self.town.incomplete, name, account))

    def _rerun(self, name: str, account: str) -> set[str | None]:
        """Draws what the pipeline makes of a re-run, and says which ends that allows."""
        kinds = ["delivers", "fails"] + (["silent", "refuses", "late"] if self.weather.pipeline_troubles else [])
        kind = self.chance.choice(kinds)
        self._kinds[name] = (kind, account)
        if kind in {"fails", "silent", "refuses"}:
            return {"refunded"}
        # a pipeline that is away, an event that is late or a worker that stands still may cost the hour that a re-run has
        disturbed = kind == "late" or self.weather.outages or self.weather.flushes or self.weather.restores or self.weather.late
        disturbed = disturbed or self.weather.pipeline_lost or self.weather.freezes or self.weather.stops
        disturbed = disturbed or self.weather.jumps or self.weather.dies_during or self.weather.dies_abroad
        slow = self.weather.redis_lost or self.weather.commit_lost or self.weather.dies_before or self.weather.dies_after
        return {"delivered", "refunded"} if disturbed or slow or self.weather.kills else {"delivered"}

    def _run(self, order: RerunOrder) -> Answer:
        kind, account = self._kinds[order.job_id]
        town, now = self.town, self.town.clock.now()
        if kind == "refuses":
            return Answer.REFUSED
        minutes = self.chance.uniform(1, 20) if kind != "late" else self.chance.uniform(50, 300)
        told = now + timedelta(minutes=minutes)
        say = town.failed if kind == "fails" else town.succeeded
        if kind != "silent":
            # asked again it tells again what it told: one run, one event
            known = self._answers.setdefault(
                order.job_id, self._at(told, say, order.job_id, account, attempt=order.attempt, id=f"{order.job_id}-again")
            )
            self._send_at(told, known)
        return Answer.ACCEPTED

    def _storm(self, number: int) -> None:
        """Many jobs of one account fail within minutes."""
        account, at = self.chance.choice(self.told.accounts), self._some_time()
        self.told.crowded.add(account)
        for which in range(self.chance.randint(*self.size.storm)):
            self._fails_at_once(f"storm_{number}_{which}", account, at + timedelta(seconds=self.chance.uniform(0, 600)))

    def _charged_twice(self, number: int) -> None:
        """One customer pays the same twice within ten minutes."""
        name = f"r{number}"
        trouble = ""
        if self.weather.creem_troubles:
            group = self.chance.choice(TROUBLES)
            trouble = self.chance.choice([each for each, _ in group if not any(word in each for word in SOMEBODY_ELSE)])
        at = self._some_time()
        self.told.charges.append(DoubleCharge(name, at, trouble))
        self.town.hub.at(at, "charged", lambda: self._charge(name, trouble))

    def _charge(self, name: str, trouble: str) -> None:
        town = self.town
        paid = town.clock.now() - timedelta(minutes=6)
        records = [an_account(f"acc_{name}")]
        troubles = {each: switches for group in TROUBLES for each, switches in group}
        for which in range(2):
            at, charge = paid + which * timedelta(minutes=5), f"{name}_{which}"
            known: dict[str, Any] = {"customer_id": f"cust_{name}", "product_id": "prod_pack"}
            town.double.pay(f"tran_{charge}", amount=900, order_id=f"ord_{charge}", paid_at=at, **known)
            if trouble:
                town.double.set(f"tran_{charge}", merge(town.double.switches, troubles[trouble]))
            stamp = written(at)
            records.append(a_purchase(f"ord_{charge}", f"acc_{name}", 10, stamp, transaction_id=f"tran_{charge}", **known))
        town.know(*records)


def allowed(job: Job, told: Told, disturbed: bool, decided: bool) -> set[str | None]:
    """The ends that a job may have come to after all; `decided` where a person said something about it."""
    ends = set(job.ends) | (PERSON_SAYS if decided else set())
    if job.account in told.crowded and "refunded" in ends:
        ends |= PERSON_MAY
    if disturbed and not job.known:
        ends |= {"refunded", None}
    if disturbed and "delivered" in ends:
        # the second reading of the stream meets a failure and what mended it at once
        ends.add("nothing_owed")
    return ends

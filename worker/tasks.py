"""The tasks: parse ids, call one step, say what came of it in one searchable line.

Names are stable and arguments are ids: old messages meet new code at every deploy. What a task returns is what Flower shows.
"""

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from celery import Task, current_task
from celery.utils.saferepr import saferepr
from kombu.exceptions import OperationalError

from worker.app import app, runtime
from worker.cases.assess.assess import Assessed
from worker.cases.assess.assessor import OWN_HINT
from worker.cases.mail_turn import take_turn
from worker.clock import Every
from worker.errors import Misconfigured, TryLater
from worker.intake.accept import Accepted
from worker.intake.entry import Entry
from worker.observe import log
from worker.store.effects import ANNOUNCING, EffectKind
from worker.strict import Malformed

_ANNOUNCE_HINTS, _DRAIN_HINTS = Every(0.1), Every(0.5)
DRAIN_SECONDS = 10.0
"""How long one task drains before it lets others have the process."""
ALONE = 8
"""Up to this many new events at once each get a task, and so a line in Flower; more travel in batches."""
IN_A_LINE = 100
"""Most moves that one line of the log names: Docker cuts lines after 16 KiB, and what is cut is no record."""
SHOWN = 1024
"""Characters of a task's arguments that Flower is told of."""


def step(function: Callable[..., str]) -> Callable[..., str]:
    """Binds the log context and turns errors into what to do next: a service that is away is not a defect, the sweep repeats.

    The ids go by the names that lines have for them, so that a line about another job than the task's says its own.
    """

    @functools.wraps(function)
    def run(self: Task, **ids: Any) -> str:
        named = {f"{name}_id": value for name, value in ids.items() if isinstance(value, str) and value}
        with structlog.contextvars.bound_contextvars(task=self.name, task_id=self.request.id, **named):
            try:
                runtime().sure_of_the_database()
                runtime().sure_of_the_time()
                return function(**ids)
            except TryLater as error:
                log.warning("task.later", error=str(error))
                return f"later: {error}"
            except Misconfigured as error:
                log.error("task.refused", error=str(error))
                return f"refused: {error}"

    return run


@app.task(name="refunds.assess", bind=True)
@step
def assess(job: str = "", event: str = "", inbox: Sequence[int] = (), entries: Sequence[str] = ()) -> str:
    """Handles the entries of the stream or the inbox rows named, and takes along what else waits."""
    if entries:
        again = bool((current_task.request.delivery_info or {}).get("redelivered"))
        done = runtime().first_hand.handle(list(entries), again=again)
    else:
        done = runtime().assessor.assess(list(inbox), waited=OWN_HINT)
    if done.events > 1 or any(move.subject != job for move in done.moves):
        # what was taken along has names of its own
        structlog.contextvars.unbind_contextvars("job_id", "event_id")
    _tell(done)
    runtime().performer.announce_claimed(done.effects)
    return str(done)


@app.task(name="refunds.drain", bind=True)
@step
def drain() -> str:
    """Reads the stream itself while events pile up, a batch a transaction, until nothing waits or its time is over."""
    done, until = Assessed(), time.monotonic() + DRAIN_SECONDS
    while (turn := runtime().drain.turn()) is not None:
        _tell(turn)
        done += turn
        if time.monotonic() > until:
            _send(drain, {})
            break
    return str(done)


@app.task(name="refunds.rerun", bind=True)
@step
def rerun(job: str = "", case: str = "", effects: Sequence[str] = ()) -> str:
    """Asks the pipeline for the re-runs named."""
    answers = runtime().performer.rerun(list(effects))
    if any(answer.startswith("refused") for answer in answers):
        hint_sweep()
    return ", ".join(answers) or "nothing due"


@app.task(name="refunds.announce", bind=True)
@step
def announce() -> str:
    """Announces to the product every outcome that is due."""
    return f"announced {runtime().performer.announce()}"


@app.task(name="refunds.pay", bind=True)
@step
def pay(case: str = "", payments: Sequence[str] = ()) -> str:
    """Takes the turns at Creem that are due: the claims named first, then any."""
    payer = runtime().payer
    return (", ".join(payer.pay(list(payments))) or "nothing due") if payer is not None else "no Creem key"


@app.task(name="refunds.book", bind=True)
@step
def book() -> str:
    """Carries out what is booked for the accounts of customers at Creem."""
    books = runtime().books_at_creem
    return (", ".join(books.carry_out()) or "nothing due") if books is not None else "no credits at Creem"


@app.task(name="refunds.reconcile", bind=True)
@step
def reconcile() -> str:
    """Compares our books with Creem and with the jobs; mends what is safe."""
    done = runtime().reconciler.reconcile()
    for finding in done.findings:
        # where money does not agree, somebody has to hear of it; `refunds reconcile` says it to whoever asks
        (log.error if finding.cents else log.warning)("reconcile.left", **finding.document())
    return str(done)


@app.task(name="refunds.requests", bind=True)
@step
def requests() -> str:
    """Deletes the files whose time is over, and takes in the mails that have arrived."""
    swept, taken = take_turn(runtime().reviewer, runtime().evidence, runtime().maildir)
    for mail in taken:
        log.info("request.received", case_id=mail.case_id, state=mail.state, outcome=mail.outcome.value)
    return f"mails {len(taken)} deleted {swept.deleted}" if taken or swept.deleted or swept.orphans else "idle"


@app.task(name="refunds.notify", bind=True)
@step
def notify() -> str:
    """Writes to the customers whose notices are due."""
    return f"sent {runtime().notifier.send()}"


@app.task(name="refunds.chain", bind=True)
@step
def chain() -> str:
    """Takes what has happened, and can no longer come late, into the chain of hashes."""
    return f"chained {runtime().chainer.turns()}"


@app.task(name="refunds.sweep", bind=True)
@step
def sweep() -> str:
    """Finds whatever is due and not done."""
    swept = runtime().sweeper.sweep()
    _log_moves(swept.assessed)
    if swept.assessed.claims:
        _send(pay, {"payments": swept.assessed.claims})
    return "idle" if swept.idle else str(swept)


def hand_on(entries: Sequence[Entry]) -> set[str]:
    """Sends `refunds.assess` for each entry that can be read; returns the ids of those it was sent for."""
    now = runtime().clock.now()
    sent: set[str] = set()
    for entry in entries:
        try:
            event = runtime().producers.read(entry, now)
        except Malformed:
            continue
        if not _send(assess, {"job": event.job_id or "", "event": event.id, "entries": [entry.stream_id]}):
            break
        sent.add(entry.stream_id)
    log.info("intake.handed_on", entry_ids=sorted(sent))
    return sent


def hint_accepted(accepted: Sequence[Accepted], more: bool = False) -> None:
    """Sends `refunds.assess` for new rows: one task each while there are few, batches when they pile up. `more`: they came out of
    a full read, so that more waits, whatever of it is new.
    """
    batch = runtime().settings.batch
    if more and batch > 1 and _DRAIN_HINTS.due():
        # the task processes help themselves from here on
        for _ in range(runtime().settings.concurrency):
            _send(drain, {})
    if len(accepted) <= ALONE or batch == 1:
        for row in accepted:
            _send(assess, {"job": row.job_id or "", "event": row.event_id, "inbox": [row.inbox_id]})
        return
    for start in range(0, len(accepted), batch):
        chunk = accepted[start : start + batch]
        rows = [row.inbox_id for row in chunk]
        _send(assess, {"inbox": rows}, shown={"events": len(chunk), "inbox": rows})


def hint_sweep() -> None:
    """Asks for a sweep now."""
    _send(sweep, {})


def _tell(done: Assessed) -> None:
    _log_moves(done)
    if done.claims:
        _send(pay, {"payments": done.claims})
    wanted = [effect for effect in done.effects if effect["kind"] == EffectKind.RERUN.value]
    for effect in wanted:
        _send(rerun, {"job": effect["job_id"], "case": effect["case_id"], "effects": [effect["key"]]})
    to_announce = any(effect["kind"] in ANNOUNCING and effect["state"] == "due" for effect in done.effects)
    if to_announce and _ANNOUNCE_HINTS.due():
        # one announcement takes everything that is due along, so a busy process need not hint at each
        _send(announce, {})


def _send(task: Task, ids: dict[str, Any], *, shown: dict[str, Any] | None = None) -> bool:
    """Sends the task with these ids, which Flower shows, or `shown` in their place; True where it was sent."""
    # after the commit, outside every transaction, and never waited for: whoever misses it is found by the sweep
    if not runtime().settings.hints:
        return False
    try:
        task.apply_async(kwargs=ids, kwargsrepr=saferepr(shown or ids, SHOWN), retry=False)
    except OperationalError as error:
        log.warning("hint.dropped", task=task.name, error=str(error))
        return False
    return True


def _log_moves(done: Assessed) -> None:
    if len(done.moves) > ALONE:
        # every job of a batch in a few lines: one each would cost a third of the work
        moves = [f"{move.case_id} {move.subject} {move.state} {move.credits}" for move in done.moves]
        for start in range(0, len(moves), IN_A_LINE):
            log.info("cases.moved", moves=moves[start : start + IN_A_LINE])
    else:
        for move in done.moves:
            named = {"case_id": move.case_id, "job_id": move.subject}
            log.info("case.moved", **named, was=move.was, state=move.state, credits=move.credits)
    if done.dead:
        log.warning("event.dead", events=done.dead)

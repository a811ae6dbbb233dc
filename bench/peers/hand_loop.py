"""The limit: a loop written by hand for this one event type. Up to 500 stream entries a transaction, one statement a table,
acknowledged after the commit. No policy, no effects, no dead letters, no inbox: what is left when all that can go is gone.
"""

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import redis

from bench.work import TERMS, Event, Said, case_columns, decide, history_of, report_of
from worker.clock import new_id

STREAM, GROUP = "bench-loop", "loop"
BATCH = 500


def main(name: str) -> None:
    """One process of the group, until told to end."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    with (
        psycopg.connect(os.environ["BENCH_DSN"], autocommit=True) as db,
        redis.Redis.from_url(os.environ["REFUNDS_REDIS_URL"]) as client,
    ):
        # what this consumer read and did not finish before it died comes first
        since = "0"
        while not stopped:
            read: Any = client.xreadgroup(GROUP, name, {STREAM: since}, count=BATCH, block=200)
            entries = read[0][1] if read else []
            if since == "0" and not entries:
                since = ">"
            if entries:
                with db.transaction():
                    handle(db, [json.loads(fields[b"event"]) for _, fields in entries])
                client.xack(STREAM, GROUP, *[entry for entry, _ in entries])


def handle(db: psycopg.Connection, events: Sequence[Event]) -> None:
    """A batch, in the caller's transaction. Events seen before change nothing."""
    now = datetime.now(UTC)
    by_job = {event["job"]: event for event in events}
    jobs = list(by_job)
    accounts = sorted({event["account"] for event in events})
    db.execute("select account_id from accounts where account_id = any(%s) order by account_id for update", (accounts,))
    for (seen,) in db.execute("select subject from cases where kind = 'job' and subject = any(%s)", (jobs,)):
        del by_job[seen]
    booked = db.execute(
        "select job_id, purchase_id, coalesce(sum(credits) filter (where kind = 'debit'), 0),"
        " coalesce(sum(credits) filter (where kind = 'reversal'), 0) from postings where job_id = any(%s) group by 1, 2",
        (list(by_job),),
    ).fetchall()
    decided = [(by_job[job], lot, int(debit), decide(by_job[job], debit, back)) for job, lot, debit, back in booked]
    if decided:
        _write(db, decided, now)


def _write(db: psycopg.Connection, decided: Sequence[tuple[Event, str, int, Said]], now: datetime) -> None:
    made = []
    for event, lot, debit, said in decided:
        failed_at = datetime.fromisoformat(event["at"])
        made.append((new_id("case", now), event, lot, said, case_columns(event, said, debit, failed_at, now)))
    db.execute(
        "update layer_jobs set status = 'failed', ended_at = n.at, reports = n.reports::jsonb"
        " from unnest(%s::text[], %s::timestamptz[], %s::text[]) n (job_id, at, reports) where layer_jobs.job_id = n.job_id",
        _columns((event["job"], case["failed_at"], json.dumps([report_of(event)])) for _, event, _, _, case in made),
    )
    db.execute(
        "insert into cases (case_id, kind, subject, account_id, job_id, state, outcome, rule, clause, terms, reason, facts,"
        " credits_owed, credits_reversed, reruns, delivered_late, stuck, failed_at, opened_at, due_at, warned_percent, closed_at)"
        " select case_id, 'job', job, account, job, state, outcome, rule, 'failed-job', %s, reason, facts::jsonb, credits,"
        " credits, 0, false, 0, failed_at, %s, failed_at + %s, 0, closed_at"
        " from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int[],"
        " %s::timestamptz[], %s::timestamptz[])"
        " n (case_id, job, account, state, outcome, rule, reason, facts, credits, failed_at, closed_at)",
        (TERMS, now, timedelta(days=3), *_columns(_case_row(case_id, case) for case_id, _, _, _, case in made)),
    )
    history = [
        (case_id, name, json.dumps(detail))
        for case_id, event, lot, said, _ in made
        for name, detail in history_of(event, said, lot)
    ]
    db.execute(
        "insert into case_history (case_id, at, event, by, detail) select case_id, %s, event, 'worker', detail::jsonb"
        " from unnest(%s::text[], %s::text[], %s::text[]) n (case_id, event, detail)",
        (now, *_columns(history)),
    )
    paid = [(case_id, event, lot, said.credits) for case_id, event, lot, said, _ in made if said.credits]
    if paid:
        _give_back(db, paid, now)


def _give_back(db: psycopg.Connection, paid: Sequence[tuple[str, Event, str, int]], now: datetime) -> None:
    # the unique key of a posting is the judge: a second reversal would end the transaction
    db.execute(
        "insert into postings (key, kind, source, destination, credits, purchase_id, job_id, case_id, at)"
        " select 'reversal:' || job || ':' || lot, 'reversal', 'job:' || job, 'lot:' || lot, credits, lot, job, case_id, %s"
        " from unnest(%s::text[], %s::text[], %s::text[], %s::int[]) n (case_id, job, lot, credits)",
        (now, *_columns((case_id, event["job"], lot, credits) for case_id, event, lot, credits in paid)),
    )
    lots: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for _, event, lot, credits in paid:
        lots[lot] += credits
        times[event["account"]] += 1
    db.execute(
        "update purchases set remaining = remaining + n.credits, spent = spent - n.credits"
        " from unnest(%s::text[], %s::int[]) n (lot, credits) where purchase_id = n.lot",
        _columns(lots.items()),
    )
    db.execute(
        "update accounts set reversals_today = case when reversals_day = %s then reversals_today else 0 end + n.times,"
        " reversals_day = %s from unnest(%s::text[], %s::int[]) n (account_id, times) where accounts.account_id = n.account_id",
        (now.date(), now.date(), *_columns(times.items())),
    )


def _case_row(case_id: str, case: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("subject", "account_id", "state", "outcome", "rule", "reason")
    return (
        case_id,
        *(case[n] for n in names),
        json.dumps(case["facts"]),
        case["credits_owed"],
        case["failed_at"],
        case["closed_at"],
    )


def _columns(rows: Any) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


if __name__ == "__main__":
    main(sys.argv[1])

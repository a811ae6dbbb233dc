"""What lies in the tables before a measurement, and what must lie there after it."""

from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from bench.work import Event

CREDITS = 5
GRANTED = 1_000_000
JOBS_AN_ACCOUNT = 10
"""Below the velocity limit of the terms, so that every failure is a reversal."""
ACCOUNTS = 2000
"""At least so many where there are jobs enough: four batches of 500 with no account in common."""
OLD_CHUNK = 100_000

# one lot for each account, every job debited from it; {a} and {j} number accounts and jobs from 0
LAID = """
insert into accounts (account_id, email, status, known, opened_at)
select 'acc_' || %(tag)s || '_' || a, 'acc_' || %(tag)s || '_' || a || '@example.org', 'active', true, %(at)s
from generate_series(%(first)s / %(each)s, (%(last)s - 1) / %(each)s) a;
insert into purchases (purchase_id, account_id, kind, billing, order_id, amount, currency, paid_at,
                       granted, remaining, spent, frozen, void)
select 'ord_' || %(tag)s || '_' || a, 'acc_' || %(tag)s || '_' || a, 'credit_pack', 'first', 'ord_' || %(tag)s || '_' || a,
       900, 'USD', %(at)s, %(granted)s, %(granted)s - used, used, 0, 0
from (select a, {spent} as used
      from generate_series(%(first)s / %(each)s, (%(last)s - 1) / %(each)s) a) lot;
insert into layer_jobs (job_id, account_id, paid_with, price, undebited, layers_expected, submitted_at, status, reports,
                        downloads, ended_at)
select %(tag)s || '_' || j, 'acc_' || %(tag)s || '_' || j / %(each)s, 'credits', %(credits)s, false, 6, %(at)s, {job}
from generate_series(%(first)s, %(last)s - 1) j;
insert into postings (key, kind, source, destination, credits, purchase_id, at)
select 'grant:ord_' || %(tag)s || '_' || a, 'grant', 'issued', 'lot:ord_' || %(tag)s || '_' || a, %(granted)s,
       'ord_' || %(tag)s || '_' || a, %(at)s
from generate_series(%(first)s / %(each)s, (%(last)s - 1) / %(each)s) a;
insert into postings (key, kind, source, destination, credits, purchase_id, job_id, at)
select 'debit:' || %(tag)s || '_' || j || ':' || lot, 'debit', 'lot:' || lot, 'job:' || %(tag)s || '_' || j, %(credits)s, lot,
       %(tag)s || '_' || j, %(at)s
from (select j, 'ord_' || %(tag)s || '_' || j / %(each)s as lot from generate_series(%(first)s, %(last)s - 1) j) job;
"""
RUNNING = "'running', '[]', 0, null"
REPORT = """jsonb_build_array(jsonb_build_object('attempt', 1, 'kind', 'failed', 'at', '2026-03-02T10:00:09Z',
    'code', 'model_error', 'stage', 'segment', 'output', jsonb_build_object('expected', 6, 'delivered', 0, 'corrupted', 0)))"""
FAILED = f"'failed', {REPORT}, 0, timestamptz '2026-03-02T10:00:09Z'"

# a case of long ago as the product leaves it, its event, history, reversal, announcement; ids sort before those of today
OLD_CASES = """
insert into inbox (source, event_id, type, account_id, job_id, raw, sha256, occurred_at, received_at, state, attempts, due_at,
                   handled_at)
select '/image-pipeline', 'evt-' || job, 'layer_job.failed', account, job, raw, encode(sha256(convert_to(raw, 'UTF8')), 'hex'),
       %(at)s, %(at)s, 'handled', 1, %(at)s, %(at)s
from (select job, account, '{"specversion":"1.0","id":"evt-' || job || '","source":"/image-pipeline","type":"layer_job.failed",'
      || '"subject":"' || job || '","time":"2026-03-02T10:00:09Z","datacontenttype":"application/json","data":{"job_id":"' || job
      || '","account_id":"' || account || '","attempt":1,"failure":{"code":"model_error","stage":"segment"},'
      || '"output":{"layers_expected":6,"layers_delivered":0}}}' as raw
      from (select %(tag)s || '_' || j as job, 'acc_' || %(tag)s || '_' || j / %(each)s as account
            from generate_series(%(first)s, %(last)s - 1) j) named) told;
insert into cases (case_id, kind, subject, account_id, job_id, state, outcome, rule, clause, terms, reason, facts, credits_owed,
                   credits_reversed, reruns, delivered_late, stuck, failed_at, opened_at, due_at, warned_percent, closed_at)
select 'case_01A' || lpad(j::text, 23, '0'), 'job', %(tag)s || '_' || j, 'acc_' || %(tag)s || '_' || j / %(each)s,
       %(tag)s || '_' || j, 'refunded', 'reverse_credits', 'server_fault', 'failed-job', '2025-12-03',
       'the job failed with model_error and delivered no output',
       jsonb_build_object('now', '2026-03-02T10:00:10Z', 'debit', %(credits)s, 'price', %(credits)s, 'rerun', null,
           'job_id', %(tag)s || '_' || j, 'reports', REPORT_OF_OLD, 'disputed', false, 'job_known', true, 'paid_with', 'credits',
           'account_id', 'acc_' || %(tag)s || '_' || j / %(each)s, 'compensated', 0, 'submitted_at', '2026-03-02T10:00:00Z',
           'account_known', true, 'account_status', 'active', 'layers_expected', 6),
       %(credits)s, %(credits)s, 0, false, 0, %(at)s, %(at)s, %(at)s, 0, %(at)s
from generate_series(%(first)s, %(last)s - 1) j;
insert into case_history (case_id, at, event, by, detail)
select 'case_01A' || lpad(j::text, 23, '0'), %(at)s, e.name, 'worker', e.detail
from generate_series(%(first)s, %(last)s - 1) j, lateral (values
    ('case.opened', jsonb_build_object('job_id', %(tag)s || '_' || j, 'failed_at', '2026-03-02T10:00:09Z')),
    ('case.decided', jsonb_build_object('outcome', 'reverse_credits', 'rule', 'server_fault', 'clause', 'failed-job',
        'terms', '2025-12-03', 'reason', 'the job failed with model_error and delivered no output')),
    ('credits.reversed', jsonb_build_object('credits', %(credits)s,
        'lots', jsonb_build_object('ord_' || %(tag)s || '_' || j / %(each)s, %(credits)s)))) e (name, detail);
insert into postings (key, kind, source, destination, credits, purchase_id, job_id, case_id, at)
select 'reversal:' || %(tag)s || '_' || j || ':' || lot, 'reversal', 'job:' || %(tag)s || '_' || j, 'lot:' || lot, %(credits)s,
       lot, %(tag)s || '_' || j, 'case_01A' || lpad(j::text, 23, '0'), %(at)s
from (select j, 'ord_' || %(tag)s || '_' || j / %(each)s as lot from generate_series(%(first)s, %(last)s - 1) j) job;
insert into effects (effect_id, key, kind, case_id, job_id, payload, state, attempts, due_at, created_at, done_at, result)
select 'announce:case_01A' || lpad(j::text, 23, '0') || ':refund.credits_reversed',
       'announce:case_01A' || lpad(j::text, 23, '0') || ':refund.credits_reversed',
       'announce', 'case_01A' || lpad(j::text, 23, '0'), %(tag)s || '_' || j,
       jsonb_build_object('type', 'refund.credits_reversed', 'credits', %(credits)s, 'outcome', 'reverse_credits',
           'case_kind', 'job', 'account_id', 'acc_' || %(tag)s || '_' || j / %(each)s, 'decided_by', 'policy',
           'terms', '2025-12-03', 'clause', 'failed-job', 'reason', 'the job failed with model_error and delivered no output'),
       'done', 1, %(at)s, %(at)s, %(at)s, 'announced'
from generate_series(%(first)s, %(last)s - 1) j;
insert into case_tallies (state, cases, credits_reversed, delivered_late)
values ('refunded', %(last)s - %(first)s, (%(last)s - %(first)s) * %(credits)s, 0);
""".replace("REPORT_OF_OLD", REPORT)
OLD_AT = datetime(2026, 3, 2, 10, 0, 10, tzinfo=UTC)


def lay(db: psycopg.Connection, tag: str, jobs: int, *, each: int | None = None) -> list[Event]:
    """Accounts with `each` running jobs, debited; returns the failure of every job, accounts spread as they would come.

    Batches taken at the same time share no account unless `each` is given: where they do, one waits for the other's locks, and
    the figure would be of that (`measure.beside` is about it).
    """
    each = each or min(JOBS_AN_ACCOUNT, max(1, jobs // ACCOUNTS))
    _play(db, LAID.format(spent=_spent(jobs, each), job=RUNNING), tag, 0, jobs, each, datetime(2026, 3, 2, 10, tzinfo=UTC))
    for table in ("accounts", "purchases", "layer_jobs", "postings"):
        db.execute(sql.SQL("vacuum analyze {}").format(sql.Identifier(table)))
    # neighbours in the stream belong to other accounts, as in life: every account's first job, then every second one
    rows = -(-jobs // each)
    order = [a * each + n for n in range(each) for a in range(rows) if a * each + n < jobs]
    return [failure(tag, n, each) for n in order]


def failure(tag: str, number: int, each: int = JOBS_AN_ACCOUNT) -> Event:
    """What the pipeline says of one job."""
    return {
        "event": f"evt-{tag}-{number}",
        "job": f"{tag}_{number}",
        "account": f"acc_{tag}_{number // each}",
        "attempt": 1,
        "code": "model_error",
        "stage": "segment",
        "expected": 6,
        "delivered": 0,
        "at": datetime.now(UTC).isoformat(),
    }


def fill_old(db: psycopg.Connection, cases: int, progress: Callable[[int], None], *, there: int = 0) -> None:
    """Makes it that many closed cases of long ago, with `there` of them filled before, each with everything the product keeps."""
    # keys are checked by construction and by the audit of a small run; ten million look-ups would only take time
    db.execute("set session_replication_role = replica")
    db.execute("set synchronous_commit = off")
    for first in range(there, cases, OLD_CHUNK):
        last = min(cases, first + OLD_CHUNK)
        _play(db, LAID.format(spent="0", job=FAILED) + OLD_CASES, "old", first, last, JOBS_AN_ACCOUNT, OLD_AT)
        progress(last - first)
    db.execute("reset session_replication_role")
    db.execute("reset synchronous_commit")
    db.execute("vacuum analyze")
    db.execute("checkpoint")


def done(db: psycopg.Connection, tag: str) -> int:
    """How many of the laid jobs have a case: a range of an index, cheap enough to ask while others are measured."""
    row = db.execute(
        "select count(*) from cases where kind = 'job' and subject >= %s and subject < %s", (f"{tag}_", f"{tag}`")
    ).fetchone()
    assert row is not None
    return int(row[0])


def differences(db: psycopg.Connection, tag: str, jobs: int) -> list[str]:
    """What is not as it must be after a drain, in words; nothing for a contestant that did the work exactly once."""
    wanted = {
        "jobs failed": ("select count(*) from layer_jobs where {mine} and status = 'failed'", "job_id", jobs),
        "cases refunded": (
            "select count(*) from cases where {mine} and state = 'refunded' and credits_reversed = 5",
            "subject",
            jobs,
        ),
        "jobs with their credits back exactly once": (
            "select count(*) from (select job_id from postings where {mine} and kind = 'reversal'"
            " group by job_id having count(*) = 1 and sum(credits) = 5) one",
            "job_id",
            jobs,
        ),
        "history rows": (
            "select count(*) from case_history h join cases c using (case_id) where {mine}"
            " and h.event in ('case.opened', 'case.decided', 'credits.reversed')",
            "c.subject",
            3 * jobs,
        ),
        "credits still spent": ("select coalesce(sum(spent), 0) from purchases where {mine}", "purchase_id", 0),
        "lots that differ from their postings": (
            "select count(*) from (select purchase_id from purchases join postings p using (purchase_id) where {mine}"
            " group by purchase_id, remaining having remaining <>"
            " sum(case when p.destination = 'lot:' || purchase_id then p.credits else -p.credits end)) off",
            "purchase_id",
            0,
        ),
    }
    found = []
    for what, (statement, column, expected) in wanted.items():
        prefix = f"ord_{tag}" if column == "purchase_id" else tag
        mine = f"{column} >= '{prefix}_' and {column} < '{prefix}`'"
        row = db.execute(statement.format(mine=mine).encode()).fetchone()
        assert row is not None
        if int(row[0]) != expected:
            found.append(f"{what}: {row[0]} instead of {expected}")
    return found


def _spent(jobs: int, each: int) -> str:
    return f"least({each}, {jobs} - a * {each}) * {CREDITS}"


def _play(db: psycopg.Connection, script: str, tag: str, first: int, last: int, each: int, at: datetime) -> None:
    values = {"tag": tag, "first": first, "last": last, "each": each, "at": at, "credits": CREDITS, "granted": GRANTED}
    with psycopg.ClientCursor(db) as cursor:
        cursor.execute(script.encode(), values)

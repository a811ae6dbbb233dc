"""The pipeline double keeps the contract a real pipeline has to keep, or breaks it in the one way that it is told to."""

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import fakeredis
import httpx
import pytest
import redis
from tenacity import wait_none

from policy.facts import Output, ReportKind
from tests.cases.world import HandClock
from worker.intake.wire import Event, Reported, event_document, read_event
from worker.reruns import Answer, PipelineHttp, RerunOrder
from worker.sandbox.pipeline import PROPORTIONS, PipelineDouble, RerunPlan, plan_by_hash

NOW = datetime(2026, 3, 2, 10, 16, tzinfo=UTC)
STREAM = "layer-jobs:events"


@contextmanager
def a_double(
    plan: RerunPlan | Callable[[str], RerunPlan], client: redis.Redis | None = None, **options: Any
) -> Iterator[tuple[PipelineDouble, redis.Redis]]:
    client = client or fakeredis.FakeRedis()
    chosen = plan if callable(plan) else (lambda _: plan)
    with PipelineDouble(client, STREAM, chosen, HandClock(NOW), answer_delay=(0, 0.01), **options) as double:
        double.learn("job_42", "acc_7", layers=6)
        yield double, client


def an_order(job_id: str = "job_42") -> RerunOrder:
    return RerunOrder(job_id, 2, "case_01", "rerun:job_42", NOW)


def ask(double: PipelineDouble, order: RerunOrder) -> Answer:
    return PipelineHttp(double.url, 5, sleep=lambda _: None, wait=wait_none()).ask(order, math.inf).answer


def settled(double: PipelineDouble) -> None:
    give_up_at = time.monotonic() + 5
    while double.pending:
        assert time.monotonic() < give_up_at, "the double still has something to say"
        threading.Event().wait(0.005)


def said(client: redis.Redis) -> list[Event]:
    entries: Any = client.xrange(STREAM)
    return [read_event(fields[b"event"], NOW) for _, fields in entries]


@pytest.mark.parametrize(
    ("plan", "kind", "delivered"),
    [
        (RerunPlan.DELIVERS, ReportKind.SUCCEEDED, 6),
        (RerunPlan.DELIVERS_PARTLY, ReportKind.INCOMPLETE, 5),
        (RerunPlan.FAILS, ReportKind.FAILED, 0),
        (RerunPlan.UNREACHABLE_ONCE, ReportKind.SUCCEEDED, 6),
    ],
)
def test_plan_decides_what_the_rerun_comes_to(plan: RerunPlan, kind: ReportKind, delivered: int) -> None:
    with a_double(plan) as (double, client):
        assert ask(double, an_order()) is Answer.ACCEPTED
        settled(double)
        [event] = said(client)
    assert (event.job_id, event.account_id, event.source) == ("job_42", "acc_7", "/image-pipeline")
    assert isinstance(event.data, Reported)
    assert (event.data.attempt, event.data.kind, event.data.output) == (2, kind, Output(delivered, 6, 0))


def test_never_answers_accepts_and_says_nothing() -> None:
    with a_double(RerunPlan.NEVER_ANSWERS) as (double, client):
        assert ask(double, an_order()) is Answer.ACCEPTED
        assert double.pending == 0
        assert said(client) == []


def test_refuses_says_no_and_nothing_else() -> None:
    with a_double(RerunPlan.REFUSES) as (double, client):
        assert ask(double, an_order()) is Answer.REFUSED
        assert [heard.status for heard in double.requests] == [409]
        assert said(client) == []


def test_unreachable_once_is_heard_at_the_second_try() -> None:
    with a_double(RerunPlan.UNREACHABLE_ONCE) as (double, _):
        ask(double, an_order())
        assert [heard.status for heard in double.requests] == [503, 202]


def test_repeated_key_starts_one_rerun() -> None:
    with a_double(RerunPlan.DELIVERS) as (double, client):
        answers = [ask(double, an_order()) for _ in range(5)]
        settled(double)
        assert answers == [Answer.ACCEPTED] * 5
        assert len(double.requests) == 5
        assert {heard.key for heard in double.requests} == {"case_01"}
        assert len(said(client)) == 1


def test_repeated_key_at_the_same_time_starts_one_rerun() -> None:
    with a_double(RerunPlan.DELIVERS) as (double, client):
        threads = [threading.Thread(target=ask, args=(double, an_order())) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        settled(double)
        assert (len(double.requests), len(said(client))) == (30, 1)


def test_nasty_double_runs_again_for_every_order() -> None:
    with a_double(RerunPlan.DELIVERS, dedupe=False) as (double, client):
        for _ in range(3):
            assert ask(double, an_order()) is Answer.ACCEPTED
        settled(double)
        assert len({event.id for event in said(client)}) == 3


def test_job_named_by_any_event_of_the_stream_is_known() -> None:
    client = fakeredis.FakeRedis()
    client.xadd(STREAM, {"event": "{not json"})
    client.xadd(STREAM, {"event": json.dumps({"data": ["no", "object"]})})
    data = {"job_id": "job_9", "account_id": "acc_9", "credits": 3, "paid_with": "credits", "layers_expected": 11}
    client.xadd(STREAM, {"event": event_document("layer_job.submitted", data, id="evt-1", source="/image-pipeline", time=NOW)})
    with a_double(RerunPlan.DELIVERS, client) as (double, _):
        assert ask(double, an_order("job_9")) is Answer.ACCEPTED
        settled(double)
        entries: Any = client.xrevrange(STREAM, count=1)
        event = read_event(entries[0][1][b"event"], NOW)
        assert (event.account_id, event.data.output) == ("acc_9", Output(11, 11, 0))  # type: ignore[union-attr]


def test_job_of_which_nobody_spoke_is_refused() -> None:
    with a_double(RerunPlan.DELIVERS) as (double, _):
        assert ask(double, an_order("job_unheard_of")) is Answer.REFUSED


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("/jobs/job_42/rerun", {}, {"job_id": "job_42", "attempt": 2, "case_id": "case_01"}),
        ("/jobs/job_42/rerun", {"Idempotency-Key": "k"}, {"job_id": "job_43", "attempt": 2, "case_id": "case_01"}),
        ("/jobs/job_42/rerun", {"Idempotency-Key": "k"}, {"job_id": "job_42", "attempt": 1, "case_id": "case_01"}),
        ("/jobs/job_42/rerun", {"Idempotency-Key": "k"}, ["job_42"]),
        ("/jobs/job_42/rerun/x", {"Idempotency-Key": "k"}, {"job_id": "job_42", "attempt": 2, "case_id": "case_01"}),
        ("/jobs/job_42/rerun", {"Idempotency-Key": "k"}, {"job_id": "job_42", "pad": "x" * 70_000}),
    ],
)
def test_order_that_breaks_the_contract_is_not_taken(path: str, headers: dict[str, str], body: Any) -> None:
    with a_double(RerunPlan.DELIVERS) as (double, client), httpx.Client(trust_env=False) as http:
        with contextlib.suppress(httpx.WriteError):  # turned away before the body was through
            assert 400 <= http.post(double.url + path, headers=headers, json=body).status_code < 500
        assert (double.requests, double.pending, said(client)) == ([], 0, [])


def test_outcome_is_said_after_redis_is_back() -> None:
    server = fakeredis.FakeServer()
    client = fakeredis.FakeRedis(server=server)
    with a_double(RerunPlan.DELIVERS, client) as (double, _):
        server.connected = False
        assert ask(double, an_order()) is Answer.ACCEPTED
        server.connected = True
        settled(double)
        assert len(said(client)) == 1


def test_plans_by_hash_stay_and_keep_their_proportions() -> None:
    plan = plan_by_hash(7)
    chosen = [plan(f"job_{number}") for number in range(4000)]
    assert chosen == [plan_by_hash(7)(f"job_{number}") for number in range(4000)]
    assert chosen != [plan_by_hash(8)(f"job_{number}") for number in range(4000)]
    assert sum(percent for percent, _ in PROPORTIONS) == 100
    for percent, one in PROPORTIONS:
        assert abs(chosen.count(one) / 40 - percent) < 3

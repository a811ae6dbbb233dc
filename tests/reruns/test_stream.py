"""The pipeline asked on the commands stream."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import fakeredis
import pytest
import redis

from worker.reruns import Answer, PipelineStream, RerunOrder, Reruns

ASKED_AT = datetime(2026, 3, 2, 12, 16, tzinfo=timezone(timedelta(hours=2)))
ORDER = RerunOrder("job_42", 2, "case_01", "rerun:job_42", ASKED_AT)
STREAM = "layer-jobs:commands"


def commands(client: redis.Redis) -> list[dict[str, Any]]:
    entries: Any = client.xrange(STREAM)
    return [json.loads(fields[b"command"]) for _, fields in entries]


def test_command_is_the_documented_cloudevent() -> None:
    client = fakeredis.FakeRedis()
    pipeline: Reruns = PipelineStream(client, STREAM)
    reply = pipeline.ask(ORDER, math.inf)
    assert reply.answer is Answer.ACCEPTED
    assert STREAM in reply.detail
    assert commands(client) == [
        {
            "specversion": "1.0",
            "id": "rerun:job_42",
            "source": "/layer-refunds",
            "type": "layer_job.rerun_requested",
            "time": "2026-03-02T10:16:00Z",
            "subject": "job_42",
            "data": {"job_id": "job_42", "attempt": 2, "case_id": "case_01"},
        }
    ]


def test_trace_is_an_attribute_of_the_command() -> None:
    client, span = fakeredis.FakeRedis(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    PipelineStream(client, STREAM).ask(replace(ORDER, traceparent=span), math.inf)
    assert commands(client)[0]["traceparent"] == span


def test_repeat_is_recognisable_as_the_same_command() -> None:
    client = fakeredis.FakeRedis()
    pipeline = PipelineStream(client, STREAM)
    pipeline.ask(ORDER, math.inf)
    pipeline.ask(ORDER, math.inf)
    first, second = commands(client)
    assert first == second


def test_nothing_is_trimmed_from_the_stream() -> None:
    client = fakeredis.FakeRedis()
    pipeline = PipelineStream(client, STREAM)
    for number in range(300):
        pipeline.ask(RerunOrder(f"job_{number}", 2, f"case_{number}", f"rerun:job_{number}", ASKED_AT.astimezone(UTC)), math.inf)
    assert client.xlen(STREAM) == 300


def test_nothing_is_put_there_once_its_time_is_over() -> None:
    client = fakeredis.FakeRedis()
    pipeline = PipelineStream(client, STREAM, timer=lambda: 10.0)
    assert pipeline.ask(ORDER, 10.0).answer is Answer.NOT_SENT
    assert commands(client) == []


def test_redis_that_is_away_is_not_heard() -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    reply = PipelineStream(fakeredis.FakeRedis(server=server), STREAM).ask(ORDER, math.inf)
    assert reply.answer is Answer.NOT_HEARD
    assert "\n" not in reply.detail


@pytest.mark.parametrize("decode", [True, False])
def test_redis_that_says_no_is_not_heard(decode: bool) -> None:
    client = fakeredis.FakeRedis(decode_responses=decode)
    client.set(STREAM, "no stream at all")
    reply = PipelineStream(client, STREAM).ask(ORDER, math.inf)
    assert reply.answer is Answer.NOT_HEARD
    assert "WRONGTYPE" in reply.detail

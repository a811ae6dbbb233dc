"""Redis killed under a running consumer, and back again: nothing lost, nobody restarted."""

from pathlib import Path

import pytest
import redis

from tests.intake.readers import GROUP, STREAM, Inbox, Log, running
from tests.servers import eventually
from worker.intake.consumer import Consumer, backlog, open_stream_client
from worker.sandbox.servers import RunningRedis, start_redis


@pytest.fixture
def server(tmp_path: Path) -> RunningRedis:
    return start_redis(tmp_path / "redis")


def add(server: RunningRedis, documents: list[str]) -> set[bytes]:
    with open_stream_client(server.url) as producer:
        # the promise under test is about entries that Redis has on disk (WAITAOF would say so, from 7.2 on)
        producer.config_set("appendfsync", "always")
        for document in documents:
            producer.xadd(STREAM, {"event": document})
    return {document.encode() for document in documents}


def test_a_killed_and_restarted_redis_loses_no_entry_and_needs_no_restart_of_the_consumer(server: RunningRedis) -> None:
    inbox, log = Inbox(), Log()
    consumer = Consumer(
        open_stream_client(server.url), inbox, stream=STREAM, group=GROUP, name="one", log=log, read_count=7, block_ms=100
    )
    with server, running(consumer):
        sent = add(server, [f"before-{n}" for n in range(200)])
        assert eventually(lambda: len(inbox.kept) > 20)
        for round in range(3):
            server.kill()
            assert eventually(lambda: "intake.held_up" in log.events("warning"))
            server.restart()
            sent |= add(server, [f"{round}-{n}" for n in range(200)])
        assert eventually(lambda: set(inbox.documents) == sent, within=15)
        with open_stream_client(server.url) as client:
            assert eventually(lambda: backlog(client, STREAM, GROUP).pending == 0)
    assert "intake.goes_on" in log.events("info")


def test_a_redis_that_comes_later_is_waited_for(server: RunningRedis) -> None:
    inbox, log = Inbox(), Log()
    server.kill()
    consumer = Consumer(open_stream_client(server.url), inbox, stream=STREAM, name="one", log=log, block_ms=100)
    with server, running(consumer):
        assert eventually(lambda: log.events("warning") == ["intake.held_up"])
        server.restart()
        sent = add(server, ["a", "b"])
        assert eventually(lambda: set(inbox.documents) == sent)


def test_a_redis_that_takes_no_writes_is_waited_out(server: RunningRedis) -> None:
    # out of memory: reading for a group writes too, so it is refused until there is room again
    inbox, log = Inbox(), Log()
    with server, open_stream_client(server.url) as client:
        add(server, ["a"])
        client.config_set("maxmemory", "1")
        consumer = Consumer(open_stream_client(server.url), inbox, stream=STREAM, name="one", log=log, block_ms=100)
        with running(consumer):
            assert eventually(lambda: log.events("warning") == ["intake.held_up"])
            client.config_set("maxmemory", "0")
            assert eventually(lambda: inbox.documents == [b"a"])


def test_a_flush_while_the_consumer_waits_is_noticed(server: RunningRedis) -> None:
    inbox, log = Inbox(), Log()
    consumer = Consumer(open_stream_client(server.url), inbox, stream=STREAM, name="one", log=log, block_ms=1_000)
    with server, open_stream_client(server.url) as client, running(consumer):
        add(server, ["a"])
        assert eventually(lambda: inbox.documents == [b"a"])
        client.flushall()
        add(server, ["b"])
        assert eventually(lambda: inbox.documents == [b"a", b"b"])


def test_the_clients_own_retries_are_off(server: RunningRedis) -> None:
    with server, open_stream_client(server.url) as client:
        client.ping()
        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()

"""The embedded servers the demo and this suite stand on."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from sqlalchemy import create_engine, inspect, text

from tests.postgres import start_postgres
from tests.servers import conninfo
from worker.sandbox.servers import ServerFailed, start_redis


def test_a_database_is_empty_and_ours_alone(database_url: str) -> None:
    engine = create_engine(database_url)
    assert inspect(engine).get_table_names() == []
    with engine.begin() as connection:
        connection.execute(text("create table left_behind (id integer)"))
    engine.dispose()


test_a_second_database_knows_nothing_of_the_first = test_a_database_is_empty_and_ours_alone


def test_postgres_stores_utf8_and_compares_bytes(postgres_server: str) -> None:
    with psycopg.connect(conninfo(postgres_server)) as connection:
        row = connection.execute("select current_setting('server_encoding'), 'B' < 'a', 'e\u0301' = '\u00e9'").fetchone()
    assert row == ("UTF8", True, False)


def test_a_killed_postgres_comes_back_with_what_was_committed() -> None:
    with start_postgres() as server:
        with psycopg.connect(conninfo(server.url), autocommit=True) as connection:
            assert connection.execute("show fsync").fetchone() == ("on",)
            connection.execute("create table kept as select 42 as answer")
            first = server.pid
            server.kill()
            server.restart()
        with psycopg.connect(conninfo(server.url)) as connection:
            assert connection.execute("select answer from kept").fetchone() == (42,)
        assert server.pid != first
        folder = server.folder
    assert not folder.exists()


def test_a_killed_redis_comes_back_with_what_it_had_written(tmp_path: Path) -> None:
    with start_redis(tmp_path) as server:
        client: Any = redis.Redis.from_url(server.url, retry=None)
        client.config_set("appendfsync", "always")
        client.set("kept", "42")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        server.kill()
        server.restart()
        assert client.get("kept") == b"42"


def test_fakeredis_is_the_last_resort_and_says_so(tmp_path: Path) -> None:
    with start_redis(tmp_path, kind="fakeredis") as server:
        assert server.kind == "fakeredis"
        with redis.Redis.from_url(server.url) as client:
            assert client.xadd("stream", {"event": "{}"})


def test_a_server_that_cannot_start_says_why_with_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("in the way")
    with pytest.raises(ServerFailed, match=r"(?s)its log ends:.*append-only dir"):
        start_redis(tmp_path)


def test_a_stopped_server_has_no_process_id(tmp_path: Path) -> None:
    server = start_redis(tmp_path)
    server.stop()
    server.stop()
    with pytest.raises(ServerFailed, match="does not run"):
        _ = server.pid

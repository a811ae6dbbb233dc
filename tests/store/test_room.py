"""A database whose disk is full reads on, and the doctor says that it takes nothing more."""

import sqlite3

import psycopg
from sqlalchemy import event, inspect, make_url

from tests.servers import ON_EACH, ON_POSTGRES, ON_SQLITE, conninfo, give_schema
from worker.cli.doctor.database import database
from worker.cli.doctor.finding import Finding
from worker.runtime import Runtime
from worker.settings import load_settings
from worker.store.engine import Store

FULL = """
    create function full_disk() returns event_trigger language plpgsql as $$ begin
        raise exception using errcode = '53100', message = 'could not extend file "base/5/1": No space left on device';
    end $$;
    create event trigger full_disk on ddl_command_start when tag in ('CREATE TABLE AS') execute function full_disk();
"""


def room(url: str, pages: int | None = None) -> Finding:
    """What the doctor finds of it; a file of SQLite may grow to so many pages."""
    runtime = Runtime.start(load_settings({"REFUNDS_DATABASE_URL": url}))
    if pages is not None:
        event.listen(runtime.store.engine, "connect", lambda connection, _: connection.execute(f"pragma max_page_count={pages}"))
    try:
        [found] = [finding for finding in database(runtime) if finding["check"] == "room"]
    finally:
        runtime.store.close()
    return found


@ON_POSTGRES
def test_doctor_says_of_a_full_disk_that_nothing_new_is_decided(database_url: str) -> None:
    """It said that the database answers, and found nothing, while events lay on the stream."""
    give_schema(database_url)
    assert room(database_url)["ok"]
    # what the server raises where its disk is full, at the statement that needs room
    with psycopg.connect(conninfo(database_url)) as admin:
        admin.execute(FULL)
    found = room(database_url)
    assert (found["ok"], found["severity"]) == (False, "fault")
    assert "could not extend file" in found["finding"]
    assert "No space left on device" in found["finding"]


@ON_SQLITE
def test_doctor_says_it_of_the_disk_that_a_file_lies_on(database_url: str) -> None:
    """The runbook sends there whoever finds that nothing is read from the stream any more."""
    give_schema(database_url)
    assert room(database_url)["ok"]
    with sqlite3.connect(str(make_url(database_url).database)) as file:
        [pages] = file.execute("pragma page_count").fetchone()
    found = room(database_url, pages)
    assert (found["ok"], found["severity"]) == (False, "fault")
    assert "database or disk is full" in found["finding"]


@ON_EACH
def test_doctor_leaves_no_table_behind(database_url: str) -> None:
    give_schema(database_url)
    assert room(database_url)["ok"]
    store = Store(database_url)
    try:
        assert "refunds_room" not in store.read(lambda tx: inspect(tx.connection).get_table_names())
    finally:
        store.close()

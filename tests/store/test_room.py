"""A database whose disk is full reads on, and the doctor says that it takes nothing more."""

import psycopg

from tests.servers import ON_POSTGRES, conninfo, give_schema
from worker.cli.doctor.database import database
from worker.cli.doctor.finding import Finding
from worker.runtime import Runtime
from worker.settings import load_settings

pytestmark = ON_POSTGRES
FULL = """
    create function full_disk() returns event_trigger language plpgsql as $$ begin
        raise exception using errcode = '53100', message = 'could not extend file "base/5/1": No space left on device';
    end $$;
    create event trigger full_disk on ddl_command_start when tag in ('CREATE TABLE AS') execute function full_disk();
"""


def room(url: str) -> Finding:
    """What the doctor finds of it."""
    runtime = Runtime.start(load_settings({"REFUNDS_DATABASE_URL": url}))
    try:
        [found] = [finding for finding in database(runtime) if finding["check"] == "room"]
    finally:
        runtime.store.close()
    return found


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


def test_doctor_leaves_no_table_behind(database_url: str) -> None:
    give_schema(database_url)
    assert room(database_url)["ok"]
    with psycopg.connect(conninfo(database_url)) as admin:
        assert admin.execute("select count(*) from pg_class where relname = 'refunds_room'").fetchone() == (0,)

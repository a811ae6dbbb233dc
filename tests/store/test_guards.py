"""What has to happen once stands on keys and numbers that a server can lose: replication by rows, and tools that move a database
so, leave behind how far it had counted, and most keys; another release of its system sorts text by other rules.
"""

from collections.abc import Iterator

import psycopg
import pytest

from tests.cases.world import World, a_purchase, an_account
from tests.servers import ON_POSTGRES, conninfo
from worker.cli.doctor.database import database
from worker.cli.doctor.finding import Finding
from worker.errors import Misconfigured
from worker.runtime import Runtime
from worker.settings import load_settings
from worker.store.engine import Store

pytestmark = ON_POSTGRES
MORE_THAN_ANY_ROW_IS_TRIED = 7


@pytest.fixture
def world(store: Store) -> World:
    found = World(store)
    found.load(an_account(), a_purchase())
    found.happen(found.submitted("before"), found.failed("before"))
    return found


@pytest.fixture
def owner(store: Store) -> Iterator[psycopg.Connection]:
    with psycopg.connect(conninfo(store.url), autocommit=True) as found:
        yield found


def found_by_the_doctor(store: Store, check: str) -> Finding:
    """What the doctor finds of it."""
    runtime = Runtime.start(load_settings({"REFUNDS_DATABASE_URL": store.url}))
    try:
        [found] = [finding for finding in database(runtime) if finding["check"] == check]
    finally:
        runtime.store.close()
    return found


@pytest.mark.parametrize("table", ["inbox", "postings", "case_history"])
def test_what_gets_the_number_of_another_row_is_no_repeat_and_waits_until_numbers_go_on(
    world: World, owner: psycopg.Connection, table: str
) -> None:
    """Once an event was taken for known, acknowledged and in no book, for as many events as there were rows."""
    told = world.submitted("after"), world.failed("after")
    for _ in range(MORE_THAN_ANY_ROW_IS_TRIED):
        owner.execute(f"alter sequence {table}_id_seq restart".encode())
        with pytest.raises(Misconfigured, match=rf"^the numbers of {table} begin again .*'{table}'") as refused:
            world.happen(*told)
        world.clock.pass_(minutes=5)
    doctors = found_by_the_doctor(world.store, "numbers")
    assert (doctors["ok"], doctors["severity"]) == (False, "fault")
    way_out = str(refused.value).partition("as its owner, ")[2]
    assert way_out in doctors["finding"]
    owner.execute(way_out.encode())
    assert found_by_the_doctor(world.store, "numbers")["ok"]
    world.happen(*told)
    assert (world.state("after"), world.dead(), world.audit().breaches) == ("refunded", [], [])


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("alter table postings drop constraint uq_postings_key", "the unique key of postings (key)"),
        ("alter table inbox drop constraint uq_inbox_source_event_id", "the unique key of inbox (source, event_id)"),
        ("alter table effects drop constraint pk_effects", "the unique key of effects (key)"),
        ("drop index uq_proposals_open", "the unique key of proposals (case_id)"),
        ("drop index uq_purchases_transaction_id", "the unique key of purchases (transaction_id)"),
        ("alter table cases disable trigger tally_entered", "the trigger tally_entered of cases"),
        ("alter table payments drop constraint ck_payments_only_reads", "the check ck_payments_only_reads of payments"),
    ],
)
def test_doctor_names_the_guard_that_is_gone(store: Store, owner: psycopg.Connection, statement: str, named: str) -> None:
    """It found nothing, and an event that was told of again stood twice."""
    assert found_by_the_doctor(store, "keys")["ok"]
    owner.execute(statement.encode())
    found = found_by_the_doctor(store, "keys")
    assert (found["ok"], found["severity"]) == (False, "fault")
    assert f"the database lacks {named}: " in found["finding"]


def test_key_whose_making_was_broken_off_is_none(store: Store, owner: psycopg.Connection) -> None:
    owner.execute("alter table cases drop constraint uq_cases_kind_subject")
    broken_off = psycopg.connect(conninfo(store.url), autocommit=True, options="-c statement_timeout=100ms")
    with broken_off, owner.transaction():
        # it waits for whoever had changed the table before
        owner.execute("lock table cases in row exclusive mode")
        with pytest.raises(psycopg.errors.QueryCanceled):
            broken_off.execute("create unique index concurrently uq_cases_kind_subject on cases (kind, subject)")
    found = found_by_the_doctor(store, "keys")
    assert "the database lacks the unique key of cases (kind, subject): " in found["finding"]


def test_key_that_was_made_again_under_another_name_guards_as_well(store: Store, owner: psycopg.Connection) -> None:
    owner.execute("create unique index concurrently once on inbox (event_id, source)")
    owner.execute("alter table inbox drop constraint uq_inbox_source_event_id")
    assert found_by_the_doctor(store, "keys")["ok"]


def test_without_the_key_that_tells_what_is_known_nothing_is_taken_in(world: World, owner: psycopg.Connection) -> None:
    """As after a tool that moves rows and primary keys alone."""
    owner.execute("alter table inbox drop constraint uq_inbox_source_event_id")
    told = world.submitted("after"), world.failed("after")
    for _ in range(MORE_THAN_ANY_ROW_IS_TRIED):
        with pytest.raises(Misconfigured, match=r"lacks a unique key .*`refunds doctor`"):
            world.happen(*told)
    owner.execute("alter table inbox add constraint uq_inbox_source_event_id unique (source, event_id)")
    world.happen(*told)
    assert (world.state("after"), world.dead(), world.audit().breaches) == ("refunded", [], [])


def test_doctor_says_that_the_server_sorts_by_other_rules_than_the_keys_were_made_by(
    store: Store, owner: psycopg.Connection
) -> None:
    """Postgres itself says so as well, in a warning to each session that no driver shows."""
    assert found_by_the_doctor(store, "sorting")["ok"]
    # as after the image's system became a newer one
    made = "update pg_database set datcollversion = '1.0' where datname = current_database() and datcollversion is not null"
    if owner.execute(made).rowcount == 0:
        pytest.skip("this server was built without languages")
    found = found_by_the_doctor(store, "sorting")
    assert (found["ok"], found["severity"]) == (False, "fault")
    reindex, refresh = found["finding"].partition(": ")[2].partition(". Until")[0].split("; ")
    owner.execute(reindex.encode())
    owner.execute(refresh.encode())
    assert found_by_the_doctor(store, "sorting")["ok"]

"""The history of cases by month: the script of `deploy/` changes where rows lie, and nothing that the product does or proves."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, select

from tests.cases.world import HandClock, World, a_purchase, an_account
from tests.servers import ON_POSTGRES, conninfo
from worker.cases.audit.audit import Audit
from worker.cases.chain.chainer import Chainer
from worker.cases.chain.proof import audit_chain
from worker.store import guards
from worker.store.engine import Store
from worker.store.tables import chain_links

SCRIPT = (Path(__file__).parents[2] / "deploy/postgres/history_by_month.sql").read_text()
pytestmark = ON_POSTGRES


@pytest.fixture
def world(store: Store) -> World:
    found = World(store, clock=HandClock(datetime.now(UTC)))
    found.load(an_account(), a_purchase())
    found.happen(found.submitted("before"), found.failed("before"))
    return found


@pytest.fixture
def owner(store: Store) -> Iterator[psycopg.Connection]:
    with psycopg.connect(conninfo(store.url)) as found:
        yield found


def run(owner: psycopg.Connection) -> None:
    owner.execute(SCRIPT.encode())
    owner.commit()


def rows(owner: psycopg.Connection) -> dict[str, int]:
    found = owner.execute("select tableoid::regclass::text, count(*) from case_history group by 1").fetchall()
    owner.commit()
    return {str(name): int(count) for name, count in found}


def test_cases_go_on_and_the_audit_holds_with_rows_of_both_sides(world: World, owner: psycopg.Connection) -> None:
    before = rows(owner)["case_history"]
    run(owner)
    world.happen(world.submitted("after"), world.failed("after"))
    world.clock.pass_(days=62)
    world.happen(world.submitted("later"), world.failed("later"))
    assert [world.state(name) for name in ("before", "after", "later")] == ["refunded"] * 3
    found = rows(owner)
    month = f"case_history_{world.clock.now():%Y_%m}"
    assert found == {"case_history_before": 2 * before, month: before}
    case = world.case("before")
    assert case is not None
    assert [step["event"] for step in case["history"]] == ["case.opened", "case.decided", "credits.reversed"]
    assert world.audit().ok


def test_chain_goes_on_over_the_months_by_an_index_on_each(world: World, store: Store, owner: psycopg.Connection) -> None:
    chainer = Chainer(store, None, world.clock)
    for number, settle in enumerate((0, 4, 62 * 24 * 60, 4, 4)):
        world.clock.pass_(minutes=settle)
        world.happen(world.submitted(f"job_{number}"), world.failed(f"job_{number}"))
        chainer.turn()
        run(owner)
    world.clock.pass_(minutes=4)
    chainer.turn()
    found = Audit()
    store.read(lambda tx: audit_chain(tx, found, []))
    assert found.breaches == []
    linked = select(func.sum(chain_links.c.rows)).where(chain_links.c.name == "case_history")
    there = store.read(lambda tx: tx.connection.execute(linked).scalar_one())
    assert there == sum(rows(owner).values()) == 18
    indexed = owner.execute(
        "select count(distinct indrelid) from pg_index join pg_inherits on inhrelid = indrelid"
        " where inhparent = 'case_history'::regclass and indkey::text = (select attnum::text from pg_attribute"
        " where attrelid = indrelid and attname = 'id')"
    ).fetchone()
    parts = owner.execute("select count(*) from pg_inherits where inhparent = 'case_history'::regclass").fetchone()
    assert indexed == parts


def test_no_guard_is_missed_over_it_and_numbers_go_on(world: World, store: Store, owner: psycopg.Connection) -> None:
    run(owner)
    world.happen(world.submitted("after"), world.failed("after"))
    assert store.read(lambda tx: (guards.missing(tx), guards.numbers_behind(tx))) == ([], [])


def test_run_again_it_only_adds_months(world: World, owner: psycopg.Connection) -> None:
    run(owner)
    names = rows(owner)
    run(owner)
    assert rows(owner) == names
    world.clock.pass_(days=400)
    world.happen(world.submitted("far"), world.failed("far"))
    assert rows(owner)["case_history_rest"] == 3, "what no month was made for is kept all the same"
    assert world.audit().ok


def test_rights_are_those_of_the_table_before(world: World, owner: psycopg.Connection) -> None:
    name = f"reads_{owner.info.dbname}"
    owner.execute(f'create role "{name}"'.encode())
    try:
        owner.execute(f'grant select, insert on case_history to "{name}"'.encode())
        owner.commit()
        run(owner)
        asked = "select has_table_privilege(%s, 'case_history', %s)"
        granted = {right: owner.execute(asked, (name, right)).fetchone() for right in ("select", "insert", "update", "delete")}
        assert granted == {"select": (True,), "insert": (True,), "update": (False,), "delete": (False,)}
    finally:
        owner.rollback()
        owner.execute(f'drop owned by "{name}"; drop role "{name}"'.encode())
        owner.commit()


def test_schema_can_be_upgraded_over_it(world: World, owner: psycopg.Connection) -> None:
    run(owner)
    owner.execute("alter table case_history add column later_release text")
    owner.commit()
    world.happen(world.submitted("after"), world.failed("after"))
    assert world.state("after") == "refunded"
    assert world.audit().ok

"""The worker's role in Postgres does all the work and cannot alter what has happened; the reader's sees no customer's text."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import redis as redis_py
from psycopg import sql
from sqlalchemy import make_url

from tests.cases.world import a_purchase, an_account
from tests.requests.world import PNG, PeopleWorld
from tests.servers import ON_POSTGRES, conninfo
from tests.web.console.site import Site, let_in
from worker.cases.money.epoch import Watch, Witnesses
from worker.cases.money.journal import Journal
from worker.errors import Misconfigured
from worker.runtime import Runtime
from worker.settings import load_settings
from worker.store import guards
from worker.store.engine import Store
from worker.store.schema import head, require_current, upgrade
from worker.web.site import site_of

ROOT = Path(__file__).parents[2]
ROLES = (ROOT / "deploy/postgres/roles.sql").read_text()
MONTHS = (ROOT / "deploy/postgres/history_by_month.sql").read_text()
HISTORY = ("postings", "case_history", "actions", "approvals", "chain_links", "evidence_looks", "disputes", "alembic_version")


MORE_THAN_ANY_ROW_IS_TRIED = 7


@contextmanager
def without(store: Store, table: str) -> Iterator[None]:
    """The worker may only read this table meanwhile."""
    with psycopg.connect(conninfo(store.url), autocommit=True) as owner:
        to, of = sql.Identifier("refunds_worker"), sql.Identifier(table)
        before = owner.execute(
            "select string_agg(privilege_type, ', ') from information_schema.table_privileges"
            " where grantee = 'refunds_worker' and table_name = %s and privilege_type <> 'SELECT'",
            (table,),
        ).fetchone()
        assert before is not None
        owner.execute(sql.SQL("revoke insert, update, delete on {} from {}").format(of, to))
        try:
            yield
        finally:
            owner.execute(sql.SQL("grant {} on {} to {}").format(sql.SQL(before[0]), of, to))


@pytest.fixture
def signs_in(store: Store) -> Iterator[dict[str, str]]:
    """URLs of a worker and of a reader in the database of `store`."""
    url = make_url(store.url)
    found = {}
    with psycopg.connect(conninfo(store.url), autocommit=True) as owner:
        owner.execute(ROLES.encode())
        owner.execute(ROLES.encode())  # safe to repeat
        for part in ("worker", "looks"):
            name = f"{part}_{url.database}"
            owner.execute(
                sql.SQL("create role {} login password 'x' in role {}").format(*map(sql.Identifier, (name, f"refunds_{part}")))
            )
            found[part] = url.set(username=name, password="x").render_as_string(hide_password=False)
        yield found
        for part in ("worker", "looks"):
            owner.execute(sql.SQL("drop role {}").format(sql.Identifier(f"{part}_{url.database}")))


@pytest.fixture
def as_worker(signs_in: dict[str, str]) -> Iterator[Store]:
    """The database as the worker's role sees it."""
    store = Store(signs_in["worker"])
    yield store
    store.close()


@ON_POSTGRES
def test_worker_does_everything_under_its_role(as_worker: Store, tmp_path: Path) -> None:
    world = PeopleWorld(as_worker, tmp_path)
    world.twice_charged()
    world.load(a_purchase("ord_9", "acc_1", 100))
    world.happen(world.submitted("job_1"), world.failed("job_1"), "{no json", world.submitted("job_2"), world.incomplete("job_2"))
    witnesses = Witnesses(Journal(tmp_path / "journal"))
    Watch(as_worker, witnesses, world.clock).look()
    world.settle_down(days=2)
    assert (world.state("job_1"), world.state("ord_1")) == ("refunded", "refunded")
    world.load(an_account("acc_2"))
    world.bought_once("ord_2", "acc_2")
    taken = world.mail("Please refund my order ord_2.", sender="acc_2@example.org", files={"a.png": PNG})
    world.sweep()
    assert world.queue() == [taken.case_id]
    world.decide(taken.case_id, "money")
    world.settle_down(days=2)
    world.notifier.send()
    world.evidence.sweep()
    assert world.audit().breaches == []


@ON_POSTGRES
def test_doctor_sees_every_guard_under_the_workers_role(as_worker: Store, tmp_path: Path) -> None:
    world = PeopleWorld(as_worker, tmp_path)
    world.load(a_purchase("ord_9", "acc_1", 100))
    found = as_worker.read(lambda tx: (guards.missing(tx), guards.numbers_behind(tx), guards.sorted_otherwise(tx)))
    assert found == ([], [], None)


@ON_POSTGRES
@pytest.mark.parametrize("table", ["inbox", "cases", "effects", "case_history"])
def test_what_the_role_may_not_do_is_held_against_no_event(as_worker: Store, store: Store, tmp_path: Path, table: str) -> None:
    """As after an upgrade by somebody whose tables the worker was not given."""
    world = PeopleWorld(as_worker, tmp_path)
    world.load(a_purchase("ord_9", "acc_1", 100))
    world.arrive(world.submitted("job_1"), world.failed("job_1"))
    with without(store, table):
        for _ in range(MORE_THAN_ANY_ROW_IS_TRIED):
            with pytest.raises(Misconfigured, match=f"permission denied for table {table}; .*roles.sql"):
                world.sweeper.sweep()
            world.clock.pass_(minutes=5)
    world.settle_down(days=1)
    assert (world.state("job_1"), world.dead(), world.audit().breaches) == ("refunded", [], [])


@ON_POSTGRES
@pytest.mark.parametrize("table", ["payment_attempts", "payments", "case_history"])
def test_what_the_role_may_not_do_is_held_against_no_claim(as_worker: Store, store: Store, tmp_path: Path, table: str) -> None:
    world = PeopleWorld(as_worker, tmp_path)
    world.twice_charged()
    world.sweep()
    with without(store, table):
        for _ in range(MORE_THAN_ANY_ROW_IS_TRIED):
            with pytest.raises(Misconfigured, match=f"permission denied for table {table}"):
                world.pay()
            world.clock.pass_(minutes=20)
    world.settle_down(days=2)
    case = world.case("ord_1")
    assert case is not None
    assert (case["state"], "review" in str(case), world.audit().breaches) == ("refunded", False, [])


@ON_POSTGRES
@pytest.mark.parametrize("table", ["inbox", "payments", "disputes", "installation", "alembic_version"])
def test_rows_that_row_security_hides_are_not_taken_for_none(as_worker: Store, store: Store, tmp_path: Path, table: str) -> None:
    """As somebody switches it on for tables with customers' texts, or for all. `refunds status` said that nobody waits, `refunds
    audit` that the books hold, and nobody paid what was hidden.
    """
    PeopleWorld(as_worker, tmp_path).load(a_purchase("ord_9", "acc_1", 100))
    with psycopg.connect(conninfo(store.url), autocommit=True) as owner:
        owner.execute(sql.SQL("alter table {} enable row level security").format(sql.Identifier(table)))
    for asked in (require_current, upgrade):
        with pytest.raises(Misconfigured, match=rf"^row security hides rows of {table} from this role, .*using \(true\)"):
            asked(as_worker)
    assert require_current(store) == head(), "whoever owns the tables sees all"


@ON_POSTGRES
@pytest.mark.landing
def test_process_that_runs_decides_nothing_while_rows_are_hidden_from_it(
    signs_in: dict[str, str], store: Store, redis_server: str, redis: redis_py.Redis
) -> None:
    """Jobs whose purchases were hidden were judged as ones that nobody paid for."""
    ours = {"REFUNDS_DATABASE_URL": signs_in["worker"], "REFUNDS_REDIS_URL": redis_server, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.scenarios.hidden_meanwhile", conninfo(store.url)]
    done = subprocess.run(command, env={**os.environ, **ours}, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    hidden, seen = done.stdout.splitlines()
    assert hidden.startswith("refused: row security hides rows of purchases from this role")
    assert seen == "idle"


@ON_POSTGRES
def test_console_of_a_process_that_runs_shows_nothing_while_rows_are_hidden_from_it(
    as_worker: Store, store: Store, redis_server: str, tmp_path: Path
) -> None:
    """With its operators hidden it let in whoever was at the machine, as while nobody was ever added."""
    site = Site(PeopleWorld(as_worker, tmp_path))
    let_in(store, site.clock, "ana")
    told = {"REFUNDS_DATABASE_URL": as_worker.url, "REFUNDS_REDIS_URL": redis_server}
    runtime = Runtime.start(load_settings(told))
    site.app = site_of(runtime, lambda _: None)
    with closing(runtime.store), psycopg.connect(conninfo(store.url), autocommit=True) as owner:
        owner.execute("alter table operators enable row level security")
        hidden = site.browser().get("/")
        owner.execute("alter table operators disable row level security")
        seen = site.browser().get("/")
    assert (hidden.status_code, "set-cookie" in hidden.headers) == (503, False)
    assert (seen.status_code, seen.headers["location"]) == (303, "/sign-in")


@ON_POSTGRES
@pytest.mark.parametrize(
    ("policies", "sees_all"),
    [
        (["for all to refunds_worker using (true)"], True),
        (["for select using (true)", "for update using (true)", "for insert with check (true)"], True),
        (["for select using (true)"], False),
        (["for all to refunds_looks using (true)"], False),
        (["for all using (state = 'new')"], False),
        (["for all using (true)", "as restrictive for select using (state = 'new')"], False),
    ],
    ids=str,
)
def test_policy_that_shows_every_row_hides_none(as_worker: Store, store: Store, policies: list[str], sees_all: bool) -> None:
    with psycopg.connect(conninfo(store.url), autocommit=True) as owner:
        owner.execute("alter table inbox enable row level security")
        for number, policy in enumerate(policies):
            owner.execute(f"create policy p{number} on inbox {policy}".encode())
    if sees_all:
        assert require_current(as_worker) == head()
    else:
        with pytest.raises(Misconfigured, match="row security hides rows of inbox"):
            require_current(as_worker)


@ON_POSTGRES
def test_reader_needs_no_policy_for_what_it_cannot_do(signs_in: dict[str, str], store: Store) -> None:
    reader = Store(signs_in["looks"])
    with psycopg.connect(conninfo(store.url), autocommit=True) as owner:
        for table in ("cases", "operators"):
            owner.execute(f"alter table {table} enable row level security".encode())
        owner.execute("create policy looks on cases for select to refunds_looks using (true)")
    assert require_current(reader) == head()
    reader.close()


@ON_POSTGRES
@pytest.mark.parametrize("table", HISTORY)
@pytest.mark.parametrize("statement", ["update {} set {} = {}", "delete from {}", "truncate {}", "drop table {}"])
def test_worker_cannot_alter_history(signs_in: dict[str, str], store: Store, table: str, statement: str) -> None:
    with psycopg.connect(conninfo(signs_in["worker"]), autocommit=True) as worker:
        column = worker.execute("select column_name from information_schema.columns where table_name = %s", (table,)).fetchone()
        assert column is not None
        names = [sql.Identifier(table)] + [sql.Identifier(column[0])] * (statement.count("{}") - 1)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            worker.execute(sql.SQL(statement).format(*names))


def parts(owner: psycopg.Connection) -> list[str]:
    """Of the history where it lies by month; the furthest month comes last."""
    asked = "select inhrelid::regclass::text from pg_inherits where inhparent = 'case_history'::regclass order by inhrelid"
    return [str(name) for (name,) in owner.execute(asked).fetchall()]


@ON_POSTGRES
@pytest.mark.parametrize("after", [(MONTHS,), (MONTHS, ROLES), (MONTHS, MONTHS)], ids=["made", "roles", "more"])
def test_worker_cannot_alter_history_that_lies_by_month(signs_in: dict[str, str], store: Store, after: tuple[str, ...]) -> None:
    """Neither the whole nor any part of it; new tables come with the rights that most of them need."""
    with psycopg.connect(conninfo(store.url), autocommit=True) as owner:
        for script in after:
            for last in parts(owner)[-1:]:
                owner.execute(sql.SQL("drop table {}").format(sql.Identifier(last)))
            owner.execute(script.encode())
        found = parts(owner)
    assert len(found) >= 5
    with psycopg.connect(conninfo(signs_in["worker"]), autocommit=True) as worker:
        for table in ("case_history", *found):
            for statement in ("update {} set detail = detail", "delete from {}", "truncate {}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    worker.execute(sql.SQL(statement).format(sql.Identifier(table)))
        assert worker.execute("select count(*) from case_history").fetchone() == (0,)
    with psycopg.connect(conninfo(signs_in["looks"]), autocommit=True) as reader:
        assert reader.execute("select count(*) from case_history").fetchone() == (0,)


@ON_POSTGRES
def test_worker_works_on_history_that_lies_by_month(as_worker: Store, store: Store, tmp_path: Path) -> None:
    with psycopg.connect(conninfo(store.url), autocommit=True) as owner:
        owner.execute(MONTHS.encode())
        owner.execute(ROLES.encode())
    world = PeopleWorld(as_worker, tmp_path)
    world.load(a_purchase("ord_9", "acc_1", 100))
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    assert (world.state("job_1"), world.audit().breaches) == ("refunded", [])


@ON_POSTGRES
def test_reader_sees_cases_and_no_text_of_a_customer(signs_in: dict[str, str]) -> None:
    with psycopg.connect(conninfo(signs_in["looks"]), autocommit=True) as reader:
        assert reader.execute("select count(*) from cases").fetchone() == (0,)
        for closed in (
            "select raw from inbox",
            "select * from operators",
            "select * from sessions",
            "insert into breakers values ('x')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(closed.encode())


@ON_POSTGRES
def test_roles_of_a_schema_within_the_products_database_leave_the_product_alone(database_url: str) -> None:
    """As docs/joining.md has it: our tables in `refunds`, the product's in `public`."""
    beside = make_url(database_url).update_query_dict({"options": "-csearch_path=refunds"})
    with psycopg.connect(conninfo(database_url), autocommit=True) as product:
        product.execute("create schema refunds")
        product.execute("create table public.profiles (id text)")
        ours = Store(beside.render_as_string(hide_password=False))
        upgrade(ours)
        ours.close()
        product.execute("set search_path = refunds")
        product.execute(ROLES.encode())

        def may(what: str, table: str) -> bool:
            row = product.execute("select has_table_privilege('refunds_worker', %s, %s)", (table, what)).fetchone()
            return row is not None and bool(row[0])

        assert [may(what, "public.profiles") for what in ("select", "insert", "update")] == [False] * 3
        assert [may(what, "refunds.postings") for what in ("select", "insert", "update")] == [True, True, False]

"""A unit of work is whole, is repeated when that is right, and says in one line what is wrong when it is not."""

import os
import re
import signal
import sqlite3
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import event, func, make_url, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.faults import without_the_rights_of_root
from tests.logs import heard
from tests.servers import conninfo, give_schema
from tests.store.rows import NOON, an_account, count, given
from tests.threads import at_once
from worker.errors import BrokenOff, Collision, Misconfigured, OutOfTime, TryLater, one_line
from worker.observe import log
from worker.store.bulk import Tx
from worker.store.engine import REPEATS, Store
from worker.store.schema import require_current
from worker.store.tables import accounts, metadata

ALONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ON_POSTGRES = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
PATIENCE = 30


def test_what_failed_half_way_left_nothing(store: Store) -> None:
    def half(tx: Tx) -> None:
        tx.insert(accounts, [an_account()])
        raise KeyError("a defect")

    with pytest.raises(KeyError):
        store.write(half)
    assert count(store, accounts) == 0


def test_commit_that_fails_leaves_nothing_begun_on_its_connection(store: Store) -> None:
    """Whoever had that connection next could begin nothing, for as long as the process lived."""

    def fails(_: object) -> None:
        raise RuntimeError("no room")

    event.listen(store.engine, "commit", fails)
    with pytest.raises(RuntimeError, match="no room"):
        store.write(lambda tx: tx.insert(accounts, [an_account()]))
    event.remove(store.engine, "commit", fails)
    assert count(store, accounts) == 0
    store.write(lambda tx: tx.insert(accounts, [an_account()]))
    assert count(store, accounts) == 1


def test_rehearsal_gives_what_the_work_gives_and_leaves_nothing(store: Store) -> None:
    def work(tx: Tx) -> int:
        tx.insert(accounts, [an_account()])
        return int(tx.connection.execute(select(func.count()).select_from(accounts)).scalar_one())

    assert (store.rehearse(work), count(store, accounts)) == (1, 0)
    assert (store.write(work), count(store, accounts)) == (1, 1)


def test_error_tells_no_value_of_the_row(store: Store) -> None:
    row = {**an_account(), "account_id": None, "email": "canary@secret.example"}
    with heard("error") as said:
        try:
            store.write(lambda tx: tx.insert(accounts, [row]))
        except IntegrityError as error:
            log.exception("refused", error=one_line(error))
    assert "account_id" in said.getvalue()
    assert "canary" not in said.getvalue()


def test_reading_writes_nothing(store: Store) -> None:
    def write(tx: Tx) -> None:
        tx.insert(accounts, [an_account()])

    # Postgres refuses, SQLite takes it back
    try:
        store.read(write)
    except DBAPIError as error:
        assert "read-only" in str(error.orig)
    assert count(store, accounts) == 0


@ON_POSTGRES
def test_reading_sees_one_moment(store: Store) -> None:
    def look_twice(tx: Tx) -> tuple[int, int]:
        look = select(func.count()).select_from(accounts)
        before = tx.connection.execute(look).scalar_one()
        given(store, accounts, an_account())
        return before, tx.connection.execute(look).scalar_one()

    assert store.read(look_twice) == (0, 0)
    assert count(store, accounts) == 1


def test_collision_is_repeated_until_it_is_none(store: Store) -> None:
    runs = []

    def work(tx: Tx) -> str:
        runs.append(1)
        tx.insert(accounts, [an_account(f"acc_{len(runs)}")])
        if len(runs) < REPEATS:
            raise Collision("somebody was first")
        return "done"

    assert store.write(work) == "done"
    assert len(runs) == REPEATS
    assert store.read(lambda tx: tx.all(select(accounts.c.account_id))) == [(f"acc_{REPEATS}",)], "each repeat starts clean"


def test_collision_that_never_ends_is_raised(store: Store) -> None:
    runs = []

    def work(_: Tx) -> None:
        runs.append(1)
        raise Collision("somebody is always first")

    with pytest.raises(Collision):
        store.write(work)
    assert len(runs) == REPEATS


def test_defect_is_not_repeated(store: Store) -> None:
    given(store, accounts, an_account())
    runs = []

    def work(tx: Tx) -> None:
        runs.append(1)
        tx.insert(accounts, [an_account()])

    with pytest.raises(IntegrityError):
        store.write(work)
    assert len(runs) == 1


@ON_POSTGRES
def test_deadlock_is_repeated_until_both_commit(store: Store) -> None:
    given(store, accounts, an_account("acc_1"), an_account("acc_2"))
    both_hold_one = threading.Barrier(2, timeout=PATIENCE)
    runs = []

    def crosswise(first: str, second: str) -> None:
        def work(tx: Tx) -> None:
            runs.append(first)
            for name in (first, second):
                plus_one = {"reversals_today": accounts.c.reversals_today + 1}
                tx.connection.execute(update(accounts).where(accounts.c.account_id == name).values(plus_one))
                if name == first and len(runs) <= 2:
                    both_hold_one.wait()

        store.write(work)

    assert at_once(lambda: crosswise("acc_1", "acc_2"), lambda: crosswise("acc_2", "acc_1")) == [None, None]
    assert len(runs) > 2, "one of them was the victim"
    assert store.read(lambda tx: tx.all(select(accounts.c.reversals_today))) == [(2,), (2,)]


def test_writers_of_one_row_queue_and_lose_nothing(store: Store) -> None:
    given(store, accounts, an_account())

    def ten_times() -> None:
        for _ in range(10):
            store.write(lambda tx: tx.add(accounts, [{"account_id": "acc_1", "reversals_today": 1}], by="account_id"))

    assert at_once(*[ten_times] * 4) == [None] * 4
    assert store.read(lambda tx: tx.all(select(accounts.c.reversals_today))) == [(40,)]


@ALONE
def test_locked_file_says_so_in_one_line(store: Store, impatient: Store) -> None:
    other = sqlite3.connect(str(store.engine.url.database), isolation_level=None)
    other.execute("begin immediate")
    try:
        with pytest.raises(TryLater, match="the SQLite file is locked by another process") as caught:
            impatient.write(lambda tx: tx.insert(accounts, [an_account()]))
    finally:
        other.close()
    assert "\n" not in str(caught.value)
    impatient.write(lambda tx: tx.insert(accounts, [an_account()]))


@ALONE
def test_disk_that_is_full_undoes_the_unit_and_the_next_one_goes_once_there_is_room(store: Store) -> None:
    full = Store(store.url)
    event.listen(full.engine, "connect", lambda connection, _: connection.execute("pragma max_page_count = 1"))
    many = [an_account(f"acc_{number}") for number in range(5000)]
    with pytest.raises(TryLater, match="full"):
        full.write(lambda tx: tx.insert(accounts, many))
    full.close()
    assert count(store, accounts) == 0
    store.write(lambda tx: tx.insert(accounts, many))
    assert count(store, accounts) == len(many)


@pytest.fixture
def impatient(store: Store) -> Iterator[Store]:
    """The same file, opened by somebody who does not wait."""
    made = Store(store.url)
    event.listen(made.engine, "connect", lambda connection, _: connection.execute("pragma busy_timeout = 10"))
    yield made
    made.close()


def test_file_of_sqlite_on_a_network_is_refused_and_not_made(tmp_path: Path) -> None:
    shared, disk, other = tmp_path / "a share", tmp_path / "a share" / "disk", tmp_path / "a share of ours"
    mounts, link = tmp_path / "mountinfo", tmp_path / "link"
    for folder in (disk, other):
        folder.mkdir(parents=True)
    link.symlink_to(shared)
    points = [("/", "ext4"), (disk, "nfs4"), (shared, "nfs4"), (disk, "xfs")]
    written = [str(point).replace(" ", "\\040") for point, _ in points]
    lines = [
        f"{n} 1 0:{n} / {point} rw shared:1 - {kind} what rw"
        for n, (point, (_, kind)) in enumerate(zip(written, points, strict=True))
    ]
    mounts.write_text("\n".join(lines) + "\n")
    for folder in (shared, link, shared / "deeper", disk / ".."):
        with pytest.raises(Misconfigured, match="the SQLite file lies on nfs4"):
            Store(f"sqlite:///{folder}/refunds.db", mounts)
    assert list(shared.glob("*.db")) == []
    for where, told in ((disk, mounts), (other, mounts), (tmp_path, mounts), (shared, tmp_path / "nowhere")):
        Store(f"sqlite:///{where}/refunds.db", told).close()


def test_file_that_is_made_is_ours_alone_and_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        for name, mode in (("new.db", 0o600), ("there.db", 0o640)):
            if name == "there.db":
                (tmp_path / name).touch(mode)
            give_schema(f"sqlite:///{tmp_path / name}")
            assert (tmp_path / name).stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


@pytest.mark.parametrize("kept", ["file", "folder"])
def test_file_that_takes_no_writes_is_said_and_not_taken_for_a_database_that_is_well(kept: str) -> None:
    """Once status, doctor and `/readyz` found all well, while nothing was taken in: the file was made by another user."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'refunds.db'}"
        give_schema(url)
        (folder / "refunds.db").chmod(0o444 if kept == "file" else 0o666)
        folder.chmod(0o555 if kept == "folder" else 0o777)
        with without_the_rights_of_root(), pytest.raises(Misconfigured, match="the SQLite file takes no writes from us"):
            require_current(Store(url))
        (folder / "refunds.db").chmod(0o666)
        folder.chmod(0o777)
        with without_the_rights_of_root():
            require_current(Store(url))


def test_file_in_a_folder_that_is_not_there_says_what_to_look_at(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'nowhere' / 'refunds.db'}")
    with pytest.raises(TryLater, match="does its folder exist, and may we write there"):
        store.read(lambda tx: tx.all(select(1)))
    store.close()


def test_database_without_schema_says_what_to_run(database_url: str) -> None:
    store = Store(database_url)
    with pytest.raises(Misconfigured, match="run `refunds db upgrade`"):
        store.read(lambda tx: tx.all(select(accounts.c.account_id)))
    store.close()


def test_unreachable_server_is_named_without_its_password() -> None:
    store = Store("postgresql+psycopg://refunds:sesame-open@127.0.0.1:1/refunds")
    with pytest.raises(TryLater, match="the database is not reachable") as caught:
        store.read(lambda tx: tx.all(select(1)))
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)
    store.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql+psycopg://u:sesame@one:5432,two:5432/x", "cannot be read; several servers are ?host=a:5432&host=b:5432"),
        ("postgresql+psycopg://u:open@sesame@one/x", "write @ as %40"),
        ("postgresql+psycopg://u:open@sesame/x@one/y", "write @ as %40"),
        ("postgresql+psycopg://u:sesame@one/x?pgbouncer=true", 'invalid connection option "pgbouncer"'),
    ],
)
def test_url_that_no_driver_reads_is_refused_by_what_is_wrong_with_it(url: str, says: str) -> None:
    with pytest.raises(Misconfigured, match=re.escape(says)) as caught:
        Store(url)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:books?mode=memory&uri=true"])
def test_books_that_would_end_with_their_process_are_refused(url: str) -> None:
    """`refunds db upgrade` said that all was made, and the next command found no schema."""
    with pytest.raises(Misconfigured, match="names no file, and what is kept in memory ends with its process: sqlite:///FILE"):
        Store(url)


@ON_POSTGRES
def test_session_has_limits_and_speaks_utc(store: Store) -> None:
    def settings(tx: Tx) -> dict[str, str]:
        names = ("timezone", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "jit")
        return {name: tx.connection.execute(text(f"show {name}")).scalar_one() for name in names}

    assert store.read(settings) == {
        "timezone": "UTC",
        "statement_timeout": "1min",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "1min",
        "jit": "off",
    }


def line(tx: Tx) -> dict[str, str]:
    """What the driver was told about the line to the server."""
    session: Any = tx.connection.connection.driver_connection
    told = session.info.get_parameters()
    return {name: told[name] for name in sorted(told) if name.startswith(("connect_timeout", "keepalives", "tcp_"))}


NOTICED = {
    "connect_timeout": "5",
    "keepalives_count": "2",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "tcp_user_timeout": "20000",
}


@ON_POSTGRES
def test_statement_whose_time_is_over_says_so_and_not_that_the_database_is_away(store: Store) -> None:
    def endless(tx: Tx) -> None:
        tx.limit("statement_timeout", 0.05)
        tx.connection.execute(text("select count(*) from generate_series(1, 1000000000000)"))

    with pytest.raises(BrokenOff) as caught:
        store.read(endless)
    assert str(caught.value).startswith("the database ended a statement before it was done: canceling statement due to")
    assert count(store, accounts) == 0


@pytest.fixture
def ended() -> Iterator[None]:
    """The time of whatever the main thread does is over in a moment, said as the task processes are told."""

    def end(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@ON_POSTGRES
def test_task_whose_time_ends_while_the_database_is_silent_blames_no_row_and_leaves_a_connection_that_works(
    store: Store, caplog: pytest.LogCaptureFixture, ended: None
) -> None:
    """Once it was said not to be reachable, for "another command is already in progress", beside a page of stack."""

    def silent(tx: Tx) -> None:
        tx.insert(accounts, [an_account()])
        tx.connection.execute(text("select pg_sleep(30)"))

    with pytest.raises(TryLater) as caught:
        store.write(silent)
    assert str(caught.value) == "the database had not answered when the time of the task was over"
    assert isinstance(caught.value, OutOfTime)
    assert caplog.records == []
    assert count(store, accounts) == 0


@ON_POSTGRES
def test_task_whose_time_ends_at_a_commit_that_waits_blames_no_row_and_leaves_a_connection_that_works(
    store: Store, caplog: pytest.LogCaptureFixture, ended: None
) -> None:
    """As one does for a standby that is away. It counted as a defect: against the event in hand, and beside pages of stack."""
    with store.engine.begin() as owner:
        owner.execute(
            text("create function wait() returns trigger language plpgsql as 'begin perform pg_sleep(30); return null; end'")
        )
        owner.execute(
            text(
                "create constraint trigger waits after insert on accounts initially deferred for each row execute function wait()"
            )
        )
    with pytest.raises(TryLater) as caught:
        store.write(lambda tx: tx.insert(accounts, [an_account()]))
    assert str(caught.value) == "the database had not answered when the time of the task was over"
    assert isinstance(caught.value, OutOfTime)
    assert caplog.records == []
    assert count(store, accounts) == 0


def test_task_whose_time_ends_in_our_own_work_is_told_so(store: Store, ended: None) -> None:
    def endless(tx: Tx) -> None:
        tx.insert(accounts, [an_account()])
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        while True:
            pass

    # the database has time to answer
    signal.setitimer(signal.ITIMER_REAL, 20)
    with pytest.raises(OutOfTime) as caught:
        store.write(endless)
    assert not isinstance(caught.value, TryLater), "the row may be at fault"
    assert count(store, accounts) == 0


@ON_POSTGRES
def test_line_that_is_dead_is_noticed_by_the_system_itself(store: Store) -> None:
    """In 20 seconds, whether an answer is awaited or what was sent was never taken; by itself it takes a quarter of an hour."""
    assert store.read(line) == NOTICED


@ON_POSTGRES
def test_what_the_address_says_of_the_line_stands(database_url: str) -> None:
    own = {"connect_timeout": "17", "keepalives_idle": "60", "tcp_user_timeout": "45000"}
    store = Store(make_url(database_url).update_query_dict(own).render_as_string(hide_password=False))
    told = store.read(line)
    store.close()
    assert told == NOTICED | own


def end_session(store: Store, pid: int) -> None:
    """Ends a session of the database as an administrator would."""
    killer = Store(store.url)
    assert killer.write(lambda tx: tx.connection.execute(select(func.pg_terminate_backend(pid, 20_000))).scalar_one())
    killer.close()


def session_of(tx: Tx) -> int:
    """The number of the session that a unit of work has."""
    return int(tx.connection.execute(select(func.pg_backend_pid())).scalar_one())


@ON_POSTGRES
def test_connection_lost_between_two_units_is_replaced(store: Store) -> None:
    end_session(store, store.read(session_of))
    store.write(lambda tx: tx.insert(accounts, [an_account()]))
    assert count(store, accounts) == 1


@ON_POSTGRES
def test_unit_whose_connection_broke_before_the_commit_is_repeated(store: Store) -> None:
    sessions: list[int] = []

    def work(tx: Tx) -> None:
        tx.insert(accounts, [an_account()])
        sessions.append(session_of(tx))
        if len(sessions) == 1:
            end_session(store, sessions[0])
        tx.insert(accounts, [an_account("acc_2")])

    store.write(work)
    assert (len(sessions), count(store, accounts)) == (2, 2)


@ON_POSTGRES
def test_unit_whose_connection_broke_at_the_commit_is_not_repeated(store: Store) -> None:
    units: list[int] = []

    def work(tx: Tx) -> None:
        tx.insert(accounts, [an_account()])
        units.append(session_of(tx))
        end_session(store, units[-1])

    # the answer to a commit may be lost: whether it stands is not known, and who asks next reads
    with pytest.raises(TryLater, match="the database is not reachable"):
        store.write(work)
    assert len(units) == 1


@ON_POSTGRES
def test_statements_prepared_for_a_column_that_has_another_type_since_are_prepared_anew(store: Store) -> None:
    given(store, accounts, an_account())
    look = select(accounts.c.account_id, accounts.c.email)

    def often(tx: Tx) -> list[str]:
        # the driver prepares what it has seen five times
        return [tx.all(look)[0].account_id for _ in range(10)]

    assert store.read(often) == ["acc_1"] * 10
    with psycopg.connect(conninfo(store.url), autocommit=True) as owner:
        owner.execute("drop index ix_accounts_email")
        owner.execute("alter table accounts alter column email type varchar(400)")
    assert store.read(often) == ["acc_1"] * 10


@ON_POSTGRES
def test_role_that_may_not_is_told_so_in_one_line(store: Store) -> None:
    role = f"nobody_{make_url(store.url).database}"
    with psycopg.connect(conninfo(store.url), autocommit=True) as owner:
        owner.execute(sql.SQL("create role {} login password 'x'").format(sql.Identifier(role)))
        stranger = Store(make_url(store.url).set(username=role, password="x").render_as_string(hide_password=False))
        with pytest.raises(Misconfigured, match=r"^the database: permission denied for table accounts; .*roles\.sql"):
            stranger.read(lambda tx: tx.all(select(accounts.c.account_id)))
        stranger.close()
        owner.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


@ALONE
@pytest.mark.parametrize(("at", "says"), [(0, "file is not a database"), (4096, "database disk image is malformed")])
def test_file_that_is_ruined_says_what_to_do(store: Store, at: int, says: str) -> None:
    store.close()
    file = Path(str(make_url(store.url).database))
    file.write_bytes(file.read_bytes()[:at] + b"no page of a database" * 50_000)
    with pytest.raises(Misconfigured, match=rf"^the SQLite file cannot be used: {says}; put a backup in its place"):
        store.read(lambda tx: [tx.all(select(table)) for table in metadata.sorted_tables])


@ALONE
def test_file_is_opened_the_safe_way(store: Store) -> None:
    def pragmas(tx: Tx) -> dict[str, Any]:
        names = ("synchronous", "foreign_keys", "journal_mode")
        return {name: tx.connection.exec_driver_sql(f"pragma {name}").scalar_one() for name in names}

    # a write-ahead log only from the release on in which two who copy it back do not ruin the file
    mode = "wal" if sqlite3.sqlite_version_info >= (3, 51, 3) else "delete"
    assert store.read(pragmas) == {"synchronous": 2, "foreign_keys": 1, "journal_mode": mode}


@ALONE
def test_what_a_unit_read_before_it_writes_nobody_changes_meanwhile(store: Store) -> None:
    """Two who both read first and then write would each know nothing of the other, or one of them would fail."""
    others = sqlite3.connect(str(store.engine.url.database), timeout=0)

    def look_and_write(tx: Tx) -> int:
        found = len(tx.all(select(accounts.c.account_id)))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            others.execute("update accounts set reversals_today = 1")
        tx.insert(accounts, [an_account()])
        return found

    assert store.write(look_and_write) == 0
    others.execute("update accounts set reversals_today = 1")
    others.close()


@ALONE
def test_two_who_look_before_they_write_queue_and_neither_fails(store: Store) -> None:
    def one_more(tx: Tx) -> int:
        found = len(tx.all(select(accounts.c.account_id)))
        tx.insert(accounts, [an_account(f"acc_{found}")])
        return found

    counted = at_once(*(lambda: [store.write(one_more) for _ in range(10)] for _ in range(3)))
    assert sorted(number for each in counted for number in each) == list(range(30))


def test_moments_sort_as_time_does(store: Store) -> None:
    moments = [NOON + timedelta(microseconds=step) for step in (0, 1, 999_999, 10**12)]
    given(store, accounts, *(an_account(f"acc_{i}", opened_at=moment) for i, moment in enumerate(reversed(moments))))
    found = store.read(lambda tx: tx.all(select(accounts.c.opened_at).order_by(accounts.c.opened_at)))
    assert [row.opened_at for row in found] == moments

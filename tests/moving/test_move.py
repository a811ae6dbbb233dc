"""A book moves into another database, and is settled there once."""

import shutil
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit

import pytest
from sqlalchemy import Executable, Table, delete, func, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError

from tests.arena import Rows, snapshot
from tests.cases.audited_book import a_full_book
from tests.cases.world import HandClock
from tests.doors import Doors, DoorStore
from tests.faults import Crash, Fault, How
from tests.money.between import PassesOn
from tests.money.world import MoneyWorld
from tests.pooler import a_pooler
from tests.requests.world import PeopleWorld
from tests.restore.test_stop import stopped
from tests.restore.world import RestoreWorld
from tests.servers import fresh_database, give_schema, signed_in
from tests.store.rows import given
from worker.cases.chain.chainer import TELLING, Chainer
from worker.cases.chain.heads import Heads
from worker.cases.chain.proof import audit_chain
from worker.cases.money import epoch
from worker.cases.money.epoch import MEMBER
from worker.cases.move import Moved, Mover, reopen
from worker.creem.answers import Answer
from worker.creem.client import Armed
from worker.creem.transactions import Transaction
from worker.errors import Misconfigured, NoGround, Refused, TryLater
from worker.sandbox.creem import Switches
from worker.sandbox.creem.words import Fault as AtCreem
from worker.sandbox.creem.words import Lost
from worker.store.closed import closed
from worker.store.copying import copy
from worker.store.engine import Store
from worker.store.schema import known, require_current, upgrade
from worker.store.tables import (
    actions,
    case_history,
    cases,
    creem_credits,
    dead_letters,
    evidence,
    inbox,
    installation,
    leases,
    metadata,
    operators,
    postings,
    sessions,
    sign_ins,
)

OWN = {"actions", "chain_links", "epochs", "installation", "leases"}
"""Where a move itself writes something down."""
UNANSWERED = Switches(post=AtCreem.TIMEOUT, post_side=Lost.AFTER_COMMIT, post_times=1, settle_after=20 * 60)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Store]:
    """A database that somebody began with."""
    yield from _made(f"sqlite:///{tmp_path / 'refunds.db'}")


@pytest.fixture
def house(postgres_server: str) -> Iterator[Store]:
    """An empty one, upgraded."""
    with fresh_database(postgres_server) as url:
        yield from _made(url)


def _made(url: str) -> Iterator[Store]:
    give_schema(url)
    store = Store(url)
    yield store
    store.close()


@pytest.fixture
def living(small: Store, tmp_path: Path) -> Iterator[PeopleWorld]:
    """Some of everything, most of it chained, with the people and the provider whom it is about."""
    made = a_full_book(small, tmp_path)
    chain(small, made)
    yield made
    made.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    """The same as a file, and when it was left."""
    folder = tmp_path_factory.mktemp("written")
    give_schema(f"sqlite:///{folder / 'refunds.db'}")
    store = Store(f"sqlite:///{folder / 'refunds.db'}")
    made = a_full_book(store, folder)
    _signed_in(made, store)
    chain(store, made)
    made.close()
    store.close()
    return folder / "refunds.db", made.clock.at


def _signed_in(made: PeopleWorld, store: Store) -> None:
    """Somebody is, has looked at a file, and mistyped a password before; and one credit is to be taken at Creem."""
    kept = made.rows(select(evidence.c.evidence_id).where(evidence.c.state == "kept"))[0].evidence_id
    made.evidence.look(kept, by="ann", reason="to see what came back")
    now = made.clock.now()
    given(store, operators, {"name": "ann", "password_hash": "scrypt:x", "added_at": now, "added_by": "root"})
    seen = {"created_at": now, "seen_at": now, "expires_at": now}
    given(store, sessions, {"session_hash": "0" * 64, "operator": "ann", "csrf": "x", **seen})
    given(store, sign_ins, {"name": "ann", "failures": 2, "wait_until": now})
    of = {"purchase_id": "ord_3", "customer_id": "cust_acc_3", "credits": 50, "state": "due", "attempts": 0}
    given(store, creem_credits, {"key": "grant:ord_3", "kind": "grant", **of, "due_at": now, "created_at": now})


@pytest.fixture
def book(small: Store, written: tuple[Path, datetime], tmp_path: Path) -> Iterator[PeopleWorld]:
    """The same, for what asks nobody."""
    file, left_at = written
    shutil.copyfile(file, tmp_path / "refunds.db")
    made = PeopleWorld(small, tmp_path, clock=HandClock(left_at))
    yield made
    made.close()


def chain(store: Store, world: MoneyWorld, heads: Heads | None = None) -> None:
    for _ in range(3):
        Chainer(store, heads, world.clock).turns()
        world.clock.pass_(minutes=5)


def a_mover(world: MoneyWorld, source: Store, target: Store, heads: Heads | None = None) -> Mover:
    return Mover(source, target, heads, world.witnesses(), "refunds", world.clock)


def move(world: MoneyWorld, source: Store, target: Store, heads: Heads | None = None) -> Moved:
    return a_mover(world, source, target, heads).move(by="ann", reason="we grew", heard=lambda what, done, total: None)


def moves_in(world: MoneyWorld, was: Store, house: Store) -> None:
    """Every process of the world is started again, with the new address."""
    for store in (was, world.guarded):
        store.url, store.engine = house.url, house.engine


def is_open(store: Store) -> bool:
    return store.read(closed) is None


def told_alike(rows: Rows) -> dict[str, list[str]]:
    """What a book holds, but for what the move wrote down."""
    return {
        name: sorted(repr(sorted((k, plain(v)) for k, v in row.items())) for row in held)
        for name, held in rows.items()
        if name not in OWN
    }


def plain(value: object) -> object:
    """Documents whichever way round they are kept."""
    if isinstance(value, dict):
        return sorted((name, plain(each)) for name, each in value.items())
    return [plain(each) for each in value] if isinstance(value, list) else value


def test_whole_book_is_in_the_other_database_with_every_value_as_it_was(book: PeopleWorld, small: Store, house: Store) -> None:
    before = snapshot(small)
    assert {name for name, rows in before.items() if not rows} == set()
    moved = move(book, small, house)
    assert told_alike(snapshot(house)) == told_alike(before)
    assert moved.rows["cases"] == len(before["cases"])
    assert (is_open(small), is_open(house)) == (False, True)
    assert [row.action for store in (small, house) for row in store.read(lambda tx: tx.all(select(actions)))][-1] == "db.move"


def test_everything_is_settled_once_by_those_who_are_started_on_the_new_one(
    living: PeopleWorld, small: Store, house: Store
) -> None:
    waits, owed = living.queue(), [state for state, _ in living.open_claims()]
    assert (len(waits), len(owed)) > (0, 0)
    move(living, small, house)
    moves_in(living, small, house)
    assert living.queue() == waits
    living.settle_down(days=5)
    living.written()
    chain(house, living)
    assert living.open_claims() == []
    went_back = Counter(one.transaction_id for one in living.double.movements if one.kind == "refund")
    assert len(went_back) == len(owed) + 2
    assert set(went_back.values()) == {1}
    living.happen(living.submitted("job_new"), living.failed("job_new"))
    assert living.state("job_new") == "refunded"
    audit = living.audit()
    house.read(lambda tx: audit_chain(tx, audit, []))
    assert audit.breaches == []


@pytest.mark.landing
def test_book_whose_processes_were_stopped_for_days_moves_and_is_made_good(
    living: PeopleWorld, small: Store, house: Store
) -> None:
    living.clock.pass_(days=5)
    assert "is a worker running?" in str(living.audit().breaches)
    move(living, small, house)
    moves_in(living, small, house)
    living.settle_down(days=5)
    living.written()
    living.evidence.sweep()
    assert living.audit().breaches == []


def test_call_whose_answer_is_not_known_is_read_in_the_new_one_and_never_sent_again(
    small: Store, house: Store, tmp_path: Path
) -> None:
    world = RestoreWorld(small, tmp_path / "journal", switches=UNANSWERED)
    world.charged()
    world.turn()
    assert [claim for _, claim in world.open_claims()] == ["unknown"]
    move(world, small, house)
    moves_in(world, small, house)
    world.go_on(days=1)
    assert stopped(world) is None
    assert (world.state("ord_1"), world.double.posts("tran_1"), world.refunds_moved()) == ("refunded", 1, 1)
    world.close()


@pytest.mark.parametrize("at", ["read", "call"])
def test_turn_under_which_the_book_moves_sends_once_at_most_and_is_gone_on_with(
    at: str, small: Store, house: Store, tmp_path: Path
) -> None:
    """A process that nobody stopped has read the charge, or has armed its call, when the book goes."""
    world = RestoreWorld(small, tmp_path / "journal")

    class Moves(PassesOn):
        def transaction(self, transaction_id: str) -> Transaction | None:
            if at == "read" and is_open(small):
                move(world, Store(small.url), house)
            return super().transaction(transaction_id)

        def refund(self, armed: Armed) -> Answer:
            if at == "call" and is_open(small):
                move(world, Store(small.url), house)
            return super().refund(armed)

    world.charged()
    world.creem, plainly = Moves(world.creem), world.creem
    with pytest.raises(NoGround, match="this database is closed"):
        world.pay()
    assert world.double.posts("tran_1") == (at == "call")
    world.creem = plainly
    moves_in(world, small, house)
    world.go_on(days=1)
    assert stopped(world) is None
    assert (world.state("ord_1"), world.double.posts("tran_1"), world.refunds_moved()) == ("refunded", 1, 1)
    world.close()


def test_witnesses_that_were_not_told_of_the_last_call_bear_the_moved_book_out(
    small: Store, house: Store, tmp_path: Path
) -> None:
    """Whoever armed it died before that, and the mark rises with the move."""
    world = RestoreWorld(small, tmp_path / "journal")
    world.charged()
    world.go_on(days=1)
    world.marks.flushall()
    world.marks.zadd("refunds:epoch", {MEMBER: 1})
    small.write(lambda tx: epoch.rise(tx, world.clock.now()))
    move(world, small, house)
    moves_in(world, small, house)
    again = world.charged_again(7)
    world.go_on(days=1)
    assert (stopped(world), world.double.posts(again)) == (None, 1)
    world.close()


def test_file_that_was_put_back_from_before_the_move_pays_nothing(small: Store, house: Store, tmp_path: Path) -> None:
    world = RestoreWorld(small, tmp_path / "journal")
    world.charged()
    world.turn()
    assert world.double.posts("tran_1") == 1
    shutil.copyfile(tmp_path / "refunds.db", tmp_path / "before.db")
    move(world, small, house)
    was = (small.url, small.engine)
    moves_in(world, small, house)
    world.pay()
    small.url, small.engine = was
    old = Store(f"sqlite:///{tmp_path / 'before.db'}")
    moves_in(world, small, old)
    world.pay()
    assert "it was set back" in str(stopped(world))
    old.close()
    world.close()


@pytest.mark.parametrize("which", ["old", pytest.param("new", marks=pytest.mark.landing)])
def test_closed_database_is_opened_again_for_whoever_lost_the_other_and_money_waits_for_a_person(
    which: str, small: Store, house: Store, tmp_path: Path
) -> None:
    world = RestoreWorld(small, tmp_path / "journal")
    world.charged()
    world.go_on(days=1)
    again = world.charged_again(7, settle=False)
    move(world, small, house) if which == "old" else _broken_off(world, small, house)
    left = small if which == "old" else house
    moves_in(world, small, Store(left.url))
    said = reopen(left, "refunds", by="ann", reason="the other one burnt", now=world.clock.now())
    assert said.startswith("the book ")
    world.go_on(hours=2)
    assert "was closed by move_" in str(stopped(world))
    assert world.double.posts(again) == 0
    world.restorer().lift(by="ann", reason="nothing was sent from the other one")
    world.go_on(days=2)
    assert (world.double.posts(again), world.refunds_moved(), world.open_claims()) == (1, 2, [])
    with pytest.raises(Refused, match="nothing to reopen"):
        reopen(left, "refunds", by="ann", reason="once more", now=world.clock.now())
    world.close()


def test_what_the_new_one_sent_before_it_was_lost_is_not_sent_again_from_the_old_one(
    small: Store, house: Store, tmp_path: Path
) -> None:
    world = RestoreWorld(small, tmp_path / "journal")
    world.charged()
    old = (small.url, small.engine)
    move(world, small, house)
    moves_in(world, small, house)
    world.go_on(days=1)
    assert world.refunds_moved() == 1
    small.url, small.engine = old
    moves_in(world, small, Store(small.url))
    reopen(small, "refunds", by="ann", reason="the new one burnt", now=world.clock.now())
    with pytest.raises(Refused, match="recover first"):
        world.restorer().lift(by="ann", reason="nothing was sent from the other one")
    assert len(world.restorer().recover(by="ann", reason="the new one burnt").remembered) == 1
    world.restorer().lift(by="ann", reason="all is put back")
    world.go_on(days=2)
    assert (world.state("ord_1"), world.double.posts("tran_1"), world.refunds_moved()) == ("refunded", 1, 1)
    world.close()


def _broken_off(world: MoneyWorld, small: Store, house: Store) -> None:
    """The copy is committed, and the old one is lost before it is closed."""
    doors = Doors(frozenset({Fault(1, How.DIES_AFTER)}), watched=True)
    with pytest.raises(Crash):
        move(world, DoorStore(small, doors), DoorStore(house, doors))


@pytest.mark.parametrize("of", ["sqlite", pytest.param("postgres", marks=pytest.mark.landing)])
def test_closed_database_takes_no_write_from_anybody(
    of: str, small: Store, house: Store, postgres_server: str, tmp_path: Path
) -> None:
    """Be it a process that is still at work, one of an older release, or a person."""
    world = a_full_book(small, tmp_path)
    move(world, small, house)
    left = small
    if of == "postgres":
        with fresh_database(postgres_server) as url:
            give_schema(url)
            further = Store(url)
            move(world, house, further)
            assert told_alike(snapshot(further)) == told_alike(snapshot(small))
            further.close()
        left = house
    before = snapshot(left)
    for table in metadata.sorted_tables:
        for statement in _writes(left, table):
            with pytest.raises(DBAPIError, match="this database is closed"), left.engine.begin() as connection:
                connection.execute(statement)
    assert snapshot(left) == before
    with pytest.raises(Misconfigured, match=r"this database is closed.*`refunds doctor`"):
        left.write(lambda tx: tx.insert_absent(installation, [{"name": "group", "value": "another"}]))
    for step in (require_current, upgrade):
        with pytest.raises(Misconfigured, match=r"the book was moved on .* into .*: name that in REFUNDS_DATABASE_URL"):
            step(left)
    world.close()


def _writes(store: Store, table: Table) -> Iterator[Executable]:
    first = store.read(lambda tx: tx.first(select(table)))
    if first is None:
        return
    yield insert(table).values(dict(first._mapping))
    yield text(f"update {table.name} set {table.columns.keys()[-1]} = {table.columns.keys()[-1]}")
    yield text(f"delete from {table.name}")
    if store.dialect == "postgresql":
        yield text(f"truncate {table.name} cascade")


@pytest.mark.parametrize("of", ["sqlite", pytest.param("postgres", marks=pytest.mark.landing)])
def test_nobody_writes_into_either_while_the_book_is_copied(
    of: str, book: PeopleWorld, small: Store, house: Store, postgres_server: str
) -> None:
    """What was written behind the copy would be in neither."""
    with fresh_database(postgres_server) as url:
        give_schema(url)
        source, target = (small, house) if of == "sqlite" else (house, Store(url))
        if of == "postgres":
            move(book, small, house)
        refused: list[bool] = []

        def heard(what: str, done: int, total: int) -> None:
            if what == "copying cases" and not refused:
                refused.extend(_refused(one) for one in (source, target))

        a_mover(book, source, target).move(by="ann", reason="we grew", heard=heard)
        assert refused == [True, True]
        target.close()


def test_old_book_is_read_as_ever_while_it_is_copied(book: PeopleWorld, small: Store, house: Store) -> None:
    """The copy takes minutes, and the console stands open."""
    hasty, found = Store(small.url), set[str]()

    def heard(what: str, done: int, total: int) -> None:
        with hasty.engine.connect().execution_options(writing=False) as connection:
            connection.execute(text("pragma busy_timeout = 0"))
            connection.execute(select(cases)).first()
        found.add(what)

    a_mover(book, small, house).move(by="ann", reason="we grew", heard=heard)
    hasty.close()
    assert {"copying cases", "reading back cases"} <= found


def _refused(store: Store) -> bool:
    """Whether another session that waits for nobody is kept from adding a row."""
    hasty = Store(store.url)
    if store.dialect == "postgresql":
        hasty = Store(make_url(store.url).update_query_dict({"options": "-c lock_timeout=10"}).render_as_string(False))
    try:
        with hasty.engine.connect().execution_options(writing=False) as connection:
            if store.dialect == "sqlite":
                connection.execute(text("pragma busy_timeout = 0"))
            connection.execute(text("insert into doubt_days (day, credits) values ('2030-01-01', 1)"))
        return False
    except DBAPIError as error:
        return any(said in str(error) for said in ("database is locked", "lock timeout"))
    finally:
        hasty.close()


def test_target_that_makes_other_rows_of_what_it_is_given_is_refused(book: PeopleWorld, small: Store, house: Store) -> None:
    with house.engine.begin() as connection:
        connection.execute(
            text("create function other() returns trigger language plpgsql as $$ begin new.reason = 'x'; return new; end $$")
        )
        connection.execute(text("create trigger other before insert on creem_refunds for each row execute function other()"))
    with pytest.raises(Refused, match="creem_refunds: the target holds other rows than it was given"):
        move(book, small, house)
    assert is_open(small)


EACH_END = [
    Fault(passage, how) for passage in range(3) for how in (How.DIES_BEFORE, How.DIES_AFTER, How.FAILS_BEFORE, How.ANSWER_LOST)
]


@pytest.mark.parametrize("fault", [EACH_END[0], *(pytest.param(end, marks=pytest.mark.landing) for end in EACH_END[1:])], ids=str)
def test_whoever_dies_at_any_commit_leaves_one_book_that_can_be_gone_on_with_and_never_two(
    fault: Fault, book: PeopleWorld, small: Store, house: Store, postgres_server: str
) -> None:
    before, doors = told_alike(snapshot(small)), Doors(frozenset({fault}))
    broken_off = a_mover(book, DoorStore(small, doors), DoorStore(house, doors))
    doors.watched = True
    with pytest.raises((Crash, NoGround)):
        broken_off.move(by="ann", reason="we grew", heard=lambda what, done, total: None)
    assert [is_open(small), house_is_in_use(house)].count(True) <= 1
    assert before in (told_alike(snapshot(small)), told_alike(snapshot(house)))
    if is_open(small):
        # as before: the old one goes on, and what came into the other one is no book
        book.happen(book.submitted("job_meanwhile"), book.failed("job_meanwhile"))
        before = told_alike(snapshot(small))
    with fresh_database(postgres_server) as url:
        give_schema(url)
        anew = Store(url)
        into = anew if is_open(small) and not is_open(house) else house
        if into is anew:
            with pytest.raises(Refused, match="a copy of a move that was broken off"):
                move(book, small, house)
        if house_is_in_use(house):
            with pytest.raises(Refused, match="moved already: the book was moved on"):
                move(book, small, house)
        else:
            move(book, small, into)
        assert (is_open(small), is_open(into)) == (False, True)
        assert told_alike(snapshot(into)) == before
        anew.close()


def house_is_in_use(house: Store) -> bool:
    """Whether processes that are started on it would go on with a book."""
    return is_open(house) and house.read(lambda tx: tx.exists(select(cases)))


def test_new_rows_have_numbers_behind_those_that_came(book: PeopleWorld, small: Store, house: Store) -> None:
    move(book, small, house)
    moves_in(book, small, house)
    last = {table: book.rows(select(func.max(table.c.id)))[0][0] for table in (inbox, postings, case_history)}
    book.happen(book.submitted("job_new"), book.failed("job_new"))
    assert all(book.rows(select(func.min(table.c.id)).where(table.c.id > most))[0][0] for table, most in last.items())


@pytest.mark.landing
def test_chain_goes_on_over_the_same_rows_and_heads_outside_are_forgiven_on_record(
    book: PeopleWorld, small: Store, house: Store, tmp_path: Path
) -> None:
    heads = Heads(tmp_path / "kept")
    with small.engine.begin() as connection:
        connection.execute(delete(leases).where(leases.c.name == TELLING))
    chain(small, book, heads)
    assert heads.standing()
    moved = move(book, small, house, heads)
    assert moved.heads_forgiven
    chain(house, book, heads)
    audit = book.audit()
    house.read(lambda tx: audit_chain(tx, audit, heads.standing()))
    assert audit.breaches == []
    assert heads.standing(), "those of the new one are told at once"
    said = [row.reason for row in house.read(lambda tx: tx.all(select(actions))) if row.action == "db.move"]
    assert "chains: postings 1 " in said[0]
    with house.engine.begin() as connection:
        connection.execute(text("update postings set credits = credits + 1 where id = 1"))
    house.read(lambda tx: audit_chain(tx, audit, heads.standing()))
    assert [breach["check"] for breach in audit.breaches][:1] == ["nothing_altered"]


@pytest.mark.landing
def test_rehearsal_finds_what_the_move_would_and_changes_nothing(book: PeopleWorld, small: Store, house: Store) -> None:
    before = snapshot(small), snapshot(house)
    would = a_mover(book, small, house).rehearse(by="ann", reason="we grew", heard=lambda what, done, total: None)
    assert (snapshot(small), snapshot(house)) == before
    assert would.rows == move(book, small, house).rows


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ("update purchases set spent = spent + 1, remaining = remaining - 1 where purchase_id = 'ord_3'", "does not hold"),
        ("update case_history set \"by\" = 'somebody' where id = 1", "nothing_altered"),
        ("update requests set text = 'a' || char(0) || 'b'", "requests: the target does not take a row"),
        ("insert into installation (name, value) values ('group', 'observer:next')", "of the installation observer:next"),
        ("update alembic_version set version_num = '0016'", "the schema is at 0016"),
        ("update alembic_version set version_num = '9999'", "which this version does not know"),
    ],
)
def test_book_that_cannot_be_moved_whole_stays_where_it_is_and_open(
    spoilt: str, said: str, book: PeopleWorld, small: Store, house: Store
) -> None:
    empty = snapshot(house)
    with small.engine.begin() as connection:
        if "installation" in spoilt:
            connection.execute(text("delete from installation where name = 'group'"))
        connection.execute(text(spoilt))
    with pytest.raises((Refused, Misconfigured), match=said):
        move(book, small, house)
    assert is_open(small)
    assert snapshot(house) == empty


def test_target_that_is_not_empty_not_upgraded_or_the_same_is_refused(
    book: PeopleWorld, small: Store, house: Store, postgres_server: str
) -> None:
    with pytest.raises(Refused, match="the target is in use, with rows in "):
        move(book, small, small)
    with fresh_database(postgres_server) as url:
        bare = Store(url)
        with pytest.raises(Misconfigured, match=r"test_\w+: the database has no schema"):
            move(book, small, bare)
        bare.close()
    # an intake was there, and no event yet
    house.write(lambda tx: tx.insert(installation, [{"name": "database", "value": "db_1"}]))
    with pytest.raises(Refused, match="in use, with rows in installation"):
        move(book, small, house)
    assert is_open(small)


@pytest.mark.landing
def test_source_that_somebody_writes_into_is_waited_for_and_then_left(
    house: Store, postgres_server: str, book: PeopleWorld
) -> None:
    small = Store(book.store.url)
    move(book, small, house)
    small.close()
    with fresh_database(postgres_server) as url:
        give_schema(url)
        further = Store(url)
        hasty = Store(
            make_url(house.url).update_query_dict({"options": "-c lock_timeout=10"}).render_as_string(hide_password=False)
        )
        with house.engine.begin() as connection:
            connection.execute(text("update leases set holder = holder"))
            connection.execute(text("update accounts set status = status"))
            with pytest.raises(TryLater, match="another session holds"):
                move(book, hasty, further)
        assert is_open(house)
        move(book, hasty, further)
        hasty.close()
        further.close()


@pytest.mark.landing
def test_role_that_may_lock_and_not_close_is_told_before_anything_is_copied_for_good(
    book: PeopleWorld, small: Store, house: Store, postgres_server: str
) -> None:
    """Else the copy stands, its database has to be made anew, and the same comes of it."""
    move(book, small, house)
    clerk = f"clerk_{make_url(house.url).database}"
    with fresh_database(postgres_server) as url, signed_in(house.url) as owner:
        give_schema(url)
        further, lesser = Store(url), Store(make_url(house.url).set(username=clerk).render_as_string(hide_password=False))
        empty = snapshot(further)
        owner.execute(f"create role {clerk} login")
        owner.execute(f"grant select, insert, update, delete on all tables in schema public to {clerk}")
        try:
            with pytest.raises(NoGround, match="permission denied"):
                move(book, lesser, further)
            assert snapshot(further) == empty
            assert is_open(house)
            move(book, house, further)
        finally:
            lesser.close()
            further.close()
            owner.execute(f"drop owned by {clerk}")
            owner.execute(f"drop role {clerk}")


def test_file_without_room_to_be_closed_in_is_told_of_before_anything_is_copied_for_good(
    book: PeopleWorld, small: Store, house: Store
) -> None:
    """It may be what somebody moves for. A file grows with the commit, which came after that of the copy."""
    empty, (soft, hard) = snapshot(house), getrlimit(RLIMIT_FSIZE)
    # writing beyond fails as on a full disk
    setrlimit(RLIMIT_FSIZE, (Path(str(make_url(small.url).database)).stat().st_size, hard))
    try:
        with pytest.raises(TryLater, match="disk I/O error"):
            move(book, small, house)
    finally:
        setrlimit(RLIMIT_FSIZE, (soft, hard))
    assert snapshot(house) == empty
    assert is_open(small)
    move(book, small, house)


@pytest.mark.landing
def test_source_that_ends_the_session_is_named_and_the_same_move_again_does_it(
    book: PeopleWorld, small: Store, house: Store, postgres_server: str
) -> None:
    """It was called a defect, or rows that somebody changed by hand."""
    move(book, small, house)
    name = make_url(house.url).database

    def heard(what: str, done: int, total: int) -> None:
        if what == "copying cases":
            with signed_in(house.url) as owner:
                everybody = (
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()"
                )
                owner.execute(everybody, [name])

    with fresh_database(postgres_server) as url:
        give_schema(url)
        further = Store(url)
        empty = snapshot(further)
        with pytest.raises(TryLater, match=f"{name} is not reachable: it ended our session"):
            a_mover(book, house, further).move(by="ann", reason="we grew", heard=heard)
        assert snapshot(further) == empty
        assert is_open(house)
        move(book, house, further)
        further.close()


@pytest.mark.landing
def test_book_moves_through_a_pooler_on_either_side(book: PeopleWorld, small: Store, house: Store, postgres_server: str) -> None:
    before = told_alike(snapshot(small))
    with a_pooler(house.url) as pooled, fresh_database(postgres_server) as url:
        give_schema(url)
        through, further = Store(pooled), Store(url)
        move(book, small, through)
        assert told_alike(snapshot(house)) == before
        move(book, through, further)
        assert told_alike(snapshot(further)) == before
        through.close()
        further.close()


def test_database_that_a_book_has_left_is_not_taken_for_a_copy_that_may_be_made_anew(
    book: PeopleWorld, small: Store, house: Store
) -> None:
    """It is the record of what was, and the one that is opened where the new one is lost."""
    left = move(book, small, house).move
    with pytest.raises(Refused, match=f"a book left it by {left}: a book moves into an empty one"):
        move(book, house, small)
    assert (is_open(small), is_open(house)) == (False, True)


def test_closed_database_of_an_earlier_release_sends_nobody_to_an_upgrade_that_is_turned_away(
    book: PeopleWorld, small: Store, house: Store
) -> None:
    move(book, small, house)
    with small.engine.begin() as connection:
        connection.execute(text(f"update alembic_version set version_num = '{known()[-2]}'"))
    with pytest.raises(Misconfigured, match=r"closed: do this with the release that closed it, then upgrade"):
        reopen(small, "refunds", by="ann", reason="the server burnt", now=book.clock.now())


def test_large_letters_travel_one_by_one(small: Store, house: Store) -> None:
    """A command may have as much memory as a container of ours, and a letter be of 25 MiB."""
    now, weighs = datetime.now(UTC), 4 << 20
    of = {"reason": "too_large", "detail": "x", "sha256": "x", "state": "open", "received_at": now}
    for number in range(12):
        given(small, dead_letters, {"dead_id": f"dead_{number}", "key": f"stream:{number}", "raw": bytes(weighs), **of})
    tracemalloc.start()
    try:
        copied = small.read(lambda source: house.rehearse(lambda target: copy(source, target, lambda what, done, total: None)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert copied["dead_letters"].rows == 12
    assert peak < 8 * weighs


@pytest.mark.landing
def test_book_may_move_back_into_a_file(living: PeopleWorld, small: Store, house: Store, tmp_path: Path) -> None:
    before = told_alike(snapshot(small))
    move(living, small, house)
    file = f"sqlite:///{tmp_path / 'again.db'}"
    give_schema(file)
    again = Store(file)
    move(living, house, again)
    moves_in(living, small, again)
    assert told_alike(snapshot(again)) == before
    living.settle_down(days=5)
    chain(again, living)
    audit = living.audit()
    again.read(lambda tx: audit_chain(tx, audit, []))
    assert audit.breaches == []
    again.close()

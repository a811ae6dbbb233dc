"""The chain over what may not change: whatever is altered is found and named, and nothing honest ever is."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, delete, func, make_url, select, text, update

from tests.cases.world import World, a_purchase, an_account
from tests.faults import Crash
from tests.servers import ON_POSTGRES
from tests.store.rows import before, statements, writes_anew
from worker.cases.audit.audit import Audit
from worker.cases.chain.chainer import TOLD_EVERY, Chainer
from worker.cases.chain.heads import Head, Heads, Kept
from worker.cases.chain.links import CHAINED
from worker.cases.chain.proof import audit_chain, strangers
from worker.cases.chain.restored import Forgiver
from worker.errors import Refused
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import actions, case_history, chain_links, inbox, postings


class Books(World):
    """A world whose history is chained, two rows a link, with heads kept in a folder."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store)
        self.folder, self.heads = folder, Heads(folder)
        self.chainer = Chainer(store, self.heads, self.clock, batch=2)
        self.forgiver = Forgiver(store, self.heads, self.clock)

    def chain(self, chainer: Chainer | None = None) -> None:
        """Time passes until everything that is there has settled and is in the chain."""
        for _ in range(3):
            (chainer or self.chainer).turn()
            self.clock.pass_(minutes=4)

    def tell(self) -> None:
        """A day passes, and the heads are told."""
        self.clock.pass_(seconds=TOLD_EVERY.total_seconds())
        self.chainer.turn()

    @property
    def told(self) -> Path:
        """The one file in which heads are kept."""
        [file] = self.folder.glob("*.heads")
        return file

    def job(self, name: str) -> None:
        self.happen(self.submitted(name), self.failed(name))

    def do(self, statement: Any) -> None:
        assert self.store.write(lambda tx: tx.connection.execute(statement)).rowcount == 1

    def act(self, **said: Any) -> dict[str, Any]:
        """A row of `actions`, as somebody would add it."""
        return {"at": self.clock.now(), "by": "ann", "action": "x", "subject": "y", "reason": "z", **said}

    def altered(self, *, heads: bool = True) -> list[tuple[str, str]]:
        """What the proof of the chain names, with or without the heads kept outside."""
        found, kept = Audit(), self.heads.standing() if heads else []
        self.store.read(lambda tx: audit_chain(tx, found, kept))
        return [(breach["row"], breach["problem"]) for breach in found.breaches]

    def links(self, table: Table) -> list[Any]:
        chosen = select(chain_links).where(chain_links.c.name == table.name).order_by(chain_links.c.number)
        return list(self.store.read(lambda tx: tx.all(chosen)))

    def link_of(self, table: Table, row_id: int) -> str:
        """The link that holds a row, as the proof names it."""
        return f"{table.name} link {next(link.number for link in self.links(table) if link.last_id >= row_id)}"

    def chained(self, table: Table) -> tuple[int, int]:
        """How many rows are in links, and how many there are."""
        rows = self.store.read(lambda tx: tx.connection.execute(select(func.count()).select_from(table)).scalar_one())
        return sum(link.rows for link in self.links(table)), int(rows)


@pytest.fixture
def books(store: Store, tmp_path: Path) -> Books:
    made = Books(store, tmp_path / "journal")
    made.load(an_account(), a_purchase())
    for number in (1, 2, 3):
        made.job(f"job_{number}")
    made.chain()
    return made


def test_everything_that_settled_is_in_the_chain_and_nothing_is_named(books: Books) -> None:
    for table in (postings, case_history):
        linked, there = books.chained(table)
        assert linked == there > 6
        numbers = [link.number for link in books.links(table)]
        assert numbers == list(range(len(numbers)))
    before = books.links(case_history)
    books.chain()
    assert books.links(case_history) == before, "nothing new is no link"
    assert books.altered() == []
    assert books.audit().breaches == []


def test_row_that_was_changed_or_deleted_is_named(books: Books) -> None:
    books.do(update(postings).where(postings.c.id == 3).values(credits=postings.c.credits + 1))
    books.do(update(case_history).where(case_history.c.id == 2).values(by="somebody"))
    books.do(update(case_history).where(case_history.c.id == 4).values(detail={"x": 1}))
    books.do(delete(case_history).where(case_history.c.id == 5))
    books.job("job_later")
    books.chain()
    assert [(row, problem.partition(" after it was chained at 2026-")[0]) for row, problem in books.altered(heads=False)] == [
        (books.link_of(postings, 3), "row 3 was changed"),
        (books.link_of(case_history, 2), "row 2 was changed"),
        (books.link_of(case_history, 4), "row 4 was changed"),
        (books.link_of(case_history, 5), "row 5 is gone"),
    ]


def test_document_that_was_deleted_or_written_over_with_its_hash_is_named(books: Books) -> None:
    """How far it is handled is no part of that: it was handled after it was chained."""
    books.arrive(books.failed("job_9"))
    books.chain()
    books.sweep()
    assert books.altered() == []
    raw = books.failed("job_1", code="invalid_image")
    books.do(update(inbox).where(inbox.c.event_id == "job_1-failed-1").values(raw=raw, sha256=sha256(raw.encode()).hexdigest()))
    books.do(delete(inbox).where(inbox.c.event_id == "job_9-failed-1"))
    ids = {row.event_id: row.id for row in books.store.read(lambda tx: tx.all(select(inbox.c.id, inbox.c.event_id)))}
    assert [(row, problem.partition(" after ")[0]) for row, problem in books.altered()] == [
        (books.link_of(inbox, ids["job_1-failed-1"]), f"row {ids['job_1-failed-1']} was changed"),
        (books.link_of(inbox, max(ids.values()) + 1), f"row {max(ids.values()) + 1} is gone"),
    ]
    assert books.audit().breaches == [], "each row fits the others"


def test_row_that_was_put_between_is_named(books: Books) -> None:
    books.store.write(lambda tx: tx.insert(actions, [books.act(id=number) for number in (1, 2, 9, 10)]))
    books.chain()
    assert books.altered() == []
    books.store.write(lambda tx: tx.insert(actions, [books.act(id=5, reason="he asked me to")]))
    books.chain()
    [(row, problem)] = books.altered()
    assert row == "actions link 3"
    assert problem.startswith("row 5 was put in after it was chained")


def test_link_that_was_altered_or_taken_out_is_named(books: Books) -> None:
    link = (chain_links.c.name == "postings", chain_links.c.number == 2)
    books.do(update(chain_links).where(*link).values(hash="0" * 64))
    assert [problem.partition(":")[0] for _, problem in books.altered()] == [
        "does not follow from link 1",
        "does not follow from link 2",
    ]
    books.do(delete(chain_links).where(*link))
    assert "follows link 1: those between are gone" in dict(books.altered())["postings link 3"]


def test_chain_that_was_made_anew_fits_itself_and_not_the_heads_outside(books: Books) -> None:
    books.tell()
    books.do(update(postings).where(postings.c.id == 3).values(credits=1))
    books.store.write(lambda tx: tx.connection.execute(delete(chain_links).where(chain_links.c.name == "postings")))
    books.chain()
    assert books.altered(heads=False) == []
    [(row, problem)] = books.altered()
    assert row.startswith("postings link")
    assert "the chain was made anew" in problem


@ON_POSTGRES
def test_row_that_commits_late_under_a_lower_id_is_waited_for(books: Books) -> None:
    with books.store.engine.connect() as slow:
        slow.execute(actions.insert().values(books.act(reason="slow")))
        books.store.write(lambda tx: tx.insert(actions, [books.act(reason="fast")]))
        books.clock.pass_(minutes=10)
        books.chain()
        assert books.chained(actions) == (0, 1), "as long as a lower id may come nothing above it is linked"
        slow.commit()
    books.chain()
    assert books.chained(actions) == (2, 2)
    assert books.altered() == []


@ON_POSTGRES
def test_database_put_into_another_server_goes_on_though_that_one_counts_transactions_anew(books: Books) -> None:
    books.job("job_4")
    books.chainer.turn()
    books.store.write(lambda tx: tx.connection.execute(update(chain_links).values(horizon=2**62)))
    books.chain()
    assert books.chained(case_history)[0] == books.chained(case_history)[1]


@ON_POSTGRES
def test_hashes_are_the_same_in_a_session_of_another_zone(books: Books) -> None:
    url = make_url(books.store.url).update_query_dict({"options": "-c timezone=Asia/Tokyo"})
    elsewhere, found = Store(url.render_as_string(hide_password=False)), Audit()
    elsewhere.read(lambda tx: audit_chain(tx, found, books.heads.standing()))
    assert elsewhere.read(lambda tx: tx.connection.execute(text("show timezone")).scalar_one()) == "Asia/Tokyo"
    elsewhere.close()
    assert found.breaches == []
    assert found.checked["chained_rows"] > 10


@ON_POSTGRES
@pytest.mark.parametrize("table", [postings, case_history, inbox], ids=str)
def test_rows_of_a_table_that_is_written_anew_meanwhile_are_none_that_were_put_in(books: Books, table: Table) -> None:
    """To the one moment that a look keeps to such a table is empty: its link had no rows, and they were named ever after."""
    books.job("job_4")
    books.chainer.turn()
    books.clock.pass_(minutes=4)
    change = writes_anew(books.store.url, table.name, "alter column id type bigint using id + 0")
    with before(books.store, f"max({table.name}.id)", change):
        books.chainer.turn()
    books.chain()
    linked, there = books.chained(table)
    assert linked == there
    assert books.altered() == []


def test_ids_that_were_never_used_are_no_gap(books: Books) -> None:
    for _ in range(3):
        with pytest.raises(Crash):
            books.store.write(lambda tx: _insert_and_die(tx, books.act()))
    books.store.write(lambda tx: tx.insert(actions, [books.act(id=40)]))
    books.chain()
    assert books.chained(actions) == (1, 1)
    assert books.altered() == []


def _insert_and_die(tx: Tx, row: dict[str, Any]) -> None:
    tx.insert(actions, [row])
    raise Crash


class Dying(Store):
    """A database whose process dies with the commits counted down."""

    left = 3

    def write(self, work: Any) -> Any:
        done = super().write(work)
        self.left -= 1
        if self.left == 0:
            raise Crash
        return done


def test_chain_goes_on_where_a_death_left_it(books: Books) -> None:
    for number in range(4, 9):
        books.job(f"job_{number}")
    books.chainer.turn()
    books.clock.pass_(minutes=4)
    dying = Dying(books.store.url)
    before = books.chained(postings)[0]
    with pytest.raises(Crash):
        Chainer(dying, books.heads, books.clock, batch=2).turn()
    dying.close()
    linked, there = books.chained(postings)
    assert before < linked < there
    books.chain()
    assert books.chained(postings) == (there, there)
    assert books.altered() == []


def test_two_at_once_make_each_link_once(books: Books) -> None:
    for number in range(4, 12):
        books.job(f"job_{number}")
    books.chainer.turn()
    books.clock.pass_(minutes=4)
    gate = threading.Barrier(2)

    def turn() -> int:
        gate.wait(10)
        return books.chainer.turn()

    with ThreadPoolExecutor(2) as pool:
        done = [each.result(60) for each in [pool.submit(turn) for _ in range(2)]]
    assert sum(done) > 0
    books.chain()
    for table in (postings, case_history):
        linked, there = books.chained(table)
        assert linked == there
    assert books.altered() == []


def test_turn_is_bounded_and_the_next_goes_on(books: Books) -> None:
    for number in range(4, 9):
        books.job(f"job_{number}")
    small = Chainer(books.store, None, books.clock, batch=2, most=1)
    books.chainer.turn()
    books.clock.pass_(minutes=4)
    before = len(books.links(postings))
    small.turn()
    assert len(books.links(postings)) == before + 1
    small.turn()
    assert len(books.links(postings)) == before + 2


@pytest.mark.parametrize(("seconds", "whole"), [(10.0, True), (0.0, False)], ids=["in time", "out of time"])
def test_turns_follow_each_other_while_something_is_due(books: Books, seconds: float, whole: bool) -> None:
    """A minute lay between two of them: above some 800 documents a second the chain fell behind, and never caught up."""
    for number in range(4, 9):
        books.job(f"job_{number}")
    small = Chainer(books.store, None, books.clock, batch=2, most=1)
    books.chainer.turn()
    books.clock.pass_(minutes=4)
    small.turns(seconds)
    assert [linked == there for linked, there in map(books.chained, (inbox, postings, case_history))] == [whole] * 3


def set_back(books: Books, keep: dict[Table, int], links: int) -> None:
    """The tables as they were when the backup was made."""

    def cut(tx: Tx) -> None:
        for table, last in keep.items():
            tx.connection.execute(delete(table).where(table.c.id > last))
        tx.connection.execute(delete(chain_links).where(chain_links.c.number > links))

    books.store.write(cut)


def test_after_a_restore_the_chain_goes_on_and_the_heads_outside_say_what_is_missing(books: Books) -> None:
    books.store.write(lambda tx: tx.insert(actions, [books.act(reason=str(n)) for n in range(4)]))
    books.chain()
    books.tell()
    kept = books.links(actions)
    lost = next(each.head for each in reversed(books.heads.standing()) if each.head.name == "actions")
    assert lost.number == kept[-1].number
    first = min(link.number for link in kept if link.rows)
    set_back(books, {actions: kept[first].last_id}, first)
    books.store.write(lambda tx: tx.insert(actions, [books.act(reason="after the restore") for _ in range(3)]))
    books.chain()
    said = dict(books.altered())
    assert f"with rows up to {lost.last_id}" in said[f"actions link {lost.number}"]
    assert books.chained(actions) == (5, 5), "and the chain goes on"
    assert books.altered(heads=False) == []
    with pytest.raises(Refused, match="nothing to forgive"):
        Forgiver(books.store, None, books.clock).forgive(by="ann", reason="restored")
    assert books.forgiver.forgive(by="ann", reason="restored from Monday") == len(said)
    assert books.altered() == []
    books.chain()
    assert books.altered() == []
    chosen = select(actions).where(actions.c.action == "restore.chain")
    [record] = books.store.read(lambda tx: tx.all(chosen))
    assert record.by == "ann"
    assert record.reason.startswith("restored from Monday (")
    books.do(update(actions).where(actions.c.id == record.id).values(reason="nothing"))
    [(_, problem)] = books.altered()
    assert problem.startswith(f"row {record.id} was changed")


def test_heads_are_told_once_a_day_and_a_torn_line_hides_none(books: Books) -> None:
    lines = books.told.read_text().split()
    assert len(lines) == len(CHAINED)
    assert {json.loads(line)["name"] for line in lines} == {table.name for table in CHAINED}
    books.job("job_4")
    books.chain()
    assert books.told.read_text().split() == lines
    with books.told.open("a") as file:
        file.write('{"at":"2026-03-02T10:00:00Z","name":"post')
    books.tell()
    standing = books.heads.standing()
    assert standing[-1].at > json.loads(lines[-1])["at"]
    assert {each.head.name for each in standing} == {table.name for table in CHAINED}


def test_heads_outside_are_looked_up_together_however_many_there_are(books: Books) -> None:
    """Once each cost a statement, and every day keeps as many more as there are chains."""
    real = [Kept(Head(link.name, link.number, link.last_id, link.hash), "noon") for t in CHAINED for link in books.links(t)]
    wrong = [Kept(replace(real[0].head, number=99), "noon"), Kept(replace(real[0].head, hash="0" * 64), "noon")]
    with statements(books.store) as sent:
        found = books.store.read(lambda tx: strangers(tx, [*real, *wrong]))
    assert [each for each, _ in found] == wrong
    assert len([statement for statement in sent if "chain_links" in statement]) == 1


@pytest.mark.parametrize("table", [table for table in CHAINED if table is not inbox], ids=lambda table: table.name)
def test_every_column_of_a_chained_table_is_hashed(table: Table) -> None:
    assert CHAINED[table] == tuple(column.name for column in table.columns)

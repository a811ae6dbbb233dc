"""A row that somebody changed by hand keeps nobody else waiting: the next customers are made whole and have their money back."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cases.audited_book import a_full_book
from tests.cases.test_audit_corruptions import corruptions
from tests.cases.world import a_purchase, an_account
from tests.requests.world import PeopleWorld
from worker.cases.sweep import Swept
from worker.store.engine import Store
from worker.store.schema import upgrade

EVERY = 24
"""One in so many is looked at whenever something lands, the others by night."""


ENDS = {"update breakers set open_until = :far where true": ("refunding", 0)}
"""What becomes of the money after a row that says on purpose that none leaves."""


class Going(PeopleWorld):
    """A world whose sweep may find something each time: a damaged case may stay due for ever."""

    def sweep(self) -> Swept:
        return [self.sweeper.sweep() for _ in range(6)][-1]


def _named() -> Iterator[Any]:
    for number, (statement, values) in enumerate(corruptions()):
        marks = [pytest.mark.landing] if number % EVERY == 0 else [pytest.mark.nightly]
        yield pytest.param(statement, values, id=f"{number}-{' '.join(statement.split()[:3])}", marks=marks)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PeopleWorld]:
    """The file of a full book, and the world in which it came to be."""
    folder: Path = tmp_path_factory.mktemp("book")
    store = Store(f"sqlite:///{folder / 'book.db'}")
    upgrade(store)
    world = a_full_book(store, folder)
    world.close()
    store.close()
    return folder / "book.db", world


@pytest.mark.parametrize(("statement", "values"), list(_named()))
def test_row_that_was_changed_by_hand_keeps_nobody_else_waiting(
    kept: tuple[Path, PeopleWorld], tmp_path: Path, statement: str, values: dict[str, str]
) -> None:
    file, before = kept
    with closing(sqlite3.connect(file)) as book, closing(sqlite3.connect(tmp_path / "book.db")) as damaged:
        book.backup(damaged)
        try:
            with damaged:
                damaged.execute(statement, values)
        except sqlite3.IntegrityError:
            # nobody brings that into a book that has its keys and checks, and the doctor names one that lacks them
            return
    store = Store(f"sqlite:///{tmp_path / 'book.db'}")
    world = Going(store, tmp_path)
    world.clock.at = before.clock.now() + timedelta(minutes=10)
    world.load(an_account("acc_new"), a_purchase("ord_new", "acc_new", 50, "2026-01-01T09:00:00Z"))
    world.happen(world.submitted("job_new", "acc_new"), world.failed("job_new", "acc_new"))
    world.bought_once("ord_paid", "acc_paid")
    asked = world.mail("Please refund my order ord_paid.", sender="acc_paid@example.org", message_id="<new@example.org>")
    world.decide(asked.case_id, "money", reason="nothing was used")
    for _ in range(4):
        world.turn()
        world.written()
        world.evidence.sweep()
        world.reconciler().reconcile()
        world.clock.pass_(hours=3)
    assert (world.state("job_new"), world.credits("acc_new")) == ("refunded", 50)
    assert (world.state(asked.case_id), world.double.gone("tran_ord_paid")) == ENDS.get(statement, ("refunded", 900))
    world.close()
    store.close()

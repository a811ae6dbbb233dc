"""Product history taken in again: what a file says twice, what was refused once, and accounts that go back to what they were."""

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import permutations

import pytest
from sqlalchemy import func, select, update

from tests.cases.world import World, a_purchase, an_account
from tests.servers import ON_SQLITE
from worker.cases.assess.imports import Importer, Known
from worker.intake.records import read_record
from worker.intake.wire import event_document
from worker.store.engine import Store
from worker.store.tables import accounts, inbox


def rows(world: World) -> int:
    return int(world.store.read(lambda tx: tx.connection.execute(select(func.count()).select_from(inbox)).scalar_one()))


@pytest.mark.parametrize("batch", [1, 500])
def test_record_that_was_refused_is_refused_however_often_it_is_imported(store: Store, batch: int) -> None:
    world = World(store, batch=batch)
    world.load(an_account(), a_purchase(amount=900))
    wrong = a_purchase(amount=907)
    for repeated in (0, 1):
        done = world.load(an_account(), wrong, wrong)
        assert [key for key, _ in done.refused] == ["purchase:ord_1"]
        assert (done.records, done.repeated) == ({"account": 1}, 1), repeated
    [letter], _ = world.letters.listing(state="open", limit=9, after=None)
    world.letters.discard(letter["dead_id"], by="ann", reason="the export was wrong")
    assert world.load(wrong).refused == [], "a person put it aside"


@pytest.mark.parametrize("batch", [1, 500])
def test_account_is_what_the_file_imported_last_says(store: Store, batch: int) -> None:
    world = World(store, batch=batch)
    active, suspended = an_account(), an_account(status="suspended")
    world.load(active)
    for record, status in ((suspended, "suspended"), (active, "active"), (suspended, "suspended")):
        assert world.load(record).repeated == 0
        assert world.account("acc_1")["status"] == status
        assert world.load(record).repeated == 1, "nothing to change any more"
    assert rows(world) == 2
    assert world.audit().breaches == []


@pytest.mark.parametrize("batch", [1, 500])
def test_file_that_tells_an_account_several_times_ends_with_its_last_line_and_changes_nothing_again(
    store: Store, batch: int
) -> None:
    world = World(store, batch=batch)
    active, suspended = an_account(), an_account(status="suspended")
    file = (active, suspended, active)
    world.load(*file)
    assert world.account("acc_1")["status"] == "active"
    before = rows(world)
    done = world.load(*file)
    assert (done.repeated, done.assessed.handled) == (3, 0)
    assert (world.account("acc_1")["status"], rows(world)) == ("active", before)


def test_account_that_people_here_suspended_is_not_lifted_by_any_import(store: Store) -> None:
    world = World(store)
    world.load(an_account())
    here = update(accounts).values(status="suspended", suspended_here=True)
    store.write(lambda tx: tx.connection.execute(here))
    done = world.load(an_account())
    assert (done.repeated, done.assessed.handled, world.account("acc_1")["status"]) == (1, 0, "suspended")
    assert done.stay_suspended == ["acc_1"]


@pytest.mark.parametrize("batch", [1, 500])
def test_import_names_each_account_that_stays_suspended_once_and_no_other(store: Store, batch: int) -> None:
    world = World(store, batch=batch)
    names = ("acc_1", "acc_2", "acc_3", "acc_4")
    world.load(*map(an_account, names))
    a = accounts.c
    here = update(accounts).where(a.account_id != "acc_4").values(status="suspended", suspended_here=True)
    store.write(lambda tx: tx.connection.execute(here))
    moved = an_account("acc_2") | {"email": "new@example.org"}
    product = (an_account("acc_1"), moved, moved, an_account("acc_3", "suspended"), an_account("acc_4"))
    assert world.load(*product).stay_suspended == ["acc_1", "acc_2"]
    assert world.account("acc_2") | {"email": "new@example.org", "status": "suspended"} == world.account("acc_2")
    assert world.load(an_account("acc_1", "deleted"), an_account("acc_2", "suspended")).stay_suspended == []


def test_charge_told_of_under_another_order_with_other_credits_is_refused_and_not_swallowed(store: Store) -> None:
    world = World(store)
    done = world.load(
        an_account(),
        a_purchase("ord_1", credits=50, transaction_id="tran_1"),
        a_purchase("ord_2", credits=80, transaction_id="tran_1"),
        a_purchase("ord_3", credits=50, transaction_id="tran_1"),
    )
    assert [(key, "another granted" in why) for key, why in done.refused] == [("purchase:ord_2", True)]
    assert world.credits() == 50


def opened(world: World, account: str, email: str, days_ago: float) -> str:
    data = {"account_id": account, "email": email}
    at = world.clock.now() - timedelta(days=days_ago)
    return event_document("account.opened", data, id=f"{account}-{email}-{days_ago}", source="/image-pipeline", time=at)


@ON_SQLITE
def test_address_is_the_one_that_was_told_last_by_the_time_of_its_event_whichever_comes_first(store: Store) -> None:
    world = World(store)
    told = [("first@example.org", 30.0), ("second@example.org", 2.0), ("another@example.org", 2.0)]
    for number, order in enumerate(permutations(told)):
        name = f"acc_{number}"
        for email, days_ago in order:
            world.happen(opened(world, name, email, days_ago))
        assert world.account(name)["email"] == "second@example.org", order
    assert world.dead() == []
    assert world.audit().breaches == []


@ON_SQLITE
def test_address_of_an_import_holds_against_older_news_and_not_against_newer(store: Store) -> None:
    world = World(store)
    world.happen(opened(world, "acc_1", "opened@example.org", 0.5))
    world.load(an_account("acc_1") | {"email": "imported@example.org"})
    world.happen(opened(world, "acc_1", "late@example.org", 0.25))
    assert world.account("acc_1")["email"] == "imported@example.org"
    world.clock.pass_(hours=1)
    world.happen(opened(world, "acc_1", "newer@example.org", 0))
    assert world.account("acc_1")["email"] == "newer@example.org"


def test_no_more_of_a_history_is_held_than_is_handled_at_once(store: Store) -> None:
    """A year of jobs is a gigabyte as records."""
    world = World(store, batch=10)
    given = done = most = 0

    class History:
        def __iter__(self) -> Iterator[Known]:
            nonlocal given, most
            given = 0
            for number in range(95):
                given += 1
                most = max(most, given - done)
                yield read_record(json.dumps(an_account(f"acc_{number}")).encode())

    def heard(more: int) -> None:
        nonlocal done, most
        # what was given the first time was let go
        most = most if done else 0
        done += more

    assert Importer(world.store, world.assessor, world.clock).take(History(), heard).records == {"account": 95}
    assert (done, most) == (95, 10)

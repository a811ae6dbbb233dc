"""The number of cases in each state, kept by the database itself as they change."""

from threading import Barrier, Thread

from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text, update

from tests.cases.world import World, a_purchase, an_account
from tests.servers import ON_POSTGRES
from worker.cases.overview import overview
from worker.store import tallies
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.schema import MIGRATIONS
from worker.store.tables import case_tallies, cases


def some_cases(store: Store, number: int) -> World:
    world = World(store)
    world.load(an_account(), a_purchase(credits=number * 5))
    names = [f"job_{n}" for n in range(number)]
    world.happen(*map(world.submitted, names))
    world.happen(*map(world.failed, names))
    return world


def rows(store: Store) -> int:
    return store.read(lambda tx: int(tx.connection.execute(select(func.count()).select_from(case_tallies)).scalar_one()))


def scattered(store: Store, number: int) -> None:
    """As many rows as that many statements would have left, with nothing in the sum."""
    store.write(lambda tx: tx.insert(case_tallies, [_one(sign) for sign in (1, -1) for _ in range(number // 2)]))


def _one(sign: int) -> dict[str, object]:
    return {"state": "review", "cases": sign, "credits_reversed": 5 * sign, "delivered_late": 0}


def test_tallies_are_what_counting_would_give(store: Store) -> None:
    world = some_cases(store, 7)
    world.happen(world.submitted("job_x"), world.incomplete("job_x"))
    found = store.read(tallies.by_state)
    assert found["refunded"] == tallies.Tally(cases=7, credits_reversed=35, delivered_late=0)
    assert found["rerunning"].cases == 1
    world.happen(world.succeeded("job_x", attempt=2))
    assert {state: tally.cases for state, tally in store.read(tallies.by_state).items() if tally.cases} == {
        "refunded": 7,
        "delivered": 1,
    }
    assert world.audit().ok


def test_a_statement_that_moves_many_leaves_one_row_a_state_on_postgres_and_changes_nothing_where_nothing_moves(
    store: Store,
) -> None:
    some_cases(store, 4)
    before = rows(store)
    store.write(lambda tx: tx.connection.execute(update(cases).values(stuck=1)).rowcount)
    assert rows(store) == before
    store.write(lambda tx: tx.connection.execute(update(cases).values(state="external")).rowcount)
    assert rows(store) - before == (2 if store.engine.dialect.name == "postgresql" else 8)
    assert store.read(tallies.by_state)["external"] == tallies.Tally(4, 20, 0)


def test_folding_keeps_the_sums_and_leaves_one_row_a_state(store: Store) -> None:
    world = some_cases(store, 3)
    scattered(store, 2 * tallies.FOLD_ABOVE)
    before = store.read(tallies.by_state)
    assert store.read(tallies.many)
    world.sweeper.sweep()
    assert not store.read(tallies.many)
    assert rows(store) == len(before)
    assert store.read(tallies.by_state) == before
    assert world.audit().ok


@ON_POSTGRES
def test_two_that_fold_at_once_take_different_rows(store: Store) -> None:
    world = some_cases(store, 3)
    scattered(store, 400)
    before, together = store.read(tallies.by_state), Barrier(2)

    def fold() -> None:
        def both(tx: Tx) -> int:
            together.wait(10)
            return tallies.fold(tx)

        store.write(both)

    two = [Thread(target=fold) for _ in range(2)]
    for one in two:
        one.start()
    for one in two:
        one.join()
    assert store.read(tallies.by_state) == before
    assert world.audit().ok


def test_those_there_before_the_tallies_are_counted_by_the_migration(store: Store) -> None:
    world = some_cases(store, 5)
    store.write(lambda tx: tx.connection.execute(text("delete from case_tallies")).rowcount)
    migration = ScriptDirectory(str(MIGRATIONS)).get_revision("0010").module
    store.write(lambda tx: tx.connection.execute(text(migration.THOSE_THERE)).rowcount)
    assert store.read(lambda tx: overview(tx, world.clock.now()))["made_whole"] == 5
    assert world.audit().ok

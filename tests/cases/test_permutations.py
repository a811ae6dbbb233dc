"""The same facts in any order, each told twice, some of them a week late: the same books to the last posting."""

from random import Random
from typing import Any

import pytest
from sqlalchemy import ColumnElement, select

from tests.cases.world import World, a_purchase, an_account
from tests.servers import ON_SQLITE
from worker.store.engine import Store
from worker.store.tables import cases, layer_jobs, postings, purchases

Fact = str | dict[str, Any]
"""An event of the stream, or a record of the product's history."""
ENDS = (
    cases.c.state,
    cases.c.outcome,
    cases.c.rule,
    cases.c.clause,
    cases.c.credits_owed,
    cases.c.credits_reversed,
    cases.c.reruns,
)
JOBS = (layer_jobs.c.status, layer_jobs.c.downloads, layer_jobs.c.downloaded_at, layer_jobs.c.edited_at)
LOTS = (purchases.c.granted, purchases.c.remaining, purchases.c.spent, purchases.c.frozen, purchases.c.void)
POSTED = (postings.c.key, postings.c.kind, postings.c.source, postings.c.destination, postings.c.credits)


def facts(world: World, tag: str) -> list[Fact]:
    """An account, its purchase, and three jobs: one that we failed, one that its customer did, one that went well."""
    account = f"acc-{tag}"
    return [
        an_account(account),
        a_purchase(f"ord-{tag}", account, 40),
        world.submitted(f"ours-{tag}", account, credits=5),
        world.submitted(f"theirs-{tag}", account, credits=7),
        world.submitted(f"well-{tag}", account, credits=9),
        world.failed(f"ours-{tag}", account, code="model_error"),
        world.failed(f"theirs-{tag}", account, code="invalid_image"),
        world.succeeded(f"well-{tag}", account),
        *(
            world.event(kind, f"well-{tag}", account, id=f"well-{tag}-{kind}-{hour}", at=f"2026-03-02T{hour}:00:00Z")
            for kind in ("downloaded", "edited")
            for hour in (10, 11, 12)
        ),
    ]


def tell(world: World, told: list[list[Fact]], chance: Random) -> None:
    """Tells each list of facts in its order, side by side, with sweeps in between."""
    while any(told):
        now = [some.pop(0) for some in told if some and chance.random() < 0.7]
        world.load(*(fact for fact in now if isinstance(fact, dict)))
        world.arrive(*(fact for fact in now if isinstance(fact, str)))
        if chance.random() < 0.4:
            world.sweep()
    world.sweep()


def books(world: World, tag: str) -> dict[str, Any]:
    """What the cases, the lots and the ledger say of the facts with this tag, without it."""

    def said(name: ColumnElement[Any], *asked: ColumnElement[Any]) -> list[tuple[str, ...]]:
        found = world.store.read(lambda tx: tx.all(select(name, *asked).where(name.like(f"%-{tag}"))))
        return sorted(tuple(str(value).replace(f"-{tag}", "") for value in row) for row in found)

    return {
        "ends": said(cases.c.job_id, *ENDS),
        "jobs": said(layer_jobs.c.job_id, *JOBS),
        "lots": said(purchases.c.purchase_id, *LOTS),
        "postings": said(postings.c.purchase_id, *POSTED),
    }


def permutations_come_to_the_same_books(store: Store, drawn: int) -> None:
    world, chance = World(store), Random(7)
    told = [facts(world, f"x{number}") * 2 for number in range(drawn)]
    for some in told:
        chance.shuffle(some)
    late = [chance.randint(0, len(some)) for some in told]
    tell(world, [some[:since] for some, since in zip(told, late, strict=True)], chance)
    for _ in range(7):
        world.clock.pass_(days=1)
        world.sweep()
    tell(world, [some[since:] for some, since in zip(told, late, strict=True)], chance)

    first, *others = [books(world, f"x{number}") for number in range(drawn)]
    assert first["lots"] == [("ord", "40", "24", "16", "0", "0")], "only what we failed came back"
    assert [row[:2] for row in first["ends"]] == [("ours", "refunded"), ("theirs", "declined")]
    assert [row[2] for row in first["jobs"]] == ["0", "0", "3"]
    assert len(first["postings"]) == 5
    assert [number for number, other in enumerate(others, 1) if other != first] == []
    assert world.dead() == []
    assert world.audit().breaches == []


def test_facts_in_any_order_told_twice_and_a_week_late_come_to_the_same_books(store: Store) -> None:
    permutations_come_to_the_same_books(store, 50)


@pytest.mark.nightly
@ON_SQLITE
def test_thousand_permutations_of_the_same_facts_come_to_the_same_books(store: Store) -> None:
    permutations_come_to_the_same_books(store, 1_000)

"""A claim takes what it may and no more, whatever the server believes of its tables.

Where its statistics say that a table holds one row, Postgres compares before it chooses: it asks a sub-query anew for each row
that it compares, and one that skips locked rows finds the next each time.
"""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select, text, update

from tests.cases.world import World, a_purchase, an_account
from tests.money.world import MoneyWorld
from tests.servers import ON_POSTGRES
from worker.cases.money import claims, remember, turn
from worker.cases.money.close import Closing
from worker.cases.money.journal import Armed
from worker.credits import at_creem
from worker.creem.environment import Environment
from worker.store import effects, inbox
from worker.store.bulk import Tx
from worker.store.effects import EffectKind
from worker.store.engine import Store
from worker.store.tables import creem_credits, payment_attempts, payments

LEASE = timedelta(seconds=30)


def holds_one_row(store: Store, table: str) -> None:
    """What the server believes of it from now on, whatever comes to it."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"analyze {table}"))
        assert connection.execute(text(f"select reltuples from pg_class where relname = '{table}'")).scalar_one() == 1


@ON_POSTGRES
def test_a_process_claims_the_one_rerun_that_it_asks_for(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase(credits=500))

    def judge_failures_of(*names: str) -> None:
        world.arrive(*map(world.submitted, names))
        world.arrive(*(world.failed(name, code="job_timeout") for name in names))
        world.assessor.assess()

    def claim(tx: Tx) -> list[str | None]:
        due = effects.claim(tx, EffectKind.RERUN, keys=(), limit=1, now=world.clock.now(), lease=LEASE)
        return [effect.job_id for effect in due]

    judge_failures_of("job_0")
    holds_one_row(store, "effects")
    others = [f"job_{n}" for n in range(1, 6)]
    judge_failures_of(*others)
    assert sorted(store.write(claim) for _ in range(7)) == [[], ["job_0"], *([name] for name in others)]


def test_effect_that_somebody_is_at_is_nobody_elses_until_the_time_for_it_is_over(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase())
    world.arrive(world.submitted("job_0"), world.failed("job_0", code="job_timeout"))
    world.assessor.assess()

    def found() -> tuple[set[EffectKind], list[int]]:
        """The kinds that a sweep is told of, and the numbers of the claims that a second one then gets."""
        now = world.clock.now()
        told = store.read(lambda tx: effects.kinds_due(tx, now))
        taken = store.write(lambda tx: effects.claim(tx, EffectKind.RERUN, keys=(), limit=9, now=now, lease=LEASE))
        return told, [effect.attempt for effect in taken]

    assert found() == ({EffectKind.RERUN}, [1])
    assert found() == (set(), [])
    world.clock.pass_(seconds=LEASE.total_seconds() - 0.001)
    assert found() == (set(), [])
    world.clock.pass_(seconds=0.001)
    assert found() == ({EffectKind.RERUN}, [2])


@ON_POSTGRES
def test_a_task_takes_as_many_events_along_as_it_may(store: Store) -> None:
    world = World(store)
    world.arrive(world.submitted("job_0"))
    holds_one_row(store, "inbox")
    world.arrive(*(world.submitted(f"job_{n}") for n in range(1, 7)))

    def claim(limit: int, *ids: int) -> list[str]:
        now = world.clock.now()
        taken = store.write(lambda tx: inbox.claim(tx, ids=ids, limit=limit, now=now, lease=LEASE))
        return sorted(one.job_id or "" for one in taken)

    assert claim(1, 3, 5) == ["job_2"]
    assert claim(3) == ["job_0", "job_1", "job_3"]


@ON_POSTGRES
def test_one_entry_is_carried_out_at_creem_at_a_time(store: Store) -> None:
    world, now = World(store), World(store).clock.now()

    def owe(*lots: str) -> None:
        # a lot each: of one lot none is due before those before it are done
        world.load(*map(a_purchase, lots))
        kept = {"kind": "reverse", "credits": 5, "state": "due", "due_at": now, "attempts": 0, "created_at": now}
        store.write(lambda tx: tx.insert(creem_credits, [kept | {"key": f"owed:{lot}", "purchase_id": lot} for lot in lots]))

    world.load(an_account())
    owe("lot_0")
    holds_one_row(store, "creem_credits")
    others = [f"lot_{n}" for n in range(1, 6)]
    owe(*others)
    claimed = [store.write(lambda tx: at_creem.claim(tx, now, LEASE)) for _ in range(7)]
    assert [due and due.purchase_id for due in claimed] == ["lot_0", *others, None]


@ON_POSTGRES
def test_a_payer_takes_the_one_claim_that_it_plays(store: Store) -> None:
    world = MoneyWorld(store)
    first = world.charged_again(0)
    holds_one_row(store, "payments")
    others = [world.charged_again(number) for number in range(1, 6)]
    now = world.clock.now()
    taken = [store.write(lambda tx: turn.take(tx, Environment.TEST.value, now=now, lease=LEASE)) for _ in range(7)]
    world.close()
    assert sorted(one.transaction_id for one in taken if one is not None) == [first, *others]
    assert taken[-1] is None


def two_in_hand(world: MoneyWorld) -> tuple[turn.Turn, turn.Turn]:
    """The claims of two customers, each in its first turn."""
    for number in range(2):
        world.charged_again(number)
    now = world.clock.now()
    one, other = (world.store.write(lambda tx: turn.take(tx, Environment.TEST.value, now=now, lease=LEASE)) for _ in range(2))
    assert one is not None
    assert other is not None
    return one, other


def test_turn_that_is_put_off_is_that_of_one_claim_and_of_who_has_it(store: Store) -> None:
    world = MoneyWorld(store)
    (mine, others), now = two_in_hand(world), world.clock.now()
    world.close()
    store.write(lambda tx: turn.defer(tx, mine, now + 9 * LEASE))
    store.write(lambda tx: turn.defer(tx, replace(others, turn=others.turn - 1), now + 9 * LEASE))
    found = store.read(lambda tx: tx.all(select(payments.c.payment_id, payments.c.due_at)))
    assert {row.payment_id: row.due_at for row in found} == {mine.payment_id: now + 9 * LEASE, others.payment_id: now + LEASE}


def test_calls_that_a_claim_learns_of_are_none_of_anothers(store: Store) -> None:
    """Whose call has no answer is read until it is known what came of it, whatever is learnt about others."""
    world = MoneyWorld(store)
    (mine, others), now = two_in_hand(world), world.clock.now()
    called = {"attempt": 1, "armed_at": now, "deadline_at": now}
    refused = called | {"payment_id": mine.payment_id, "outcome": "refused", "detail": "no", "answered_at": now}
    closing = Closing(world.settler, now)

    def learn(tx: Tx) -> None:
        tx.insert(payment_attempts, [called | {"payment_id": others.payment_id}])
        tx.insert(payment_attempts, [refused])
        payment, case = turn.lock(tx, mine)
        payment = remember.as_not_sent(tx, payment, [Armed(2, now, now)], now)
        remember.as_unknown(tx, payment, case, [Armed(4, now, now)], closing)

    store.write(learn)
    world.close()
    a, p = payment_attempts.c, payments.c
    calls = store.read(lambda tx: tx.all(select(a.payment_id, a.outcome).order_by(a.attempt)))
    assert [call.outcome for call in calls if call.payment_id == others.payment_id] == [None]
    assert [call.outcome for call in calls if call.payment_id == mine.payment_id] == ["refused", "not_sent", "not_sent", None]
    counted = store.read(lambda tx: tx.all(select(p.payment_id, p.attempts)))
    assert {row.payment_id: row.attempts for row in counted} == {mine.payment_id: 4, others.payment_id: 0}


def test_claim_that_is_opened_again_over_a_call_opens_no_other(store: Store) -> None:
    world = MoneyWorld(store)
    (mine, others), now, p = two_in_hand(world), world.clock.now(), payments.c
    ended = {"state": "not_needed", "next_step": "read", "closed_at": now, "due_at": None}

    def learn(tx: Tx) -> None:
        tx.connection.execute(update(payments).values(ended))
        payment, case = turn.lock(tx, mine)
        remember.as_unknown(tx, payment, case, [Armed(1, now, now)], Closing(world.settler, now))

    store.write(learn)
    world.close()
    found = store.read(lambda tx: tx.all(select(p.payment_id, p.state, p.closed_at)))
    assert {row.payment_id: (row.state, row.closed_at) for row in found} == {
        mine.payment_id: ("unknown", None),
        others.payment_id: ("not_needed", now),
    }


def test_claim_that_a_person_lets_go_on_is_the_only_one(store: Store) -> None:
    world = MoneyWorld(store)
    (mine, others), now, p = two_in_hand(world), world.clock.now(), payments.c
    store.write(lambda tx: claims.go_on(tx, mine.payment_id, now))
    world.close()
    found = store.read(lambda tx: tx.all(select(p.payment_id, p.due_at)))
    assert {row.payment_id: row.due_at for row in found} == {mine.payment_id: now, others.payment_id: now + LEASE}

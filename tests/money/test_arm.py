"""Arming, asked directly: what it writes where all is as approved, and for each single difference the end and its words."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.arena import Arena
from tests.cases.world import START, a_purchase, an_account
from tests.money.plans import NASTY
from tests.money.world import MoneyWorld
from worker.cases.book.book import BY_PERSON
from worker.cases.money import limits
from worker.cases.money.arm import ArmedTurn, Arming, arm
from worker.cases.money.charges import LOOKS
from worker.cases.money.close import Closing
from worker.cases.money.epoch import Remembered, Witnesses
from worker.cases.money.turn import Turn, take
from worker.creem.receive import SOURCE, row_of
from worker.creem.transactions import Transaction
from worker.creem.webhooks import read_webhook
from worker.store.bulk import Tx
from worker.store.tables import case_history, cases, charges, inbox, payment_attempts, payments, purchases

TIMER = 500.0
Seen = Transaction | None


def no_other(tx: Tx) -> datetime | None:
    """A database without a clock of its own; it is asked within the transaction that arms."""
    assert tx.connection.in_transaction()
    return None


class Scene:
    """One claim whose turn is taken, with both charges as Creem shows them."""

    def __init__(self, world: MoneyWorld) -> None:
        self.world, self.now = world, world.clock.now()
        world.twice_charged()
        turn = world.store.write(lambda tx: take(tx, "test", now=self.now, lease=timedelta(seconds=50)))
        assert turn is not None
        self.turn: Turn = turn
        seen, kept = (world.creem.transaction(f"tran_{number}") for number in (1, 0))
        assert seen is not None
        assert kept is not None
        self.seen: Transaction = seen
        self.kept: Transaction = kept

    def arm(self, seen: Seen, kept: Seen, *, seconds: float = 7.5) -> ArmedTurn | str:
        with_ = Arming(
            closing=Closing(self.world.settler, self.now),
            environment=self.world.creem.environment,
            until=TIMER + seconds,
            timer=lambda: TIMER,
            witnesses=Witnesses(),
            remembered=Remembered(0),
            other_clock=no_other,
        )
        return self.world.store.write(lambda tx: arm(tx, self.turn, seen, kept, with_))

    def change(self, *statements: Any) -> None:
        self.world.store.write(lambda tx: [tx.connection.execute(each) for each in statements])

    def rows(self, statement: Any) -> list[dict[str, Any]]:
        return [dict(row._mapping) for row in self.world.store.read(lambda tx: tx.all(statement))]

    @property
    def claim(self) -> dict[str, Any]:
        return self.rows(select(payments))[0]

    @property
    def attempts(self) -> list[dict[str, Any]]:
        return self.rows(select(payment_attempts))


@pytest.fixture
def scene(arena: Arena) -> Iterator[Scene]:
    with arena.empty() as store:
        world = MoneyWorld(store, switches=NASTY)
        yield Scene(world)
        world.close()


def test_armed_call_is_written_whole_before_it_leaves(scene: Scene) -> None:
    armed = scene.arm(scene.seen, scene.kept)
    assert isinstance(armed, ArmedTurn)
    assert (armed.attempt, armed.mark, armed.permission.until) == (1, 1, 507.5)
    assert armed.permission.spend(0.0) == "tran_1"
    until = scene.now + timedelta(seconds=7.5)
    (attempt,) = scene.attempts
    assert attempt["payment_id"] == scene.turn.payment_id
    assert (attempt["attempt"], attempt["armed_at"], attempt["deadline_at"], attempt["outcome"]) == (1, scene.now, until, None)
    claim = scene.claim
    assert (claim["state"], claim["next_step"], claim["attempts"], claim["probes"]) == ("sending", "read", 1, 0)
    assert (claim["armed_at"], claim["deadline_at"], claim["charged"]) == (scene.now, until, 900)
    assert (claim["due_at"], claim["detail"]) == (until + timedelta(seconds=5), None)
    (case,) = scene.rows(select(cases).where(cases.c.case_id == scene.turn.case_id))
    assert case["state"] == "refunding"
    (noted,) = scene.rows(select(case_history).where(case_history.c.event == "payment.armed"))
    assert (noted["case_id"], noted["at"], noted["by"]) == (scene.turn.case_id, scene.now, "worker")
    assert noted["detail"] == {"transaction_id": "tran_1", "attempt": 1, "amount": 900, "currency": "USD"}


def test_case_that_a_person_looked_at_goes_on_when_its_call_is_armed(scene: Scene) -> None:
    scene.change(update(cases).where(cases.c.case_id == scene.turn.case_id).values(state="review"))
    assert isinstance(scene.arm(scene.seen, scene.kept), ArmedTurn)
    (case,) = scene.rows(select(cases).where(cases.c.case_id == scene.turn.case_id))
    assert (case["state"], case["next_action_at"]) == ("refunding", scene.now + timedelta(days=1))


def test_claim_that_was_refused_is_armed_again_under_the_next_number(scene: Scene) -> None:
    scene.change(update(payments).values(state="refused", attempts=1, probes=3, detail="no balance"))
    armed = scene.arm(scene.seen, scene.kept)
    assert isinstance(armed, ArmedTurn)
    claim = scene.claim
    assert (armed.attempt, claim["attempts"], claim["probes"], claim["detail"]) == (2, 2, 0, None)


def test_purchase_of_another_customer_in_the_books_changes_nothing(scene: Scene) -> None:
    scene.world.load(an_account("acc_2"), a_purchase("ord_a", "acc_2") | {"customer_id": "cust_9", "transaction_id": "tran_9"})
    assert isinstance(scene.arm(scene.seen, scene.kept), ArmedTurn)


@pytest.mark.parametrize(
    "changed",
    [{"turn": payments.c.turn + 1}, {"state": "unknown", "next_step": "read"}, {"state": "sending", "next_step": "read"}],
)
def test_claim_that_another_process_moved_is_not_armed(scene: Scene, changed: dict[str, Any]) -> None:
    scene.change(update(payments).values(**changed))
    before = scene.claim
    assert scene.arm(scene.seen, scene.kept) == "another process took it over"
    assert (scene.claim, scene.attempts) == (before, [])


@pytest.mark.parametrize(
    ("changes", "state", "case", "why"),
    [
        (None, "mismatch", "review", "Creem does not know the transaction"),
        ({"id": "tran_7"}, "mismatch", "review", "Creem answered with another transaction, tran_7"),
        ({"mode": "prod"}, "mismatch", "review", "the transaction is of mode prod, the key of test"),
        ({"customer": "cust_7"}, "mismatch", "review", "the transaction is of customer cust_7, the purchase of cust_1"),
        ({"currency": "EUR"}, "mismatch", "review", "the transaction is in EUR, the purchase in USD"),
        ({"amount_paid": None}, "mismatch", "review", "Creem does not say what was paid"),
        ({"amount_paid": 0}, "mismatch", "review", "Creem does not say what was paid"),
        (
            {"amount_paid": 901, "amount": 901},
            "mismatch",
            "review",
            "the transaction is of 901 minor units, 900 were approved",
        ),
        (
            {"status": "chargedBack"},
            "not_needed",
            "review",
            "Creem shows the charge as charged back: nothing is sent beside it",
        ),
        (
            {"status": "refunded"},
            "not_needed",
            "external",
            "the charge was refunded in full by another hand before we sent anything",
        ),
        (
            {"refunded_amount": 900},
            "not_needed",
            "external",
            "the charge was refunded in full by another hand before we sent anything",
        ),
        (
            {"refunded_amount": 1},
            "mismatch",
            "review",
            "1 of 900 minor units went back by another hand: what is left is not what was approved",
        ),
        ({"status": "open", "status_verbatim": "OPEN"}, "mismatch", "review", "Creem shows the charge as OPEN, not as paid"),
        (
            {"status": "partialRefund", "status_verbatim": "partialRefund"},
            "mismatch",
            "review",
            "Creem shows the charge as partialRefund, not as paid",
        ),
        (
            {"status": "pending", "status_verbatim": "pending"},
            "mismatch",
            "review",
            "Creem shows the charge as pending, not as paid",
        ),
        (
            {"status": "disputed", "status_verbatim": "disputed", "refunded_amount": 900},
            "mismatch",
            "review",
            "Creem shows the charge as disputed, not as paid",
        ),
    ],
)
def test_charge_that_is_not_as_approved_is_not_armed(
    scene: Scene, changes: dict[str, Any] | None, state: str, case: str, why: str
) -> None:
    seen = None if changes is None else replace(scene.seen, **changes)
    read_in_vain(scene)
    ended(scene, scene.arm(seen, scene.kept), state, case, why)


def read_in_vain(scene: Scene) -> None:
    """The charges were read as often as a claim waits for what Creem does not show yet."""
    scene.change(update(payments).values(probes=len(LOOKS)))


PENDS = {"status": "pending", "status_verbatim": "pending"}


@pytest.mark.parametrize("which", ["seen", "kept"])
@pytest.mark.parametrize("changes", [None, PENDS])
def test_charge_that_creem_does_not_show_as_paid_yet_is_waited_for(
    scene: Scene, which: str, changes: dict[str, Any] | None
) -> None:
    """Once a read seconds after the webhook, or before the payment had settled, spent the one claim for ever."""
    read: dict[str, Transaction | None] = {"seen": scene.seen, "kept": scene.kept}
    read[which] = None if changes is None else replace(scene.seen if which == "seen" else scene.kept, **changes)
    for look, pause in enumerate(LOOKS):
        said = scene.arm(read["seen"], read["kept"])
        assert isinstance(said, str)
        claim = scene.claim
        assert (claim["state"], claim["probes"], claim["due_at"] - scene.now) == ("claimed", look + 1, pause)
    assert isinstance(scene.arm(scene.seen, scene.kept), ArmedTurn)
    assert scene.claim["probes"] == 0


@pytest.mark.parametrize("changes", [{"refunded_amount": 1}, {"status": "open", "status_verbatim": "OPEN"}])
def test_charge_that_creem_does_not_show_is_not_waited_out_where_the_other_is_known_to_be_otherwise(
    scene: Scene, changes: dict[str, Any]
) -> None:
    scene.arm(None, replace(scene.kept, **changes))
    assert scene.claim["closed_at"] == scene.now


@pytest.mark.parametrize("charge", ["tran_0", "tran_1"])
def test_dispute_of_a_charge_that_creem_does_not_show_is_not_waited_out(scene: Scene, charge: str) -> None:
    scene.change(update(charges).where(charges.c.transaction_id == charge).values(disputed_at=START))
    scene.arm(None, scene.kept)
    assert scene.claim["closed_at"] == scene.now


def ended(scene: Scene, said: ArmedTurn | str, state: str, case: str, why: str) -> None:
    """Nothing was armed, claim and case ended so, and the words are kept."""
    assert said == f"{state}: {why}"
    claim = scene.claim
    assert (claim["state"], claim["detail"], claim["closed_at"], claim["due_at"]) == (state, why, scene.now, None)
    assert scene.attempts == []
    (row,) = scene.rows(select(cases.c.state).where(cases.c.case_id == scene.turn.case_id))
    assert row["state"] == case


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (None, "the earlier charge, which was to stay, is not known to Creem"),
        ({"status": "chargedBack"}, "the earlier charge, which was to stay, is under dispute"),
        (
            {"status": "refunded", "status_verbatim": "refunded"},
            "the earlier charge, which was to stay, stands as refunded",
        ),
        ({"refunded_amount": 1}, "the earlier charge, which was to stay, stands as paid"),
        ({"amount_paid": 1, "refunded_amount": 1}, "the earlier charge, which was to stay, stands as paid"),
        ({"status": "open", "status_verbatim": "OPEN"}, "the earlier charge, which was to stay, stands as OPEN"),
    ],
)
def test_charge_is_not_armed_where_the_one_to_stay_does_not_stand(scene: Scene, changes: dict[str, Any] | None, why: str) -> None:
    kept = None if changes is None else replace(scene.kept, **changes)
    read_in_vain(scene)
    ended(scene, scene.arm(scene.seen, kept), "not_needed", "review", why)


@pytest.mark.parametrize(
    ("charge", "known", "state", "case", "why"),
    [
        ("tran_1", {"disputed_at": START}, "not_needed", "review", "the charge is under dispute: nothing is sent beside it"),
        (
            "tran_1",
            {"refunded": 900, "amount_paid": 900},
            "not_needed",
            "external",
            "the charge was refunded in full by another hand before we sent anything",
        ),
        (
            "tran_1",
            {"refunded": 2},
            "mismatch",
            "review",
            "2 of 900 minor units went back by another hand: what is left is not what was approved",
        ),
        (
            "tran_0",
            {"disputed_at": START},
            "not_needed",
            "nothing_owed",
            "the earlier charge, which was to stay, is under dispute",
        ),
        ("tran_0", {"refunded": 2}, "not_needed", "review", "the earlier charge, which was to stay, stands as paid"),
    ],
)
def test_what_our_own_books_know_of_a_charge_counts_where_creem_shows_nothing(
    scene: Scene, charge: str, known: dict[str, Any], state: str, case: str, why: str
) -> None:
    # both rows are made by the first look
    scene.change(update(charges).where(charges.c.transaction_id == charge).values(**known))
    ended(scene, scene.arm(scene.seen, scene.kept), state, case, why)


@pytest.mark.parametrize(
    "spelt",
    [
        lambda scene: (replace(scene.seen, customer=None), None),
        lambda scene: (scene.seen, update(purchases).values(customer_id=None)),
        lambda scene: (replace(scene.seen, amount=700), None),
        lambda scene: (replace(scene.seen, amount_paid=1071), None),
    ],
    ids=["Creem names no customer", "the purchase names no customer", "paid as approved", "priced as approved"],
)
def test_what_is_not_said_or_said_in_the_other_figure_is_no_difference(
    scene: Scene, spelt: Callable[[Scene], tuple[Transaction, Any]]
) -> None:
    seen, statement = spelt(scene)
    if statement is not None:
        scene.change(statement)
    assert isinstance(scene.arm(seen, replace(scene.kept, amount_paid=seen.amount_paid)), ArmedTurn)


@pytest.mark.parametrize(
    ("shown", "known", "paid"),
    [
        ({"amount_paid": 1071}, None, "10.71 USD"),
        ({"currency": "EUR"}, None, "9.00 EUR"),
        ({"amount_paid": None}, 1071, "10.71 USD"),
        ({"amount_paid": None}, None, "Creem does not say what"),
    ],
)
def test_charge_is_not_armed_where_another_amount_was_paid_for_the_one_to_stay(
    scene: Scene, shown: dict[str, Any], known: int | None, paid: str
) -> None:
    scene.change(update(charges).where(charges.c.transaction_id == "tran_0").values(amount_paid=known))
    why = f"9.00 USD were paid, and for the earlier charge, which was to stay, {paid}"
    ended(scene, scene.arm(scene.seen, replace(scene.kept, **shown)), "mismatch", "review", why)


def test_what_was_paid_for_the_one_to_stay_may_be_known_from_before(scene: Scene) -> None:
    scene.change(update(charges).where(charges.c.transaction_id == "tran_0").values(amount_paid=900))
    assert isinstance(scene.arm(scene.seen, replace(scene.kept, amount_paid=None)), ArmedTurn)


def test_charge_without_one_that_stays_is_a_persons_unless_a_person_approved_it(scene: Scene) -> None:
    scene.change(update(payments).values(kept_transaction_id=None))
    scene.turn = replace(scene.turn, kept_transaction_id=None)
    why = "the earlier charge names no transaction: whether it stands cannot be read"
    ended(scene, scene.arm(scene.seen, None), "mismatch", "review", why)


def test_charge_that_a_person_approved_by_itself_needs_none_that_stays(scene: Scene) -> None:
    scene.change(update(payments).values(kept_transaction_id=None), update(cases).values(rule=BY_PERSON))
    scene.turn = replace(scene.turn, kept_transaction_id=None)
    assert isinstance(scene.arm(scene.seen, None), ArmedTurn)


def test_word_of_a_person_does_not_make_up_for_the_charge_that_was_to_stay(scene: Scene) -> None:
    scene.change(update(cases).values(rule=BY_PERSON))
    assert str(scene.arm(scene.seen, None)).endswith("which was to stay, is not known to Creem")


def waits(scene: Scene, said: ArmedTurn | str, due: timedelta, why: str) -> None:
    """Nothing was armed, and the claim asks again then."""
    assert said == f"later: {why}"
    claim = scene.claim
    assert (claim["state"], claim["due_at"] - scene.now, claim["detail"]) == ("claimed", due, why)
    assert scene.attempts == []


@pytest.mark.parametrize("seconds", [0.0, -0.5])
def test_charge_that_was_read_too_long_ago_is_read_again_at_once(scene: Scene, seconds: float) -> None:
    waits(scene, scene.arm(scene.seen, scene.kept, seconds=seconds), timedelta(0), "the charge was read too long ago")


def test_last_moment_of_a_read_is_still_good(scene: Scene) -> None:
    assert isinstance(scene.arm(scene.seen, scene.kept, seconds=0.5), ArmedTurn)


def test_webhook_that_is_not_handled_is_waited_for(scene: Scene) -> None:
    row = scene.rows(select(inbox))[0] | {"source": SOURCE, "event_id": "evt_7", "state": "new", "handled_at": None}
    row.pop("id", None)
    scene.world.store.write(lambda tx: tx.insert(inbox, [row]))
    waits(scene, scene.arm(scene.seen, scene.kept), timedelta(seconds=1), "a webhook is not handled yet")


def a_webhook(scene: Scene, type_: str, said: dict[str, Any], **row: Any) -> None:
    """One that waits in the inbox; as the row says, or for its first try."""
    event = {"id": "evt_7", "eventType": type_, "created_at": 1772445600000, "object": said}
    received = scene.now - timedelta(minutes=5)
    made = row_of(read_webhook(json.dumps(event).encode()), received)
    scene.world.store.write(lambda tx: tx.insert(inbox, [{**made, **row}]))


def a_refund(transaction: str) -> dict[str, Any]:
    return {
        "id": "ref_7", "status": "succeeded", "refund_amount": 900, "refund_currency": "USD", "transaction": transaction,
    }  # fmt: skip


LATER: dict[str, Any] = {"due_at": START + timedelta(hours=1)}
PUT_OFF: dict[str, dict[str, Any]] = {
    "it failed": LATER | {"attempts": 2, "last_error": "a defect"},
    "a newer release takes it": LATER | {"attempts": 0},
}
A_CHECKOUT: dict[str, Any] = {"order": {"id": "ord_7", "amount": 900, "currency": "USD"}, "product": "prod_pack"}


@pytest.mark.parametrize("put_off", PUT_OFF.values(), ids=PUT_OFF)
def test_webhook_put_off_that_is_about_somebody_elses_charge_is_not_waited_for(scene: Scene, put_off: dict[str, Any]) -> None:
    """Once one that could not be handled kept everybody's money."""
    scene.world.load(an_account("acc_2"), a_purchase("ord_7", "acc_2", transaction_id="tran_7", customer_id="cust_2"))
    a_webhook(scene, "refund.created", a_refund("tran_7"), **put_off)
    assert isinstance(scene.arm(scene.seen, scene.kept), ArmedTurn)


@pytest.mark.parametrize("put_off", PUT_OFF.values(), ids=PUT_OFF)
@pytest.mark.parametrize(
    ("type_", "said"),
    [
        ("refund.created", a_refund("tran_1")),
        ("refund.created", a_refund("tran_0")),
        ("refund.created", a_refund("tran_own")),
        ("dispute.created", {"id": "dis_7", "transaction": "tran_1"}),
        ("checkout.completed", A_CHECKOUT | {"customer": {"id": "cust_1"}}),
        ("checkout.completed", A_CHECKOUT | {"customer": {"id": "cust_nobody"}}),
        ("subscription.canceled", {"id": "sub_7", "status": "canceled"}),
        ("what.is.this", {}),
    ],
    ids=["the charge", "the one that stays", "another of the account", "a dispute", "a purchase of the customer",
         "a purchase of nobody that is known", "a subscription", "nobody knows what"],
)  # fmt: skip
def test_webhook_put_off_that_may_be_about_the_claim_is_waited_for(
    scene: Scene, type_: str, said: dict[str, Any], put_off: dict[str, Any]
) -> None:
    scene.world.load(scene.world.bought("ord_own", "tran_own", "2026-02-20T09:00:00Z", product_id="prod_other"))
    a_webhook(scene, type_, said, **put_off)
    why = f"a webhook is not handled yet: evt_7, creem.{type_}, was tried and put off"
    waits(scene, scene.arm(scene.seen, scene.kept), timedelta(seconds=1), why)


@pytest.mark.parametrize(
    "row",
    [{}, LATER | {"attempts": 1}, {"attempts": 2, "last_error": "a defect"}, PUT_OFF["it failed"] | {"raw": "{}"}],
    ids=["never tried", "in hand for the first time", "due again", "unreadable"],
)
def test_webhook_of_anybody_that_nobody_looked_at_yet_is_waited_for(scene: Scene, row: dict[str, Any]) -> None:
    a_webhook(scene, "refund.created", a_refund("tran_7"), **row)
    said = scene.arm(scene.seen, scene.kept)
    assert isinstance(said, str)
    assert said.startswith("later: a webhook is not handled yet")


@pytest.mark.parametrize("charge", ["tran_0", "tran_1"])
def test_refund_that_creem_told_of_and_does_not_show_is_waited_for(scene: Scene, charge: str) -> None:
    scene.change(update(charges).where(charges.c.transaction_id == charge).values(due_at=scene.now))
    why = "Creem told of a refund of the charge and does not show it yet"
    waits(scene, scene.arm(scene.seen, scene.kept), timedelta(seconds=5), why)


@pytest.mark.parametrize(
    ("stopped", "again"), [(timedelta(minutes=2), timedelta(minutes=2)), (timedelta(days=1), timedelta(minutes=5))]
)
@pytest.mark.parametrize("name", [limits.KEY, limits.BALANCE, limits.CALLS])
def test_trouble_at_creem_is_waited_out_and_asked_for_again(
    scene: Scene, name: str, stopped: timedelta, again: timedelta
) -> None:
    scene.world.store.write(lambda tx: limits.open_until(tx, name, scene.now + stopped, "as told"))
    waits(scene, scene.arm(scene.seen, scene.kept), again, f"money waits, {name}: as told")


def test_more_money_than_is_allowed_waits_for_a_person(scene: Scene) -> None:
    scene.world.store.write(lambda tx: limits.stop(tx, by="ada", reason="to be sure", now=scene.now))
    why = "money is stopped: stopped by ada: to be sure"
    waits(scene, scene.arm(scene.seen, scene.kept), timedelta(minutes=5), why)

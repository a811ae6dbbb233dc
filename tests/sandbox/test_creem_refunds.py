"""What becomes of a refund: each switch of the refund itself, told by the ledger and by what a read shows."""

import pytest

from tests.sandbox.test_creem_world import World, a_world
from worker.sandbox.creem import RefundAnswer, SecondRefund, Switches
from worker.sandbox.creem.switches import ALWAYS, merge
from worker.sandbox.creem.words import Ending, Meanwhile, MoneyLeaves

AGAIN = Switches(
    second_refund=SecondRefund.PAYS_AGAIN,
    second_while_pending=SecondRefund.PAYS_AGAIN,
    refund_of_disputed=SecondRefund.PAYS_AGAIN,
)
REFUNDED, PAID = ("refunded", 5831), ("paid", None)


@pytest.mark.parametrize(
    "word", ["pending", "succeeded", "requiresAction", "failed", "canceled", "awaitingSettlement", "anything"]
)
def test_the_answer_says_the_word_and_only_final_refusals_move_nothing(word: str) -> None:
    with a_world(Switches(answer=word)) as world:
        assert world.refund().json() == {"status": word}
        world.pass_(seconds=2)
        dead = word in ("failed", "canceled")
        assert world.gone == (0 if dead else 5831)
        assert world.status() == (PAID if dead else REFUNDED)
        assert world.endpoint.kinds == ([] if dead else ["refund.created"])


def test_the_answer_carries_an_id_only_when_told_to_and_the_event_has_the_same() -> None:
    with a_world(Switches(answer_id=True)) as world:
        answer = world.refund().json()
        world.pass_(seconds=2)
        assert set(answer) == {"id", "status"}
        assert world.endpoint.events[0]["object"]["id"] == answer["id"]


def test_an_accepted_refund_turns_the_transaction_early_or_when_it_settles() -> None:
    for early in (True, False):
        with a_world(Switches(turns_early=early, settle_after=60)) as world:
            world.refund()
            assert world.status() == (REFUNDED if early else PAID)
            world.pass_(seconds=59)
            assert world.status() == (REFUNDED if early else PAID)
            assert world.endpoint.kinds == []
            world.pass_(seconds=1)
            assert world.status() == REFUNDED
            assert world.endpoint.kinds == ["refund.created"]


def test_a_refund_that_requires_action_turns_nothing_and_moves_nothing_before_it_settles() -> None:
    with a_world(Switches(answer=RefundAnswer.REQUIRES_ACTION)) as world:
        world.refund()
        assert (world.status(), world.gone) == (PAID, 0)
        world.pass_(seconds=2)
        assert (world.status(), world.gone) == (REFUNDED, 5831)


@pytest.mark.parametrize("ends", [Ending.FAILED, Ending.CANCELED])
def test_a_pending_refund_that_fails_moves_nothing_and_tells_nobody(ends: Ending) -> None:
    with a_world(Switches(ends=ends)) as world:
        assert world.refund().json() == {"status": "pending"}
        assert world.status() == REFUNDED
        world.pass_(seconds=2)
        assert (world.status(), world.gone, world.endpoint.kinds) == (PAID, 0, [])


def test_a_transaction_may_go_on_reading_refunded_after_its_refund_failed() -> None:
    with a_world(Switches(ends=Ending.FAILED, falls_back=False)) as world:
        world.refund()
        world.pass_(seconds=2)
        assert (world.status(), world.gone) == (REFUNDED, 0)


def test_after_a_failed_refund_another_is_taken_or_not() -> None:
    for again in (True, False):
        with a_world(Switches(ends=Ending.FAILED, turns_early=False, again_after_failed=again)) as world:
            world.refund()
            world.pass_(seconds=2)
            assert world.refund().status_code == (200 if again else 400)


@pytest.mark.parametrize("leaves", list(MoneyLeaves))
def test_a_pending_refund_that_never_ends_has_taken_its_money_at_once_or_never_takes_it(leaves: MoneyLeaves) -> None:
    with a_world(Switches(ends=Ending.NEVER, turns_early=False, money_leaves=leaves)) as world:
        world.refund()
        world.pass_(days=400)
        assert world.status() == PAID
        assert world.endpoint.kinds == []
        assert world.gone == (5831 if leaves is MoneyLeaves.ACCEPTED else 0)
        assert world.refund().status_code == 400


def test_money_leaves_when_the_refund_is_accepted_or_when_it_settles() -> None:
    for leaves, at_once in ((MoneyLeaves.ACCEPTED, 5831), (MoneyLeaves.SETTLED, 0)):
        with a_world(Switches(money_leaves=leaves)) as world:
            world.refund()
            assert world.gone == at_once
            world.pass_(seconds=2)
            assert world.gone == 5831


def test_a_refund_may_succeed_while_the_transaction_says_paid_for_ever() -> None:
    for word in (RefundAnswer.SUCCEEDED, RefundAnswer.PENDING):
        with a_world(Switches(answer=word, stays_paid=True)) as world:
            world.refund()
            world.pass_(days=30)
            assert (world.status(), world.gone, world.endpoint.kinds) == (PAID, 5831, ["refund.created"])
            assert world.refund().status_code == 400


def test_a_refund_answered_failed_may_have_paid_nevertheless() -> None:
    with a_world(Switches(answer=RefundAnswer.FAILED, pays_although_failed=True)) as world:
        assert world.refund().json() == {"status": "failed"}
        assert (world.status(), world.gone) == (PAID, 5831)


def test_a_low_balance_is_refused_as_often_as_told_and_changes_nothing() -> None:
    with a_world(Switches(low_balance=2)) as world:
        first, second = world.refund(), world.refund()
        assert [first.status_code, second.status_code] == [400, 400]
        assert first.json()["message"] == second.json()["message"] == ["Insufficient balance to refund this transaction"]
        assert (world.status(), world.gone, world.endpoint.kinds) == (PAID, 0, [])
        assert world.refund().status_code == 200
        world.double.switches = Switches(low_balance=ALWAYS)
        world.double.pay("tran_2", customer_id="cust_1", amount=900)
        assert {world.refund("tran_2").status_code for _ in range(20)} == {400}


# --- the second refund


def after_settling(world: World) -> None:
    world.refund()
    world.pass_(seconds=5)


def while_pending(world: World) -> None:
    world.refund()


def after_a_dispute(world: World) -> None:
    world.double.dispute("tran_1")


def after_a_person(world: World) -> None:
    world.double.refund_in_dashboard("tran_1")


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("second_refund", after_settling),
        ("second_refund", after_a_person),
        ("second_while_pending", while_pending),
        ("refund_of_disputed", after_a_dispute),
    ],
)
@pytest.mark.parametrize("rule", list(SecondRefund))
def test_a_refund_that_is_one_too_many_meets_its_switch(name: str, before: object, rule: SecondRefund) -> None:
    with a_world(merge(Switches(settle_after=3), Switches(**{name: rule}))) as world:  # type: ignore[arg-type]
        assert callable(before)
        before(world)
        assert world.gone == 5831
        answer, shown = world.refund(), world.status()
        world.pass_(seconds=60)
        assert answer.status_code == (400 if rule is SecondRefund.REFUSED else 200)
        twice = rule is SecondRefund.PAYS_AGAIN
        assert world.gone == (2 * 5831 if twice else 5831)
        assert world.double.overpaid() == ({"tran_1": 5831} if twice else {})
        assert world.status() == shown, "a read does not give a double payment away"
        assert world.double.gone("tran_1", "refund") <= 5831 * world.double.posts("tran_1")


def test_other_switches_leave_a_second_refund_refused() -> None:
    with a_world(Switches(second_refund=SecondRefund.PAYS_AGAIN)) as world:
        assert [world.refund().status_code, world.refund().status_code] == [200, 400]
        world.pass_(seconds=2)
        assert world.refund().status_code == 200


def test_posts_that_come_together_are_all_accepted_when_told_to() -> None:
    with a_world(Switches(both_accepted=True)) as world:
        assert [world.refund().status_code for _ in range(3)] == [200, 200, 200]
        assert world.double.overpaid() == {"tran_1": 2 * 5831}
        world.pass_(seconds=10)
        assert world.refund().status_code == 400


def test_posts_that_overlap_are_both_accepted_even_if_one_is_slow() -> None:
    with a_world() as world:
        world.double.set("tran_1", Switches(both_accepted=True, slow_commit=40, slow_times=1))
        with pytest.raises(Exception, match="timed out"):
            world.refund()
        world.pass_(seconds=20)
        assert world.refund().status_code == 200
        assert world.gone == 5831
        world.pass_(seconds=20)
        assert world.gone == 2 * 5831


# --- others


def test_a_person_gives_back_a_part_and_the_api_gives_back_the_rest() -> None:
    with a_world() as world:
        world.double.refund_in_dashboard("tran_1", 1831)
        assert world.status() == ("partialRefund", 1831)
        assert world.refund().status_code == 200
        assert world.status() == REFUNDED
        world.pass_(seconds=2)
        assert [(one.kind, one.amount) for one in world.double.movements] == [("dashboard", 1831), ("refund", 4000)]
        assert [event["object"]["refund_amount"] for event in world.endpoint.events] == [1831, 4000]


def test_parts_add_up_and_each_event_shows_the_sum_before_it() -> None:
    with a_world() as world:
        for amount in (1000, 831, None):
            world.double.refund_in_dashboard("tran_1", amount)
        world.double.tick()
        inside = [event["object"]["transaction"] for event in world.endpoint.events]
        assert [(one["status"], one["refunded_amount"]) for one in inside] == [
            ("paid", None), ("partialRefund", 1000), ("partialRefund", 1831),
        ]  # fmt: skip
        assert {event["object"]["status"] for event in world.endpoint.events} == {"succeeded"}
        assert world.status() == REFUNDED


def test_a_dispute_takes_what_has_not_left_yet() -> None:
    with a_world() as world:
        world.double.refund_in_dashboard("tran_1", 831)
        world.double.dispute("tran_1")
        assert [(one.kind, one.amount) for one in world.double.movements] == [("dashboard", 831), ("chargeback", 5000)]
        assert world.status() == ("chargedBack", 5831)
        assert world.double.overpaid() == {}


@pytest.mark.parametrize(
    ("what", "kind", "amount", "status"),
    [
        (Meanwhile.FULL_REFUND, "dashboard", 5831, 400),
        (Meanwhile.PART_REFUND, "dashboard", 2915, 200),
        (Meanwhile.DISPUTE, "chargeback", 5831, 400),
    ],
)
def test_somebody_else_acts_between_the_read_and_the_post(what: Meanwhile, kind: str, amount: int, status: int) -> None:
    with a_world(Switches(meanwhile=what)) as world:
        assert world.status() == PAID
        assert world.refund().status_code == status
        assert (world.double.movements[0].kind, world.double.movements[0].amount) == (kind, amount)
        assert world.gone == 5831


def test_somebody_else_acts_before_the_first_read_or_after_the_commit() -> None:
    with a_world(Switches(before_read=Meanwhile.PART_REFUND)) as world:
        assert world.status() == ("partialRefund", 2915)
        assert world.status() == ("partialRefund", 2915)
    with a_world(Switches(afterwards=Meanwhile.DISPUTE)) as world:
        assert world.refund().status_code == 200
        assert world.status() == ("chargedBack", 5831)
        assert [one.kind for one in world.double.movements] == ["refund"]


def test_somebody_who_pays_while_the_api_pays_again_is_told_apart_on_the_ledger() -> None:
    with a_world(merge(AGAIN, Switches(meanwhile=Meanwhile.FULL_REFUND))) as world:
        world.refund()
        assert (world.double.gone("tran_1", "dashboard"), world.double.gone("tran_1", "refund")) == (5831, 5831)
        assert world.double.overpaid() == {"tran_1": 5831}


def test_switches_of_one_transaction_count_for_that_one_alone() -> None:
    with a_world() as world:
        world.double.pay("tran_2", customer_id="cust_1", amount=900)
        world.double.set("tran_2", Switches(low_balance=1))
        world.double.switches = Switches(answer=RefundAnswer.SUCCEEDED)
        assert world.refund().json() == {"status": "succeeded"}
        assert world.refund("tran_2").status_code == 400
        assert world.refund("tran_2").json() == {"status": "pending"}


def test_setting_switches_anew_counts_anew() -> None:
    with a_world() as world:
        for _ in range(2):
            world.double.set("tran_1", Switches(low_balance=1))
            assert world.refund().status_code == 400
        assert world.refund().status_code == 200

"""What a dispute held is free again when it was won, whatever had frozen it, and nothing that money went back for is."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.cases.world import a_purchase
from tests.requests.world import PeopleWorld
from tests.review.test_review import a_dispute
from worker.cases.money import charges
from worker.clock import written
from worker.creem.said import DisputeCreated
from worker.errors import Refused
from worker.store.bulk import Tx


def read_again(world: PeopleWorld) -> None:
    """Every charge is read at Creem, as it is each night."""
    world.reconciler().reconcile()
    world.sweep()


def test_dispute_that_creem_shows_as_charged_back_can_still_be_won(world: PeopleWorld) -> None:
    """Once what the bank held was taken for a refund as soon as the charge was read, and nobody could say that it was won."""
    case_id = a_dispute(world)
    read_again(world)
    assert world.lot("ord_1") == (0, 45, 0)
    assert world.choices(case_id)["won"]["refused"] is None
    world.decide(case_id, "won", reason="the bank said so")
    assert world.lot("ord_1") == (45, 0, 0)


def test_dispute_of_a_charge_of_which_a_part_went_back_is_not_won(world: PeopleWorld) -> None:
    transaction = world.bought_once()
    world.double.refund_in_dashboard(transaction, 300)
    world.settle_down(days=0.1)
    world.double.dispute(transaction)
    world.settle_down(days=0.1)
    read_again(world)
    assert world.lot("ord_1") == (0, 34, 16)
    with pytest.raises(Refused, match="money of this charge has already gone back"):
        world.decide(transaction, "won")


def test_reads_and_late_words_of_a_dispute_that_was_won_hold_nothing_again(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    began = world.clock.now()
    world.clock.pass_(days=1)
    world.decide(case_id, "won", reason="the bank said so")
    read_again(world)
    hear_of_dispute(world, "disp_late", began)
    read_again(world)
    assert world.lot("ord_1") == (45, 0, 0)
    world.happen(world.submitted("job_2"), world.failed("job_2"))
    assert (world.state("job_2"), world.lot("ord_1")) == ("refunded", (45, 0, 0))


def test_next_dispute_of_a_charge_holds_it_again(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    world.decide(case_id, "won", reason="the bank said so")
    world.clock.pass_(days=1)
    hear_of_dispute(world, "disp_next", world.clock.now())
    world.happen(world.submitted("job_2"), world.failed("job_2"))
    found = world.case("job_2")
    assert found is not None
    assert (found["state"], found["decision"]["clause"]) == ("review", "dispute-hold")


def hear_of_dispute(world: PeopleWorld, dispute_id: str, began: datetime) -> None:
    """Creem tells of a dispute of the charge that began then."""
    one = DisputeCreated(dispute_id, "tran_ord_1", 900, "USD", began, "cust_acc_1")

    def hear(tx: Tx) -> None:
        charges.lock(tx, ["tran_ord_1"])
        charges.hear_disputes(tx, [one], world.clock.now())

    world.store.write(hear)


def test_credits_frozen_to_be_forfeited_are_void_when_their_money_went_back_meanwhile(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    paid_at = world.clock.now() - timedelta(hours=2)
    known: dict[str, Any] = {"customer_id": "cust_acc_1", "product_id": "prod_other"}
    world.double.pay("tran_2", amount=900, order_id="ord_2", paid_at=paid_at, **known)
    world.load(a_purchase("ord_2", "acc_1", 20, written(paid_at), transaction_id="tran_2", **known))
    world.decide(case_id, "forfeit", by="ann", reason="used, then disputed")
    assert world.lot("ord_2") == (0, 20, 0)
    world.double.refund_in_dashboard("tran_2")
    world.settle_down(days=0.5)
    told = world.reviewer.withdraw(case_id, "forfeit", by="bob", reason="not without a warning")
    assert told["told"] == "forfeit is withdrawn"
    assert world.lot("ord_2") == (0, 0, 20)


def test_dispute_won_leaves_frozen_what_another_case_proposes_to_forfeit(world: PeopleWorld) -> None:
    """A mail about the same account has it proposed first; what is frozen for that is not the dispute's to give back."""
    world.bought_once()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))
    request = world.mail().case_id
    world.decide(request, "forfeit", by="ann", reason="used, then asked back")
    assert world.lot("ord_1") == (0, 45, 0)
    world.double.dispute("tran_ord_1")
    world.double.tick()
    world.sweep()
    dispute = next(c for c in cases_about(world) if c["kind"] == "dispute")["case_id"]
    assert world.choices(dispute)["won"]["does"] == "the bank decided for us: 0 frozen credits can be spent again"
    world.decide(dispute, "won", by="bob", reason="the bank said so")
    assert world.lot("ord_1") == (0, 45, 0)
    world.reviewer.withdraw(request, "forfeit", by="bob", reason="not without a warning")
    assert world.lot("ord_1") == (45, 0, 0)


def cases_about(world: PeopleWorld) -> list[dict[str, Any]]:
    found = [world.case(case_id) for case_id in world.queue()]
    return [each for each in found if each is not None]

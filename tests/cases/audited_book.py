"""A book with some of everything in it, for the audit to be audited: jobs, a duplicate charge, a mail, a dispute, measures."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.requests.world import PNG, PeopleWorld
from worker.store import wakings
from worker.store.engine import Store


def a_full_book(store: Store, folder: Path) -> PeopleWorld:
    """Every kind of case, in the state in which it usually ends or waits."""
    world = PeopleWorld(store, folder)
    world.bought_once("ord_1", "acc_1")
    world.bought_once("ord_2", "acc_2")
    world.bought_once("ord_3", "acc_3")
    world.happen(*(world.submitted(f"job_{n}") for n in (1, 2, 3, 4)))
    world.happen(world.failed("job_1"), world.failed("job_2", code="invalid_image"))
    # a request that a person grants, with a file, and its money gone back
    taken = world.mail("Please refund my order ord_2.", sender="acc_2@example.org", files={"layers.png": PNG})
    world.decide(taken.case_id, "money", reason="nothing was used")
    world.settle_down(days=2)
    world.written()
    # a request that waits for a person, with its file kept
    world.mail(
        "Please refund my order ord_3.", sender="acc_3@example.org", message_id="<mail-2@example.org>", files={"more.png": PNG}
    )
    # a dispute, with measures that two people agreed on
    world.bought_once("ord_4", "acc_4")
    world.happen(world.submitted("job_5", "acc_4"), world.succeeded("job_5", "acc_4"))
    world.happen(world.event("downloaded", "job_5", "acc_4"))
    world.double.dispute("tran_ord_4")
    world.double.tick()
    world.sweep()
    world.decide("tran_ord_4", "suspend", by="ann", reason="it was used and is disputed")
    world.decide("tran_ord_4", "suspend", by="bob", reason="I looked as well")
    world.clock.pass_(minutes=5)
    world.written()
    world.happen(world.failed("job_3", code="job_timeout"))
    world.happen(world.failed("job_4"))
    # a subscription that was cancelled, whose month Creem told of
    world.bought_once("ord_5", "acc_5", kind="subscription")
    month: dict[str, Any] = {"customer_id": "cust_acc_5", "product_id": "prod_ord_5", "subscription_id": "sub_1"}
    world.double.pay("tran_m1", amount=900, paid_at=world.clock.now(), announce=True, **month)
    world.double.cancel_subscription("sub_1")
    world.double.tick()
    world.sweep()
    _other_ends(world)
    _on_their_way(world)
    return world


def _other_ends(world: PeopleWorld) -> None:
    """Jobs that ended otherwise, what was charged twice and went back, letters that somebody dealt with or has yet to."""
    world.happen(*(world.submitted(f"job_{n}") for n in (6, 10)), world.submitted("job_7", credits=0, paid_with="free"))
    world.happen(world.failed("job_6", code="job_timeout"), world.failed("job_7"))
    world.happen(world.succeeded("job_6", attempt=2), world.event("edited", "job_6"))
    world.happen(world.incomplete("job_10"))
    world.charged_again(1)
    world.settle_down(days=2)
    world.happen(world.failed("job_1", "acc_2", id="of-another"), "{bad", "{worse")
    worse, *_ = world.letters.of_reason("not_json", 1)[0]
    world.letters.discard(worse, by="ann", reason="a test of theirs")


def _on_their_way(world: PeopleWorld) -> None:
    """What is not done yet: money that is owed and asked for, an event of a job that nobody knows, a letter that is due."""
    world.bought_once("ord_6", "acc_6")
    # whoever was to wake a case died over it
    world.store.write(lambda tx: wakings.claim(tx, ["case_of_a_dead_process"], world.clock.now(), timedelta(minutes=1)))
    asked = world.mail("Please refund my order ord_6.", sender="acc_6@example.org", message_id="<mail-3@example.org>")
    world.decide(asked.case_id, "money", reason="nothing was used")
    world.charged_again(2)
    world.happen(world.failed("job_8"), world.event("downloaded", "job_9"))

"""What has to hold once nobody acts any more, whoever acted before: what money is worth, who waits for whom, and who was told."""

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import select

from tests.requests.world import PeopleWorld
from worker.cases.review.queue import in_queue, waits_for_a_person
from worker.notices.mail.notice import NoticeKind
from worker.store.tables import cases, creem_refunds, notices, payments, purchases

TOLD = {"refund.credits_reversed": NoticeKind.CREDITS_RETURNED.value, "refund.payment_refunded": NoticeKind.MONEY_SENT.value}


def _lot(world: PeopleWorld, transaction: str) -> Any:
    return world.rows(select(purchases).where(purchases.c.transaction_id == transaction))[0]


def _heard(world: PeopleWorld, transaction: str) -> int:
    told = (creem_refunds.c.transaction_id == transaction, creem_refunds.c.status == "succeeded")
    return sum(row.amount for row in world.rows(select(creem_refunds.c.amount).where(*told)))


def worth(world: PeopleWorld, charges: Collection[str]) -> Iterator[str]:
    """What the customer can still spend of a purchase is worth no more than what we still hold of its money."""
    for transaction in charges:
        lot, gone, paid = _lot(world, transaction), world.double.gone, world.double.paid(transaction)
        back = gone(transaction, "refund") + gone(transaction, "dashboard")
        if any(one.kind == "chargeback" for one in world.double.movements if one.transaction_id == transaction):
            # reads go on showing the whole of it as charged back: of refunds beside that, webhooks alone tell
            back = min(back, _heard(world, transaction))
        share = lot.granted * min(back, paid) // paid
        if lot.remaining > lot.granted - share:
            yield f"{transaction}: {back} of {paid} went back and {lot.remaining} of {lot.granted} credits can be spent"
        held = gone(transaction, "chargeback")
        if held and lot.remaining:
            yield f"{transaction}: the bank has {held} and {lot.remaining} credits can be spent"


def nobody_is_stuck(world: PeopleWorld, charges: Collection[str]) -> Iterator[str]:
    """Every case is over, or goes on by itself, or a person can do something about it; nothing is held unasked."""
    waiting = world.rows(select(cases, in_queue().label("asked")).where(cases.c.closed_at.is_(None)))
    open_claims = world.rows(select(payments).where(payments.c.closed_at.is_(None)))
    claimed, proposed = {claim.case_id for claim in open_claims}, False
    for row in waiting:
        if row.asked != waits_for_a_person(row):
            yield f"{row.kind} of {row.subject} is {row.state}, and is in the queue or not, whichever way it is asked"
        if not row.asked:
            if row.case_id not in claimed:
                yield f"{row.kind} of {row.subject} is {row.state}"
            continue
        looked = world.reviewer.look(row.case_id, by="ann")
        proposed = proposed or bool(looked["proposal"])
        refused = [choice["refused"] for choice in looked["choices"]]
        if all(refused) and not looked["proposal"] and row.case_id not in claimed:
            yield f"{row.kind} of {row.subject}: nothing can be chosen: {refused}"
    disputed = {row.subject for row in waiting if row.kind == "dispute"}
    for transaction in charges:
        lot = _lot(world, transaction)
        claims = [claim for claim in open_claims if claim.transaction_id == transaction]
        if lot.frozen and not claims and not proposed and transaction not in disputed:
            yield f"{transaction}: {lot.frozen} credits are frozen and nobody is asked about them"


def everybody_is_told(world: PeopleWorld) -> Iterator[str]:
    """The product and the customer hear of each remedy once, with its credits, and of none that was not given."""
    told = {one["id"]: one["data"] for one in world.announced() if one["type"] in TOLD}
    written = {row.key: row for row in world.rows(select(notices).where(notices.c.kind.in_(TOLD.values())))}
    for row in world.rows(select(cases).where(cases.c.state == "refunded")):
        kind = "refund.credits_reversed" if row.credits_reversed else "refund.payment_refunded"
        said = told.pop(f"announce:{row.kind}:{row.subject}:{kind}", None)
        if said is None or said["credits"] != row.credits_reversed:
            yield f"{row.kind} of {row.subject} gave {row.credits_reversed} credits back, and the product was told {said}"
        letter = written.pop(f"notice:{row.case_id}:{TOLD[kind]}", None)
        credits = row.credits_reversed - sum((said or {}).get(name, 0) for name in ("credits_void", "credits_frozen"))
        freed = written.pop(f"notice:{row.case_id}:{TOLD[kind]}:freed", None)
        if freed is not None and not (said or {}).get("credits_frozen"):
            yield f"{row.kind} of {row.subject}: the customer was told of what was never frozen"
        if (letter is None) != (kind == "refund.credits_reversed" and credits == 0):
            yield f"{row.kind} of {row.subject} gave {credits} credits back to be spent, and the customer was told {letter}"
    yield from (f"the product was told of what was not given: {key}" for key in told)
    yield from (f"the customer was told of what was not given: {key}" for key in written)
    overtaken = (notices.c.state == "dropped") & (notices.c.detail == "no longer so")
    for row in world.rows(select(notices).where(notices.c.state != "sent", ~overtaken)):
        yield f"the customer was never told: {row.key} is {row.state}: {row.detail}"
    sent = world.rows(select(notices.c.message_id).where(~overtaken))
    letters, files = {row.message_id for row in sent}, list(world.outbox.glob("*.eml"))
    if len(letters) != len(files):
        yield f"{len(letters)} letters are in the books, and {len(files)} were written"

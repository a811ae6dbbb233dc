"""What Creem told us and nobody has handled yet: whose money waits for it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row

from worker.cases.money.told import Placed, place
from worker.creem.receive import SOURCE
from worker.creem.said import CheckoutCompleted, DisputeCreated, RefundCreated, Said, SubscriptionPaid
from worker.creem.webhooks import Webhook, read_webhook
from worker.store import inbox
from worker.store.bulk import Tx
from worker.strict import Malformed

MOST = 200
"""Webhooks put off that are read for one claim; where there are more, nobody says whom they are about."""
NOT_HANDLED = "a webhook is not handled yet"


def unheard(tx: Tx, payment: Row[Any], now: datetime) -> str | None:
    """Why this claim waits for a webhook; None where none can be about it.

    What nobody has looked at yet may be about any charge. What was tried and put off holds back the claims of the account and of
    the transaction that it is about, and all claims where that cannot be told.
    """
    if inbox.unhandled_from(tx, SOURCE, now):
        return NOT_HANDLED
    rows = inbox.put_off_from(tx, SOURCE, now, MOST + 1)
    if len(rows) > MOST:
        return f"{NOT_HANDLED}, and more than {MOST} were put off"
    hooks: dict[int, Webhook] = {}
    for row in rows:
        try:
            hooks[row.id] = read_webhook(row.raw.encode())
        except Malformed:
            return _said(row)
    places = place(tx, hooks)
    return next((_said(row) for row in rows if _may_be_about(payment, hooks[row.id].said, places[row.id])), None)


def _may_be_about(payment: Row[Any], said: Said, placed: Placed) -> bool:
    mine = {payment.transaction_id, payment.kept_transaction_id}
    match said:
        case RefundCreated() | DisputeCreated():
            # of a charge that is in no book of ours the transaction says enough
            return said.transaction_id in mine or placed.account_id == payment.account_id
        case CheckoutCompleted() | SubscriptionPaid():
            return placed.account_id in {None, payment.account_id} or said.charge.transaction_id in mine
        case _:
            return True


def _said(row: Row[Any]) -> str:
    return f"{NOT_HANDLED}: {row.event_id}, {row.type}, was tried and put off"

"""What a purchase paid for."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select

from policy.facts import PaidWith, PurchaseKind
from policy.ledger import PostingKind
from worker.cases.money.facts import Charge
from worker.store.bulk import Tx
from worker.store.tables import layer_jobs, postings

PASS_LASTS = timedelta(hours=24)


def jobs_of(tx: Tx, charge: Charge) -> list[Row[Any]]:
    """The jobs that this purchase paid for, oldest first: those whose debit drew on its lot, or those run under its pass."""
    job = layer_jobs.c
    if charge.facts.kind is PurchaseKind.PASS_24H:
        until = charge.facts.paid_at + PASS_LASTS
        under = (job.account_id == charge.facts.account_id, job.paid_with == PaidWith.PASS.value)
        chosen = select(layer_jobs).where(*under, job.submitted_at >= charge.facts.paid_at, job.submitted_at < until)
    else:
        drew = select(postings.c.job_id).where(
            postings.c.purchase_id == charge.facts.purchase_id, postings.c.kind == PostingKind.DEBIT.value
        )
        chosen = select(layer_jobs).where(job.job_id.in_(drew))
    return list(tx.all(chosen.order_by(job.submitted_at, job.job_id)))

"""What a purchase paid for."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, func, or_, select

from policy.facts import PaidWith, PurchaseKind
from policy.ledger import PostingKind
from worker.cases.money.facts import Charge, charge_of, named_charges
from worker.store.bulk import Tx
from worker.store.tables import charges, layer_jobs, postings, purchases

PASS_LASTS = timedelta(hours=24)


def jobs_of(tx: Tx, charge: Charge) -> list[Row[Any]]:
    """The jobs that this purchase paid for, oldest first: those whose debit drew on its lot, or those run under its pass. While
    two passes last jobs run under the earlier one, unless its money went back.
    """
    job = layer_jobs.c
    if charge.facts.kind is PurchaseKind.PASS_24H:
        until = charge.facts.paid_at + PASS_LASTS
        under = (job.account_id == charge.facts.account_id, job.paid_with == PaidWith.PASS.value)
        chosen = select(layer_jobs).where(*under, job.submitted_at >= _begins(tx, charge), job.submitted_at < until)
    else:
        drew = select(postings.c.job_id).where(
            postings.c.purchase_id == charge.facts.purchase_id, postings.c.kind == PostingKind.DEBIT.value
        )
        chosen = select(layer_jobs).where(job.job_id.in_(drew))
    return list(tx.all(chosen.order_by(job.submitted_at, job.job_id)))


def jobs_under(tx: Tx, charge: Charge) -> int:
    """How many jobs ran under this purchase where it is a pass; 0 where it is none, for then its lot tells what was used."""
    return len(jobs_of(tx, charge)) if charge.facts.kind is PurchaseKind.PASS_24H else 0


def passes_of(tx: Tx, account_ids: Iterable[str], since: datetime) -> list[Charge]:
    """The passes of these accounts that lasted at this time or later, oldest first."""
    p = purchases.c
    lasting = (tx.among(p.account_id, account_ids), p.kind == PurchaseKind.PASS_24H.value, p.paid_at > since - PASS_LASTS)
    named = {row.purchase_id for row in tx.all(select(p.purchase_id).where(*lasting))}
    return sorted(named_charges(tx, named), key=lambda charge: (charge.facts.paid_at, charge.facts.purchase_id))


def pass_of(passes: Iterable[Charge], account_id: str, submitted_at: datetime) -> Charge | None:
    """Of these passes, oldest first, the one under which a job ran that was submitted then (as `jobs_of`): the first that lasted
    and whose money did not go back, else the last one whose money did.
    """
    lasting = [
        one
        for one in passes
        if one.facts.account_id == account_id and one.facts.paid_at <= submitted_at < one.facts.paid_at + PASS_LASTS
    ]
    standing = [one for one in lasting if not one.facts.given_back]
    return next(iter(standing or lasting[::-1]), None)


def paid_for(tx: Tx, purchase_id: str, job_id: str) -> bool:
    """True where this purchase paid for the job, in whole or in part."""
    charge = charge_of(tx, purchase_id)
    return charge is not None and any(job.job_id == job_id for job in jobs_of(tx, charge))


def _begins(tx: Tx, charge: Charge) -> datetime:
    """From when on jobs run under this pass: from its purchase, or from the end of the last earlier one that lasts beyond it."""
    p, known, since = purchases.c, charges.c, charge.facts.paid_at
    refunded = func.coalesce(known.refunded, 0)
    stands = or_(refunded == 0, refunded < func.coalesce(known.amount_paid, p.amount))
    before = or_(p.paid_at < since, and_(p.paid_at == since, p.purchase_id < charge.facts.purchase_id))
    earlier = (p.account_id == charge.facts.account_id, p.kind == PurchaseKind.PASS_24H.value, p.paid_at > since - PASS_LASTS)
    joined = select(p.paid_at).outerjoin(charges, known.transaction_id == p.transaction_id).where(*earlier, before, stands)
    last = tx.all(joined.order_by(p.paid_at.desc()).limit(1))
    return last[0].paid_at + PASS_LASTS if last else since

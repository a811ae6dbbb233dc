"""What a person was shown of a case: what they decide is about that, and about nothing that came since."""

from hashlib import sha256
from typing import Any

from sqlalchemy import Row, func, select

from worker.cases.review.choices import Choice
from worker.errors import Refused
from worker.store.bulk import Tx
from worker.store.tables import evidence, requests


def shown(tx: Tx, row: Row[Any], chosen: Choice | Row[Any]) -> str:
    """What tells the case with this choice, or with this proposal, as they stand now from what they were or will be."""
    of_choice = [chosen.does, chosen.needs_second] if isinstance(chosen, Choice) else [chosen.does, chosen.proposal_id]
    mails = tx.one(select(func.count(), func.max(requests.c.request_id)).where(requests.c.case_id == row.case_id))
    files = tx.one(select(func.count(), func.max(evidence.c.evidence_id)).where(evidence.c.case_id == row.case_id))
    told = [*of_choice, row.state, row.reason, row.outcome, *mails, *files]
    return sha256("\0".join(str(one) for one in told).encode()).hexdigest()[:32]


def check_shown(tx: Tx, row: Row[Any], chosen: Choice | Row[Any], before: str | None) -> None:
    """Raises `Refused` where what was shown `before` is not what stands now; None: nothing was."""
    if before is not None and before != shown(tx, row, chosen):
        raise Refused(f"{row.case_id}: it moved after it was shown, or there is new mail; look again before you decide")

"""Where the suspension of an account can be lifted: it stays with the case under which two people agreed to it, open or not."""

from sqlalchemy import select

from policy.facts import AccountStatus
from worker.store.bulk import Tx
from worker.store.tables import accounts, cases, proposals


def suspended_under(tx: Tx, account_id: str) -> str | None:
    """The case under which two people suspended the account last; None where it does not stand suspended by people here."""
    a, p = accounts.c, proposals.c
    stands = a.account_id == account_id, a.status == AccountStatus.SUSPENDED.value, a.suspended_here
    agreed = p.choice == "suspend", p.state == "agreed"
    joined = select(p.case_id).join(cases, cases.c.case_id == p.case_id).join(accounts, a.account_id == cases.c.account_id)
    last = tx.first(joined.where(*stands, *agreed).order_by(p.ended_at.desc(), p.proposal_id.desc()).limit(1))
    return None if last is None else str(last.case_id)

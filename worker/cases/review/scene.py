"""What a person decides about: the case, with everything its choices depend on, read behind the account's lock."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select

from policy import Terms, Use
from policy.ledger import Share
from policy.lifecycle import CaseKind
from worker.cases.book.bench import Bench
from worker.cases.book.book import Case
from worker.cases.book.locks import lock_account
from worker.cases.book.rows import case_of
from worker.cases.documents.suspended import suspended_under
from worker.cases.money import claims, holds
from worker.cases.money.duplicate import first_may_go
from worker.cases.money.facts import Charge, charge_of, named_charges
from worker.cases.money.used import jobs_of
from worker.cases.requests.facts import paid_by, paid_for_jobs, shares_standing, use_of
from worker.cases.requests.identify import DENIED, charged_again, duplicates
from worker.credits.ledger import JobCredits, Ledger
from worker.creem.environment import Environment
from worker.errors import Collision
from worker.store.bulk import Tx
from worker.store.tables import accounts, cases, payments, proposals, purchases, requests


@dataclass(frozen=True, slots=True)
class Scene:
    """One case as it stands, with what its choices would touch."""

    row: Row[Any]
    case: Case
    account: Row[Any]
    terms: Terms
    now: datetime
    charge: Charge | None = None
    payment: Row[Any] | None = None
    """The claim on the charge, whichever case made it."""
    claimed_elsewhere: bool = False
    """That claim is open, and of another environment than the one whose key this is: nobody here carries it out."""
    first_may_go: str | None = None
    """Why the charge may be the one that stays: the earlier one, which it is a duplicate of, may go back itself."""
    nothing_left: bool = False
    """No money of that claim, which is open, can be on its way."""
    shares: tuple[Share, ...] = ()
    """What stands of the job's debit and can come back, by lot."""
    partly_gone: bool = False
    """Some money of one of those lots went back."""
    disputed_job: bool = False
    claimed_job: bool = False
    """A lot the job drew on may have its money on the way back."""
    other_cases: tuple[str, ...] = ()
    """Cases of the jobs in question that are not decided yet, and have to be by themselves."""
    charged_again: tuple[str, ...] = ()
    """Later charges of the same that go back, or went back, as duplicates of this one."""
    use: Use = field(default_factory=Use)
    spendable: int = 0
    """Credits the account could spend now, over all lots."""
    own_mails: int = 0
    """Mails on the case from the account's own mailbox, but for machines' answers and the word that the first is not its own."""
    denied: bool = False
    """The account's own mailbox says that it did not write the mail."""
    to_forfeit: bool = False
    """It is proposed under this case to forfeit what the account could spend, which is frozen for that."""
    suspended_under_it: bool = False
    """The account stands suspended, and two people agreed to that under this case last."""
    proposed: int = 0
    """Credits of the charge's lot that are frozen for a proposal of their own."""


def lock_case(tx: Tx, case_id: str) -> Row[Any]:
    """The case and its account, locked in the order that everybody locks in."""
    account_id = tx.one(select(cases.c.account_id).where(cases.c.case_id == case_id)).account_id
    lock_account(tx, account_id)
    row = tx.one(select(cases).where(cases.c.case_id == case_id).with_for_update())
    if row.account_id != account_id:
        raise Collision(f"{case_id} was nobody's, and was matched to its account meanwhile")
    return row


def scene_of(tx: Tx, ledger: Ledger, bench: Bench, environment: Environment | None, row: Row[Any], now: datetime) -> Scene:
    """The scene of a case, as it is to whoever has the key of this environment."""
    case = case_of(row)
    account = tx.one(select(accounts).where(accounts.c.account_id == row.account_id))
    request = _request(tx, case)
    job_id = row.job_id or (request.job_id if request is not None else None)
    booked = ledger.of_jobs(tx, [job_id]).get(job_id, JobCredits()) if job_id else JobCredits()
    paid = paid_for_jobs(tx, [booked])
    charge, first = _charge(tx, case, request), _first(tx, case)
    payment = _payment(tx, charge, environment)
    lots = tx.all(select(purchases.c.remaining).where(purchases.c.account_id == row.account_id))
    return Scene(
        row=row,
        case=case,
        account=account,
        terms=bench.terms_at(min(charge.facts.paid_at, now) if charge is not None else case.failed_at),
        now=now,
        charge=charge,
        payment=payment,
        nothing_left=payment is not None and claims.nothing_left(tx, payment),
        claimed_elsewhere=payment is not None and payment.closed_at is None and claims.is_elsewhere(payment, environment),
        first_may_go=_first_may_go(tx, first, environment),
        shares=tuple(shares_standing(booked, paid)),
        partly_gone=any(each.refunded and not each.facts.given_back for each in paid),
        disputed_job=any(each.facts.disputed for each in paid),
        claimed_job=_is_claimed(tx, booked),
        other_cases=_cases_of_jobs(tx, case, job_id, charge),
        charged_again=_charged_again(tx, case, charge),
        use=use_of(tx, ledger, charge) if charge is not None else Use(),
        spendable=sum(int(lot.remaining) for lot in lots),
        own_mails=_own_mails(tx, case, request),
        denied=request is not None and bool(request.named.get(DENIED)),
        to_forfeit=_to_forfeit(tx, case),
        suspended_under_it=suspended_under(tx, row.account_id) == row.case_id,
        proposed=holds.proposed(tx, charge.facts.purchase_id) if charge is not None and charge.facts.frozen else 0,
    )


def _request(tx: Tx, case: Case) -> Row[Any] | None:
    if case.kind is not CaseKind.REQUEST:
        return None
    return tx.one(select(requests).where(requests.c.request_id == case.subject))


def _own_mails(tx: Tx, case: Case, request: Row[Any] | None) -> int:
    own = requests.c.case_id == case.case_id, requests.c.confirmed_at.is_not(None), requests.c.automatic.is_(False)
    denials = 1 if request is not None and request.named.get(DENIED) else 0
    return max(0, int(tx.value(select(func.count()).where(*own))) - denials)


def _to_forfeit(tx: Tx, case: Case) -> bool:
    p = proposals.c
    forfeits = p.case_id == case.case_id, p.choice == "forfeit", p.state == "open"
    return tx.exists(select(p.proposal_id).where(*forfeits))


def _charge(tx: Tx, case: Case, request: Row[Any] | None) -> Charge | None:
    """The charge in question: the later of two, the disputed one, the one a mail asks for, the one that paid for its job."""
    named: list[str] = []
    match case.kind:
        case CaseKind.DUPLICATE_CHARGE:
            named = [case.subject]
        case CaseKind.DISPUTE:
            found = tx.all(select(purchases.c.purchase_id).where(purchases.c.transaction_id == case.subject))
            named = [row.purchase_id for row in found]
        case CaseKind.REQUEST if request is not None and request.purchase_id is None:
            return paid_by(tx, request.job_id) if request.job_id else None
        case CaseKind.REQUEST if request is not None:
            named = [request.purchase_id]
        case _:
            return None
    return max(named_charges(tx, named), key=lambda charge: charge.facts.paid_at, default=None)


def _first(tx: Tx, case: Case) -> Charge | None:
    """The earlier charge that the case was judged beside."""
    first = (case.facts or {}).get("first") if case.kind is CaseKind.DUPLICATE_CHARGE else None
    return charge_of(tx, first["purchase_id"]) if first else None


def _charged_again(tx: Tx, case: Case, charge: Charge | None) -> tuple[str, ...]:
    if charge is None or case.kind is not CaseKind.REQUEST:
        return ()
    return charged_again(duplicates(tx, charge.facts.account_id), charge.facts.purchase_id)


def _payment(tx: Tx, charge: Charge | None, environment: Environment | None) -> Row[Any] | None:
    if charge is None or charge.transaction_id is None:
        return None
    return claims.of_charges(tx, [charge], environment).get(charge.transaction_id)


def _first_may_go(tx: Tx, first: Charge | None, environment: Environment | None) -> str | None:
    if first is None:
        return None
    return first_may_go(first.transaction_id or "", _payment(tx, first, environment), behind=first.behind)


def _is_claimed(tx: Tx, booked: JobCredits) -> bool:
    drawn = {share.purchase_id for share in booked.debits}
    still_open = (tx.among(payments.c.purchase_id, drawn), payments.c.due_at.is_not(None))
    return bool(drawn) and tx.exists(select(payments.c.payment_id).where(*still_open))


def _cases_of_jobs(tx: Tx, case: Case, job_id: str | None, charge: Charge | None) -> tuple[str, ...]:
    if case.kind is not CaseKind.REQUEST:
        return ()
    jobs = [job_id] if job_id else [job.job_id for job in (jobs_of(tx, charge) if charge is not None else [])]
    if not jobs:
        return ()
    undecided = (cases.c.kind == CaseKind.JOB.value, cases.c.closed_at.is_(None))
    rows = tx.all(select(cases.c.case_id).where(*undecided, tx.among(cases.c.subject, jobs)))
    return tuple(sorted(row.case_id for row in rows))

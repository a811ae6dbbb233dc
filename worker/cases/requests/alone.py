"""Mails that joined the case of a charge which turns out to be no duplicate: they become a request of their own."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update

from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.bench import Bench
from worker.cases.book.book import Case
from worker.cases.requests.register import open_request
from worker.store.bulk import Tx
from worker.store.tables import evidence, requests


def judge_alone(tx: Tx, bench: Bench, moved: Iterable[Case], now: datetime) -> None:
    """Where a charge turns out to be no duplicate, the mails that its case took in become a request about the charge: they may
    ask for more than was asked there (policy.md, "never a silent no"). What a machine wrote asks for nothing, and goes along
    with what people wrote. To be called before these cases are written.
    """
    for case in moved:
        if (case.kind, case.state) != (CaseKind.DUPLICATE_CHARGE, CaseState.NOTHING_OWED) or case.was in {None, case.state}:
            continue
        by_people = requests.c.case_id == case.case_id, requests.c.automatic.is_(False)
        mails = tx.all(select(requests).where(*by_people).order_by(requests.c.received_at))
        if mails:
            _open(tx, bench, case, mails, now)


def _open(tx: Tx, bench: Bench, standing: Case, mails: Sequence[Row[Any]], now: datetime) -> None:
    first = next((mail for mail in mails if mail.confirmed_at is not None), mails[0])
    # as if it had been opened when the first of them came: it keeps its place in the order received
    since, account_id = mails[0].received_at, standing.account_id
    # judged by the sweep, when the case that took it in stands as it ended
    case = open_request(tx, bench, first._asdict(), account_id, since=since, now=now, was_with=standing.case_id)
    for table in (requests, evidence):
        tx.connection.execute(update(table).where(table.c.case_id == standing.case_id).values(case_id=case.case_id))
    about = requests.c.request_id == first.request_id
    tx.connection.execute(update(requests).where(about).values(purchase_id=first.purchase_id or standing.subject))
    standing.note("requests.judged_alone", case_id=case.case_id, requests=len(mails))

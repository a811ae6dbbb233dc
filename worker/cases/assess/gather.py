"""What one assess transaction is about: rows read, webhooks put where they belong, cases whose time has come."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, case, select

from policy.lifecycle import CaseKind
from worker.cases.book.news import Line, News, read
from worker.cases.money.told import Placed, place
from worker.creem.receive import Accepts, check_mode
from worker.creem.webhooks import Webhook
from worker.errors import CannotProcess
from worker.store.bulk import Tx
from worker.store.tables import cases
from worker.strict import Malformed

Unread = tuple[Line | Row[Any], CannotProcess]


def read_all(rows: Sequence[Row[Any]]) -> tuple[list[News], list[Unread]]:
    """What the rows say, and those that can no longer be read, with the reason."""
    news: list[News] = []
    dead: list[Unread] = []
    for row in rows:
        try:
            news.append(read(row))
        except CannotProcess as refusal:
            dead.append((row, refusal))
    return news, dead


def placed(tx: Tx, news: Sequence[News], accepts_mode: Accepts | None) -> tuple[list[News], list[Unread]]:
    """The news with everything that Creem said put where it belongs; what cannot be placed, or is of another environment than
    the key by now, apart with the reason.
    """
    hooks = {item.row.id: item.said for item in news if isinstance(item.said, Webhook)}
    if not hooks:
        return list(news), []
    places = place(tx, hooks) | _of_elsewhere(hooks, accepts_mode)
    kept: list[News] = []
    faults: list[Unread] = []
    for item in news:
        found = places.get(item.row.id)
        if found is None:
            kept.append(item)
        elif found.fault is not None:
            faults.append((item.row, found.fault))
        else:
            item = replace(item, account_id=found.account_id, beside=found.beside)
            kept.append(item if found.purchase is None else replace(item, said=found.purchase, supposed=True))
    return kept, faults


def _of_elsewhere(hooks: Mapping[int, Webhook], accepts_mode: Accepts | None) -> dict[int, Placed]:
    found: dict[int, Placed] = {}
    for row_id, hook in hooks.items():
        try:
            check_mode(hook, accepts_mode)
        except Malformed as fault:
            found[row_id] = Placed(fault=CannotProcess(fault.reason, fault.detail))
    return found


def woken_cases(tx: Tx, case_ids: Sequence[str]) -> Sequence[Row[Any]]:
    """Id, account, job, kind and subject of cases that are to be judged again. A request has no job here: its job's case is
    another one.
    """
    if not case_ids:
        return []
    c = cases.c
    job_id = case((c.kind != CaseKind.REQUEST.value, c.job_id)).label("job_id")
    return tx.all(select(c.case_id, c.account_id, job_id, c.kind, c.subject).where(tx.among(c.case_id, case_ids)))

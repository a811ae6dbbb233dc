"""How many cases there are in each state, without counting them: sums of what each statement changed, and their folding."""

from dataclasses import dataclass

from sqlalchemy import delete, func, select

from worker.store.bulk import Tx, unlocked
from worker.store.tables import case_tallies

FOLD_ABOVE = 500
"""Rows that are read without a thought; above that they are worth adding up."""
FOLD_AT_ONCE = 20_000
_t = case_tallies.c
MANY = select(select(func.count()).select_from(select(_t.id).limit(FOLD_ABOVE + 1).subquery()).scalar_subquery() > FOLD_ABOVE)
"""Whether folding pays."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Cases in one state: their number, the credits that came back on them, and those delivered after all."""

    cases: int
    credits_reversed: int
    delivered_late: int


def by_state(tx: Tx) -> dict[str, Tally]:
    """The cases of each state that has had any, as of this transaction."""
    sums = select(_t.state, func.sum(_t.cases), func.sum(_t.credits_reversed), func.sum(_t.delivered_late)).group_by(_t.state)
    return {str(state): Tally(*map(int, numbers)) for state, *numbers in tx.connection.execute(sums)}


def many(tx: Tx) -> bool:
    """True where folding pays."""
    return bool(tx.value(MANY))


def fold(tx: Tx) -> int:
    """Puts one row a state in place of many and returns how many are gone; the sums stay, and two at once take different rows."""
    chosen = select(_t.id).order_by(_t.id).limit(FOLD_AT_ONCE)
    gone = (
        delete(case_tallies)
        .where(_t.id.in_(unlocked(chosen)))
        .returning(_t.state, _t.cases, _t.credits_reversed, _t.delivered_late)
    )
    rows = tx.connection.execute(gone).all()
    sums: dict[str, list[int]] = {}
    for state, *numbers in rows:
        sums[state] = [a + int(b) for a, b in zip(sums.get(state, (0, 0, 0)), numbers, strict=True)]
    columns = ("cases", "credits_reversed", "delivered_late")
    tx.insert(case_tallies, [{"state": state} | dict(zip(columns, numbers, strict=True)) for state, numbers in sums.items()])
    return len(rows)

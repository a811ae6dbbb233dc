"""What a name that somebody searches for belongs to."""

from enum import StrEnum

from sqlalchemy import select

from worker.cases.dead import called
from worker.cases.document import find
from worker.store.bulk import Tx
from worker.store.tables import accounts, dead_letters


class Thing(StrEnum):
    """What may be called by a name."""

    ACCOUNT = "account"
    DEAD_LETTER = "dead_letter"
    CASE = "case"


def named(tx: Tx, name: str) -> tuple[Thing, str]:
    """What is called that, and its id. Raises `Refused` where nothing is, saying what is known of the name."""
    if tx.all(select(accounts.c.account_id).where(accounts.c.account_id == name)):
        return Thing.ACCOUNT, name
    if letters := tx.all(select(dead_letters.c.dead_id).where(called(name))):
        return Thing.DEAD_LETTER, letters[0].dead_id
    return Thing.CASE, find(tx, name).case_id

"""What a name that somebody searches for belongs to."""

from enum import StrEnum

from sqlalchemy import select

from worker.cases.book.known import accounts_called, several
from worker.cases.dead import called
from worker.cases.documents.document import find
from worker.errors import Refused
from worker.store.bulk import Tx
from worker.store.tables import dead_letters


class Found(StrEnum):
    """What may be called by a name."""

    ACCOUNT = "account"
    DEAD_LETTER = "dead_letter"
    CASE = "case"


def named(tx: Tx, name: str) -> tuple[Found, str]:
    """What is called that, and its id. Raises `Refused` where nothing is, saying what is known of the name."""
    owners = accounts_called(tx, name)
    if len(owners) == 1:
        return Found.ACCOUNT, owners[0]
    if owners:
        raise Refused(several(name, owners))
    if letter := tx.first(select(dead_letters.c.dead_id).where(called(name))):
        return Found.DEAD_LETTER, letter.dead_id
    return Found.CASE, find(tx, name).case_id

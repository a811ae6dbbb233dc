"""An edition that decided anything stays what it was: its digest is kept with the database, another file is refused."""

from sqlalchemy import exists, select

from policy import Editions
from worker.errors import Misconfigured
from worker.store.bulk import Tx
from worker.store.tables import cases, installation


def changed(tx: Tx, editions: Editions) -> list[str]:
    """What is wrong, a line for each edition whose file is not the one that cases were decided by."""
    kept = {row.name: row.value for row in tx.all(select(installation).where(installation.c.name.like("terms:%")))}
    return [
        f"the file of edition {terms.edition} has changed since cases were decided by it: put back the one with the SHA-256 "
        f"{kept[_name(terms.edition)]}, and give what is new an edition of its own"
        for terms in editions
        if kept.get(_name(terms.edition), terms.digest) != terms.digest and _decided_by(tx, terms.edition)
    ]


def hold(tx: Tx, editions: Editions) -> None:
    """Keeps the digest of each edition; one that nothing was decided by may still change. Raises `Misconfigured`."""
    wrong = changed(tx, editions)
    if wrong:
        raise Misconfigured(*wrong)
    named = [{"name": _name(terms.edition), "value": terms.digest} for terms in editions]
    tx.insert_new(installation, named, installation.c.name)
    tx.update(installation, named, by=["name"])


def _name(edition: str) -> str:
    return f"terms:{edition}"


def _decided_by(tx: Tx, edition: str) -> bool:
    return bool(tx.connection.execute(select(exists().where(cases.c.terms == edition))).scalar_one())

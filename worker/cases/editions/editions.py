"""An edition that decided anything stays, and stays what it was: its digest is kept with the database, another file is refused,
and so is none.

Where the edition before says so, a new one takes effect only by the word of a person, and of two where it moves much; until then
nothing starts that would decide by it. What is kept is the digest: a file changed after that needs the word again.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, exists, func, or_, select

from policy import Editions, Terms
from policy.lifecycle import CaseKind
from policy.words import count
from worker.cases.book.rows import FINAL
from worker.cases.editions.replay import Replay
from worker.cases.review.people import person
from worker.errors import Misconfigured, Refused
from worker.store.actions import acted
from worker.store.bulk import Tx
from worker.store.tables import cases, installation

JUDGED_BY = timedelta(days=30)
"""The cases of so long are decided again to see what a new edition moves, and looked at for what another edition judged."""


def refused(tx: Tx, editions: Editions) -> list[str]:
    """Why nothing may be decided by these editions, a line each: one that has changed, one that is not here, one that waits for a
    person.
    """
    kept = _kept(tx)
    return [*_changed(tx, editions, kept), *_gone(tx, editions, kept), *_waiting(tx, editions, kept)]


def _changed(tx: Tx, editions: Editions, kept: dict[str, str]) -> list[str]:
    return [
        f"the file of edition {terms.edition} has changed since cases were decided by it: put back the one with the SHA-256 "
        f"{kept[terms.edition]}, and give what is new an edition of its own"
        for terms in editions
        if kept.get(terms.edition, terms.digest) != terms.digest and _decided_by(tx, terms.edition)
    ]


def _gone(tx: Tx, editions: Editions, kept: dict[str, str]) -> list[str]:
    # what it is in force for would be judged by the edition before it, or by the first
    here = {terms.edition for terms in editions}
    return [
        f"edition {edition} of the terms is not here, and cases were decided by it: is REFUNDS_TERMS_DIR the folder that the "
        f"other processes have? Put its file, with the SHA-256 {digest}, beside the others"
        for edition, digest in sorted(kept.items())
        if edition not in here and _decided_by(tx, edition)
    ]


def _waiting(tx: Tx, editions: Editions, kept: dict[str, str]) -> list[str]:
    waiting = [terms for terms in editions if _needs_people(editions, terms) and kept.get(terms.edition) != terms.digest]
    if not waiting or not _anything_decided(tx):
        return []
    return [
        f"edition {terms.edition} of the terms waits for a person: `refunds policy activate {terms.edition}` shows what it "
        f"moves; or take its file away"
        for terms in waiting
    ]


def hold(tx: Tx, editions: Editions) -> None:
    """Keeps the digest of each edition; one that nothing was decided by may still change. Raises `Misconfigured`."""
    wrong = refused(tx, editions)
    if wrong:
        raise Misconfigured(*wrong)
    kept = _kept(tx)
    for terms in editions:
        # every command that decides asks, and mostly there is nothing to be written
        if kept.get(terms.edition) != terms.digest:
            _keep(tx, terms)


def judged_by_another(tx: Tx, editions: Editions, since: datetime) -> list[str]:
    """What is open, or was closed since then, and was judged by another edition than was in force when it happened, a line each:
    a process goes on without a later edition, or the file of that came after its date.
    """
    c = cases.c
    # whose edition is that of its own day; what a mail is answered by may be another's
    dated = c.kind != CaseKind.REQUEST.value, c.terms.is_not(None), or_(c.closed_at >= since, c.state.not_in(FINAL))
    said = []
    for terms, begins, ends in _spans(editions):
        there = c.failed_at < ends, c.terms != terms.edition, *([c.failed_at >= begins] if begins else [])
        judged = select(c.terms, func.count().label("number")).where(*dated, *there).group_by(c.terms).order_by(c.terms)
        said += [
            f"edition {row.terms} judged {count(row.number, 'case')} of days when {terms.edition} was in force"
            for row in tx.all(judged)
        ]
    return said


def _spans(editions: Editions) -> Iterator[tuple[Terms, datetime | None, datetime]]:
    """Each edition with the time that it is in force for, as `Editions.at` has it."""
    ends = datetime.max.replace(tzinfo=UTC)
    for terms in reversed(editions.all):
        if terms.starts_at < ends:
            yield terms, None if terms is editions.all[0] else terms.starts_at, ends
            ends = terms.starts_at


@dataclass(frozen=True, slots=True)
class Activation:
    """What became of somebody's word for an edition. `moved`: credits and minor units, whichever way they go."""

    edition: str
    digest: str
    state: str
    """`activated`, or `proposed`: it waits for a second person."""
    by: str
    first: str | None
    """Who proposed it, where two were needed."""
    credits: int
    minor_units: int


def activate(tx: Tx, editions: Editions, found: Replay, *, by: str, reason: str, now: datetime) -> Activation:
    """Lets the edition that was replayed take effect, or puts it to a second person where it moves more than the edition before
    allows one alone. Raises `Refused` where it is in effect already, or where the one who proposed it comes again while two are
    needed.
    """
    by, terms = person(by), editions.by_name(found.terms)
    before = editions.before(terms)
    if before is None or not before.activated_by_people:
        raise Refused(f"edition {terms.edition} takes effect by its file alone: the edition before names no limit")
    if _kept(tx).get(terms.edition) == terms.digest:
        raise Refused(f"edition {terms.edition} is activated already")
    credits, minor_units = found.moved_credits, found.moved_minor_units
    large = _above(credits, before.activation_second_person_above_credits)
    large = large or _above(minor_units, before.activation_second_person_above_minor_units)
    # whoever proposed it while it moved more is one person like any other once it does not
    first, subject = _proposed(tx, terms) if large else None, f"terms {terms.edition} {terms.digest[:16]}"
    if large and first is None:
        _propose(tx, terms, by)
        acted(tx, "policy.propose", subject, by=by, reason=reason, now=now)
        return Activation(terms.edition, terms.digest, "proposed", by, None, credits, minor_units)
    if first == by:
        raise Refused(f"edition {terms.edition} was proposed by {first}; another person has to activate it")
    _keep(tx, terms)
    tx.connection.execute(delete(installation).where(installation.c.name == _proposal(terms)))
    acted(tx, "policy.activate", subject, by=by, reason=reason, now=now)
    return Activation(terms.edition, terms.digest, "activated", by, first, credits, minor_units)


def _above(moved: int, limit: int | None) -> bool:
    return limit is not None and moved > limit


def _needs_people(editions: Editions, terms: Terms) -> bool:
    before = editions.before(terms)
    return before is not None and before.activated_by_people


def _proposed(tx: Tx, terms: Terms) -> str | None:
    """Who proposed this very file; None where nobody did, or another file of the edition."""
    kept = tx.connection.execute(select(installation.c.value).where(installation.c.name == _proposal(terms))).scalar()
    said = json.loads(kept) if kept else {}
    return said["by"] if said.get("digest") == terms.digest else None


def _propose(tx: Tx, terms: Terms, by: str) -> None:
    _put(tx, _proposal(terms), json.dumps({"digest": terms.digest, "by": by}))


def _keep(tx: Tx, terms: Terms) -> None:
    _put(tx, f"terms:{terms.edition}", terms.digest)


def _put(tx: Tx, name: str, value: str) -> None:
    row = [{"name": name, "value": value}]
    tx.insert_absent(installation, row)
    tx.update(installation, row, by=["name"])


def _kept(tx: Tx) -> dict[str, str]:
    rows = tx.all(select(installation).where(installation.c.name.like("terms:%")))
    return {row.name.removeprefix("terms:"): row.value for row in rows}


def _proposal(terms: Terms) -> str:
    return f"activation:{terms.edition}"


def _decided_by(tx: Tx, edition: str) -> bool:
    return bool(tx.value(select(exists().where(cases.c.terms == edition))))


def _anything_decided(tx: Tx) -> bool:
    return bool(tx.value(select(exists().where(cases.c.terms.is_not(None)))))

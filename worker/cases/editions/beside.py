"""What two installations decided about the same things: the live one, and one that watches with other code or other terms."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from worker.errors import NoGround, one_line
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import cases

CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Said:
    """One case as one side decided it. `credits` is what it gives back, or would where nothing is carried out."""

    kind: str
    subject: str
    outcome: str
    rule: str
    credits: int

    @property
    def decision(self) -> tuple[str, str, int]:
        """What has to be the same on both sides."""
        return self.outcome, self.rule, self.credits


@dataclass(slots=True)
class Difference:
    """Cases that two sides decided differently in the same way; `credits` is what this side gives back more, or less."""

    theirs: str
    ours: str
    cases: int = 0
    credits: int = 0
    examples: list[str] = field(default_factory=list)
    """What the first of them are about."""


@dataclass(slots=True)
class Compared:
    """Both sides beside each other; what only one of them has may still be on its way to the other."""

    alike: int = 0
    only_theirs: int = 0
    only_ours: int = 0
    differences: dict[tuple[str, str], Difference] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """True where no case that both have was decided differently."""
        return not self.differences

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        rows = sorted(self.differences.values(), key=lambda one: -one.cases)
        return {
            "same": self.same,
            "alike": self.alike,
            "only_theirs": self.only_theirs,
            "only_ours": self.only_ours,
            "differences": [asdict(row) for row in rows],
        }

    def _differ(self, theirs: Said, ours: Said, examples: int) -> None:
        names = f"{theirs.outcome} by {theirs.rule}", f"{ours.outcome} by {ours.rule}"
        kept = self.differences.setdefault(names, Difference(*names))
        kept.cases += 1
        kept.credits += ours.credits - theirs.credits
        if len(kept.examples) < examples:
            kept.examples.append(ours.subject)


def compare(theirs: Tx, ours: Tx, since: datetime | None, *, examples: int = 1) -> Compared:
    """Every decided case of what failed since then, of both databases, one beside the other; each is read once, in order.
    Up to `examples` of each difference are named.
    """
    found = Compared()
    left, right = _decided(theirs, since), _decided(ours, since)
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and (a.kind, a.subject) < (b.kind, b.subject)):
            found.only_theirs += 1
            a = next(left, None)
        elif a is None or (b.kind, b.subject) < (a.kind, a.subject):
            found.only_ours += 1
            b = next(right, None)
        else:
            if a.decision == b.decision:
                found.alike += 1
            else:
                found._differ(a, b, examples)
            a, b = next(left, None), next(right, None)
    return found


def compare_with(url: str, ours: Store, since: datetime | None, *, examples: int) -> Compared:
    """How our decisions differ from those in the database of this URL, which is only read. Raises `ValueError` where it cannot
    be read like ours.
    """
    try:
        with closing(Store(url)) as theirs:
            try:
                # a look of its own: what is wrong there is not said of ours
                theirs.read(lambda tx: tx.exists(select(cases.c.case_id)))
            except NoGround as error:
                raise ValueError(str(error)) from error
            return theirs.read(lambda t: ours.read(lambda o: compare(t, o, since, examples=examples)))
    except SQLAlchemyError as error:
        raise ValueError(one_line(error)) from error


def _decided(tx: Tx, since: datetime | None) -> Iterator[Said]:
    c = cases.c
    # both engines, and any collation of theirs, in the order in which Python compares
    in_bytes = "C" if tx.postgres else "BINARY"
    chosen = select(c.kind, c.subject, c.outcome, c.rule, c.credits_owed).where(c.outcome.is_not(None))
    if since is not None:
        chosen = chosen.where(c.failed_at >= since)
    chosen = chosen.order_by(c.kind.collate(in_bytes), c.subject.collate(in_bytes))
    for kind, subject, outcome, rule, credits in tx.connection.execute(chosen.execution_options(yield_per=CHUNK)):
        yield Said(kind, subject, outcome, rule, int(credits))

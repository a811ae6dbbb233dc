"""What one run of reconcile came to."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select

from policy.words import money
from worker.cases.reconcile.compare import Finding
from worker.clock import written
from worker.store.bulk import Tx
from worker.store.tables import installation

AGAIN = "look at `refunds show`; the next run tries again"
_CAME_TO_ITS_END = "reconciled_at"


@dataclass(slots=True)
class Reconciliation:
    """What one run compared, mended, and could not mend."""

    checked: dict[str, int] = field(default_factory=dict)
    repaired: list[dict[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unmatched: int = 0
    """Minor units on which Creem and our books do not agree, all currencies added."""

    @property
    def ok(self) -> bool:
        """True when nothing is left to do."""
        return not self.findings

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "ok": self.ok,
            "checked": self.checked,
            "repaired": self.repaired,
            "findings": [finding.document() for finding in self.findings],
            "unmatched_cents": self.unmatched,
        }

    def __str__(self) -> str:
        counted = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self.checked.items())
        return f"{counted}; {len(self.repaired)} mended, {len(self.findings)} left, {money(self.unmatched)} unmatched"

    def count(self, what: str, number: int = 1) -> None:
        """So many more were looked at."""
        self.checked[what] = self.checked.get(what, 0) + number

    def mended(self, check: str, row: str, what: str) -> None:
        """Something was put right."""
        self.repaired.append({"check": check, "row": row, "done": what})

    def found(self, *findings: Finding) -> None:
        """Something is left for a person."""
        self.findings += findings
        self.unmatched += sum(finding.cents for finding in findings)


def came_to_its_end(tx: Tx, at: datetime) -> None:
    """A run has been through all its parts."""
    said = {"value": written(at)}
    tx.insert_or_change(installation, {"name": _CAME_TO_ITS_END, **said}, said, by=installation.c.name)


def last_end(tx: Tx) -> datetime | None:
    """When a run had last been through all its parts; until one has, when the migration that asks for it came."""
    found = tx.first(select(installation.c.value).where(installation.c.name == _CAME_TO_ITS_END))
    return datetime.fromisoformat(found.value) if found is not None else None

"""After a restore the audit asks about every head outside whose link the backup did not hold, until a person forgives it."""

from dataclasses import dataclass

from worker.cases.chain.heads import Heads, Kept
from worker.cases.chain.proof import strangers
from worker.clock import Clock
from worker.errors import Refused
from worker.observe import log
from worker.store.actions import acted
from worker.store.engine import Store


@dataclass(frozen=True, slots=True)
class Forgiver:
    """The step with its collaborators."""

    store: Store
    heads: Heads | None
    clock: Clock

    def strange(self) -> list[tuple[Kept, str]]:
        """The heads kept outside that the database does not bear out, and in words how."""
        kept = self.heads.standing() if self.heads is not None else []
        return self.store.read(lambda tx: strangers(tx, kept))

    def forgive(self, *, by: str, reason: str) -> int:
        """The audit asks about none of these heads again; returns how many. Raises `Refused` where there are none."""
        now, found = self.clock.now(), [each.head for each, _ in self.strange()]
        if self.heads is None or not found:
            raise Refused("every head that is kept is in the database; there is nothing to forgive")
        named = ", ".join(f"{head.name} {head.number} {head.hash[:12]}" for head in found)
        why = f"{reason} ({named})"
        # on record first: dying here it is said twice, never done in silence
        self.store.write(lambda tx: acted(tx, "restore.chain", "chain", by=by, reason=why, now=now))
        self.heads.forgive(found, now, by=by, reason=reason)
        log.warning("chain.forgiven", heads=named, by=by)
        return len(found)

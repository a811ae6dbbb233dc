"""What people did that no single case records, with who and why."""

from datetime import datetime

from worker.store.bulk import Tx
from worker.store.tables import actions


def acted(tx: Tx, action: str, subject: str, *, by: str, reason: str, now: datetime) -> None:
    """Keeps what a person did."""
    tx.insert(actions, [{"at": now, "by": by, "action": action, "subject": subject, "reason": reason}])

"""What happened to a case, line by line."""

from datetime import datetime
from typing import Any

from worker.store.bulk import Record


def line(case_id: str, event: str, by: str, now: datetime, **detail: Any) -> Record:
    """One line of a case's history, as a row of its table."""
    return {"case_id": case_id, "at": now, "event": event, "by": by, "detail": detail}

"""What the doctor says of one thing it looked at."""

from typing import Any

Finding = dict[str, Any]


def finding(check: str, ok: bool, said: str, severity: str = "fault") -> Finding:
    """The finding as `refunds doctor --json` shows it; `severity` (fault or warning) counts where it is not ok."""
    return {"check": check, "ok": ok, "finding": said, "severity": severity}

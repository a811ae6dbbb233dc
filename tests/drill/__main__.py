"""`make drill`: breaks Redis, Postgres, Creem, the pipeline and each process in turn under load, and shows what was seen."""

import argparse
import re
import sys
import tempfile
from pathlib import Path

from tests.drill.drill import Drilled, drill
from tests.drill.prometheus import BINARY
from tests.postgres import start_postgres
from tests.scenarios.system import ROOT
from worker.sandbox.servers import start_redis
from worker.screen import err, out, say, table

RUNBOOK = ROOT / "docs/runbook.md"
LONGEST = 90
"""Characters of a line that fit into the table."""
MARKED = re.compile(r"(<!-- drill -->\n).*(<!-- /drill -->)", re.S)


def main() -> int:
    """Runs it, shows the table, and returns 1 where anything was not as it should be."""
    options = argparse.ArgumentParser(prog="make drill", description=__doc__)
    options.add_argument("--only", default="", help="the exercises whose name holds this")
    options.add_argument("--record", action="store_true", help="write the table into docs/runbook.md")
    asked = options.parse_args()
    if BINARY is None:
        say("The drill needs prometheus on the PATH (Debian: apt install prometheus).")
        return 2
    with tempfile.TemporaryDirectory(prefix="refunds-drill-") as name:
        # Postgres may run as another user, who must get to its folder
        folder = Path(name)
        folder.chmod(0o755)
        with start_postgres(folder / "postgres") as postgres, start_redis(folder / "redis") as cache, err.status("") as shown:
            drilled = drill(folder, (postgres, cache), lambda what: shown.update(f"{what} …"), asked.only)
    _show(drilled)
    if asked.record and not drilled.wrong:
        RUNBOOK.write_text(MARKED.sub(lambda found: f"{found[1]}{written(drilled)}{found[2]}", RUNBOOK.read_text()))
    return int(bool(drilled.wrong))


def _show(drilled: Drilled) -> None:
    shown = table("", "broken", "alert", "after s", "status said", "mended by", "well after s")
    for one in drilled.lessons:
        shown.add_row(one.name, one.alert, f"{one.fired:.0f}", one.named, one.by_hand or "itself", f"{one.healed:.0f}")
    out.print(shown)
    say(_sum(drilled))
    for what in drilled.wrong:
        for line in what.splitlines():
            say("[red]{line}[/]", line=line)


def _sum(drilled: Drilled) -> str:
    return (
        f"{drilled.events:,} events of {drilled.jobs:,} jobs and {drilled.charges} second charges under load; "
        f"everything at its end {drilled.rest:.0f} s after the last; wrong: {len(drilled.wrong)}."
    )


def written(drilled: Drilled) -> str:
    """The table as Markdown."""
    lines = ["| broken, under load | alert, and after how many seconds | what `refunds status` said | well again, s | by |"]
    lines.append("|---|---|---|---|---|")
    for one in drilled.lessons:
        by = f"`{one.by_hand}`" if one.by_hand else "itself"
        said = " ".join(re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z?(\+00:00)?", "…", one.named).replace("|", "/").split())
        said = said if len(said) <= LONGEST else f"{said[:LONGEST]}…"
        lines.append(f"| {one.name} | {one.alert}, {one.fired:.0f} | {said or '-'} | {one.healed:.0f} | {by} |")
    return "\n".join([*lines, "", _sum(drilled), ""])


if __name__ == "__main__":
    sys.exit(main())

"""Real processes under load while they are killed, frozen, cut off and emptied, their disk full and their clocks wrong.

Raw Celery runs under the same kills beside.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.postgres import start_postgres
from tests.soak.disk import OWN_MOUNTS, with_own_mounts
from tests.soak.soak import Found, Wanted, soak
from worker.sandbox.servers import start_redis
from worker.screen import out, progress, say, table


def main() -> int:
    """Runs it, prints the figures, and returns 1 where anything was wrong."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=100_000, help="(%(default)s)")
    options.add_argument("--faults", type=int, default=300, help="(%(default)s)")
    options.add_argument("--seconds", type=float, default=900, help="over which both are spread (%(default)s)")
    options.add_argument("--seed", type=int, default=1, help="which faults, in which order (%(default)s)")
    options.add_argument("--charges", type=int, default=20, help="customers who paid twice (%(default)s)")
    options.add_argument(
        "--mails", type=int, default=10, help="mails with files, beside those that meet a full disk (%(default)s)"
    )
    options.add_argument("--reruns", type=float, default=0.07, help="the share of jobs that are run again (%(default)s)")
    options.add_argument("--without-raw", action="store_true", help="no raw Celery beside")
    asked = options.parse_args()
    if OWN_MOUNTS not in os.environ and (before := with_own_mounts()):
        again = [*before, sys.executable, "-m", "tests.soak.prove", *sys.argv[1:]]
        os.execvpe(again[0], again, os.environ | {OWN_MOUNTS: "yes"})  # noqa: S606 - words of our own
    wanted = Wanted(
        asked.events, asked.faults, asked.seconds, asked.charges, asked.mails, not asked.without_raw, asked.reruns, asked.seed
    )
    with tempfile.TemporaryDirectory(prefix="refunds-soak-") as name:
        # Postgres may run as another user, who must get to its folder
        Path(name).chmod(0o755)
        folder = Path(name)
        with start_postgres(folder / "postgres") as postgres, start_redis(folder / "redis") as cache, progress() as bar:
            sent = bar.add_task("events", total=wanted.events)
            committed = bar.add_task("faults", total=wanted.faults)

            def tell(events: int, faults: int, last: str) -> None:
                bar.update(sent, completed=events)
                bar.update(committed, completed=faults, description=f"faults ({last})")

            began = time.monotonic()
            found = soak(wanted, folder, (postgres, cache), tell)
    _show(found, time.monotonic() - began)
    return int(bool(found.wrong))


def _show(found: Found, seconds: float) -> None:
    shown = table("Faults committed", "fault", "times")
    for name, times in sorted(found.faults.items(), key=lambda item: -item[1]):
        shown.add_row(name, str(times))
    out.print(shown)
    ends = table("\nWhat became of it", "what", "how many")
    growth = "-" if found.growth_percent is None else f"{found.growth_percent:+.1f} %"
    for name, value in {
        "events sent": f"{found.events:,}",
        "jobs": f"{found.jobs:,}",
        "faults": f"{found.faults.total()}, {found.kills} of them kills",
        "processes started": str(found.starts),
        **{name: f"{times:,}" for name, times in sorted(found.ends.items())},
        "seconds under faults": f"{found.seconds:.0f}",
        "seconds to rest afterwards": f"{found.healed_seconds:.0f}",
        "memory of the spared, growth": growth,
        "lost, twice, wrong": str(len(found.wrong)),
    }.items():
        ends.add_row(name, value)
    if found.raw_sent:
        ends.add_row("raw Celery: of jobs sent", f"{found.raw_sent:,}")
        ends.add_row("raw Celery: lost, given back twice", f"{found.raw_lost}, {found.raw_twice}")
    out.print(ends)
    for line in found.left_out:
        say("[yellow]Left out:[/] {line}", line=line)
    for line in found.wrong:
        say("[red]{line}[/]", line=line)
    say("{s} s", s=f"{seconds:.0f}")


if __name__ == "__main__":
    sys.exit(main())

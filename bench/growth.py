"""`make growth`: what gets dearer as history grows. The same work at every step, its pages of Postgres counted.

Pages are counted rather than seconds wherever they can be: they do not depend on what else the machine does.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg

from bench import books, measure, report
from bench.contestants import OURS_OLD
from bench.servers import OLD, ROOT, Servers, servers
from worker.cases.figures import figures
from worker.cases.overview import overview
from worker.clock import SystemClock
from worker.screen import err, out, table
from worker.store.engine import Store

RESULTS = ROOT / "bench" / "growth.json"
PICTURE = ROOT / "docs" / "pictures" / "growth.png"
STEPS = "0,10000,100000,1000000"
# without the bench's own looks at how far the work is
COUNTED = """
select coalesce(sum(shared_blks_hit + shared_blks_read), 0), coalesce(sum(wal_bytes), 0) from pg_stat_statements
where dbid = (select oid from pg_database where datname = current_database())
  and query not like 'select count(*) from cases where kind%' and query not like 'select count(*) from effects where state in%'
"""
WORST = """
select left(regexp_replace(query, '\\s+', ' ', 'g'), 160), shared_blks_hit + shared_blks_read from pg_stat_statements
where dbid = (select oid from pg_database where datname = current_database()) order by 2 desc limit 5
"""
SIZES = """
select relname, pg_table_size(relid), pg_indexes_size(relid) from pg_stat_user_tables
where pg_table_size(relid) + pg_indexes_size(relid) > 1000000 order by 1
"""


def main(arguments: Sequence[str] | None = None, results: Path = RESULTS, picture: Path = PICTURE) -> None:
    """Fills step by step, measures each step, shows and keeps what it found."""
    parser = argparse.ArgumentParser(prog="make growth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", default=STEPS, help="old cases at each step (%(default)s)")
    parser.add_argument("--events", type=int, default=2000, help="fixed batch drained at each step (%(default)s)")
    asked = parser.parse_args(arguments)
    steps = sorted({int(step) for step in asked.steps.split(",")})
    with tempfile.TemporaryDirectory(prefix="refunds-growth-") as name:
        # Postgres may run as another user, who must get to its folder
        Path(name).chmod(0o755)
        with servers(Path(name), shared_preload_libraries="pg_stat_statements") as at:
            facts = report.machine(at)
            found = _climb(at, steps, asked.events, facts, results)
    _show(found)
    draw(results, picture)


def draw(results: Path = RESULTS, picture: Path = PICTURE) -> None:
    """The picture, from the results file: pages of Postgres at each step, both axes logarithmic, so that flat is flat."""
    document = json.loads(results.read_text())
    steps = [step for step in document["steps"] if step["cases"]]
    matplotlib: Any = import_module("matplotlib")
    matplotlib.use("Agg")
    plot: Any = import_module("matplotlib.pyplot")
    figure, axes = plot.subplots(figsize=(9, 4), dpi=110)
    cases = [step["cases"] for step in steps]
    lines = {
        "the audit": [step["audit"]["pages"] for step in steps],
        "one scrape of /metrics": [step["scrape"]["pages"] for step in steps],
        "an event handled": [step["pages_per_event"] for step in steps],
        "refunds status": [step["status"]["pages"] for step in steps],
    }
    for (name, pages), colour in zip(lines.items(), ("#b8bec6", "#8a6d3b", "#2f6f9f", "#3c8d5a"), strict=True):
        axes.plot(cases, pages, marker="o", color=colour)
        axes.annotate(f"{name}: {pages[-1]:,.0f}", (cases[-1], pages[-1]), (8, 0), textcoords="offset points", va="center")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(right=cases[-1] * (cases[-1] / cases[0]) ** 0.6)
    axes.set_xlabel("old cases in the tables (log scale)")
    axes.set_ylabel("pages of Postgres, 8 KiB (log scale)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.text(0.01, 0.01, report.caption(document["machine"]), fontsize=7.5, color="#555555")
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    figure.savefig(picture)
    plot.close(figure)


def _climb(at: Servers, steps: list[int], events: int, facts: dict[str, Any], results: Path) -> list[dict[str, Any]]:
    found, there = [], 0
    with at.fresh(OLD).connect() as db:
        db.execute("create extension pg_stat_statements")
        for step in steps:
            books.fill_old(db, step, lambda _: None, there=there)
            there = step
            found.append({"cases": step, "sizes": _sizes(db)} | _step(at, db, step, events))
            # a run that is ended early leaves the steps it finished
            results.write_text(json.dumps({"machine": facts, "events": events, "steps": found}, indent=1) + "\n")
            err.print(f"[dim]{step:,} old cases measured[/]")
    return found


def _step(at: Servers, db: psycopg.Connection, step: int, events: int) -> dict[str, Any]:
    place = at.place(OLD)
    one = _drained(at, db, f"g{step}", events)
    db.execute("vacuum analyze")
    store = Store(place.url)
    try:
        now = SystemClock().now()
        # the first to come after much was replaced also clears away what is left of it
        store.read(lambda tx: figures(tx, now))
        status = _counted(db, lambda: store.read(lambda tx: overview(tx, now)))
        scrape = _counted(db, lambda: store.read(lambda tx: figures(tx, now)))
    finally:
        store.close()
    said: list[str] = []
    # at some size it no longer ends in time, which is a figure like any other
    audit = _counted(db, lambda: said.extend(measure.audit(place)))
    return {
        "events_per_second": events / one["seconds"],
        "drain": one,
        "pages_per_event": one["pages"] / events,
        "wal_bytes_per_event": one["wal"] / events,
        "status": status,
        "scrape": scrape,
        "audit": audit | {"said": said},
    }


def _drained(at: Servers, db: psycopg.Connection, tag: str, events: int) -> dict[str, Any]:
    """What a backlog costs from the moment warm processes are let go until all of it is announced."""
    with measure.started(at, OURS_OLD, tag) as run:
        laid = books.lay(run.db, tag, events)
        measure.settle(run)
        measure.send_held(run, laid)

        def work() -> None:
            run.processes.release()
            measure.wait(run.db, tag, events, run.processes, measure.STALL_SECONDS)
            measure.settle(run)

        cost = _counted(db, work)
        measure.check(run, tag, events)
    return cost


def _counted(db: psycopg.Connection, work: Callable[[], Any]) -> dict[str, Any]:
    """Pages, bytes of WAL and seconds of what `work` has this database do, and the statements that read most of the pages."""
    db.execute("select pg_stat_statements_reset()")
    began = time.monotonic()
    work()
    seconds = time.monotonic() - began
    row = db.execute(COUNTED).fetchone()
    assert row is not None
    pages, wal = row
    worst = {query: int(read) for query, read in db.execute(WORST)}
    return {"pages": float(pages), "wal": float(wal), "seconds": seconds, "worst": worst}


def _sizes(db: psycopg.Connection) -> dict[str, dict[str, int]]:
    return {name: {"table": heap, "indexes": indexes} for name, heap, indexes in db.execute(SIZES)}


def _show(found: list[dict[str, Any]]) -> None:
    shown = table(
        "Growth",
        "old cases",
        "events/s",
        "pages an event",
        "WAL B an event",
        "status pages",
        "status s",
        "scrape pages",
        "scrape s",
        "audit pages",
        "audit s",
    )
    for step in found:
        shown.add_row(
            f"{step['cases']:,}",
            f"{step['events_per_second']:,.0f}",
            f"{step['pages_per_event']:,.1f}",
            f"{step['wal_bytes_per_event']:,.0f}",
            *(
                f"{step[what][unit]:,.{digits}f}"
                for what in ("status", "scrape", "audit")
                for unit, digits in (("pages", 0), ("seconds", 2))
            ),
        )
    out.print(shown)


if __name__ == "__main__":
    main()

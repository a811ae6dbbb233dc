"""DBOS: one workflow an event with one transactional step, so that effect and checkpoint commit together; two executors."""

import os
import signal
import sys
import threading

from dbos import DBOS, DBOSConfig, SQLAlchemyDatasource

from bench.work import Event, handle

QUEUE = "bench"
VERSION = "bench"
WORKERS_AT_ONCE = 32
POLL_SECONDS = 0.05
"""The default of one second would be the whole latency, and a bound of 64 events a second."""

config: DBOSConfig = {
    "name": "bench",
    "system_database_url": os.environ["BENCH_DSN"],
    "application_version": VERSION,
    "executor_id": sys.argv[1] if len(sys.argv) > 1 else "none",
    "log_level": "ERROR",
}


def main() -> None:
    """One executor, until told to end; `migrate` only makes the tables."""
    DBOS(config=config)
    books = SQLAlchemyDatasource.create(os.environ["REFUNDS_DATABASE_URL"], schema="dbos_books")

    # every account is locked first, so the level of the other peers is enough
    @books.transaction(isolation_level="READ COMMITTED")
    def apply(event: Event) -> None:
        handle(books.sql_session(), event)

    @DBOS.workflow(name="bench.failed")
    def failed(event: Event) -> None:
        apply(event)

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    DBOS.launch()
    if sys.argv[1:] == ["migrate"]:
        DBOS.destroy()
        return
    DBOS.register_queue(QUEUE, worker_concurrency=WORKERS_AT_ONCE, polling_interval_sec=POLL_SECONDS, on_conflict="always_update")
    stop.wait()
    DBOS.destroy(workflow_completion_timeout_sec=2)


if __name__ == "__main__":
    main()

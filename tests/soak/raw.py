"""What one would write first: a Celery task that gives credits back. Run beside ours, under the same kills."""

import os
from typing import Any

import psycopg
from celery import Celery

QUEUE = "soak-raw"
app = Celery("raw", broker=os.environ.get("REFUNDS_REDIS_URL", ""))
app.conf.update(
    task_default_queue=QUEUE, task_ignore_result=True, broker_connection_retry_on_startup=True, worker_hijack_root_logger=False
)
_open: list[psycopg.Connection[Any]] = []


def _database() -> psycopg.Connection[Any]:
    if not _open or _open[0].closed:
        _open[:] = [psycopg.connect(os.environ["SOAK_DSN"])]
    return _open[0]


@app.task(name="soak.give_back", autoretry_for=(psycopg.OperationalError,), retry_backoff=1, max_retries=5)
def give_back(job_id: str) -> None:
    """Gives the credits of one job back."""
    with _database() as connection:
        connection.execute("insert into raw_reversals (job_id) values (%s)", (job_id,))


def prepare(dsn: str) -> None:
    """The table that it books in."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create table if not exists raw_reversals (job_id text not null)")

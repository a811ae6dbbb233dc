"""Plain Celery: one task an event, one ORM transaction an event, prefork with two children."""

import os

from celery import Celery, signals
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from bench.work import Event, handle

QUEUE = "bench-celery"
app = Celery("plain", broker=os.environ["REFUNDS_REDIS_URL"])
app.conf.update(
    # as one would have it for work that may not be lost; nobody reads results
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_default_queue=QUEUE,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)
engine: Engine | None = None


@signals.worker_process_init.connect
def _open(**_: object) -> None:
    global engine
    engine = create_engine(os.environ["REFUNDS_DATABASE_URL"])


@app.task(name="bench.failed")
def failed(event: Event) -> None:
    """Handles one failure."""
    with Session(engine) as session, session.begin():
        handle(session, event)

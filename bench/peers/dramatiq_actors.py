"""Dramatiq: one message an event, one ORM transaction an event; two processes with eight threads each, its default."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from bench.work import Event, handle

dramatiq.set_broker(RedisBroker(url=os.environ["REFUNDS_REDIS_URL"]))
engine = create_engine(os.environ["REFUNDS_DATABASE_URL"], pool_size=8)


@dramatiq.actor(queue_name="bench-dramatiq")
def failed(event: Event) -> None:
    """Handles one failure."""
    with Session(engine) as session, session.begin():
        handle(session, event)

"""Procrastinate: the queue in Postgres, asynchronous tasks as its documentation advises; two workers of eight jobs at a time."""

import os

from procrastinate import App, PsycopgConnector
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from bench.work import Event, handle

SCHEMA = "procrastinate"
engine = create_async_engine(os.environ["REFUNDS_DATABASE_URL"], pool_size=8)
app = App(connector=PsycopgConnector(conninfo=os.environ["BENCH_DSN"], kwargs={"options": f"-c search_path={SCHEMA}"}))


@app.task(name="bench.failed", queue="bench")
async def failed(event: Event) -> None:
    """Handles one failure."""
    async with AsyncSession(engine) as session, session.begin():
        await session.run_sync(handle, event)

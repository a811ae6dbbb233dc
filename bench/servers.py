"""The bench's own Postgres and Redis: nothing else uses them, and no durability is taken away.

Postgres keeps its defaults for fsync, synchronous_commit and full_page_writes; Redis appends every write and syncs every second.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
from psycopg import sql
from sqlalchemy import make_url

from tests.postgres import start_postgres
from worker.sandbox.servers import Running, start_redis
from worker.store.engine import Store
from worker.store.schema import upgrade

ROOT = Path(__file__).resolve().parents[1]
EMPTY, OLD, WORK = "bench_empty", "bench_old", "bench"
POSTGRES_OPTIONS = {
    "shared_buffers": "1GB",
    "max_connections": "200",
    # no checkpoint falls into a measurement by chance: one is made before each
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
}


@dataclass(frozen=True)
class Place:
    """One database and the Redis beside it."""

    url: str
    redis_url: str

    @property
    def dsn(self) -> str:
        """The address as psycopg takes it."""
        return make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=False)

    def connect(self) -> psycopg.Connection:
        """A session of the bench, each statement its own transaction."""
        return psycopg.connect(self.dsn, autocommit=True)

    def environment(self) -> dict[str, str]:
        """What processes under measurement are told: the tree that the bench runs in, and these servers."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("REFUNDS_")}
        ours = {
            "PYTHONPATH": str(ROOT),
            "REFUNDS_DATABASE_URL": self.url,
            "REFUNDS_REDIS_URL": self.redis_url,
            "REFUNDS_LOG_LEVEL": "warning",
            "BENCH_DSN": self.dsn,
        }
        return kept | ours


@dataclass(frozen=True)
class Servers:
    """Both servers, with the schema of this tree in a template."""

    postgres: Running
    redis: Running

    def place(self, database: str) -> Place:
        """A database by its name."""
        url = make_url(self.postgres.url).set(database=database).render_as_string(hide_password=False)
        return Place(url, self.redis.url)

    def fresh(self, database: str = WORK, template: str = EMPTY) -> Place:
        """The database made anew out of `template`, Redis emptied."""
        with self.place("postgres").connect() as admin:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database)))
            made = sql.SQL("create database {} template {}")
            admin.execute(made.format(sql.Identifier(database), sql.Identifier(template)))
        self.flush()
        return self.place(database)

    def flush(self) -> None:
        """Empties Redis."""
        with redis.Redis.from_url(self.redis.url) as client:
            client.flushall()


@contextmanager
def servers(folder: Path, **options: str) -> Iterator[Servers]:
    """Both servers, with their data below `folder`, and a database with the product's schema to copy from.

    `options` are Postgres' own, beside those of every measurement.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with start_postgres(folder / "postgres", durable=True) as postgres, start_redis(folder / "redis") as cache:
        for name, value in (POSTGRES_OPTIONS | options).items():
            postgres.command += ["-c", f"{name}={value}"]
        # the later of two equal options counts
        postgres.restart()
        at = Servers(postgres, cache)
        empty = at.fresh(EMPTY, "template0")
        store = Store(empty.url)
        upgrade(store)
        store.close()
        yield at

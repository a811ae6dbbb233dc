"""Real servers for the tests, and how to wait for them without sleeping."""

import os
import shutil
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from psycopg import sql
from sqlalchemy import make_url

from worker.store.engine import Store
from worker.store.schema import upgrade

REDIS_OVERRIDE = "REFUNDS_TEST_REDIS_URL"
POSTGRES_OVERRIDE = "REFUNDS_TEST_POSTGRES_URL"


def eventually(predicate: Callable[[], object], within: float = 10.0) -> bool:
    """True as soon as `predicate()` is, False when it is not `within` seconds. For `assert eventually(...)`."""
    deadline, pause = time.monotonic() + within, threading.Event()
    while True:
        looked = time.monotonic()
        if predicate():
            return True
        now = time.monotonic()
        if now > deadline:
            return False
        # a look that costs a process of its own leaves the machine to those that are looked at for twice as long
        pause.wait(min(2.0, max(0.01, 2 * (now - looked))))


def answers(url: str) -> bool:
    """True when a Redis answers there."""
    try:
        return bool(redis.Redis.from_url(url).ping())
    except redis.RedisError:
        return False


@contextmanager
def serving(url: str, *command: str, folder: Path | None = None) -> Iterator[str]:
    """The URL at which the Redis of this command answers, for as long as it is needed."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        assert eventually(lambda: answers(url))
        yield url
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def commands(client: redis.Redis) -> Iterator[Counter[str]]:
    """What the server was asked to do meanwhile by whomever, by command, without what belongs to opening a connection."""
    done: Counter[str] = Counter()
    client.config_resetstat()
    yield done
    told: Any = client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in told.items()}
    done.update({name: times for name, times in calls.items() if name.split("|")[0] not in CONNECTING})


CONNECTING = {"auth", "client", "config", "hello", "info", "ping", "select"}
ON_POSTGRES = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what is about processes and Redis and not about the engine: the one of production."""
ON_EACH = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
"""For a table whose every row asks something else of the database, or at another moment."""
POSTGRES_AT_NIGHT = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgres", marks=pytest.mark.nightly)], indirect=True
)
"""For long tables of ends: what they ask of the database others ask of both engines sooner."""


def worker_number() -> int:
    """Which pytest-xdist worker this is, 0 without xdist: each has a Redis database of its own on a shared server."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def copied_again(template: Path, to: Path) -> str:
    """The URL of an SQLite file that has just become a copy of `template`, whatever was in its folder."""
    for left in to.parent.iterdir():
        left.unlink()
    shutil.copyfile(template, to)
    return f"sqlite:///{to}"


def a_name() -> str:
    """A name that no other database of the server has."""
    return f"test_{uuid.uuid4().hex}"


@contextmanager
def fresh_database(server_url: str, *, admin: psycopg.Connection | None = None) -> Iterator[str]:
    """The URL of an empty database made for this test alone, and dropped afterwards whoever is still in it. It sorts as a
    language does where the server can, for that is how the image in `docker-compose.yml` makes it. To sign in for either takes as
    long as to do it: `admin` has.
    """
    name = a_name()
    made = sql.SQL("create database {} template template0").format(sql.Identifier(name))
    with nullcontext(admin) if admin else signed_in(server_url) as session:
        if not _sorted_as_a_language(session, made):
            session.execute(made)
    try:
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with nullcontext(admin) if admin else signed_in(server_url) as session:
            session.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def signed_in(server_url: str) -> psycopg.Connection:
    """A session that may make databases and drop them."""
    return psycopg.connect(conninfo(server_url), autocommit=True)


def _sorted_as_a_language(admin: psycopg.Connection, made: sql.Composed) -> bool:
    """Makes the database so; False where the server was built without languages, or before it could."""
    try:
        admin.execute(made + sql.SQL(" locale_provider icu icu_locale 'en-US'"))
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.SyntaxError):
        return False
    return True


def give_schema(url: str) -> None:
    """This database has the schema of this release from now on."""
    store = Store(url)
    upgrade(store)
    store.close()


def believe_in_one_row(session: psycopg.Connection) -> None:
    """By its statistics each table of this database holds one row from now on, as one that was looked at early in its life. Of
    all plans those are then chosen that pay only there, and what depends on another plan shows. Only a superuser may say so.
    """
    with suppress(psycopg.errors.InsufficientPrivilege):
        session.execute(
            "update pg_class set reltuples = 1, relpages = 1"
            " where relkind = 'r' and relnamespace = 'public'::regnamespace and reltuples <> 1"
        )


def conninfo(url: str) -> str:
    """The URL as psycopg itself takes it, without SQLAlchemy's driver name."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def a_user(admin: redis.Redis, server: str, *without: str) -> Iterator[str]:
    """The URL of a user who may do everything but that."""
    admin.acl_setuser("lesser", enabled=True, nopass=True, keys=["*"], commands=["+@all", *(f"-{name}" for name in without)])
    try:
        place = urlsplit(server)
        yield place._replace(netloc=f"lesser:any@{place.netloc.rpartition('@')[2]}").geturl()
    finally:
        admin.acl_deluser("lesser")

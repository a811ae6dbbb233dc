"""What every session on Postgres is given, also where a pooler stands before the server.

A pooler may hand each transaction to another session (pgbouncer in transaction mode, which many hosts have by default). Settings
of a session are then anybody's, and so are prepared statements, by their names: with pgbouncer 1.18 and six clients on three
sessions, 26 of 360 statements ran as what another client had prepared. So nothing is left in a session that may not be ours.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, event, text

from worker.errors import Misconfigured, one_line

if TYPE_CHECKING:
    import psycopg

SETTINGS = {
    # how values are written: whoever runs the server, or made the role, may have set it otherwise
    "client_encoding": "UTF8",
    "datestyle": "ISO",
    "timezone": "UTC",
    "array_nulls": "on",
    # what is acknowledged stands on what was committed: a server that is killed may lose the last commits of a session without it
    "synchronous_commit": "on",
    # nothing may hang for ever; a lock held longer than this is somebody's defect, and what else waits goes on. Milliseconds
    "statement_timeout": "60000",
    "lock_timeout": "5000",
    "idle_in_transaction_session_timeout": "60000",
    # an audit and an upgrade take as long as there are rows, and begin again where their session is ended
    "transaction_timeout": "0",
    # what a batch names is looked up in an index: to read whole tables instead pays off only where a disk has a head to move
    "random_page_cost": "1.1",
    # a plan that is thought dear by mistake would be compiled as well, anew at each statement: a batch took twenty times as long
    "jit": "off",
}
# Sets all settings, but for the one that servers before 17 do not know, and gives the number of the server's session. Where that
# is not the number we were told when we connected, a pooler stands between, which tells each client a number of its own: the
# settings are then for this transaction alone.
_SET = """
    select max(pg_backend_pid()) from unnest(%s::text[], %s::text[]) as given (name, value)
    where case when name = 'transaction_timeout' and current_setting(name, true) is null then true
               else set_config(name, value, pg_backend_pid() <> %s) is not null end
"""
_NOBODY = 0
"""The number of no session: what is set is for this transaction alone."""
_POOLED = "pooled"


def prepare_sessions(engine: Engine, settings: Mapping[str, str]) -> None:
    """Every session of the engine has these settings from now on: for good, or through a pooler for each transaction."""
    # before SQLAlchemy's own first look at the server, which may be told where to look
    event.listen(engine, "connect", partial(_prepare, engine.dialect.loaded_dbapi, settings), insert=True)
    event.listen(engine, "begin", partial(_begin, settings))
    event.listen(engine, "checkin", _as_the_server_has_it)


def settings_of(url: URL) -> dict[str, str]:
    """`SETTINGS` with those that the URL names (`?options=-c name=value`), which stand.

    Raises `Misconfigured` for any other option.
    """
    return SETTINGS | dict(_named(url.normalized_query.get("options", ())))


def is_pooled(connection: Connection) -> bool:
    """Whether a pooler stands between us and the server."""
    return bool(connection.connection.info.get(_POOLED))


def is_asking(connection: Connection) -> bool:
    """Whether the server of Postgres is at a statement of ours."""
    status = getattr(getattr(connection.connection.dbapi_connection, "info", None), "transaction_status", None)
    return status is not None and status.name == "ACTIVE"


def settings_in_force(connection: Connection, names: Collection[str]) -> dict[str, str]:
    """What these settings of the server are for us at this moment, by their names."""
    return {name: str(connection.execute(text(f"show {name}")).scalar_one()) for name in names}


def _named(options: Sequence[str]) -> Iterator[tuple[str, str]]:
    words = iter(" ".join(options).split())
    for word in words:
        setting = next(words, "") if word == "-c" else word.removeprefix("--" if word.startswith("--") else "-c")
        name, equals, value = setting.partition("=")
        if not word.startswith(("-c", "--")) or not equals:
            raise Misconfigured(f"the database URL has options that are not understood at {word!r}: -c name=value is")
        yield name.replace("-", "_"), value


def _prepare(driver: Any, settings: Mapping[str, str], session: "psycopg.Connection[Any]", record: Any) -> None:
    known = session.info.backend_pid
    # a standby takes no transaction that is serializable, as those may be that say nothing, and could not say that it is one
    session.isolation_level = driver.IsolationLevel.READ_COMMITTED
    try:
        # in a transaction of its own, after which what is set for one transaction is gone
        with session.transaction():
            said = session.execute(_SET, (*_columns(settings), known), prepare=False).fetchone()
    except (driver.ProgrammingError, driver.DataError) as error:
        session.close()
        raise Misconfigured(f"the database does not take a setting of the session: {one_line(error)}") from error
    record.info[_POOLED] = said != (known,)
    if record.info[_POOLED]:
        session.prepare_threshold = None


def _begin(settings: Mapping[str, str], connection: Connection) -> None:
    if is_pooled(connection):
        connection.exec_driver_sql(_SET, (*_columns(settings), _NOBODY))


def _as_the_server_has_it(session: "psycopg.Connection[Any] | None", _: Any) -> None:
    # After a look SQLAlchemy gives a session back as one that may write, said with each transaction from then on: whoever set
    # `default_transaction_read_only`, to take the database elsewhere, was obeyed only by sessions that had read nothing yet.
    if session is not None and session.read_only is not None:
        session.read_only = None


def _columns(settings: Mapping[str, str]) -> tuple[list[str], list[str]]:
    return list(settings), list(settings.values())

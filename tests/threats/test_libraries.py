"""How the libraries sort their errors is how we sort ours: an error that is new or has moved is seen before it is met (V8)."""

import inspect
from contextlib import closing

import psycopg
import pytest
import redis.exceptions
from sqlalchemy import make_url, text

from tests.servers import ON_POSTGRES, conninfo
from worker.errors import Misconfigured, TryLater
from worker.store.engine import Store
from worker.store.faults import GONE
from worker.store.schema import require_current

OF_CLUSTERS = {
    "ClusterCrossSlotError",
    "CrossSlotTransactionError",
    "IncorrectPolicyType",
    "RedisClusterException",
    "SlotNotCoveredError",
}
NOT_REDIS_ERRORS = (OF_CLUSTERS - {"ClusterCrossSlotError"}) | {"ChildDeadlockedError", "InvalidPipelineStack"}
AWAY = ("08001", "08006", "40001", "40P01", "53100", "53300", "55P03", "57014", "57P01", "57P02", "57P03", "58030")
"""Of a server that has no connection, room or time for us: the same unit of work will do later."""
DEFECTS = ("22P02", "23505", "42501", "42P01", "25P02", "XX000")


def test_errors_of_redis_are_of_the_one_kind_that_we_catch_but_those_of_clusters() -> None:
    kinds = [kind for _, kind in inspect.getmembers(redis.exceptions, inspect.isclass) if issubclass(kind, Exception)]
    assert {kind.__name__ for kind in kinds if not issubclass(kind, redis.RedisError)} == NOT_REDIS_ERRORS
    assert issubclass(redis.exceptions.BusyLoadingError, redis.ConnectionError)
    assert issubclass(redis.exceptions.ReadOnlyError, redis.ResponseError)


def test_errors_of_psycopg_are_of_the_kinds_that_we_sort_by() -> None:
    assert {state for state in AWAY if not issubclass(psycopg.errors.lookup(state), psycopg.OperationalError)} == set()
    assert {state for state in DEFECTS if issubclass(psycopg.errors.lookup(state), psycopg.OperationalError)} == set()
    assert {state for state in GONE if not issubclass(psycopg.errors.lookup(state), psycopg.InternalError)} == set()


@ON_POSTGRES
def test_server_that_only_reads_since_a_failover_is_away(store: Store) -> None:
    def fall(change: str) -> None:
        with psycopg.connect(conninfo(store.url), autocommit=True) as owner:
            owner.execute("set default_transaction_read_only = off")
            owner.execute(f"alter database {make_url(store.url).database} set default_transaction_read_only = {change}".encode())

    store.close()
    fall("on")
    with pytest.raises(TryLater, match="the database is not reachable: cannot execute UPDATE in a read-only transaction"):
        store.write(lambda tx: tx.connection.execute(text("update accounts set status = status")).rowcount)
    takes_none = "the database takes no writes: default_transaction_read_only is on"
    with closing(Store(store.url)) as another, pytest.raises(Misconfigured, match=takes_none):
        require_current(another)
    fall("off")
    assert store.write(lambda tx: tx.connection.execute(text("update accounts set status = status")).rowcount) == 0

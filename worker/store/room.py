"""Whether the database's disk takes more. What is read answers from a full one too, and so does many a small write."""

from sqlalchemy import text

from worker.store.bulk import Tx

_TAKE = "create temporary table refunds_room on commit drop as select n, md5(n::text) from generate_series(1, 100000) as n"


def take_room(tx: Tx) -> None:
    """Takes some megabytes for as long as the transaction is open. Raises what Postgres says where they are not there."""
    # in a file of its own: a row more would find its place in one that is there
    tx.connection.execute(text(_TAKE))

"""Whether the database's disk takes more. What is read answers from a full one too, and so does many a small write."""

from sqlalchemy import text

from worker.store.bulk import Tx

_TAKE_POSTGRES = text(
    "create temporary table refunds_room on commit drop as select n, md5(n::text) from generate_series(1, 100000) as n"
)
# more than SQLite keeps in memory until the commit
_TAKE_SQLITE = text("create table refunds_room as select zeroblob(4000000) as taken")


def take_room(tx: Tx) -> None:
    """Takes some megabytes for as long as the transaction is open, which is not to be kept. Raises what the database says where
    they are not there.
    """
    # on Postgres in a file of its own: a row more would find its place in one that is there
    tx.connection.execute(_TAKE_POSTGRES if tx.postgres else _TAKE_SQLITE)

"""Where in a database of Postgres our tables lie: which schema the search_path leads to, and whose tables are there.

The database may be the product's, and the session's settings somebody else's. What the search_path leads past looks as if it
was never made, and another program's version table looks like ours.
"""

from urllib.parse import quote

from sqlalchemy import text

from worker.store.bulk import Tx
from worker.store.tables import metadata

OURS = "case_history"
"""A table of ours since the first release, by a name that few others have."""
NAMED = 3
# `alembic_version` may be any program's: ours is the one beside our tables
_SCHEMAS = text("""
    with lying as (
        select c.oid, c.relname::text as name, n.nspname::text as schema, pg_table_is_visible(c.oid) as found
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p') and c.relname = any(:ours) and n.nspname <> all(array['pg_catalog', 'information_schema'])
    )
    select current_schema()::text as here, current_setting('search_path') as path,
           (select schema from lying where name = 'alembic_version' and found) as version_in,
           (select schema from lying where name = :known_by and found) as ours_in,
           array(select one.schema from lying one join lying other using (schema)
                 where one.name = :known_by and other.name = 'alembic_version' and has_schema_privilege(schema, 'usage')
                 order by 1) as homes,
           array(select name from lying where schema = current_schema() order by 1) as taken
""")


def astray(tx: Tx, *, anew: bool) -> str | None:
    """Why the search_path leads to no tables of ours, and to nowhere that they may be made; None where it does.

    `anew`: the schema was named on purpose, and may get tables of its own beside those in another.
    """
    if not tx.postgres:
        return None
    found = tx.one(_SCHEMAS, ours=[*metadata.tables, "alembic_version"], known_by=OURS)
    if found.ours_in is not None and found.ours_in == found.version_in:
        return None
    if found.homes and not (anew and found.version_in is None):
        past = f"the search_path ({found.path}) leads past the tables, which lie in the schema {' and '.join(found.homes)}"
        other = "for an installation of its own name its own schema so, and run `refunds db upgrade`"
        return f"{past}: {_naming(found.homes[0])}; {other}"
    if found.here is None:
        return f"the search_path ({found.path}) names no schema that is there and open to this role"
    if found.version_in is not None or found.taken:
        in_the_way = ", ".join(found.taken[:NAMED]) or "alembic_version"
        where = found.here if found.taken else found.version_in
        return f"the schema {where} holds another program's {in_the_way}: create one for this alone, and {_naming('refunds')}"
    return None


def _naming(schema: str) -> str:
    return f"name that one alone in the address, …?options=-csearch_path%3D{quote(schema)}"

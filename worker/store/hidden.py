"""Whether rows of ours are kept from us: row security that somebody switched on answers with those left, without a word."""

from sqlalchemy import text

from worker.store.bulk import Tx
from worker.store.tables import metadata

NAMED = 5
# A policy for all rows hides none: of those that say so in another way nobody can tell. To be read, and where the role changes
# rows to be changed; what may not be added is refused with an error.
_HIDDEN = text("""
    select c.relname::text as name
    from pg_class c
    where c.relname = any(:ours) and c.relrowsecurity and pg_table_is_visible(c.oid) and row_security_active(c.oid)
      and exists (
        select from (values ('r', 'select'), ('w', 'update')) as done (what, privilege)
        where has_table_privilege(c.oid, done.privilege)
          and (select count(*) filter (where whole and p.polpermissive) = 0 or bool_or(not whole and not p.polpermissive)
               from (select polpermissive, pg_get_expr(polqual, polrelid) = 'true' as whole from pg_policy
                     where polrelid = c.oid and polcmd::text in ('*', done.what)
                       and (0 = any(polroles) or exists (select from unnest(polroles) role where pg_has_role(role, 'usage')))) p))
    order by 1
""")


def hidden(tx: Tx) -> str | None:
    """Why this role does not see every row of ours, or finds some that it may not change; None where it does, and on SQLite."""
    if not tx.postgres:
        return None
    tables = list(tx.connection.execute(_HIDDEN, {"ours": [*metadata.tables, "alembic_version"]}).scalars())
    if not tables:
        return None
    named = ", ".join(tables[:NAMED]) + (f" and {len(tables) - NAMED} more" if len(tables) > NAMED else "")
    right = "switch it off for them, or give the role BYPASSRLS or a policy `using (true)`"
    return f"row security hides rows of {named} from this role, which would be taken for not there: {right}"

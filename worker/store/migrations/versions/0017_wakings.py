"""Which cases somebody is waking, and how often that began: a case that ends its process each time keeps no other from its turn.

Expands only: a worker of the release before wakes cases without looking here.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
# a row goes with the waking; `deploy/postgres/roles.sql` gives new installations the same
GRANT = """
do $$ begin
  if exists (select from pg_roles where rolname = 'refunds_worker') then grant delete on wakings to refunds_worker; end if;
end $$"""


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "wakings",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("begun", sa.Integer(), nullable=False),
        sa.Column("until", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_wakings")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(GRANT)

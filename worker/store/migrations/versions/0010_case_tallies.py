"""Cases are counted as they change, so that their number need not be asked of all of them.

Each statement that enters or changes cases leaves the differences by state in `case_tallies`, by triggers: whoever writes, an
older release too, is counted. Expands only. A later migration that builds `cases` anew on SQLite has to make the triggers again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

ON_POSTGRES = (
    """
create function tally_entered_cases() returns trigger language plpgsql as $$
begin
  insert into case_tallies (state, cases, credits_reversed, delivered_late)
  select state, count(*), sum(credits_reversed), count(*) filter (where delivered_late) from entered group by state;
  return null;
end $$""",
    """
create function tally_changed_cases() returns trigger language plpgsql as $$
begin
  insert into case_tallies (state, cases, credits_reversed, delivered_late)
  select state, sum(one), sum(one * credits_reversed), sum(one * delivered_late::int)
  from (select 1 as one, state, credits_reversed, delivered_late from after_it
        union all select -1, state, credits_reversed, delivered_late from before_it) as both_sides
  group by state
  having sum(one) <> 0 or sum(one * credits_reversed) <> 0 or sum(one * delivered_late::int) <> 0;
  return null;
end $$""",
    """
create trigger tally_entered after insert on cases
referencing new table as entered for each statement execute function tally_entered_cases()""",
    """
create trigger tally_changed after update on cases
referencing old table as before_it new table as after_it for each statement execute function tally_changed_cases()""",
    # folding deletes the rows that it adds up; `deploy/postgres/roles.sql` gives new installations the same
    """
do $$ begin
  if exists (select from pg_roles where rolname = 'refunds_worker') then grant delete on case_tallies to refunds_worker; end if;
end $$""",
)
ON_SQLITE = (
    """
create trigger tally_entered after insert on cases begin
  insert into case_tallies (state, cases, credits_reversed, delivered_late)
  values (new.state, 1, new.credits_reversed, new.delivered_late);
end""",
    """
create trigger tally_changed after update on cases
when old.state <> new.state or old.credits_reversed <> new.credits_reversed or old.delivered_late <> new.delivered_late begin
  insert into case_tallies (state, cases, credits_reversed, delivered_late) values
    (old.state, -1, -old.credits_reversed, -old.delivered_late), (new.state, 1, new.credits_reversed, new.delivered_late);
end""",
)
THOSE_THERE = """
insert into case_tallies (state, cases, credits_reversed, delivered_late)
select state, count(*), sum(credits_reversed), count(case when delivered_late then 1 end) from cases group by state"""
# a database with a past is the live installation's: no observer shall take it for its own
OF_THE_LIVE_ONE = "insert into installation (name, value) select 'group', 'refunds' where exists (select 1 from accounts)"


def upgrade() -> None:
    """Adds the table, the triggers and what is there already; nobody writes cases in between."""
    op.create_table(
        "case_tallies",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cases", BIG, nullable=False),
        sa.Column("credits_reversed", BIG, nullable=False),
        sa.Column("delivered_late", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_tallies")),
    )
    # the triggers take a lock on `cases` that lasts to the end: what is counted after them is all there is
    for statement in ON_POSTGRES if op.get_bind().dialect.name == "postgresql" else ON_SQLITE:
        op.execute(statement)
    op.execute(THOSE_THERE)
    op.execute(OF_THE_LIVE_ONE)
    op.create_index("ix_cases_closed", "cases", ["closed_at"], postgresql_using="brin")

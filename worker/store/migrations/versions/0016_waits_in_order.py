"""What waits for a person is found in its order, however much else waits or has ended; and when reconcile last came to its end.

Neither index holds a row that an ordinary event writes. Expands only.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

INDEXES = (
    # the queue of `refunds review list`
    ("ix_cases_queue", ["case_id"], "state = 'review' or state = 'waiting' and kind = 'request'"),
    # requests that a person has, by what decided so: each sweep asks for those that wait for a job's end
    ("ix_cases_asked", ["rule"], "kind = 'request' and state = 'review'"),
)


def upgrade() -> None:
    """Makes the indexes, but for those that are there, and lets the time that reconcile has begin now: one that never comes to
    its end is late, too.
    """
    for name, columns, those in INDEXES:
        where = sa.text(those)
        op.create_index(name, "cases", columns, postgresql_where=where, sqlite_where=where, if_not_exists=True)
    installation = sa.table("installation", sa.column("name", sa.Text), sa.column("value", sa.Text))
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    op.bulk_insert(installation, [{"name": "reconciled_at", "value": now}])

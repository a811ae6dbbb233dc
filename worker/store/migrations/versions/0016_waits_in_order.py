"""What waits for a person is found in its order, however much else waits or has ended.

Neither index holds a row that an ordinary event writes. Expands only.
"""

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
    """Makes the indexes, but for those that are there."""
    for name, columns, those in INDEXES:
        where = sa.text(those)
        op.create_index(name, "cases", columns, postgresql_where=where, sqlite_where=where, if_not_exists=True)

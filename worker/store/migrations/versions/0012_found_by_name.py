"""What people ask for by name is found by an index: a case by its job or order, a purchase by its order, a mail by its job.

A case of a job is found by its subject already, so these indexes hold the few other cases, and no event touches them. Expands
only.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_cases_others_job", "cases", ["job_id"], "kind <> 'job'"),
    ("ix_cases_order", "cases", ["order_id"], "order_id is not null"),
    ("ix_purchases_order", "purchases", ["order_id"], "order_id is not null"),
    ("ix_requests_job", "requests", ["job_id"], "job_id is not null"),
)


def upgrade() -> None:
    """Makes the indexes."""
    for name, table, columns, those in INDEXES:
        op.create_index(name, table, columns, postgresql_where=sa.text(those), sqlite_where=sa.text(those))

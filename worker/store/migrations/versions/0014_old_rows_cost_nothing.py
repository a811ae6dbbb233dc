"""What the steps ask is answered by an index, however many old purchases, claims, webhooks and waiting reports there are.

None of these indexes holds a row that an ordinary event writes. Expands only.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

INDEXES = (
    # the newest purchase of a product, by which a webhook is placed
    ("ix_purchases_product", "purchases", ["product_id", "paid_at"], "product_id is not null"),
    # open claims by their lot, and all by their charge, whichever environment
    ("ix_payments_open", "payments", ["purchase_id"], "due_at is not null"),
    ("ix_payments_transaction", "payments", ["transaction_id"], None),
    # what `refunds status` counts
    ("ix_charges_disputed", "charges", ["transaction_id"], "disputed_at is not null"),
    ("ix_notices_untold", "notices", ["state"], "state in ('unknown','refused')"),
    # what Creem said and nobody has looked at yet
    ("ix_inbox_told", "inbox", ["id"], "state = 'new' and source = '/creem'"),
    # reports that wait for a job, by when they are looked at next
    ("ix_inbox_awaited", "inbox", ["due_at"], "state = 'waiting'"),
)


def upgrade() -> None:
    """Makes the indexes, but for those that are there: an owner may have made one beside running workers before."""
    for name, table, columns, those in INDEXES:
        where = sa.text(those) if those else None
        op.create_index(name, table, columns, postgresql_where=where, sqlite_where=where, if_not_exists=True)

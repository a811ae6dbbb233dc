"""One customer's transactions at Creem against our purchases and claims: where the two sides do not agree, by how much, and what
a person does about it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, and_, func, or_, select

from policy import Terms, find_duplicates
from policy.lifecycle import PaymentState
from policy.words import lasting, money
from worker.cases.money.charges import SUCCEEDED, in_another_currency
from worker.cases.money.facts import named_charges
from worker.creem.transactions import AS_PARTLY, CHARGED_BACK, PAID, TELLS_OF_REFUNDS, Transaction
from worker.store.bulk import Tx
from worker.store.tables import charges, creem_refunds, payments, purchases

HELD = TELLS_OF_REFUNDS | {CHARGED_BACK}
"""Words for a charge that was collected; others never held money."""
PATIENCE = timedelta(days=1)
"""How long Creem may tell of a refund that no read shows before somebody is told of that."""
NEVER_AGAIN = "nothing is sent for it again by itself: what is owed still, a person gives back in the dashboard"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the two sides do not agree on. `cents`: by how much, in minor units."""

    check: str
    row: str
    problem: str
    do: str
    cents: int = 0

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {"check": self.check, "row": self.row, "problem": self.problem, "do": self.do, "cents": self.cents}


def compare(tx: Tx, customer_id: str, seen: Sequence[Transaction], since: datetime | None) -> list[Finding]:
    """Every disagreement about this customer's charges. What Creem does not list counts for purchases made `since` then; None
    where its list came short, which proves nobody's absence.
    """
    bought = {row.transaction_id: row for row in _bought(tx, customer_id)}
    found: list[Finding] = []
    for transaction in seen:
        row = bought.get(transaction.id)
        if row is not None:
            found += _differs(row, transaction)
        elif transaction.status in HELD and (transaction.amount_paid or 0) > transaction.refunded_amount:
            left = (transaction.amount_paid or 0) - transaction.refunded_amount
            problem = f"Creem charged {customer_id} {money(left, transaction.currency)}; we have no purchase for it"
            do = "import the purchase, or have Creem send its webhook again from the dashboard"
            found.append(Finding("charge_without_purchase", transaction.id, problem, do, left))
    there = {transaction.id for transaction in seen}
    for transaction_id, row in bought.items():
        if transaction_id is not None and transaction_id not in there and since is not None and row.paid_at >= since:
            problem = f"purchase {row.purchase_id} names it; Creem does not list it for {customer_id}"
            do = "check customer and environment of the purchase; nothing is refunded on it"
            found.append(Finding("purchase_unknown_to_creem", transaction_id, problem, do, row.amount))
    return [*found, *_nameless(tx, seen)]


def may_be(purchase: Row[Any], seen: Transaction) -> bool:
    """True where the transaction is what the purchase says: of its customer, if both are known, its currency and its amount."""
    one_customer = purchase.customer_id is None or seen.customer in {None, purchase.customer_id}
    return one_customer and purchase.currency == seen.currency and purchase.amount in {seen.amount, seen.amount_paid}


def _nameless(tx: Tx, seen: Sequence[Transaction]) -> list[Finding]:
    """Purchases of these orders of which it stayed open which of the transactions they are."""
    p = purchases.c
    shown: dict[str, list[str]] = {}
    for each in seen:
        if each.order is not None:
            said = money(each.amount if each.amount_paid is None else each.amount_paid, each.currency)
            shown.setdefault(each.order, []).append(f"{each.id}, {each.status_verbatim}, {said}")
    chosen = select(p.purchase_id, p.order_id, p.amount, p.currency).where(
        p.transaction_id.is_(None), tx.among(p.order_id, shown)
    )
    do = "find out in Creem's dashboard which one it is, and import the purchase again with that transaction_id"
    found: list[Finding] = []
    for row in tx.all(chosen.order_by(p.purchase_id)):
        problem = (
            f"booked as {money(row.amount, row.currency)}, and which of these it is stays open: {'; '.join(shown[row.order_id])}"
        )
        found.append(Finding("order_without_transaction", row.purchase_id, problem, do))
    return found


def nothing_to_compare_by(tx: Tx, since: datetime) -> list[Finding]:
    """Paid purchases since then of which nobody told the customer or the product: none is ever found to be charged twice."""
    p = purchases.c
    unnamed = (p.paid_at >= since, p.amount > 0, or_(p.customer_id.is_(None), p.product_id.is_(None)))
    row = tx.one(select(func.count().label("purchases"), func.min(p.purchase_id).label("one")).where(*unnamed))
    if not row.purchases:
        return []
    problem = f"{row.purchases} paid purchases, this one among them, name no customer at Creem or no product; none is compared"
    do = "import them again with customer_id and product_id: what is missing is added, and duplicates among them are found"
    return [Finding("nothing_to_compare_by", row.one, problem, do)]


def told_beyond(tx: Tx, since: datetime) -> list[Finding]:
    """Charges of which Creem told more succeeded refunds since then than were paid for them, each refund once by its own id."""
    rows = tx.all(_beyond().having(func.max(creem_refunds.c.heard_at) >= since).order_by(charges.c.transaction_id))
    do = "look at the charge in Creem's dashboard: it may have gone back twice, and only there can that be seen"
    found: list[Finding] = []
    for row in rows:
        all_told, paid = money(row.told, row.currency), money(row.amount_paid, row.currency)
        problem = f"Creem told of {row.refunds} refunds, {all_told} of {paid} paid"
        cents = int(row.told - row.amount_paid)
        found.append(Finding("refunded_beyond_what_was_paid", row.transaction_id, problem, do, cents))
    return found


def told_and_not_read(tx: Tx, now: datetime) -> list[Finding]:
    """Charges of which Creem told more a day ago than any read has shown since: they cannot be read, or do not have it."""
    do = "look at the charge in Creem's dashboard, and ask Creem why it is not shown; it goes on being read by itself"
    return [
        Finding(
            "refund_not_read",
            row.transaction_id,
            f"Creem told {lasting(now - row.heard_at)} ago of {money(row.told, row.currency)} given back; no read shows it",
            do,
            int(row.told - row.refunded),
        )
        for row in tx.all(_not_read(now).order_by(charges.c.transaction_id))
    ]


def _not_read(now: datetime) -> Select[Any]:
    c, r = charges.c, creem_refunds.c
    told = func.sum(r.amount)
    summed = select(c.transaction_id, c.refunded, r.currency, told.label("told"), func.max(r.heard_at).label("heard_at"))
    # what is due was not yet shown to have all that was told
    late = (c.due_at.is_not(None), r.status == SUCCEEDED, r.heard_at < now - PATIENCE, ~in_another_currency())
    summed = summed.join(creem_refunds, r.transaction_id == c.transaction_id).where(*late)
    return summed.group_by(c.transaction_id, c.refunded, r.currency).having(told > c.refunded)


def _beyond() -> Select[Any]:
    c, r = charges.c, creem_refunds.c
    told = func.sum(r.amount)
    summed = select(c.transaction_id, c.amount_paid, r.currency, told.label("told"), func.count().label("refunds"))
    summed = summed.join(creem_refunds, r.transaction_id == c.transaction_id).where(r.status == SUCCEEDED, c.amount_paid > 0)
    grouped = summed.group_by(c.transaction_id, c.amount_paid, r.currency).having(told > c.amount_paid)
    return grouped.where(~in_another_currency())


def told_otherwise(tx: Tx, since: datetime) -> list[Finding]:
    """Refunds that Creem told of since then in another currency than the charge was booked in: they are added to nothing."""
    p, r = purchases.c, creem_refunds.c
    chosen = select(r.transaction_id, r.refund_id, r.amount, r.currency, p.currency.label("booked"))
    chosen = chosen.join(purchases, p.transaction_id == r.transaction_id)
    rows = tx.all(chosen.where(r.currency != p.currency, r.status == SUCCEEDED, r.heard_at >= since).order_by(r.refund_id))
    return [
        Finding(
            "refund_in_another_currency",
            row.transaction_id,
            f"Creem told of {row.refund_id}, {money(row.amount, row.currency)}; the charge was booked in {row.booked}",
            "compare with Creem's dashboard; what a read of the charge shows counts",
        )
        for row in rows
    ]


def on_two_accounts(tx: Tx, since: datetime, terms_at: Callable[[datetime], Terms]) -> list[Finding]:
    """Charges since then that would be duplicates if the other account they stand on were theirs: a customer at Creem may have
    several, and each case looks at one.
    """
    p = purchases.c
    same = (p.customer_id, p.product_id, p.currency)
    paid = (p.paid_at >= since, p.amount > 0, p.customer_id.is_not(None), p.product_id.is_not(None))
    several = select(*same).where(*paid).group_by(*same).having(func.count(p.account_id.distinct()) > 1).subquery("several")
    theirs = and_(*(several.c[column.name] == column for column in same))
    chosen = select(p.purchase_id).join(several, theirs).where(*paid)
    known = {charge.facts.purchase_id: charge.facts for charge in named_charges(tx, {row.purchase_id for row in tx.all(chosen)})}
    do = "only a person can tell whether it was paid twice: if so, give one back in Creem's dashboard; nothing is sent by itself"
    found: list[Finding] = []
    for name, first in sorted(find_duplicates(list(known.values()), terms_at).items()):
        charge = known[name]
        if charge.account_id == first.account_id:
            continue
        price, apart = money(charge.amount, charge.currency), lasting(charge.paid_at - first.paid_at)
        problem = (
            f"{charge.customer_id} paid {price} for {charge.account_id}, {apart} after {first.purchase_id} for {first.account_id}"
        )
        found.append(Finding("charged_on_two_accounts", name, problem, do, charge.amount))
    return found


def _bought(tx: Tx, customer_id: str) -> Sequence[Row[Any]]:
    p = purchases.c
    columns = (
        *(p.purchase_id, p.transaction_id, p.amount, p.currency, p.paid_at),
        charges.c.refunded.label("known_refunded"),
        payments.c.state.label("payment_state"),
        payments.c.refunded.label("we_refunded"),
    )
    joined = select(*columns).outerjoin(charges, charges.c.transaction_id == p.transaction_id)
    joined = joined.outerjoin(payments, payments.c.transaction_id == p.transaction_id)
    return tx.all(joined.where(p.customer_id == customer_id).order_by(p.paid_at))


def _differs(row: Row[Any], seen: Transaction) -> list[Finding]:
    found = []
    if row.currency != seen.currency:
        problem = f"booked in {row.currency}, charged in {seen.currency}"
        found.append(Finding("currency", seen.id, problem, "correct the purchase in the product's books", row.amount))
    elif row.amount not in {seen.amount, seen.amount_paid} and seen.amount_paid is not None:
        problem = f"booked as {money(row.amount, row.currency)}, charged {money(seen.amount_paid, seen.currency)}"
        do = "correct the purchase in the product's books; it is not refunded by itself"
        found.append(Finding("amount", seen.id, problem, do, abs(row.amount - seen.amount_paid)))
    if row.payment_state == PaymentState.REFUNDED.value and seen.refunded_amount < row.we_refunded and not seen.refunded_whole:
        short = row.we_refunded - seen.refunded_amount
        proved, shown = money(row.we_refunded, row.currency), money(seen.refunded_amount, seen.currency)
        problem = f"we have proof of {proved} given back; Creem now shows {shown}"
        found.append(
            Finding("refund_not_shown", seen.id, problem, f"ask Creem, naming the trace id of the call; {NEVER_AGAIN}", short)
        )
    elif (row.known_refunded or 0) > seen.refunded_amount and not seen.refunded_whole and not seen.chargeback:
        behind = row.known_refunded - seen.refunded_amount
        told, shown = money(row.known_refunded, row.currency), money(seen.refunded_amount, seen.currency)
        problem = f"we knew of {told} given back; Creem shows {shown}"
        found.append(Finding("refund_not_shown", seen.id, problem, f"compare with Creem's dashboard; {NEVER_AGAIN}", behind))
    return found


def in_doubt(tx: Tx, now: datetime) -> dict[str, int]:
    """How many charges Creem and we do not agree on in what went back, by check, as far as our rows alone can tell: what was last
    read of them says less than was known, more was told of than was paid, or what was told of could not be read since.
    """
    c = charges.c
    nothing = and_(c.status == PAID, c.refunded > 0)
    not_all = and_(c.status.in_(AS_PARTLY), c.refunded >= c.amount_paid)
    not_shown = select(func.count()).where(or_(nothing, not_all))
    counted = {"refunded_beyond_what_was_paid": _beyond(), "refund_not_read": _not_read(now)}
    others = {check: int(tx.value(select(func.count()).select_from(chosen.subquery()))) for check, chosen in counted.items()}
    return {"refund_not_shown": int(tx.value(not_shown)), **others}

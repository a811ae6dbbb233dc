"""Searching transactions, page by page to the end: no sort order is promised, so nothing can be left out (creem-api.md, 4.2)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.creem.reading import Unreadable
from worker.creem.reads import CreemAway, Reads
from worker.creem.transactions import Transaction, read_transaction
from worker.creem.wire import Ask

PATH = "/v1/transactions/search"
PAGE_SIZE, PAGES = 100, 100
"""A customer with more than 10,000 charges is a person's case."""
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Page:
    transactions: tuple[Transaction, ...] = ()
    next: int | None = None


def of_customer(reads: Reads, customer_id: str) -> list[Transaction]:
    """Every transaction of the customer, each once, oldest first; empty also where Creem does not know the customer.

    Each page is a question of its own, with tries and a time of its own. Raises what `Reads.ask` raises.
    """
    found: dict[str, Transaction] = {}
    number: int | None = 1
    while number is not None:
        if number > PAGES:
            raise CreemAway("Creem", f"a search goes on after {PAGES} pages of {PAGE_SIZE}")
        query = {"customer_id": customer_id, "page_number": str(number), "page_size": str(PAGE_SIZE)}
        page = reads.ask(Ask("GET", PATH, query), _page) or _Page()
        # what moves while we turn pages comes twice: what was read last counts
        found |= {transaction.id: transaction for transaction in page.transactions}
        if page.next is not None and page.next <= number:
            raise CreemAway("Creem", f"a search leads from page {number} to page {page.next}")
        number = page.next
    return sorted(found.values(), key=lambda transaction: (transaction.created_at or _NEVER, transaction.id))


def _page(document: dict[str, Any]) -> _Page:
    items, pagination = document.get("items"), document.get("pagination")
    if not isinstance(items, list) or not isinstance(pagination, dict):
        raise Unreadable("a page has `items` and `pagination`; at least one of them is missing")
    if "next_page" not in pagination:
        raise Unreadable("the page does not say whether another one follows")
    following = pagination["next_page"]
    if isinstance(following, float) and following.is_integer():
        following = int(following)
    if following is not None and (isinstance(following, bool) or not isinstance(following, int)):
        raise Unreadable("the number of the next page is no whole number")
    return _Page(tuple(read_transaction(item) for item in items), following)

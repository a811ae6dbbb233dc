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
    records: int = 0
    pages: int = 0
    """How many there are in all, as this page says it."""


class CameShort(CreemAway):
    """A search ended before it had shown all that there is. What it did show, `seen`, is as Creem has it."""

    def __init__(self, why: str, seen: list[Transaction]) -> None:
        super().__init__(why)
        self.seen = seen


def of_customer(reads: Reads, customer_id: str) -> list[Transaction]:
    """Every transaction of the customer, each once, oldest first; empty also where Creem does not know the customer.

    Each page is a question of its own, with tries and a time of its own. Raises what `Reads.ask` raises, and `CameShort` where
    fewer were seen than Creem says there are: a page that moved while we turned it proves nobody's absence.
    """
    found: dict[str, Transaction] = {}
    number: int | None = 1
    while number is not None:
        if number > PAGES:
            raise CameShort(f"a search goes on after {PAGES} pages of {PAGE_SIZE}", _in_order(found))
        query = {"customer_id": customer_id, "page_number": str(number), "page_size": str(PAGE_SIZE)}
        page = reads.ask(Ask("GET", PATH, query), _page)
        if page is None and number > 1:
            raise CameShort(f"a search led to page {number}, and Creem knows of none there", _in_order(found))
        page = page or _Page()
        # what moves while we turn pages comes twice: what was read last counts
        found |= {transaction.id: transaction for transaction in page.transactions}
        if page.next is not None and page.next <= number:
            raise CameShort(f"a search leads from page {number} to page {page.next}", _in_order(found))
        if page.next is None and (number < page.pages or len(found) < page.records):
            said = f"{len(found)} of {page.records} transactions on {number} of {page.pages} pages"
            raise CameShort(f"a search came to its end after {said}", _in_order(found))
        number = page.next
    return _in_order(found)


def _in_order(found: dict[str, Transaction]) -> list[Transaction]:
    return sorted(found.values(), key=lambda transaction: (transaction.created_at or _NEVER, transaction.id))


def _page(document: dict[str, Any]) -> _Page:
    items, pagination = document.get("items"), document.get("pagination")
    if not isinstance(items, list) or not isinstance(pagination, dict):
        raise Unreadable("a page has `items` and `pagination`; at least one of them is missing")
    if "next_page" not in pagination:
        raise Unreadable("the page does not say whether another one follows")
    following = _whole(pagination["next_page"], "number of the next page")
    records, pages = (_whole(pagination.get(name), name) or 0 for name in ("total_records", "total_pages"))
    return _Page(tuple(read_transaction(item) for item in items), following, records, pages)


def _whole(number: object, what: str) -> int | None:
    if isinstance(number, float) and number.is_integer():
        return int(number)
    if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
        raise Unreadable(f"the {what} is no whole number")
    return number

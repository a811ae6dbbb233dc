"""Searching: every page to its end, each transaction once, and no page that cannot be read taken for an empty one."""

from typing import Any

import httpx
import pytest

from tests.creem.world import a_transaction, an_error, here, saying
from worker.creem.search import CameShort
from worker.errors import TryLater

NO_ANSWER = httpx.ReadError("reset")


def a_page(*items: Any, next_page: Any = None, **more: Any) -> httpx.Response:
    pagination = {"total_records": 0, "total_pages": 0, "current_page": 1, "next_page": next_page, "prev_page": None} | more
    return saying({"items": list(items), "pagination": pagination})


def test_search_turns_every_page_and_puts_them_in_order() -> None:
    one, two, three = (a_transaction(id=f"tran_{n}", created_at=1793697342318 + n) for n in (1, 2, 3))
    nameless = a_transaction(id="tran_0", created_at=None)
    world = here(a_page(three, one, next_page=2), a_page(one | {"status": "refunded"}, next_page=3.0), a_page(two, nameless))
    seen = world.creem.transactions_of_customer("cust_1")
    assert [(each.id, each.status) for each in seen] == [
        ("tran_0", "paid"),
        ("tran_1", "refunded"),
        ("tran_2", "paid"),
        ("tran_3", "paid"),
    ]
    assert [dict(request.url.params) for request in world.sent] == [
        {"customer_id": "cust_1", "page_number": str(number), "page_size": "100"} for number in (1, 2, 3)
    ]


def test_nobody_known_has_no_transactions() -> None:
    assert here(saying(an_error(404, "Customer not found"), 404)).creem.transactions_of_customer("cust_9") == []


def test_each_page_has_its_own_tries() -> None:
    world = here(NO_ANSWER, a_page(a_transaction(), next_page=2), NO_ANSWER, NO_ANSWER, a_page(), read_seconds=1e6)
    assert len(world.creem.transactions_of_customer("cust_1")) == 1
    assert len(world.sent) == 5


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ([a_page(a_transaction(), total_pages=2)], "1 of 0 transactions on 1 of 2 pages"),
        ([a_page(a_transaction(), total_records=2)], "1 of 2 transactions on 1 of 0 pages"),
        ([a_page(total_records=1.0)], "0 of 1 transactions on 1 of 0 pages"),
        (
            # one came in on top while we turned the page, and the last of the first page was read twice
            [a_page(a_transaction(), next_page=2), a_page(a_transaction(), total_records=2, total_pages=2)],
            "1 of 2 transactions on 2 of 2 pages",
        ),
    ],
)
def test_search_that_saw_fewer_than_creem_says_there_are_proves_nobodys_absence(pages: list[httpx.Response], said: str) -> None:
    with pytest.raises(CameShort, match=f"a search came to its end after {said}") as short:
        here(*pages, read_seconds=1e6).creem.transactions_of_customer("cust_1")
    assert len(short.value.seen) == int(said[0]), "what it did show is not lost"


def test_page_that_is_not_there_after_one_that_led_to_it_makes_no_whole_list() -> None:
    """Once what the first page showed was taken for all, though it had said that there are more."""
    missing = saying(an_error(404, "Not found"), 404)
    with pytest.raises(CameShort, match="a search led to page 2, and Creem knows of none there") as short:
        here(a_page(a_transaction(), next_page=2, total_records=2, total_pages=2), missing).creem.transactions_of_customer(
            "cust_1"
        )
    assert [each.id for each in short.value.seen] == ["tran_1"]


@pytest.mark.parametrize(
    "page",
    [
        saying({"items": []}),
        saying({"pagination": {"next_page": None}}),
        saying({"items": {}, "pagination": {"next_page": None}}),
        saying({"items": [], "pagination": {}}),
        saying({"items": [{}], "pagination": {"next_page": None}}),
        a_page(next_page="2"),
        a_page(next_page=True),
        a_page(next_page=2.5),
        a_page(total_records="9"),
        a_page(total_pages=1.5),
    ],
    ids=lambda page: page.text[:40],
)
def test_page_that_cannot_be_read_is_no_empty_page(page: httpx.Response) -> None:
    world = here(page, read_seconds=1e6)
    with pytest.raises(TryLater, match="cannot be read"):
        world.creem.transactions_of_customer("cust_1")
    assert len(world.sent) == 4


@pytest.mark.parametrize("next_page", [1, 0, -1])
def test_pages_that_lead_back_end(next_page: int) -> None:
    with pytest.raises(TryLater, match="leads from page 1"):
        here(a_page(next_page=next_page)).creem.transactions_of_customer("cust_1")


def test_pages_without_end_end() -> None:
    def ever_more(request: httpx.Request) -> httpx.Response:
        return a_page(next_page=int(request.url.params["page_number"]) + 1)

    world = here(ever_more)
    with pytest.raises(TryLater, match="after 100 pages"):
        world.creem.transactions_of_customer("cust_1")
    assert len(world.sent) == 100

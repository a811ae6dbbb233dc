"""What a mail only quotes counts where its sender wrote of nothing by name, and all of it."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.requests.world import OUR_HOST, PeopleWorld, a_mail
from worker.store.tables import requests

BOTH = "I paste my receipts. Please refund order ord_1 and also order ord_2, nothing of them was used."
PASTED = f"From: Creem <no-reply@creem.io>\nDate: 1 Mar 2026\nSubject: Your receipts\n\n{BOTH}"


def test_mail_whose_orders_stand_only_in_a_quote_is_ended_by_none_of_them(world: PeopleWorld) -> None:
    """Once it was declined for the age of the first, and the second was on no record."""
    world.bought_once(ago=timedelta(days=9))
    world.bought_once("ord_2")
    receipts = "> Receipt for order ord_1, 9.00 USD\n> Receipt for order ord_2, 9.00 USD"
    taken = world.mail(f"Please refund both orders below, I never used them.\n\n{receipts}")
    assert (taken.state, world.queue()) == ("review", [taken.case_id])
    assert "ord_1 and ord_2" in (taken.reason or "")


def test_mail_whose_jobs_stand_only_in_a_quote_is_ended_by_none_of_them(world: PeopleWorld) -> None:
    world.bought_once()
    for job in ("job_1", "job_2"):
        world.happen(world.submitted(job), world.succeeded(job), world.event("downloaded", job))
    world.happen(world.event("edited", "job_1"))
    taken = world.mail("Both of these came out broken.\n\n> job_1 finished\n> job_2 finished")
    assert taken.state == "review"
    assert "job_1 and job_2" in (taken.reason or "")


def test_order_that_is_only_quoted_beside_a_job_that_is_only_quoted_is_another_thing(world: PeopleWorld) -> None:
    world.bought_once()
    world.bought_once("ord_2", ago=timedelta(hours=3))
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))
    world.happen(world.event("edited", "job_1"))
    taken = world.mail("Please look at what I quote.\n\n> job_1 finished\n> Receipt for ord_2")
    assert "job_1 and ord_2" in (taken.reason or "")


def test_what_is_quoted_is_nothing_beside_what_was_written_by_name(world: PeopleWorld) -> None:
    world.bought_once(ago=timedelta(days=9))
    world.bought_once("ord_2")
    taken = world.mail("Please refund ord_1.\n\n> Receipt for order ord_1\n> Receipt for order ord_2")
    assert (taken.state, (world.case(taken.case_id) or {})["order_id"]) == ("declined", "ord_1")


def html(said: str) -> bytes:
    """A mail with one HTML part."""
    head = f"Authentication-Results: {OUR_HOST}; dmarc=pass header.from=example.org\r\nFrom: acc_1@example.org\r\n"
    return f"{head}Message-ID: <x@y>\r\nSubject: Refund\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{said}".encode()


@pytest.mark.parametrize(
    "raw",
    [a_mail(PASTED), a_mail(f"> {BOTH}"), html(f'<blockquote style="margin:0 0 0 40px"><div>{BOTH}</div></blockquote>')],
    ids=["below a pasted header", "on quoted lines", "indented"],
)
def test_mail_that_looks_like_a_quote_as_a_whole_is_read_as_a_whole(world: PeopleWorld, raw: bytes) -> None:
    """Once nothing of it was kept, and it was declined."""
    world.bought_once(ago=timedelta(days=9))
    world.bought_once("ord_2")
    taken = world.mailroom.take(raw, origin="maildir")
    assert taken.state == "review"
    assert "ord_1 and ord_2" in (taken.reason or "")
    [mail] = world.rows(select(requests))
    assert BOTH in " ".join(mail.text.split())


@pytest.mark.parametrize(
    "sentence",
    [
        "On 28 February 2026 at 10:15 I also paid with acc_1@example.org for this, and never used it:",
        "Am 28.2.2026 schrieb ich Ihnen schon wegen einer weiteren Bestellung:",
    ],
)
def test_order_below_a_sentence_that_begins_like_the_line_of_a_mailer_is_not_lost(world: PeopleWorld, sentence: str) -> None:
    """Once all below it passed for a quotation: the mail was declined for the age of the first, and nobody had the second."""
    world.bought_once(ago=timedelta(days=9))
    world.bought_once("ord_2")
    taken = world.mail(f"Please refund ord_1.\n\n{sentence}\n\nord_2\n\nThank you")
    assert (taken.state, world.queue()) == ("review", [taken.case_id])
    assert {"ord_1", "ord_2"} <= set((taken.reason or "").replace(",", "").split())

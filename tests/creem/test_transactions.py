"""What is read from Creem's documents, and that nothing else is."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.creem.world import a_transaction
from worker.creem.reading import Unreadable, moment, money, optional, ref, text
from worker.creem.transactions import Transaction, read_transaction

PAID_AT = datetime(2026, 11, 3, 9, 15, 42, 318000, UTC)


def read(**changes: Any) -> Transaction:
    return read_transaction(a_transaction(**changes))


def test_documented_sample_is_read() -> None:
    assert read() == Transaction(
        id="tran_1",
        mode="test",
        amount=4900,
        amount_paid=5831,
        currency="EUR",
        status="paid",
        status_verbatim="paid",
        refunded_amount=0,
        order="ord_1",
        customer="cust_1",
        created_at=PAID_AT,
    )


@pytest.mark.parametrize(
    ("written", "read_as"),
    [("chargeback", "chargedBack"), ("partially_refunded", "partialRefund")]
    + [(word, word) for word in ("chargedBack", "partialRefund", "refunded", "paid", "void", "inReview", "PAID")],
)
def test_two_spellings_are_one_status_and_unknown_words_stay(written: str, read_as: str) -> None:
    seen = read(status=written)
    assert (seen.status, seen.status_verbatim) == (read_as, written)
    assert seen.chargeback == (read_as == "chargedBack")


# amount_paid | refunded_amount | status | remaining | refunded_whole
REST = """
5831 | null | paid          | 5831 | no
5831 | 0    | paid          | 5831 | no
5831 | 831  | partialRefund | 5000 | no
5831 | 831  | paid          | 5000 | no
5831 | 5831 | paid          | 0    | yes
5831 | 5831 | refunded      | 0    | yes
5831 | null | refunded      | 5831 | yes
5831 | 6000 | partialRefund | 0    | yes
5831 | 5831 | chargeback    | 0    | no
5831 | null | chargedBack   | 5831 | no
5831 | 5831 | disputed      | 0    | no
5831 | 5831 | Chargeback    | 0    | no
5831 | 5831 | void          | 0    | no
null | null | paid          | none | no
0    | null | paid          | none | no
0    | 0    | paid          | none | no
null | null | refunded      | none | yes
"""


@pytest.mark.parametrize("row", REST.strip().splitlines())
def test_what_is_left_and_whether_all_went_back(row: str) -> None:
    paid, refunded, status, remaining, whole = (part.strip() for part in row.split("|"))
    seen = read(amount_paid=json.loads(paid), refunded_amount=json.loads(refunded), status=status)
    assert seen.remaining == (None if remaining == "none" else int(remaining))
    assert seen.refunded_whole == (whole == "yes")


@pytest.mark.parametrize("name", ["order", "customer"])
@pytest.mark.parametrize(
    ("written", "found"),
    [("x_1", "x_1"), ({"id": "x_1", "mode": "test", "email": "dana@example.org"}, "x_1"), (None, None), (..., None)],
)
def test_a_reference_is_an_id_or_the_whole_object(name: str, written: Any, found: str | None) -> None:
    assert getattr(read(**{name: written}), name) == found


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"id": ...}, "transaction without an id, id: null is no id"),
        ({"id": ""}, "transaction without an id"),
        ({"mode": ...}, "transaction tran_1, mode: null"),
        ({"amount": ...}, "amount: null is no amount"),
        ({"amount": "4900"}, 'amount: "4900" is no amount'),
        ({"amount_paid": 5831.5}, "amount_paid: 5831.5 is no amount; a whole number of minor units"),
        ({"amount_paid": "5831"}, "amount_paid"),
        ({"amount_paid": True}, "amount_paid: true is no amount"),
        ({"refunded_amount": -1}, "refunded_amount: -1"),
        ({"refunded_amount": 10**5000}, "refunded_amount: a huge number"),
        ({"status": ...}, "status: null"),
        ({"status": "pa\x00id"}, "status"),
        ({"currency": "EURO"}, "currency: EURO is no currency"),
        ({"currency": "E€R"}, "currency"),
        ({"currency": None}, "currency"),
        ({"customer": {"email": "dana@example.org"}}, "customer: null is no id"),
        ({"customer": ["cust_1"]}, "customer: a list is no id"),
        ({"created_at": 1793697342}, "created_at: 1793697342 is no time"),
        ({"created_at": "2026-11-03T09:15:30"}, "created_at"),
    ],
)
def test_what_cannot_be_meant_is_named(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(Unreadable) as raised:
        read(**changes)
    assert fault in str(raised.value)
    assert "dana@example.org" not in str(raised.value)


def test_fields_that_are_not_needed_may_be_missing_or_new() -> None:
    needed = {name: value for name, value in a_transaction().items() if name in {"id", "mode", "amount", "currency", "status"}}
    seen = read_transaction(needed | {"brand_new": {"deep": [1]}})
    assert (seen.amount_paid, seen.refunded_amount, seen.created_at, seen.remaining) == (None, 0, None, None)


@pytest.mark.parametrize("odd", ["9.31", 931.5, -1, True, 0, "", {"minor_units": 931}, [], "a\x00b"])
@pytest.mark.parametrize(
    "name", ["type", "tax_amount", "discount_amount", "tax_country", "subscription", "period_start", "period_end"]
)
def test_field_that_nothing_is_decided_by_stops_no_charge_whatever_stands_there(name: str, odd: object) -> None:
    """A malformed tax made the whole charge unreadable, and its refund could not be armed."""
    assert read(**{name: odd}) == read()


@pytest.mark.parametrize(("value", "amount"), [(0, 0), (4900, 4900), (4900.0, 4900), (10**12, 10**12), (1e12, 10**12), (-0.0, 0)])
def test_money_is_a_whole_number_however_it_is_written(value: object, amount: int) -> None:
    assert money(value) == amount
    assert type(money(value)) is int


@pytest.mark.parametrize("value", [-1, -0.01, 0.5, 10**12 + 1, 1e300, float("nan"), float("inf"), True, "1", None, [], {}, b"1"])
def test_no_other_thing_is_money(value: object) -> None:
    with pytest.raises(Unreadable):
        money(value)


@pytest.mark.parametrize(
    "value",
    [
        1793697342318,
        1793697342318.0,
        "2026-11-03T09:15:42.318Z",
        "2026-11-03T09:15:42.318+00:00",
        "2026-11-03T10:15:42.318+01:00",
        "2026-11-03T09:15:42.318000Z",
    ],
)
def test_both_ways_to_write_a_time_are_read(value: object) -> None:
    found = moment(value)
    assert (found, found.tzinfo) == (PAID_AT, UTC)


@pytest.mark.parametrize(
    "value",
    [
        1793697342, 1793697342318000, 0, -1793697342318, True, None, "", "1793697342318", "2026-11-03", "2026-11-03T09:15:42",
        "2026-13-03T09:15:42Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday",
        float("nan"), float("inf"), 10**400, [], {},
    ],
)  # fmt: skip
def test_seconds_and_other_times_without_zone_or_sense_are_refused(value: object) -> None:
    with pytest.raises(Unreadable):
        moment(value)


@settings(deadline=None)
@given(milliseconds=st.integers(10**12, 10**13 - 1))
def test_both_ways_mean_the_same_moment(milliseconds: int) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    assert moment(milliseconds) == moment(at.isoformat()) == moment(at.isoformat().replace("+00:00", "Z")) == at


def test_text_is_what_a_column_and_a_log_line_can_hold() -> None:
    assert text("tran_1") == "tran_1"
    assert ref({"id": "x"}) == "x"
    assert optional(text, None) is None
    for value in ("", "x" * 257, "a\nb", "a\x00b", "\ud800", 7, None, True, b"x"):
        with pytest.raises(Unreadable):
            text(value)


ODD_THINGS: dict[str, Any] = {"huge": 10**5000, "half a character": "\ud800", "bytes": b"x", "nan": float("nan")}
ODD = sorted(ODD_THINGS)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(ODD).map(lambda name: ODD_THINGS[name]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)


@settings(deadline=None)
@given(
    document=ANYTHING | st.dictionaries(st.sampled_from(sorted(a_transaction())), ANYTHING).map(lambda odd: a_transaction() | odd)
)
def test_whatever_comes_is_read_or_unreadable(document: Any) -> None:
    try:
        seen = read_transaction(document)
    except Unreadable as fault:
        str(fault).encode()
        assert str(fault).isprintable()
        return
    assert seen.refunded_amount >= 0
    assert seen.remaining is None or seen.remaining >= 0
    for word in (seen.id, seen.mode, seen.currency, seen.status, seen.customer or ""):
        word.encode()

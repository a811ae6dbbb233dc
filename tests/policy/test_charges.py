"""Charges made twice, and charges disputed: which goes back, which stays, and when a person looks."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy import (
    CHARGE_RULES,
    DISPUTE_RULES,
    ChargeDispute,
    ChargeFacts,
    Outcome,
    Terms,
    decide_charge,
    decide_dispute,
    find_duplicates,
    same_thing,
    same_things,
)
from policy.duplicates import earlier_of
from policy.facts import Billing, DisputeFacts, PurchaseFacts, PurchaseKind
from policy.words import lasting, money
from tests.policy.build import NOW, TERMS, terms

PAID = NOW - timedelta(hours=30)
TICK = timedelta.resolution


def a_charge(name: str = "ord_2", *, after: timedelta = timedelta(minutes=5), **changes: Any) -> PurchaseFacts:
    """A credit pack of 50 credits for 9.00 USD, none of it used."""
    plain = PurchaseFacts(
        purchase_id=name,
        account_id="acc_7",
        kind=PurchaseKind.CREDIT_PACK,
        billing=Billing.FIRST,
        paid_at=PAID + after,
        amount=900,
        currency="USD",
        granted=50,
        remaining=50,
        customer_id="cust_1",
        product_id="prod_pack",
        transaction_id=f"tran_{name}",
        request_id=f"chk_{name}",
    )
    return replace(plain, **changes)


FIRST = a_charge("ord_1", after=timedelta(0))


def twice(*, apart: timedelta = timedelta(minutes=5), first: PurchaseFacts | None = FIRST, **changes: Any) -> ChargeFacts:
    """The same charged again, `apart` later."""
    return ChargeFacts(now=NOW, charge=a_charge(after=apart, **changes), first=first)


TEN, DAY = timedelta(minutes=10), timedelta(hours=24)
SAME: dict[str, Any] = {"request_id": "chk_ord_1"}
PAID_OTHERWISE = twice(amount=900, price=900, first=replace(FIRST, amount=1071, price=900))
A_PASS = twice(granted=0, remaining=0, kind=PurchaseKind.PASS_24H)
DECISIONS: list[tuple[ChargeFacts, str, str]] = [
    (twice(), "refund_payment", "duplicate_charge"),
    (twice(apart=timedelta(0)), "refund_payment", "duplicate_charge"),
    (twice(apart=TEN), "refund_payment", "duplicate_charge"),
    (twice(apart=TEN + TICK), "review", "duplicate_in_doubt"),
    (twice(apart=DAY, **SAME), "refund_payment", "duplicate_charge"),
    (twice(apart=DAY, **SAME, billing=Billing.RENEWAL), "review", "duplicate_in_doubt"),
    (twice(apart=DAY, request_id=None), "review", "duplicate_in_doubt"),
    (twice(disputed=True), "review", "charge_under_dispute"),
    (twice(disputed=True, refunded_amount=900), "review", "charge_under_dispute"),
    (twice(refunded_amount=900), "nothing_owed", "charge_already_refunded"),
    (twice(refunded_amount=1), "review", "charge_partly_refunded"),
    (twice(first=replace(FIRST, disputed=True)), "review", "earlier_charge_disputed"),
    (twice(first=replace(FIRST, refunded_amount=1)), "review", "earlier_charge_partly_refunded"),
    (twice(first=replace(FIRST, refunded_amount=1), apart=DAY), "review", "earlier_charge_partly_refunded"),
    (twice(first=replace(FIRST, refunded_amount=900)), "nothing_owed", "no_earlier_charge_stands"),
    (twice(first=None), "nothing_owed", "no_earlier_charge_stands"),
    (twice(remaining=49), "review", "duplicate_lot_used"),
    (twice(remaining=0, frozen=50), "refund_payment", "duplicate_charge"),
    (twice(remaining=0, frozen=49), "review", "duplicate_lot_used"),
    (twice(transaction_id=None), "review", "charge_without_transaction"),
    (PAID_OTHERWISE, "review", "duplicate_in_doubt"),
    (twice(first=replace(FIRST, amount=1071, price=900)), "refund_payment", "duplicate_charge"),
    (A_PASS, "refund_payment", "duplicate_charge"),
    (replace(A_PASS, jobs=1), "review", "duplicate_lot_used"),
]


@pytest.mark.parametrize(("facts", "outcome", "rule"), DECISIONS)
def test_charge_is_decided_as_the_table_says(facts: ChargeFacts, outcome: str, rule: str) -> None:
    decision = decide_charge(facts, TERMS)
    assert (decision.outcome, decision.rule) == (outcome, rule)
    owed = (900, "USD") if outcome == "refund_payment" else (0, "")
    assert (decision.amount, decision.currency) == owed
    assert decision.credits == 0
    assert "None" not in decision.reason


def test_table_has_a_row_for_every_rule() -> None:
    assert {rule for _, _, rule in DECISIONS} == {rule.__name__ for rule in CHARGE_RULES}


REASONS = [
    (twice(), "the same 9.00 USD was charged 5 minutes after ord_1, which stays valid"),
    (twice(apart=DAY, **SAME), "the same 9.00 USD was charged by the same checkout 1 day after ord_1, which stays valid"),
    (
        twice(apart=timedelta(hours=3, minutes=20, seconds=9)),
        "the same was charged again after 3 hours 20 minutes, more than 10 minutes: it may have been meant",
    ),
    (
        PAID_OTHERWISE,
        "the same was charged again at another amount: 9.00 USD was paid, and 10.71 USD for ord_1; it may have been meant",
    ),
    (twice(remaining=42), "8 credits of the later charge's 50 were already used, and only a whole charge can go back"),
    (replace(A_PASS, jobs=6), "6 jobs already ran under the later charge's pass, and only a whole charge can go back"),
    (twice(refunded_amount=450), "4.50 USD of the charge of 9.00 USD has already been refunded"),
    (twice(refunded_amount=900), "the 9.00 USD has already been refunded"),
    (twice(refunded_amount=900, lost_at_bank=True), "the bank gave the 9.00 USD back after the charge was disputed there"),
    (
        twice(first=replace(FIRST, refunded_amount=90)),
        "0.90 USD of the earlier charge, ord_1, which was to stay, has already been refunded",
    ),
    (twice(first=None), "no earlier charge for the same thing stands, so this one is the one that stays valid"),
]


@pytest.mark.parametrize(("facts", "reason"), REASONS)
def test_reason_is_a_whole_sentence_with_the_real_values(facts: ChargeFacts, reason: str) -> None:
    assert decide_charge(facts, TERMS).reason == reason


CHANGES = [
    (twice(disputed=True), "the charge not been disputed", "duplicate_charge"),
    (twice(first=replace(FIRST, disputed=True)), "the earlier charge not been disputed", "duplicate_charge"),
    (twice(first=replace(FIRST, refunded_amount=90)), "none of the earlier charge gone back", "duplicate_charge"),
    (twice(refunded_amount=900), "none of the charge gone back before", "duplicate_charge"),
    (twice(remaining=42), "none of the later charge's credits been used", "duplicate_charge"),
    (replace(A_PASS, jobs=6), "no job been run under the later charge's pass", "duplicate_charge"),
    (twice(transaction_id=None), "the charge's transaction at Creem been known", "duplicate_charge"),
    (PAID_OTHERWISE, "the same amount been paid for both", "duplicate_charge"),
    (twice(apart=DAY), "the charges been at most 10 minutes apart", "duplicate_charge"),
    (twice(first=None), "an earlier charge for the same thing stood at the same moment", "duplicate_charge"),
    (twice(), "no earlier charge for the same thing stood", "no_earlier_charge_stands"),
    (twice(apart=TEN), "no earlier charge for the same thing stood", "no_earlier_charge_stands"),
]


@pytest.mark.parametrize(("facts", "change", "rule"), CHANGES)
def test_counterfactual_names_the_nearest_change(facts: ChargeFacts, change: str, rule: str) -> None:
    other = decide_charge(facts, TERMS).counterfactual
    assert other is not None
    assert (other.change, other.rule) == (change, rule)


def test_counterfactual_is_none_where_no_single_change_decides_otherwise() -> None:
    spent_and_disputed = twice(disputed=True, refunded_amount=900, remaining=3, first=replace(FIRST, disputed=True))
    other = decide_charge(replace(spent_and_disputed, charge=replace(spent_and_disputed.charge, refunded_amount=1)), TERMS)
    assert other.counterfactual is None


def test_dispute_without_an_earlier_charge_beside_it_says_nothing_of_what_would_have_been() -> None:
    """Once it said that nothing would have been owed: what was kept of older cases leaves the earlier charge out."""
    kept = decide_charge(twice(disputed=True, first=None), TERMS)
    assert (kept.rule, kept.counterfactual) == ("charge_under_dispute", None)


def a_dispute(**changes: Any) -> ChargeDispute:
    told = DisputeFacts("disp_1", "tran_ord_1", NOW, 900, "USD")
    return replace(ChargeDispute(now=NOW, dispute=told, charge=replace(FIRST, disputed=True)), **changes)


@pytest.mark.parametrize(
    ("facts", "rule", "reason"),
    [
        (
            a_dispute(jobs=3, delivered=2, downloads=1),
            "charge_disputed",
            "the buyer disputes the charge of 9.00 USD at the bank; it paid for 3 jobs, 2 of them delivered and 1 download",
        ),
        (
            a_dispute(refund_started=True),
            "disputed_while_refunding",
            "the buyer disputed the charge while our own refund of it was under way",
        ),
        (
            a_dispute(refund_started=True, refunded_by_us=900),
            "disputed_after_refund",
            "we had already given 9.00 USD back when the buyer disputed the charge",
        ),
    ],
)
def test_dispute_is_always_a_persons(facts: ChargeDispute, rule: str, reason: str) -> None:
    decision = decide_dispute(facts, TERMS)
    assert (decision.outcome, decision.clause, decision.rule) == ("review", "dispute-hold", rule)
    assert decision.reason == reason
    assert decision.counterfactual is None


def test_every_dispute_rule_has_a_row() -> None:
    assert len(DISPUTE_RULES) == 3


# finding them


def in_force(at: datetime) -> Terms:
    return TERMS


def at(*hours: float, **changes: Any) -> list[PurchaseFacts]:
    return [a_charge(f"ord_{n}", after=timedelta(hours=h), **changes) for n, h in enumerate(hours)]


def for_periods(*charged: tuple[float, float | None, float | None]) -> list[PurchaseFacts]:
    """Charges by the hour when each was paid, and the hours when what it pays for begins and ends, where they are known."""

    def hour(number: float | None) -> datetime | None:
        return None if number is None else PAID + timedelta(hours=number)

    paid = at(*(hours for hours, _, _ in charged))
    return [
        replace(charge, period_start=hour(begins), period_end=hour(ends))
        for charge, (_, begins, ends) in zip(paid, charged, strict=True)
    ]


@pytest.mark.parametrize(
    ("charges", "duplicates"),
    [
        (at(0), {}),
        (at(0, 24), {"ord_1": "ord_0"}),
        (at(0, 1, 2, 3), {"ord_1": "ord_0", "ord_2": "ord_0", "ord_3": "ord_0"}),
        # a chain: the third is within a day of the second, which does not stay, and not of the first, which does
        (at(0, 20, 40), {"ord_1": "ord_0"}),
        (at(0, 20, 40, 50), {"ord_1": "ord_0", "ord_3": "ord_2"}),
        (at(0, 1, customer_id=None), {}),
        (at(0, 1, product_id=None), {}),
        ([*at(0), a_charge("ord_9", after=timedelta(hours=1), amount=901)], {}),
        ([*at(0), a_charge("ord_9", after=timedelta(hours=1), currency="EUR")], {}),
        ([*at(0), a_charge("ord_9", after=timedelta(hours=1), customer_id="cust_2")], {}),
        # price is compared with price, paid with paid, and what may be either with both
        ([FIRST, a_charge("ord_9", amount=1071, price=900)], {"ord_9": "ord_1"}),
        ([replace(FIRST, amount=1071), a_charge("ord_9", amount=1071, price=900)], {"ord_9": "ord_1"}),
        ([replace(FIRST, amount=1071, price=900), a_charge("ord_9", amount=1071, price=1071)], {"ord_9": "ord_1"}),
        ([replace(FIRST, amount=1071, price=900), a_charge("ord_9", amount=900, price=900)], {"ord_9": "ord_1"}),
        ([replace(FIRST, amount=1071, price=900), a_charge("ord_9", amount=1274, price=1071)], {}),
        ([replace(FIRST, amount=1071, price=900), a_charge("ord_9", amount=1200)], {}),
        # what nothing was paid for was not charged
        (at(0, 1, amount=0), {}),
        # a daily renewal is another day's, also on the day of 23 hours, and also where the day before is paid late
        (for_periods((0, 0, None), (24, 24, None)), {}),
        (for_periods((0, 0, 24), (24, 24, 48)), {}),
        (for_periods((0, 0, None), (23, 23, None)), {}),
        (for_periods((23.9, 0, 24), (24, 24, 48)), {}),
        (for_periods((24, 24, 48), (24.1, 0, 24)), {}),
        # that day's charged twice is one charge too many, and so is the next day's
        (for_periods((23.9, 0, 24), (24, 24, 48), (24.1, 0, 24), (24.2, 24, 48)), {"ord_2": "ord_0", "ord_3": "ord_1"}),
        # two subscriptions begun one after the other are the same bought twice, whatever is known of their periods
        (for_periods((0, 0, 720), (0.1, 0.1, 720.1)), {"ord_1": "ord_0"}),
        (for_periods((0, 0, 720), (24, 24, 744)), {"ord_1": "ord_0"}),
        (for_periods((0, 0, 24), (23.9, 23.9, 47.9)), {"ord_1": "ord_0"}),
        (for_periods((0, 0, None), (0.1, 0.1, 720.1)), {"ord_1": "ord_0"}),
        (for_periods((0, 0.1, 720.1), (0.1, 0, None)), {"ord_1": "ord_0"}),
        (for_periods((0, 0, None), (22.9, 22.9, None)), {"ord_1": "ord_0"}),
        (for_periods((0, 0, 0), (0.1, 0, 0)), {"ord_1": "ord_0"}),
        # a period that is not known is no difference
        (for_periods((0, None, None), (1, 1, 25)), {"ord_1": "ord_0"}),
        (for_periods((0, 0, 0.5), (1, None, 25)), {"ord_1": "ord_0"}),
        (for_periods((0, 0, 24), (1, None, None), (24, 24, 48)), {"ord_1": "ord_0"}),
        ([*at(0, refunded_amount=900), a_charge("ord_9", after=timedelta(hours=1))], {}),
        ([*at(0, disputed=True), a_charge("ord_9", after=timedelta(hours=1))], {}),
        ([*at(0), a_charge("ord_9", after=timedelta(hours=1), refunded_amount=899)], {"ord_9": "ord_0"}),
    ],
)
def test_duplicates_are_found(charges: list[PurchaseFacts], duplicates: dict[str, str]) -> None:
    found = find_duplicates(charges, in_force)
    assert {later: first.purchase_id for later, first in found.items()} == duplicates


def test_charge_that_a_person_let_stand_stays_for_those_after_it() -> None:
    """Bought, bought again on purpose, and that charged twice: once only the first was compared with, and is too long ago."""
    chain = at(0, 23.9, 24.1, 24.2)
    for meant, duplicates in (
        ((), {"ord_1": "ord_0", "ord_3": "ord_2"}),
        ({"ord_1"}, {"ord_1": "ord_0", "ord_2": "ord_1", "ord_3": "ord_1"}),
        ({"ord_1", "ord_2"}, {"ord_1": "ord_0", "ord_2": "ord_1", "ord_3": "ord_2"}),
    ):
        found = find_duplicates(chain, in_force, meant)
        assert {later: first.purchase_id for later, first in found.items()} == duplicates
    given_back = [replace(each, refunded_amount=900) if each.purchase_id == "ord_1" else each for each in chain]
    assert find_duplicates(given_back, in_force, {"ord_1"}).keys() == {"ord_3"}


@pytest.mark.parametrize("fate", [{"disputed": True}, {"refunded_amount": 900}, {"disputed": True, "refunded_amount": 900}])
def test_charge_that_does_not_stand_has_the_earlier_one_that_it_would_have_if_it_did(fate: dict[str, Any]) -> None:
    chain = at(0, 1, 2)
    for fallen, *others in ([chain[2], *chain[:2]], [chain[1], chain[0], chain[2]]):
        gone = replace(fallen, **fate)
        assert earlier_of(gone, [*others, gone], in_force) == chain[0]
    gone = replace(chain[2], **fate)
    assert earlier_of(gone, [*chain[:2], gone], in_force, {"ord_1"}) == chain[1]
    assert earlier_of(replace(chain[0], **fate), chain, in_force) is None
    assert earlier_of(gone, [replace(each, disputed=True) for each in chain], in_force) is None


def test_window_is_closed_at_its_end() -> None:
    for apart, found in ((DAY, 1), (DAY + TICK, 0)):
        assert len(find_duplicates([FIRST, a_charge(after=apart)], in_force)) == found
    assert len(find_duplicates([FIRST, a_charge(after=DAY)], lambda at: terms(duplicate_window_hours=23))) == 0


def test_window_is_that_of_the_edition_in_force_when_the_later_charge_was_paid() -> None:
    """Once the window was the last charge's, of all of the same thing: a new edition closed the duplicates of an older one."""

    def terms_at(at: datetime) -> Terms:
        return terms(duplicate_window_hours=1) if at >= PAID + DAY else TERMS

    found = find_duplicates(at(0, 5, 23.5, 24.2, 24.5, 26, 26.5), terms_at)
    assert {later: first.purchase_id for later, first in found.items()} == {
        "ord_1": "ord_0",
        "ord_2": "ord_0",
        "ord_4": "ord_3",
        "ord_6": "ord_5",
    }


def named(charges: list[PurchaseFacts]) -> list[PurchaseFacts]:
    return [replace(charge, purchase_id=f"ord_{n}") for n, charge in enumerate(charges)]


HOURS = st.integers(0, 80).map(lambda hours: timedelta(hours=hours))
SOMETIMES = st.sampled_from([False, False, False, True])
A_CHARGE = st.builds(
    lambda after, disputed, back: a_charge("x", after=after, disputed=disputed, refunded_amount=900 if back else 0),
    HOURS,
    SOMETIMES,
    SOMETIMES,
)
CHARGES = st.lists(A_CHARGE, max_size=8).map(named)
BEGINS = st.none() | HOURS.map(lambda after: PAID + after)
LASTS = st.none() | st.integers(0, 30).map(lambda hours: timedelta(hours=hours))
FOR_A_PERIOD = st.builds(
    lambda charge, begins, lasts: replace(
        charge, period_start=begins, period_end=None if begins is None or lasts is None else begins + lasts
    ),
    A_CHARGE,
    BEGINS,
    LASTS,
)
RENEWALS = st.lists(FOR_A_PERIOD, max_size=8).map(named)


@given(charges=RENEWALS)
def test_whether_two_charges_are_the_same_thing_is_the_same_both_ways(charges: list[PurchaseFacts]) -> None:
    """Read otherwise than the policy does: the one that begins later begins before the other is over."""
    for one in charges:
        for other in charges:
            assert same_thing(one, other) == same_thing(other, one)
            if one.period_start is None or other.period_start is None:
                assert same_thing(one, other)
                continue
            earlier, later = (one, other) if one.period_start <= other.period_start else (other, one)
            assert earlier.period_start is not None
            assert later.period_start is not None
            apart = later.period_start - earlier.period_start
            known = earlier.period_end is not None and earlier.period_end > earlier.period_start
            over = later.period_start >= earlier.period_end if known and earlier.period_end else apart >= timedelta(hours=23)
            assert same_thing(one, other) == (not over)


SEVERAL_THINGS = st.builds(
    replace,
    FOR_A_PERIOD,
    customer_id=st.sampled_from([None, "cust_1", "cust_1", "cust_2"]),
    product_id=st.sampled_from([None, "prod_1", "prod_1", "prod_2"]),
    currency=st.sampled_from(["USD", "USD", "EUR"]),
    amount=st.sampled_from([900, 1071]),
    price=st.sampled_from([None, 900, 1071]),
)


@given(charges=st.lists(SEVERAL_THINGS, max_size=8).map(named) | RENEWALS)
def test_all_charges_of_the_same_thing_are_those_that_one_by_one_are_found_to_be(charges: list[PurchaseFacts]) -> None:
    same = same_things(charges)
    for charge in charges:
        assert same(charge) == [each for each in charges if each is charge or same_thing(charge, each)]


@given(
    charges=st.lists(FOR_A_PERIOD, max_size=8).map(named),
    ends=st.lists(st.none() | st.just(DAY), min_size=8, max_size=8),
    apart=st.integers(1, 75),
)
def test_n_subscriptions_begun_within_minutes_are_n_less_one_too_many(
    charges: list[PurchaseFacts], ends: list[timedelta | None], apart: int
) -> None:
    """Whatever is known of their periods, in whatever order they are read."""
    begun = []
    for n, (charge, lasts) in enumerate(zip(charges, ends, strict=False)):
        then = PAID + n * timedelta(seconds=apart)
        begins, over = None if charge.period_start is None else then, None if lasts is None else then + lasts
        begun.append(replace(charge, paid_at=then, period_start=begins, period_end=over, disputed=False, refunded_amount=0))
    assert len(find_duplicates(begun, in_force)) == max(0, len(begun) - 1)


@given(charges=CHARGES | RENEWALS, data=st.data())
def test_order_of_the_list_and_refunds_of_duplicates_change_nothing(charges: list[PurchaseFacts], data: st.DataObject) -> None:
    found = find_duplicates(charges, in_force)
    assert find_duplicates(data.draw(st.permutations(charges)), in_force) == found
    for later in found:
        given_back = [replace(c, refunded_amount=900) if c.purchase_id == later else c for c in charges]
        assert find_duplicates(given_back, in_force) == {name: first for name, first in found.items() if name != later}


@given(charges=CHARGES, meant=st.sets(st.integers(0, 7).map("ord_{}".format)))
def test_what_stays_stands_and_is_no_duplicate_unless_it_was_meant(charges: list[PurchaseFacts], meant: set[str]) -> None:
    found = find_duplicates(charges, in_force, meant)
    stays = {first.purchase_id for first in found.values()}
    assert stays & found.keys() <= meant
    assert all(first.paid_at <= later.paid_at for later in charges if (first := found.get(later.purchase_id)) is not None)
    assert not any(first.disputed or first.given_back for first in found.values())
    standing = [c for c in charges if not c.disputed and not c.given_back]
    if standing and max(c.paid_at for c in standing) - min(c.paid_at for c in standing) <= DAY:
        assert len(found) == len(standing) - 1, "n charges, n - 1 refunds"


@given(
    charge=st.builds(
        lambda **changes: a_charge(**changes),
        remaining=st.integers(0, 50),
        disputed=st.booleans(),
        refunded_amount=st.integers(0, 900),
        transaction_id=st.none() | st.just("tran_1"),
        request_id=st.none() | st.just("chk_ord_1"),
        after=st.integers(0, 2000).map(lambda minutes: timedelta(minutes=minutes)),
    ),
    first=st.none() | st.just(FIRST) | st.just(replace(FIRST, disputed=True)) | st.just(replace(FIRST, refunded_amount=900)),
    jobs=st.integers(0, 2),
)
def test_every_charge_gets_a_decision_and_money_only_as_a_whole(
    charge: PurchaseFacts, first: PurchaseFacts | None, jobs: int
) -> None:
    facts = ChargeFacts(now=NOW, charge=charge, first=first, jobs=jobs)
    decision = decide_charge(facts, TERMS)
    assert (decision.amount == charge.amount) == (decision.outcome is Outcome.REFUND_PAYMENT)
    assert decide_charge(facts, TERMS) == decision
    other = decision.counterfactual
    assert other is None or other.outcome is not decision.outcome
    if decision.outcome is Outcome.REFUND_PAYMENT:
        assert charge.untouched
        assert not jobs
        assert not charge.disputed
        assert not charge.refunded_amount


def test_money_and_spans_are_said_as_people_say_them() -> None:
    assert [money(n, "EUR") for n in (0, 5, 900, 123456)] == ["0.00 EUR", "0.05 EUR", "9.00 EUR", "1234.56 EUR"]
    assert (money(900, "JPY"), money(-950, "USD"), money(-5), money(900)) == ("900 JPY", "-9.50 USD", "-0.05", "9.00")
    assert (money(1500, "KWD"), money(-7, "BHD"), money(10203, "CLF")) == ("1.500 KWD", "-0.007 BHD", "1.0203 CLF")
    spans = (timedelta(0), timedelta(seconds=61), timedelta(days=1, hours=2, minutes=3), timedelta(hours=1))
    assert [lasting(span) for span in spans] == ["0 seconds", "1 minute 1 second", "1 day 2 hours", "1 hour"]

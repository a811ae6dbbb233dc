"""What the facts themselves say."""

from dataclasses import replace

import pytest

from policy import Output
from policy.facts import Billing, PurchaseFacts, PurchaseKind
from tests.policy.build import NOW, a_failed_job


@pytest.mark.parametrize(
    ("output", "expected", "complete"),
    [
        (Output(6, 6), None, True),
        (Output(5, 6), None, False),
        (Output(6, 6, corrupted=1), None, False),
        (Output(7, 6), None, True),
        (Output(6), 6, True),
        (Output(5), 6, False),
        (Output(5, 5), 6, False),
        (Output(5, 6), 5, False),
        (Output(6, 6), 5, True),
        (Output(6, 5), 6, True),
        (Output(1), None, True),
        (Output(0), None, False),
    ],
)
def test_output_is_complete_by_the_larger_of_its_own_figure_and_the_jobs(
    output: Output, expected: int | None, complete: bool
) -> None:
    assert output.complete_for(expected) is complete


def test_standing_debit_is_what_has_not_come_back() -> None:
    assert a_failed_job(credits=5, reversed_credits=2).standing_debit == 3


def test_purchase_is_untouched_while_every_credit_is_there() -> None:
    purchase = PurchaseFacts(
        "ord_1", "acc_7", PurchaseKind.CREDIT_PACK, Billing.FIRST, NOW, amount=900, currency="USD", granted=50, remaining=50
    )
    assert purchase.untouched
    assert not replace(purchase, remaining=49).untouched

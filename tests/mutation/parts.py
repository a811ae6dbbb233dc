"""What is changed, and the tests that are meant to notice: narrow ones, on SQLite, for each is asked thousands of times."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Some of the sources, as globs, and the tests of them."""

    changed: tuple[str, ...]
    tests: tuple[str, ...]


PARTS = {
    "policy": Part(("policy/*",), ("tests/policy",)),
    # what a credit is: debits, reversals, lots, and the same in the product's table and at Creem
    "ledger": Part(
        ("worker/credits/*", "worker/cases/book/lots.py", "policy/ledger.py"),
        ("tests/cases/test_ledger.py", "tests/credits", "tests/policy/test_ledger.py"),
    ),
    # what stands right before the one call that sends money
    "door": Part(
        (
            "worker/cases/money/approved.py",
            "worker/cases/money/arm.py",
            "worker/cases/money/limits.py",
            "worker/store/breakers.py",
            "worker/creem/armed.py",
            "worker/creem/post.py",
        ),
        (
            "tests/money/test_arm.py",
            "tests/money/test_limits.py",
            "tests/money/test_approved.py",
            "tests/money/test_procedure.py::test_more_money_than_the_terms_allow_stops_until_a_person_releases_it",
            "tests/creem",
            "tests/credits/test_at_creem.py",
            "tests/restore/test_stop.py",
        ),
    ),
    # what follows from an answer, or from none
    "money": Part(
        (
            "worker/cases/money/claims.py",
            "worker/cases/money/close.py",
            "worker/cases/money/duplicate.py",
            "worker/cases/reconcile/compare.py",
            "worker/cases/money/persons_no.py",
            "worker/cases/money/prove.py",
            "worker/cases/money/settle.py",
            "worker/cases/money/turn.py",
        ),
        (
            "tests/money/test_another_hand.py",
            "tests/money/test_approved.py",
            "tests/money/test_arm.py",
            "tests/money/test_compare.py",
            "tests/money/test_ends.py",
            "tests/money/test_procedure.py",
            "tests/money/test_told.py",
            "tests/money/test_races.py",
            "tests/money/test_reconcile.py",
            "tests/restore/test_undone.py",
            "tests/review/test_claimed_before.py",
            "tests/review/test_declined.py",
            "tests/store/test_claims.py",
        ),
    ),
    # what people ask for by mail, and what people decide
    "requests": Part(("worker/cases/requests/*",), ("tests/requests",)),
    "review": Part(("worker/cases/review/*",), ("tests/review",)),
}

"""The clauses in plain words, for people: what `refunds why` prints and what a mail to a customer may quote."""

from collections.abc import Mapping
from types import MappingProxyType

from policy.decision import Clause
from policy.terms import Terms
from policy.words import count

_TEXT: Mapping[Clause, str] = MappingProxyType(
    {
        Clause.FAILED_JOB: (
            "A layer job that fails through a server-side error, with credits deducted and no successful output delivered, "
            "gets its credits back without being asked."
        ),
        Clause.INCOMPLETE_OUTPUT: (
            "Where a fault of the system leaves the output incomplete, such as missing layers or a corrupted download, "
            "the job is run again once; where that does not mend it, the credits come back."
        ),
        Clause.DUPLICATE_CHARGE: "Where the same thing was charged twice within {twice_within}, the later charge is refunded.",
        Clause.REQUEST_WINDOW: "A refund request has to reach us within {window} of the purchase.",
        Clause.REQUEST_BY_MAIL: (
            "A request is an e-mail to support with the account e-mail, the order id if there is one, the job id and a short "
            "description. Requests are reviewed in the order received."
        ),
        Clause.EVIDENCE_DELETED: "Files shared with us for troubleshooting are deleted after verification.",
        Clause.ORIGINAL_METHOD: "An approved refund goes back by the original payment method, through Creem.",
        Clause.PROMISE_3BD: "A refund typically takes no longer than {promise}.",
        Clause.DISPUTE_HOLD: "A charge that is under dispute at the bank is not also refunded by us.",
        Clause.DISPUTE_ABUSE: (
            "A fraudulent dispute, or a refund asked for after successful outputs were delivered, may lead to suspension of "
            "the account and forfeiture of its remaining credits. Two people decide that, never a machine."
        ),
        Clause.PASS_USED: (
            "The 24-Hour Pass is not refunded after substantial successful use, such as several completed jobs and downloads."
        ),
        Clause.RENEWAL_NOT_CANCELLED: (
            "A subscription renewal is not refunded unless the subscription was cancelled before the renewal date."
        ),
        Clause.WINDOW_PASSED: "Requests made after the {window_days} are not refunded.",
        Clause.OUTPUT_USED: (
            "Nothing is refunded once a successful output was downloaded and then edited by hand or used downstream."
        ),
    }
)


def clause_text(clause: Clause, terms: Terms) -> str:
    """The clause in one sentence or two, with the numbers of these terms."""
    return _TEXT[clause].format(
        twice_within=count(terms.duplicate_window_hours, "hour"),
        window=count(terms.request_window_days, "calendar day"),
        window_days=count(terms.request_window_days, "day"),
        promise=count(terms.promise_business_days, "business day"),
    )

"""The words the switches are set with."""

from enum import Enum, StrEnum


class RefundAnswer(StrEnum):
    """The word in the answer to `POST /v1/refunds`. Any other string may stand in its place."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    REQUIRES_ACTION = "requiresAction"
    FAILED = "failed"
    CANCELED = "canceled"
    UNHEARD_OF = "awaitingSettlement"
    """In no list of Creem's; the refund goes on as `pending` would."""


class Ending(Enum):
    """How a refund ends that was answered with anything but a final word."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    NEVER = "never"


class SecondRefund(Enum):
    """What a refund meets that should not be paid any more."""

    REFUSED = "400"
    NO_MONEY = "200_no_money"
    PAYS_AGAIN = "200_pays_again"
    """The whole payment leaves once more."""


class Lost(Enum):
    """On which side of the commit an answer is spoilt: nothing has happened, or everything has."""

    BEFORE_COMMIT = "before"
    AFTER_COMMIT = "after"


class MoneyLeaves(Enum):
    """When the ledger of the double is debited for a refund that is not final at once."""

    ACCEPTED = "accepted"
    SETTLED = "settled"


class Announced(Enum):
    """When `refund.created` is sent."""

    ON_SUCCESS = "on_success"
    AT_CREATION = "at_creation"
    BOTH = "both"
    """Twice, with one `ref_` and two `evt_`."""


class Nested(Enum):
    """How order, customer, subscription and checkout stand inside refunds and disputes, product and customer in subscriptions."""

    AS_DOCUMENTED = "as_documented"
    IDS = "ids"
    MISSING = "missing"


class Meanwhile(Enum):
    """What somebody else does."""

    NOTHING = "nothing"
    FULL_REFUND = "full_refund"
    PART_REFUND = "part_refund"
    """Half of what is left, rounded down, from the dashboard."""
    DISPUTE = "dispute"


class Fault(Enum):
    """An answer that does not come, or comes from somewhere else."""

    NONE = "none"
    NOT_SENT = "not_sent"
    """No connection; the request never arrives. In process only: over HTTP it is a reset."""
    RESET = "reset"
    DISCONNECTED = "disconnected"
    """Closed without a byte of answer."""
    TIMEOUT = "timeout"
    """Nothing comes for as long as the client waits."""
    CUT_SHORT = "cut_short"
    """200, and the body ends in its middle."""
    ERROR_500 = "500"
    """With Creem's envelope."""
    ERROR_503 = "503"
    """Without a body."""
    HTML_502 = "html_502"
    REQUEST_TIMEOUT = "408"
    TOO_EARLY = "425"
    THROTTLED = "429"
    """With `Retry-After` as `retry_after` says."""
    BARE_429 = "bare_429"
    """From something in front of Creem: no envelope."""
    REDIRECT = "307"
    BARE_400 = "bare_400"
    BARE_404 = "bare_404"
    """4xx without Creem's envelope."""
    KEY_REFUSED = "key_refused"
    """What a wrong key meets, with a right one: revoked, or without the scope."""
    EMPTY = "empty_200"
    NOT_JSON = "not_json_200"
    NOT_AN_OBJECT = "not_an_object_200"
    HUGE = "huge_200"
    """JSON of 200 KiB."""


class Lie(Enum):
    """A 200 that reads well and is wrong."""

    NOT_FOUND = "not_found"
    """404 with the envelope, for an id that exists."""
    OTHER_TRANSACTION = "other_transaction"
    OTHER_MODE = "other_mode"
    NO_STATUS = "no_status"
    UNKNOWN_STATUS = "unknown_status"
    OTHER_CUSTOMER = "other_customer"
    OTHER_AMOUNT = "other_amount"
    """`amount_paid` is a tenth more than was paid."""
    OTHER_CURRENCY = "other_currency"
    PAID_NULL = "paid_null"
    PAID_ZERO = "paid_zero"
    PAID_FRACTION = "paid_fraction"
    PAID_TEXT = "paid_text"
    REFUNDED_NEGATIVE = "refunded_negative"


POST_LIES = frozenset({Lie.NOT_FOUND, Lie.OTHER_TRANSACTION, Lie.OTHER_MODE, Lie.NO_STATUS})
"""The only lies that fit into an answer that consists of a status."""

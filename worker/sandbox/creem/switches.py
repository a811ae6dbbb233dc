"""What the double can be told to do: every switch of creem-api.md, section 15, and the failures that any HTTP service has.

Each switch says where its claim comes from: [D] documented, [O] observed by integrators, [U] unknown, *assumed* our reading of an
unknown, *failure model* what networks and proxies do. The defaults are those of the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from worker.sandbox.creem.words import (
    POST_LIES,
    Announced,
    Ending,
    Fault,
    Lie,
    Lost,
    Meanwhile,
    MoneyLeaves,
    Nested,
    RefundAnswer,
    SecondRefund,
)

ALWAYS = 1_000_000_000
"""For the switches that count how often something happens to one transaction."""


@dataclass(frozen=True, slots=True)
class Switches:
    """One setting of the double, for all transactions or for one.

    A number of times counts requests for one transaction, from when the setting was made: 1 is a fault that heals after one
    request, `ALWAYS` one that never heals. Times are seconds of the double's clock.
    """

    # --- the refund
    answer: str = RefundAnswer.PENDING
    """[D]/[O] The status in the answer. A final word is final at once; `failed` and `canceled` move nothing."""
    answer_id: bool = False
    """[O] in fixtures: the answer also carries an `id`."""
    settle_after: float = 2.0
    """[O] From the commit to the end of a refund that is not final at once."""
    ends: Ending = Ending.SUCCEEDED
    """[D] possible: how it ends then."""
    turns_early: bool = True
    """[O] The transaction reads `refunded` while the refund is still `pending`. Not with `requiresAction` (assumed)."""
    falls_back: bool = True
    """[U] A transaction that turned early reads `paid` again when the refund fails. Assumed."""
    stays_paid: bool = False
    """Failure model: the refund succeeds and the transaction says `paid` for ever."""
    money_leaves: MoneyLeaves = MoneyLeaves.ACCEPTED
    """[U] Assumed: at the commit, since a refund is taken from the next payout; a refund that is going to fail takes nothing."""
    pays_although_failed: bool = False
    """Failure model: the answer is `failed` or `canceled`, and the money leaves nevertheless."""
    low_balance: int = 0
    """[O] So many times the merchant's balance is too low: 400, nothing changes."""
    second_refund: SecondRefund = SecondRefund.REFUSED
    """[U] Nothing is left of the payment. Run money tests with `PAYS_AGAIN` too."""
    second_while_pending: SecondRefund = SecondRefund.REFUSED
    """[U] An earlier refund is still open."""
    refund_of_disputed: SecondRefund = SecondRefund.REFUSED
    """[U] The bank has taken the money back."""
    again_after_failed: bool = True
    """[U] A refund that failed may be asked for again. Assumed."""
    both_accepted: bool = False
    """[U] POSTs for one transaction that overlap, or come within `race_window`, see nothing of one another: each pays."""
    race_window: float = 1.0

    # --- what the POST meets
    post: Fault | Lie = Fault.NONE
    """Failure model; 429 and 401/403 are [D]. Only `POST_LIES` fit here."""
    post_side: Lost = Lost.BEFORE_COMMIT
    post_times: int = ALWAYS
    slow_commit: float = 0.0
    """Failure model: the client waits in vain, and so many seconds later the refund is committed (looked at only then)."""
    slow_times: int = ALWAYS
    retry_after: str | None = "2"
    """[D] code only: the header of a 429, in seconds or as an HTTP date; without it if None."""
    wrong_key_status: int = 403
    """[D], docs disagree: 401 or 403."""
    wrong_key_message: bool = True
    """[D] `message` may be missing on 403."""

    # --- what the reads meet
    get: Fault | Lie = Fault.NONE
    """Failure model: for reads of a transaction before any POST for it has arrived."""
    get_times: int = ALWAYS
    probe: Fault | Lie = Fault.NONE
    """Failure model: for reads of a transaction after a POST for it has arrived."""
    probe_times: int = ALWAYS
    read: Fault = Fault.NONE
    """Failure model: for searches and subscriptions; counted for the double as a whole."""
    read_times: int = ALWAYS
    get_lag: float = 0.0
    """[O] Reads show changes so many seconds late: the event is there first."""
    search_lag: float = 0.0
    """[U] A new payment is found by searching only so many seconds later."""
    docs_spelling: bool = False
    """[D] samples: `chargeback` and `partially_refunded` in place of the schema's words."""

    # --- what the booking of customer credits meets
    credit: Fault = Fault.NONE
    """Failure model; counted for the double as a whole."""
    credit_side: Lost = Lost.BEFORE_COMMIT
    credit_times: int = ALWAYS

    # --- what others do
    before_read: Meanwhile = Meanwhile.NOTHING
    """[D] possible: when the first read arrives, before it is looked at."""
    meanwhile: Meanwhile = Meanwhile.NOTHING
    """[D] possible: when the first POST arrives, before it is looked at; the read before it was right and is wrong now."""
    afterwards: Meanwhile = Meanwhile.NOTHING
    """[D] possible: right after the first commit."""

    # --- webhooks
    announced: Announced = Announced.ON_SUCCESS
    """[U] All samples say `succeeded`."""
    snapshot_after: bool = False
    """[O] against [D]: the transaction in `refund.created` is from before that refund, or shows it."""
    nested: Nested = Nested.AS_DOCUMENTED
    """[D] Expandable fields."""
    order_names_transaction: bool = True
    """[D] `order.transaction` may be missing in `checkout.completed`."""
    webhook_delay: float = 0.0
    """[O] The first attempt comes so many seconds late."""
    webhook_copies: int = 1
    """[D] The same event, so many times."""
    webhook_new_id: bool = False
    """[U] The same fact once more, under another event id."""
    webhook_swapped: bool = False
    """[O] An event waits until the next one has gone, at most a minute."""
    webhook_dropped: int = 0
    """[D] So many events about one transaction are never sent."""

    def __post_init__(self) -> None:
        if isinstance(self.post, Lie) and self.post not in POST_LIES:
            raise ValueError(f"a POST cannot be answered with {self.post}; it is about a transaction")


def merge(first: Switches, second: Switches) -> Switches:
    """Both settings in one; where both say something, the second counts."""
    plain = Switches()
    said = {name: getattr(second, name) for name in NAMES if getattr(second, name) != getattr(plain, name)}
    return Switches(**({name: getattr(first, name) for name in NAMES} | said))


NAMES = tuple(field.name for field in fields(Switches))


def from_document(document: Mapping[str, Any]) -> Switches:
    """The switches that a JSON object names, each by its field and its plain value. Raises ValueError for what does not exist."""
    plain = Switches()
    found: dict[str, Any] = {}
    for name, value in document.items():
        if name not in NAMES:
            raise ValueError(f"there is no switch {name!r}; there are: {', '.join(NAMES)}")
        default = getattr(plain, name)
        kinds: tuple[type[Enum], ...] = (
            (Fault,) if name in {"read", "credit"} else (Fault, Lie) if default is Fault.NONE else (type(default),)
        )
        found[name] = (
            _one_of(name, kinds, value) if isinstance(default, Enum) and name != "answer" else _plain(name, default, value)
        )
    return Switches(**found)


def _one_of(name: str, kinds: tuple[type[Enum], ...], value: object) -> Enum:
    words = {member.value: member for kind in kinds for member in kind}
    if not isinstance(value, str) or value not in words:
        raise ValueError(f"{name} may be one of: {', '.join(words)}")
    return words[value]


def _plain(name: str, default: object, value: object) -> object:
    kinds: tuple[type, ...] = (str,) if name == "answer" else (str, type(None)) if name == "retry_after" else (type(default),)
    if isinstance(value, int) and not isinstance(value, bool) and float in kinds:
        return float(value)
    if type(value) not in kinds:
        raise ValueError(f"{name} is {default!r} unless told otherwise; {value!r} does not fit")
    return value

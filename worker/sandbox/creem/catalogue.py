"""Named settings, one trouble each, for runs that try every trouble and every pair of them.

`BEFORE_POST` acts when the payment is read, or between that and the POST; `AT_POST` acts on the POST, on the refund it starts and
on the reads after it; `WEBHOOKS` on what is told. A setting of one list fits together with any of another: `merge(before, at)`.
"""

from worker.sandbox.creem.switches import ALWAYS, Switches, merge
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

__all__ = ["AT_POST", "BEFORE_POST", "WEBHOOKS", "merge", "named"]

Named = tuple[tuple[str, Switches], ...]

_FAULTS = tuple(fault for fault in Fault if fault is not Fault.NONE)
_AGAIN = (SecondRefund.NO_MONEY, SecondRefund.PAYS_AGAIN)
_PENDING_FAILS = Switches(ends=Ending.FAILED, turns_early=False)
_SLOW = 45.0

BEFORE_POST: Named = (
    ("nothing", Switches()),
    *((f"get_{fault.value}_once", Switches(get=fault, get_times=1)) for fault in _FAULTS),
    ("get_html_502_always", Switches(get=Fault.HTML_502)),
    ("get_timeout_always", Switches(get=Fault.TIMEOUT)),
    ("get_key_refused_always", Switches(get=Fault.KEY_REFUSED)),
    ("get_key_refused_401", Switches(get=Fault.KEY_REFUSED, get_times=1, wrong_key_status=401)),
    ("get_key_refused_without_message", Switches(get=Fault.KEY_REFUSED, get_times=1, wrong_key_message=False)),
    ("get_429_without_retry_after", Switches(get=Fault.THROTTLED, get_times=2, retry_after=None)),
    ("get_429_until_a_date", Switches(get=Fault.THROTTLED, get_times=1, retry_after="Mon, 02 Mar 2026 10:00:30 GMT")),
    *((f"get_says_{lie.value}", Switches(get=lie)) for lie in Lie),
    ("get_says_not_found_once", Switches(get=Lie.NOT_FOUND, get_times=1)),
    ("get_lags", Switches(get_lag=20.0)),
    ("search_lags", Switches(search_lag=20.0)),
    ("search_fails_once", Switches(read=Fault.ERROR_503, read_times=1)),
    ("docs_spelling", Switches(docs_spelling=True)),
    ("refunded_before_read", Switches(before_read=Meanwhile.FULL_REFUND)),
    ("refunded_in_part_before_read", Switches(before_read=Meanwhile.PART_REFUND)),
    ("disputed_before_read", Switches(before_read=Meanwhile.DISPUTE)),
    ("refunded_meanwhile", Switches(meanwhile=Meanwhile.FULL_REFUND)),
    ("refunded_in_part_meanwhile", Switches(meanwhile=Meanwhile.PART_REFUND)),
    ("disputed_meanwhile", Switches(meanwhile=Meanwhile.DISPUTE)),
)

AT_POST: Named = (
    ("nothing", Switches()),
    *((f"answers_{word.value}", Switches(answer=word)) for word in RefundAnswer if word is not RefundAnswer.PENDING),
    ("answer_with_id", Switches(answer_id=True)),
    ("turns_refunded_only_when_settled", Switches(turns_early=False)),
    ("money_leaves_when_settled", Switches(turns_early=False, money_leaves=MoneyLeaves.SETTLED)),
    ("settles_after_an_hour", Switches(turns_early=False, settle_after=3600.0)),
    ("pending_fails", _PENDING_FAILS),
    ("pending_is_canceled", Switches(ends=Ending.CANCELED, turns_early=False)),
    ("pending_fails_after_refunded_was_shown", Switches(ends=Ending.FAILED)),
    ("pending_fails_and_refunded_stays_shown", Switches(ends=Ending.FAILED, falls_back=False)),
    ("pending_for_ever", Switches(ends=Ending.NEVER, turns_early=False)),
    ("pending_for_ever_but_refunded", Switches(ends=Ending.NEVER)),
    ("pending_for_ever_without_money", Switches(ends=Ending.NEVER, turns_early=False, money_leaves=MoneyLeaves.SETTLED)),
    ("requires_action_for_ever", Switches(answer=RefundAnswer.REQUIRES_ACTION, ends=Ending.NEVER)),
    ("requires_action_fails", Switches(answer=RefundAnswer.REQUIRES_ACTION, ends=Ending.FAILED)),
    ("succeeded_but_stays_paid", Switches(answer=RefundAnswer.SUCCEEDED, stays_paid=True)),
    ("pending_and_stays_paid", Switches(stays_paid=True)),
    ("failed_but_paid", Switches(answer=RefundAnswer.FAILED, pays_although_failed=True)),
    ("low_balance_twice", Switches(low_balance=2)),
    ("low_balance_always", Switches(low_balance=ALWAYS)),
    *((f"second_{kind.value}", Switches(second_refund=kind)) for kind in _AGAIN),
    *((f"second_while_pending_{kind.value}", Switches(second_while_pending=kind)) for kind in _AGAIN),
    *((f"disputed_{kind.value}", Switches(refund_of_disputed=kind)) for kind in _AGAIN),
    ("no_refund_after_a_failed_one", merge(_PENDING_FAILS, Switches(again_after_failed=False))),
    ("both_accepted", Switches(both_accepted=True)),
    *(
        (f"post_{fault.value}_{side.value}_commit", Switches(post=fault, post_side=side, post_times=1))
        for fault in _FAULTS
        for side in Lost
        if not (fault is Fault.NOT_SENT and side is Lost.AFTER_COMMIT)
    ),
    *(
        (f"post_says_{lie.value}_{side.value}_commit", Switches(post=lie, post_side=side, post_times=1))
        for lie in Lie
        for side in Lost
        if lie in POST_LIES
    ),
    ("post_not_sent_always", Switches(post=Fault.NOT_SENT)),
    ("post_key_refused_always", Switches(post=Fault.KEY_REFUSED)),
    ("post_key_refused_401_without_message", Switches(post=Fault.KEY_REFUSED, wrong_key_status=401, wrong_key_message=False)),
    ("post_429_without_retry_after", Switches(post=Fault.THROTTLED, post_times=1, retry_after=None)),
    ("slow_commit", Switches(slow_commit=_SLOW, slow_times=1)),
    ("slow_commit_next_day", Switches(slow_commit=86_400.0, slow_times=1)),
    ("slow_commit_shown_only_when_settled", Switches(slow_commit=_SLOW, slow_times=1, turns_early=False)),
    *((f"probe_{fault.value}_once", Switches(probe=fault, probe_times=1)) for fault in _FAULTS),
    ("probe_html_502_always", Switches(probe=Fault.HTML_502)),
    *((f"probe_says_{lie.value}", Switches(probe=lie, probe_times=2)) for lie in Lie),
    ("probe_says_not_found_always", Switches(probe=Lie.NOT_FOUND)),
    ("lost_and_get_lags", Switches(post=Fault.RESET, post_side=Lost.AFTER_COMMIT, post_times=1, get_lag=120.0)),
    (
        "lost_and_shown_only_when_settled",
        Switches(post=Fault.RESET, post_side=Lost.AFTER_COMMIT, post_times=1, turns_early=False, settle_after=600.0),
    ),
    ("disputed_afterwards", Switches(afterwards=Meanwhile.DISPUTE)),
)

WEBHOOKS: Named = (
    ("nothing", Switches()),
    ("told_at_creation", Switches(announced=Announced.AT_CREATION)),
    ("told_at_creation_and_on_success", Switches(announced=Announced.BOTH)),
    ("told_at_creation_then_fails", merge(_PENDING_FAILS, Switches(announced=Announced.AT_CREATION))),
    ("snapshot_after", Switches(snapshot_after=True)),
    ("neighbours_as_ids", Switches(nested=Nested.IDS)),
    ("neighbours_missing", Switches(nested=Nested.MISSING)),
    ("order_without_transaction", Switches(order_names_transaction=False)),
    ("late_by_a_minute", Switches(webhook_delay=60.0)),
    ("late_by_eight_days", Switches(webhook_delay=691_200.0)),
    ("three_copies", Switches(webhook_copies=3)),
    ("another_event_id", Switches(webhook_new_id=True)),
    ("swapped", Switches(webhook_swapped=True)),
    ("first_dropped", Switches(webhook_dropped=1)),
    ("all_dropped", Switches(webhook_dropped=ALWAYS)),
    ("before_the_get_shows_it", Switches(get_lag=20.0)),
    ("docs_spelling", Switches(docs_spelling=True)),
)


def named(name: str) -> Switches:
    """The setting of that name, or of several joined by `+`. Raises ValueError with the names that exist."""
    known = {each: switches for group in (BEFORE_POST, AT_POST, WEBHOOKS) for each, switches in group}
    found = Switches()
    for part in name.split("+"):
        if part not in known:
            raise ValueError(f"there is no scenario {part!r}; there are: {', '.join(sorted(known))}")
        found = merge(found, known[part])
    return found

"""From the facts of one request to what is done about it. Nothing is sent here: money on a request needs a person."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, exists, func, or_, select, update

from policy import Outcome, RequestFacts, decide_request, missing_in_request
from policy.decision import Decision
from policy.lifecycle import CaseKind, CaseState
from policy.rules.requests import renewal_not_cancelled
from worker.cases.book.bench import Bench
from worker.cases.book.book import BY_PERSON, NOBODY, WORKER, Case
from worker.cases.book.casework import REMIND, announcement, go, remind
from worker.cases.book.decided import record
from worker.cases.book.known import accounts_at, several
from worker.cases.book.locks import lock_account
from worker.cases.book.notify import NoticeKind, notice, write_effects
from worker.cases.book.rows import case_of
from worker.cases.book.woken import wake
from worker.cases.book.write import write_cases
from worker.cases.requests.facts import facts_of
from worker.cases.requests.identify import BESIDE, SAID, UNKNOWN, Named, charged_again, completed, confirmed, duplicates, identify
from worker.cases.requests.register import first_of
from worker.clock import written
from worker.credits.ledger import Ledger
from worker.settings import Mode
from worker.store.bulk import Record, Tx
from worker.store.tables import accounts, case_history, cases, notices, purchases, requests

QUESTION_EVERY = timedelta(days=1)
"""At most one question to an account in this time: a flood of mails in its name is no flood into its mailbox."""
MOST_UNANSWERED = 5
"""Most parked requests of one account that it was asked about: a mailbox that answers each question with a mail of its own, and
marks none as a machine's, is not asked for ever.
"""
LOOKED_UP_AFTER = timedelta(minutes=5)
"""How soon after a mail was taken, which may be ahead of its account, what our books lack of it is looked up again; after that
whenever it has waited twice as long, and at least once a day.
"""
_JUDGED_ANEW = "request.judged_anew"
"""That a no was held against what was heard since, and stands."""
_HELD = {Outcome.REFUND_PAYMENT, Outcome.REVERSE_CREDITS}


@dataclass(frozen=True, slots=True)
class _Telling:
    """What is told of a case with what became of it: to the product, and to its customer."""

    announcements: Sequence[Record] = ()
    notices: Sequence[Record] = ()


def judge_requests(
    tx: Tx, ledger: Ledger, bench: Bench, case_ids: Iterable[str], locked: Iterable[str], now: datetime
) -> list[Case]:
    """Advances the request cases with these ids as far as the facts allow and writes them; returns those that moved.

    The caller holds the locks of the accounts `locked`; a case that was matched to another one meanwhile is left.
    """
    ours = cases.c.kind == CaseKind.REQUEST.value, tx.among(cases.c.account_id, locked)
    chosen = *ours, tx.among(cases.c.case_id, case_ids)
    moved = []
    for row in tx.all(select(cases).where(*chosen).order_by(cases.c.case_id)):
        case = case_of(row)
        advance_and_write(tx, ledger, bench, case, first_of(tx, case.subject), now)
        if case.state is not case.was:
            moved.append(case)
    return moved


def wake_declined(tx: Tx, purchase_ids: Iterable[str], subscription_ids: Iterable[str], now: datetime) -> None:
    """Requests that were declined because a renewal was not cancelled before it, as far as was known, are judged anew where it is
    known by now that it was (policy.md, "Renewal"). Given are the purchases and the subscriptions of which something was heard.
    """
    p = purchases.c
    # by way of the account, whose cases are found by a key
    of_account = p.account_id == cases.c.account_id
    heard = or_(tx.among(p.purchase_id, purchase_ids), tx.among(p.subscription_id, subscription_ids))
    wake(tx, _declined_wrongly().where(of_account, heard), now)


def declined_and_not_woken() -> Select[Any]:
    """The cases, by id, of requests declined over a renewal that is known by now to have been cancelled in time, and that nobody
    has woken: a release before this one may have heard of the cancellation.
    """
    judged = exists().where(case_history.c.case_id == cases.c.case_id, case_history.c.event == _JUDGED_ANEW)
    return _declined_wrongly().where(cases.c.next_action_at.is_(None), ~judged)


def wake_those_declined(tx: Tx, case_ids: Iterable[str], now: datetime) -> list[str]:
    """Those of these cases that are `declined_and_not_woken` are judged anew. Returns them."""
    return wake(tx, declined_and_not_woken().where(tx.among(cases.c.case_id, case_ids)), now)


def _declined_wrongly() -> Select[Any]:
    p, c, r = purchases.c, cases.c, requests.c
    in_time = p.cancelled_at < func.coalesce(p.period_start, p.paid_at)
    declined = c.kind == CaseKind.REQUEST.value, c.state == CaseState.DECLINED.value, c.rule == renewal_not_cancelled.__name__
    joined = select(c.case_id).join(requests, r.request_id == c.subject).join(purchases, p.purchase_id == r.purchase_id)
    return joined.where(in_time, *declined)


def reopened(case: Case) -> bool:
    """True of a no that its customer answered, and that a person has again."""
    return case.state is CaseState.REVIEW and case.outcome in {Outcome.DECLINE.value, Outcome.NOTHING_OWED.value}


def in_peoples_hands(case: Case) -> bool:
    """True of a request that nothing it still names changes: a person has decided it and its claim goes its own way, or has it
    again.
    """
    return reopened(case) or case.rule == BY_PERSON or case.state in {CaseState.REFUNDING, CaseState.UNKNOWN}


def advance_and_write(tx: Tx, ledger: Ledger, bench: Bench, case: Case, request: Row[Any], now: datetime) -> None:
    """The case stands in the books where the facts put it, with what is told of that."""
    telling = _advance(tx, ledger, bench, case, request, now)
    write_cases(tx, [case], now, WORKER)
    write_effects(tx, telling.announcements, telling.notices, now=now)


def _advance(tx: Tx, ledger: Ledger, bench: Bench, case: Case, request: Row[Any], now: datetime) -> _Telling:
    if _is_left_alone(case, now):
        return _Telling()
    request = _looked_up_again(tx, request, case, now)
    facts, charge = facts_of(tx, ledger, request, now)
    facts = _with_duplicates(tx, facts, request.named.get(BESIDE, ()))
    if charge is not None and case.order_id is None:
        case.order_id, case.changed = charge.order_id, True
    decision = decide_request(facts, bench.terms_at(min(charge.facts.paid_at, now) if charge else case.failed_at))
    if _keeps_its_no(tx, case, decision):
        return _Telling()
    target = _target(decision, bool(missing_in_request(facts)))
    if _rests_on(case, decision, target):
        return _stays(tx, case, request, facts, now)
    return _moves(tx, case, request, facts, decision, target, bench.mode, now)


def _is_over(case: Case) -> bool:
    return case.state is not None and case.state.final


def _is_left_alone(case: Case, now: datetime) -> bool:
    """True of a case that no facts move. Where it is over nothing waits any more; where a person has it that one is reminded."""
    if _is_over(case) and case.rule != renewal_not_cancelled.__name__:
        case.next_action_at, case.changed = None, case.changed or case.next_action_at is not None
        return True
    if in_peoples_hands(case):
        remind(case, now)
        return True
    return False


def _keeps_its_no(tx: Tx, case: Case, decision: Decision) -> bool:
    """True of a no that was held against what was heard since: what was answered is overturned in the customer's favour alone
    (decision 5).
    """
    if not _is_over(case) or decision.outcome not in {Outcome.DECLINE, Outcome.NOTHING_OWED}:
        return False
    case.next_action_at, case.changed = None, True
    _note_judged_anew(tx, case, decision)
    return True


def _rests_on(case: Case, decision: Decision, target: CaseState) -> bool:
    """True of a case that stands where this decision puts it, by the same rule of the same edition, for the same reason with the
    same figures. What was told of it once is not told again for new ones.
    """
    kept = (case.state, case.rule, case.terms, case.reason, case.credits_owed)
    return kept == (target, decision.rule, decision.terms, decision.reason, decision.credits)


def _stays(tx: Tx, case: Case, request: Row[Any], facts: RequestFacts, now: datetime) -> _Telling:
    remind(case, now, _again_after(tx, case, facts, now))
    # in somebody's name a hundred may have been sent: the promise is how long their owner is asked about them
    again = case.state is CaseState.WAITING and now < case.due_at
    return _Telling(notices=_question(tx, case, request, now, again=True) if again else ())


def _moves(
    tx: Tx,
    case: Case,
    request: Row[Any],
    facts: RequestFacts,
    decision: Decision,
    target: CaseState,
    mode: Mode,
    now: datetime,
) -> _Telling:
    record(case, decision, facts)
    if decision.outcome in _HELD:
        case.note("effect.held", why="what a mail asks for leaves by a person's hand", outcome=decision.outcome.value)
    go(case, target, next_action_at=None if target.final else now + _again_after(tx, case, facts, now), now=now)
    if target is CaseState.WAITING:
        return _Telling(notices=_question(tx, case, request, now))
    announced = announcement(case, now, amount=decision.amount, currency=decision.currency)
    tells = target is CaseState.NOTHING_OWED and not request.automatic
    return _Telling(
        announcements=[announced] if announced and mode is not Mode.OBSERVE else (),
        notices=[notice(case, NoticeKind.SETTLED, now)] if tells else (),
    )


def _note_judged_anew(tx: Tx, case: Case, decision: Decision) -> None:
    """Says once that the no stands, though not by the rule that it was said by; until then reconcile has it judged anew."""
    noted = case_history.c.case_id == case.case_id, case_history.c.event == _JUDGED_ANEW
    if decision.rule != case.rule and not tx.all(select(case_history.c.id).where(*noted).limit(1)):
        case.note(_JUDGED_ANEW, outcome=decision.outcome.value, rule=decision.rule, why=decision.reason)


def _with_duplicates(tx: Tx, facts: RequestFacts, beside: Iterable[str]) -> RequestFacts:
    """The facts with the other things that the mail names `beside` what it is about.

    About a purchase, the charge that it duplicates is no other thing: naming both means the later one. Its own duplicates are
    added as `charged_again`.
    """
    if facts.purchase is None or facts.job is not None:
        return replace(facts, others=tuple(beside))
    first_of, this = duplicates(tx, facts.purchase.account_id), facts.purchase.purchase_id
    others = tuple(one for one in beside if one != first_of.get(this))
    return replace(facts, others=others, charged_again=charged_again(first_of, this))


def _again_after(tx: Tx, case: Case, facts: RequestFacts, now: datetime) -> timedelta:
    known = facts.job is not None or facts.purchase is not None
    if not facts.readable or (known and not facts.unknown):
        return REMIND
    # since it was taken: while it lay in the Maildir, what it names may have lain before another door of ours
    first = select(func.min(case_history.c.at)).where(case_history.c.case_id == case.case_id)
    taken_at: datetime = tx.value(first)
    return min(max(now - taken_at, LOOKED_UP_AFTER), REMIND)


def _target(decision: Decision, lacking: bool) -> CaseState:
    match decision.outcome:
        case Outcome.DECLINE:
            return CaseState.DECLINED
        case Outcome.NOTHING_OWED:
            return CaseState.NOTHING_OWED
        case _:
            return CaseState.WAITING if lacking else CaseState.REVIEW


def _looked_up_again(tx: Tx, request: Row[Any], case: Case, now: datetime) -> Row[Any]:
    """The request with what our books know by now of what it names: an order may reach us after the mail about it, and so may the
    account. A mail that was nobody's belongs to its account from there on.
    """
    about_one = request.job_id is not None or request.purchase_id is not None
    if about_one and not request.named.get(UNKNOWN):
        return request
    found = identify(tx, request.sender, Named.stored(request.named))
    # what was nobody's has said nothing yet
    said = {SAID: found.said} if request.account_id is None else {}
    known = completed(tx, request, found, **{UNKNOWN: found.unknown}, **said)
    if request.account_id is None:
        if found.account_id is None or not _locked(tx, found.account_id):
            return request
        known |= {"account_id": found.account_id, "confirmed_at": now if confirmed(found, request) else None}
        case.account_id = found.account_id
        case.note("request.matched", account_id=found.account_id, verdict=request.verdict)
    elif found.account_id != request.account_id or all(getattr(request, name) == value for name, value in known.items()):
        return request
    case.job_id, case.changed = known["job_id"], True
    one = requests.c.request_id == request.request_id
    tx.connection.execute(update(requests).where(one).values(**known))
    return tx.one(select(requests).where(one))


def _locked(tx: Tx, account_id: str) -> bool:
    """True where the account is ours to write from here on. It is not waited for, for the caller holds the lock of nobody's mails
    already, and others lock in another order: what somebody holds is looked up another time.
    """
    free = select(accounts.c.account_id).where(accounts.c.account_id == account_id).with_for_update(skip_locked=True)
    return tx.exists(free)


def _question(tx: Tx, case: Case, request: Row[Any], now: datetime, *, again: bool = False) -> list[Record]:
    """The question to the account's own address, once about each case; none for a mail that no person wrote, nor a second one
    within a day. `again`: the case is looked at again, and is asked about now if that was not possible before, because the
    account had been asked that day or had no address.
    """
    if case.account_id == NOBODY or request.automatic:
        if not (again or request.automatic) and (why := _whose_is_open(tx, request)) is not None:
            case.note("request.not_asked", why=why)
        return []
    # behind the account's lock, so that two mails at once make one question
    lock_account(tx, case.account_id)
    of_late = or_(notices.c.created_at > now - QUESTION_EVERY, notices.c.case_id == case.case_id)
    questions = select(notices.c.case_id, notices.c.state).where(notices.c.kind == NoticeKind.QUESTION.value)
    found = tx.all(questions.where(notices.c.account_id == case.account_id, of_late))
    # what was dropped nobody has read
    rows = [row for row in found if row.state != "dropped"]
    why = "the account was asked within a day" if rows else _why_not_asked(tx, case.account_id)
    if why is not None:
        if not again and case.case_id not in {row.case_id for row in rows}:
            case.note("request.not_asked", why=why)
        return []
    case.note("request.asked", to="the account's own address")
    occasion = written(now) if case.case_id in {row.case_id for row in found} else ""
    return [notice(case, NoticeKind.QUESTION, now, occasion, reference=request.reference)]


def _whose_is_open(tx: Tx, request: Row[Any]) -> str | None:
    """Which accounts have the address that a mail of nobody's came from; None where that is not why it is nobody's."""
    theirs = accounts_at(tx, [request.sender] if request.sender else [])
    return several(request.sender, theirs) if len(theirs) > 1 else None


def _why_not_asked(tx: Tx, account_id: str) -> str | None:
    """Why the account is not asked about a further mail, though it was not asked within a day; None where it may be."""
    n, c = notices.c, cases.c
    asked = n.account_id == account_id, n.kind == NoticeKind.QUESTION.value, n.state != "dropped"
    unanswered = select(n.case_id).join(cases, c.case_id == n.case_id).where(*asked, c.state == CaseState.WAITING.value)
    many = len(tx.all(unanswered.distinct().limit(MOST_UNANSWERED))) == MOST_UNANSWERED
    return f"{MOST_UNANSWERED} questions to the account are not answered" if many else None

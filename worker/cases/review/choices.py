"""What can be chosen for a case, what each choice would do in plain words, and why one cannot be chosen now."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from policy import AccountStatus, Outcome, grounds_for_measures
from policy.lifecycle import CaseKind, CaseState
from policy.rules.requests import (
    request_answers_a_no,
    request_answers_a_payment,
    request_denied,
    request_names_several,
    request_names_unknown,
    requested_before_purchase,
    requested_was_charged_again,
)
from policy.words import count, listed, money
from worker.cases.book.book import Case
from worker.cases.money import claims, holds
from worker.cases.review.scene import Scene
from worker.settings import Mode


class Act(StrEnum):
    """What a person may choose."""

    CREDITS = "credits"
    MONEY = "money"
    DECLINE = "decline"
    WON = "won"
    LOST = "lost"
    SUSPEND = "suspend"
    REINSTATE = "reinstate"
    FORFEIT = "forfeit"


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice as it stands now. `refused` says why it cannot be taken; None: it can."""

    act: Act
    does: str
    refused: str | None = None
    needs_second: bool = False
    moves_money: bool = False
    credits: int = 0
    """How many credits come back to be spent, and how much money, in minor units of its currency."""
    minor_units: int = 0
    currency: str | None = None
    second_because: str | None = None
    """Why a second person is needed for what one could do otherwise."""
    only_by_name: bool = False
    """True where `approve` means it only when it is named."""

    @property
    def gives(self) -> bool:
        """True where the customer gets something."""
        return self.credits > 0 or self.minor_units > 0

    def document(self) -> dict[str, Any]:
        """For `--json` and the console."""
        return {
            "choice": self.act.value,
            "does": self.does,
            "refused": self.refused,
            "needs_second": self.needs_second,
            "second_because": self.second_because,
            "moves_money": self.moves_money,
        }


_OFFERED: dict[CaseKind, tuple[Act, ...]] = {
    CaseKind.JOB: (Act.CREDITS, Act.DECLINE),
    CaseKind.DUPLICATE_CHARGE: (Act.MONEY, Act.DECLINE),
    CaseKind.REQUEST: (Act.MONEY, Act.CREDITS, Act.DECLINE, Act.SUSPEND, Act.FORFEIT),
    CaseKind.DISPUTE: (Act.WON, Act.LOST, Act.SUSPEND, Act.FORFEIT),
}


_NO_REMEDY_AT_HAND = {
    rule.__name__
    for rule in (
        request_answers_a_no,
        request_answers_a_payment,
        request_denied,
        request_names_several,
        request_names_unknown,
        requested_before_purchase,
        requested_was_charged_again,
    )
}
"""Rules after which a person says what is meant: the remedy that could be given may not be the one that was asked for."""


_ELSEWHERE = "; no call was made for it, so what is owed goes back in Creem's dashboard, and that ends the case"


def choices(scene: Scene, *, mode: Mode, money_can_leave: str | None, waits: bool) -> list[Choice]:
    """Every choice for the case: of one that does not wait for a person, to lift the suspension that was agreed to under it, as
    long as that stands. `money_can_leave` says why no money leaves this installation; None: it does.
    """
    acts = list(_OFFERED[scene.case.kind]) if waits else []
    if not waits and scene.suspended_under_it:
        acts = [Act.REINSTATE]
    if scene.account.status == AccountStatus.SUSPENDED.value:
        acts = [Act.REINSTATE if act is Act.SUSPEND else act for act in acts]
    made = [_MAKE[act](scene) if act is not Act.MONEY else _money(scene, money_can_leave) for act in acts]
    return [_observed(choice, scene) if mode is Mode.OBSERVE else _held(choice, scene, None) for choice in made]


def recommended(offered: Sequence[Choice]) -> Choice | None:
    """What `approve` means where no choice is named: the first remedy that can be given."""
    remedies = {Act.CREDITS, Act.MONEY}
    given = (choice for choice in offered if choice.act in remedies and not choice.only_by_name)
    return next((choice for choice in given if choice.refused is None), None)


def _observed(choice: Choice, scene: Scene) -> Choice:
    """What a person may say while the worker only looks: that a job was made good by hand, or need not be."""
    if choice.act is Act.DECLINE and scene.case.kind is CaseKind.JOB:
        told = "nothing is given back, not later either when the mode is another, and nobody is told: in mode observe"
        return _held(replace(choice, does=told), scene, None)
    return _held(choice, scene, "in mode observe nothing is carried out")


def _held(choice: Choice, scene: Scene, held: str | None) -> Choice:
    unjudged = "the worker could not judge this case; requeue it first" if scene.case.facts is None else None
    by_name = choice.only_by_name or scene.case.rule in _NO_REMEDY_AT_HAND
    return replace(choice, refused=choice.refused or held or unjudged, only_by_name=by_name)


def _credits(scene: Scene) -> Choice:
    credits = sum(share.credits for share in scene.shares)
    lots = ", ".join(f"{share.credits} to {share.purchase_id}" for share in scene.shares)
    comes = "comes" if credits == 1 else "come"
    does = f"{count(credits, 'credit')} {comes} back to be spent ({lots})" if credits else "no credits come back"
    does += "; of a purchase of which money went back, the share of what went back stays void" if scene.partly_gone else ""
    return Choice(Act.CREDITS, does, _no_credits(scene, credits), credits=credits)


def _no_credits(scene: Scene, credits: int) -> str | None:
    if scene.other_cases:
        return f"its failed jobs have cases of their own: {', '.join(scene.other_cases[:5])}"
    if not credits:
        return "no debit of a job stands"
    if scene.disputed_job:
        return "the purchase that paid for the job is under dispute; the dispute comes first"
    if scene.claimed_job:
        return "a refund of the purchase that paid for the job is under way; its end comes first"
    return None


def _money(scene: Scene, held: str | None) -> Choice:
    if scene.charge is None:
        return Choice(Act.MONEY, "no money goes back", "no charge is known that the case is about", moves_money=True)
    # all that was paid goes back, tax included, and not the price
    facts, amount = scene.charge.facts, scene.charge.facts.amount
    unspent = facts.remaining + facts.frozen
    does = f"{money(amount, facts.currency)} goes back by the original payment method through Creem"
    # by its name, whatever it granted: of two at one price, who agrees has to see which one is meant
    void = _void(unspent, facts.purchase_id)
    does += f"; {void if facts.granted else f'{facts.purchase_id} granted no credits'}"
    does += f", {facts.spent} stay spent" if facts.spent else ""
    does += f"; the same was charged again as {listed(scene.charged_again)}, for which see there" if scene.charged_again else ""
    second = amount > scene.terms.approval_second_person_above_minor_units
    return Choice(
        Act.MONEY,
        does,
        _no_money(scene, held),
        second,
        moves_money=True,
        minor_units=amount,
        currency=facts.currency,
        # the charge may have come to be the one that stays valid since the case was judged
        only_by_name=bool(scene.charged_again) or (scene.case.kind is CaseKind.REQUEST and _asks_for_less(scene.case)),
    )


def _asks_for_less(case: Case) -> bool:
    """True where the money of the whole purchase is more than what a mail about one job asks for, than what the policy says,
    or than what anybody but the account's owner may ask for.
    """
    said_otherwise = case.outcome in {Outcome.REVERSE_CREDITS.value, Outcome.DECLINE.value, Outcome.NOTHING_OWED.value}
    return case.job_id is not None or case.state is CaseState.WAITING or said_otherwise


def _no_money(scene: Scene, held: str | None) -> str | None:
    assert scene.charge is not None, "asked only about a charge"
    facts, payment = scene.charge.facts, scene.payment
    if payment is not None and scene.claimed_elsewhere:
        whose = f"the charge was claimed by {payment.case_id} with Creem's {payment.environment} key, and that is not ours"
        return f"{whose}: {_any_claim_is_open(scene)}"
    if payment is not None and not awaits_word(scene):
        spent = f"the charge was claimed by {payment.case_id}, and that claim is {payment.state}: one claim on a charge, for ever"
        return spent + (_ELSEWHERE if _was_never_called(scene) else "")
    if facts.disputed:
        return "the charge is under dispute at the bank: nothing is sent beside it"
    if facts.refunded_amount:
        return "money of this charge has already gone back"
    if scene.charge.charged_back:
        return "Creem still shows the charge as charged back: our one claim on it would end there"
    if scene.charge.behind:
        return "Creem told of a refund of the charge that it does not show yet: what becomes of that comes first"
    if scene.first_may_go is not None:
        return scene.first_may_go
    if facts.transaction_id is None:
        return "the charge names no transaction at Creem, and money goes back by no other way"
    if not facts.amount:
        return "the purchase cost nothing"
    return held


def _was_never_called(scene: Scene) -> bool:
    """True where the claim ended before any call of ours, and the charge holds its money: nobody gave any of it back."""
    payment, charge = scene.payment, scene.charge
    if payment is None or charge is None or payment.closed_at is None or payment.attempts:
        return False
    facts = charge.facts
    return not (facts.disputed or facts.refunded_amount or charge.charged_back or charge.behind)


def awaits_word(scene: Scene) -> bool:
    """True where the case has the claim, and nothing was sent that may be on its way: a person says anew what may leave."""
    payment = scene.payment
    if payment is None or payment.closed_at is not None or payment.case_id != scene.case.case_id or scene.claimed_elsewhere:
        return False
    return bool(payment.next_step == claims.SEND) and scene.case.state is CaseState.REVIEW


def _decline(scene: Scene) -> Choice:
    does = "nothing is given back, and the customer is told the reason"
    if unasked(scene):
        does = "nothing is given back, and nobody is told: the account's own mailbox asked for nothing"
    return Choice(Act.DECLINE, does, _claim_is_open(scene))


def _claim_is_open(scene: Scene) -> str | None:
    payment = scene.payment
    return _any_claim_is_open(scene) if payment is not None and payment.case_id == scene.case.case_id else None


def _any_claim_is_open(scene: Scene) -> str | None:
    if scene.payment is None or scene.payment.closed_at is not None:
        return None
    if scene.nothing_left:
        return f"a refund waits to be sent: `refunds review withdraw {scene.payment.case_id}` takes it back first"
    return "a refund may be on its way: its claim goes on being read at Creem, and only that settles it"


def _won(scene: Scene) -> Choice:
    facts = scene.charge.facts if scene.charge is not None else None
    frozen = facts.frozen - scene.proposed if facts is not None else 0
    if facts is not None and facts.refunded_amount:
        # what went back is no matter of the bank's: its share stays void, or becomes so
        frozen -= min(max(0, holds.share_gone(facts.granted, facts.refunded_amount, facts.amount) - facts.void), frozen)
    does = f"the bank decided for us: {count(frozen, 'frozen credit')} can be spent again"
    gone = "money of this charge has already gone back" if facts is not None and facts.given_back else None
    return Choice(Act.WON, does, gone or _any_claim_is_open(scene), credits=frozen)


def _lost(scene: Scene) -> Choice:
    facts = scene.charge.facts if scene.charge is not None else None
    unspent = facts.remaining + facts.frozen if facts is not None else 0
    return Choice(Act.LOST, f"the bank gave the money back: {_void(unspent, 'the purchase')}")


def _void(unspent: int, purchase: str) -> str:
    return f"{count(unspent, 'unspent credit')} of {purchase} {'becomes' if unspent == 1 else 'become'} void"


def _suspend(scene: Scene) -> Choice:
    does = f"{scene.account.account_id} is suspended{_grounds(scene)}; what is owed for faults of ours is still booked"
    gone = "the account is deleted" if scene.account.status == AccountStatus.DELETED.value else None
    return Choice(Act.SUSPEND, does, gone or _no_grounds(scene), needs_second=True)


def _reinstate(scene: Scene) -> Choice:
    return Choice(Act.REINSTATE, f"{scene.account.account_id} is active again")


def _forfeit(scene: Scene) -> Choice:
    frozen = f"{'is' if scene.spendable == 1 else 'are'} frozen"
    does = f"{count(scene.spendable, 'credit')} of {scene.account.account_id} {frozen}"
    does += ", and void for good once a second person agrees"
    nothing = None if scene.spendable or scene.to_forfeit else "the account has no credits to forfeit"
    return Choice(Act.FORFEIT, f"{does}{_grounds(scene)}", _no_grounds(scene) or nothing, needs_second=True)


def _grounds(scene: Scene) -> str:
    grounds = grounds_for_measures(scene.use)
    return f" ({grounds})" if grounds else ""


def unasked(scene: Scene) -> bool:
    """True of a mail in the name of an account whose own mailbox asked for nothing."""
    return scene.case.kind is CaseKind.REQUEST and not scene.own_mails


def _no_grounds(scene: Scene) -> str | None:
    if scene.denied:
        return "the account's own mailbox answered that it did not write the mail, and nobody is held to what another asked for"
    if unasked(scene):
        return "no mail of the account's own mailbox asks for anything, and nobody is held to what another asked for"
    if grounds_for_measures(scene.use) is not None:
        return None
    return "the books show no successful output that was delivered and downloaded, and nothing else is grounds for it"


_MAKE: dict[Act, Callable[[Scene], Choice]] = {
    Act.CREDITS: _credits,
    Act.DECLINE: _decline,
    Act.WON: _won,
    Act.LOST: _lost,
    Act.SUSPEND: _suspend,
    Act.REINSTATE: _reinstate,
    Act.FORFEIT: _forfeit,
}

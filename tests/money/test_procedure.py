"""One charge goes back at most once, whatever Creem answers (creem-api.md 14.3, failure-modes.md 2.4)."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from sqlalchemy import select, update

from tests.cases.world import a_purchase, an_account
from tests.money.between import PassesOn
from tests.money.world import ADDRESS, MoneyWorld
from tests.servers import POSTGRES_AT_NIGHT
from worker.cases.editions.editions import judged_by_another
from worker.cases.money import limits
from worker.cases.money.pay import STUCK
from worker.cases.money.record import KEY_REFUSALS
from worker.clock import written
from worker.creem.client import Armed
from worker.creem.transactions import Transaction
from worker.errors import OutOfTime, Refused
from worker.sandbox.creem import Lost, RefundAnswer, SecondRefund, Seen, Switches
from worker.sandbox.creem.words import Announced, Ending, Fault, Lie, Meanwhile
from worker.settings import DEFAULT_TERMS, Mode
from worker.store.breakers import CREEM, closed_to
from worker.store.engine import Store
from worker.store.tables import cases

NASTY = Switches(second_refund=SecondRefund.PAYS_AGAIN, second_while_pending=SecondRefund.PAYS_AGAIN)
"""A provider that pays whatever it is asked to pay: only we stand between it and a second refund."""


def play(world: MoneyWorld, *, days: float = 3, **switches: Any) -> str | None:
    """Two charges five minutes apart; what becomes of the later one's case."""
    world.double.switches = replace(NASTY, **switches)
    world.twice_charged()
    world.settle_down(days=days)
    return world.state("ord_1")


def holds(world: MoneyWorld) -> None:
    """The statement that has to hold whatever happened."""
    for name in ("tran_0", "tran_1"):
        assert world.double.gone(name) <= world.double.paid(name), "more left than was paid"
        assert world.double.posts(name) <= 1 or all(s.status in {400, 401, 403} for s in calls(world, name)[:-1])
    assert world.double.posts("tran_0") == 0, "the first charge stays"
    assert world.audit().breaches == []


def calls(world: MoneyWorld, name: str) -> list[Seen]:
    return [seen for seen in world.double.requests if seen.method == "POST" and name in str(seen.body)]


def test_duplicate_charge_goes_back_once_and_voids_its_lot(world: MoneyWorld) -> None:
    assert play(world) == "refunded"
    assert world.double.gone("tran_1") == 900
    assert world.double.posts("tran_1") == 1
    assert world.credits() == 100, "the lot of the charge that stays"
    lot = {lot["purchase_id"]: lot for lot in world.account("acc_1")["lots"]}["ord_1"]
    assert (lot["remaining"], lot["frozen"], lot["void"]) == (0, 0, 100)
    found = world.case("ord_1")
    assert found is not None
    assert found["payments"][0]["state"] == "refunded"
    assert found["payments"][0]["amount"] == 900
    assert [told["type"] for told in world.announced()] == ["refund.payment_refunded"]
    holds(world)


def test_charges_are_given_back_but_one(world: MoneyWorld) -> None:
    world.twice_charged(charges=4, apart=timedelta(minutes=2))
    world.settle_down()
    assert [world.double.gone(f"tran_{n}") for n in range(4)] == [0, 900, 900, 900]
    assert world.case("ord_0") is None
    holds(world)


def test_duplicate_is_one_by_the_edition_of_its_own_purchase_whatever_is_bought_later(store: Store, tmp_path: Path) -> None:
    """Once the next purchase under an edition with another window closed it as owed nothing."""
    shipped = (DEFAULT_TERMS / "2025-12-03.toml").read_text()
    (tmp_path / "2025-12-03.toml").write_text(shipped)
    narrow = shipped.replace("duplicate_window_hours = 24", "duplicate_window_hours = 1")
    (tmp_path / "2026-03-04.toml").write_text(narrow.replace('"2025-12-03"', '"2026-03-04"'))
    world = MoneyWorld(store, terms_dir=tmp_path)
    history = world.history_of_charges(2, apart=timedelta(hours=5))
    world.clock.pass_(hours=6)
    world.load(*history)
    assert world.state("ord_1") == "review"
    for number in (8, 9):
        world.clock.pass_(days=2, hours=number)
        world.load(world.bought(f"ord_{number}", f"tran_{number}", written(world.clock.now())))
        world.sweep()
    found = world.case("ord_1")
    assert found is not None
    assert (found["state"], found["decision"]["terms"]) == ("review", "2025-12-03")
    assert (world.case("ord_8"), world.case("ord_9"), world.audit().breaches) == (None, None, [])
    long_ago = world.clock.now() - timedelta(days=30)
    assert world.store.read(lambda tx: judged_by_another(tx, world.bench.editions, long_ago)) == []
    world.close()


def test_tax_goes_back_with_the_price(world: MoneyWorld) -> None:
    world.twice_charged(tax=171)
    world.settle_down()
    assert world.state("ord_1") == "refunded"
    assert world.double.gone("tran_1") == 1071
    holds(world)


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize(
    ("switches", "state", "gone"),
    [
        ({"answer": RefundAnswer.SUCCEEDED}, "refunded", 900),
        ({"settle_after": 3600.0, "turns_early": False}, "refunded", 900),
        ({"answer": RefundAnswer.REQUIRES_ACTION, "settle_after": 7200.0, "turns_early": False}, "refunded", 900),
        ({"answer": RefundAnswer.REQUIRES_ACTION, "ends": Ending.NEVER, "turns_early": False}, "review", 0),
        ({"answer": RefundAnswer.UNHEARD_OF}, "refunded", 900),
        ({"answer": RefundAnswer.FAILED}, "review", 0),
        ({"answer": RefundAnswer.CANCELED}, "review", 0),
        ({"ends": Ending.NEVER, "turns_early": False}, "review", None),
        ({"ends": Ending.FAILED, "turns_early": False, "settle_after": 600.0, "announced": Announced.BOTH}, "review", 0),
        ({"post": Fault.TIMEOUT, "post_side": Lost.AFTER_COMMIT, "post_times": 1}, "refunded", 900),
        ({"post": Fault.TIMEOUT, "post_side": Lost.BEFORE_COMMIT, "post_times": 1}, "review", 0),
        ({"before_read": Meanwhile.FULL_REFUND}, "external", 900),
        ({"meanwhile": Meanwhile.FULL_REFUND, "second_refund": SecondRefund.REFUSED}, "external", 900),
        ({"before_read": Meanwhile.PART_REFUND}, "review", 450),
        ({"before_read": Meanwhile.DISPUTE}, "review", 900),
        ({"post": Fault.NOT_SENT, "post_times": 3}, "refunded", 900),
        pytest.param({"post": Fault.NOT_SENT}, "review", 0, marks=pytest.mark.landing),
        ({"post": Fault.KEY_REFUSED, "post_times": 2, "wrong_key_status": 401}, "refunded", 900),
        ({"post": Fault.KEY_REFUSED, "post_times": 2, "wrong_key_message": False}, "refunded", 900),
        ({"post": Fault.BARE_400}, "review", 0),
        ({"post": Fault.BARE_404, "post_side": Lost.AFTER_COMMIT}, "refunded", 900),
        ({"post": Fault.ERROR_503, "post_side": Lost.AFTER_COMMIT}, "refunded", 900),
        ({"post": Fault.THROTTLED}, "review", 0),
        ({"post": Fault.THROTTLED, "post_side": Lost.AFTER_COMMIT}, "refunded", 900),
        ({"post": Fault.BARE_429}, "review", 0),
        ({"post": Fault.REDIRECT}, "review", 0),
        ({"post": Fault.REDIRECT, "post_side": Lost.AFTER_COMMIT}, "refunded", 900),
        ({"post": Lie.OTHER_TRANSACTION}, "review", 0),
        ({"post": Lie.OTHER_TRANSACTION, "post_side": Lost.AFTER_COMMIT}, "refunded", 900),
        ({"post": Lie.OTHER_MODE}, "review", 0),
        ({"post": Lie.NO_STATUS, "post_side": Lost.AFTER_COMMIT}, "refunded", 900),
    ],
)
def test_each_answer_has_its_way(world: MoneyWorld, switches: dict[str, Any], state: str, gone: int | None) -> None:
    # what is not proved is a person's after a day
    assert play(world, days=1.5, **switches) == state, world.case("ord_1")
    if gone is not None:
        assert world.double.gone("tran_1") == gone
    holds(world)


def test_refund_that_creem_calls_succeeded_is_done_when_the_charge_shows_it(world: MoneyWorld) -> None:
    world.double.switches = replace(NASTY, answer=RefundAnswer.SUCCEEDED, get_lag=600.0)
    world.twice_charged()
    world.sweep()
    world.pay()
    assert (world.claim("tran_1").state, world.state("ord_1"), world.double.gone("tran_1")) == ("confirming", "refunding", 900)
    world.clock.pass_(minutes=11)
    world.settle_down(days=0.1)
    assert (world.claim("tran_1").state, world.state("ord_1"), world.double.posts("tran_1")) == ("refunded", "refunded", 1)
    holds(world)


def test_refund_that_creem_refuses_is_called_once_and_a_persons(world: MoneyWorld) -> None:
    world.double.switches = replace(NASTY, post=Lie.NOT_FOUND)
    world.twice_charged()
    world.sweep()
    # a claim that is due again at once would be called for again within the round
    replace(world.payer(), round_seconds=3.0).pay()
    claim = world.claim("tran_1")
    assert (claim.state, claim.closed_at is not None, world.state("ord_1")) == ("refused", True, "review")
    assert (world.double.posts("tran_1"), world.double.gone("tran_1")) == (1, 0)
    lot = {lot["purchase_id"]: lot for lot in world.account("acc_1")["lots"]}["ord_1"]
    assert (lot["remaining"], lot["frozen"]) == (100, 0)
    holds(world)


@POSTGRES_AT_NIGHT
def test_key_that_may_not_refund_is_a_persons_after_a_day(world: MoneyWorld) -> None:
    assert play(world, days=1.2, post=Fault.KEY_REFUSED) == "review"
    claim = world.claim("tran_1")
    assert (claim.state, claim.closed_at is not None) == ("refused", True)
    assert (world.double.posts("tran_1"), world.double.gone("tran_1")) == (KEY_REFUSALS + 1, 0)
    holds(world)


@pytest.mark.parametrize(("why", "in_words"), [({"low_balance": 1}, "balance"), ({"post": Fault.KEY_REFUSED}, "key")])
def test_claim_that_creem_refused_says_why_and_nothing_else(world: MoneyWorld, why: dict[str, Any], in_words: str) -> None:
    assert play(world, days=0.1, **why) == "refunding"
    [claim] = (world.case("ord_1") or {})["payments"]
    assert (claim["state"], "nothing has left" in claim["stands"]) == ("refused", True)
    assert {word for word in ("balance", "key") if word in claim["stands"].partition(";")[0]} == {in_words}, claim["stands"]


def two_due(world: MoneyWorld, **switches: Any) -> None:
    """Two customers charged twice, the refunds of both due at once, and the first process that pays has had its turn."""
    world.double.switches = replace(NASTY, **switches)
    world.twice_charged()
    world.charged_again(1)
    assert len(world.open_claims()) == 2
    world.pay()


def called(world: MoneyWorld) -> int:
    """How many calls for a refund arrived, for whatever charge."""
    return sum(seen.method == "POST" for seen in world.double.requests)


def held(world: MoneyWorld, name: str) -> str | None:
    """Why this breaker stands open now."""
    found = world.store.read(lambda tx: closed_to(tx, [name], world.clock.now()))
    return found and found[0]


def stays_with_one_call(world: MoneyWorld, name: str, *, minutes: float) -> None:
    """The breaker stands open so long, and nobody calls for the other claim meanwhile."""
    until = world.clock.now() + timedelta(minutes=minutes)
    while world.clock.now() < until:
        assert held(world, name) is not None
        assert called(world) == 1
        world.clock.pass_(minutes=minutes / 8)
        world.turn()


def test_while_one_process_asks_creem_no_other_does(world: MoneyWorld) -> None:
    """However many there are, and however much is due: Creem gets as much as one of them asks."""
    world.twice_charged()
    world.charged_again(1)
    first, second = world.payer(), world.payer()
    beside = list[list[str]]()

    class Slow(PassesOn):
        def transaction(self, transaction_id: str) -> Transaction | None:
            asked = len(world.double.requests)
            beside.append(second.pay())
            assert len(world.double.requests) == asked
            return super().transaction(transaction_id)

    replace(first, creem=Slow(first.creem)).pay()
    assert len(beside) >= 4
    assert not any(beside)
    assert [world.double.posts(name) for name in ("tran_1", "tran_r1_1")] == [1, 1]
    world.settle_down(days=1)
    holds(world)


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("status", [401, 403])
def test_key_that_was_refused_is_tried_by_no_other_claim_meanwhile(world: MoneyWorld, status: int) -> None:
    two_due(world, post=Fault.KEY_REFUSED, wrong_key_status=status)
    assert f"Creem answered {status}" in str(held(world, limits.KEY))
    assert sorted(world.open_claims()) == [("refunding", "claimed"), ("refunding", "refused")]
    stays_with_one_call(world, limits.KEY, minutes=9)
    world.double.switches = NASTY
    world.settle_down(days=0.5)
    assert [world.double.gone(name) for name in ("tran_1", "tran_r1_1")] == [900, 900]
    assert called(world) == 3
    assert held(world, limits.KEY) is None
    holds(world)


def test_key_that_is_refused_after_the_call_leaves_it_to_be_proved_once_the_key_is_mended(world: MoneyWorld) -> None:
    world.double.switches = replace(NASTY, probe=Fault.KEY_REFUSED)
    world.twice_charged()
    world.pay()
    for _ in range(3):
        world.clock.pass_(minutes=11)
        (told,) = world.pay()
        assert told.startswith("later: ")
        assert held(world, limits.KEY) is not None
    assert (world.claim("tran_1").state, world.state("ord_1")) == ("in_progress", "refunding")
    world.double.switches = NASTY
    world.settle_down(days=0.5)
    assert (world.state("ord_1"), world.double.posts("tran_1")) == ("refunded", 1)
    holds(world)


def behind_a_firewall(world: MoneyWorld, dislikes: str) -> None:
    """Something in front of Creem answers with a page of its own whatever has this in its address."""
    inside = world.double.transport()

    def look(request: httpx.Request) -> httpx.Response:
        if dislikes in str(request.url):
            page = httpx.ByteStream(b"<h1>Access denied</h1>")
            return httpx.Response(403, stream=page, headers={"content-type": "text/html"})
        return inside.handle_request(request)

    world.http = httpx.Client(transport=httpx.MockTransport(look), base_url=ADDRESS.base_url)
    world.creem = world.a_client()


def test_page_of_a_firewall_about_one_charge_holds_no_other_and_is_not_about_the_key(world: MoneyWorld) -> None:
    """Once it stopped all money again every ten minutes, and the page that was sent asked for another key."""
    behind_a_firewall(world, "tran_1")
    world.twice_charged()
    world.pay()
    name = world.charged_again(1)
    world.pay()
    assert (world.double.gone(name), world.double.gone("tran_1")) == (900, 0)
    assert (held(world, limits.KEY), held(world, CREEM)) == (None, None)
    said = "Creem answered 403: a body that is not Creem's (text/html, 22 bytes)"
    assert said in world.claim("tran_1").detail
    world.settle_down(days=2)
    found = world.case("ord_1")
    assert found is not None
    assert (found["state"], world.double.posts("tran_1")) == ("review", 0)
    assert said in found["decision"]["reason"]


@pytest.mark.parametrize(
    ("stands", "becomes"), [("delivered", "review"), ("refunded", "refunded")], ids=["a person's", "closed for ever"]
)
def test_claim_that_cannot_be_worked_on_stops_alone(world: MoneyWorld, stands: str, becomes: str) -> None:
    """Somebody wrote into its case what no move of ours leads to: a person is called where the case still takes one."""
    names = [world.charged_again(number) for number in range(3)]
    spoilt = world.claim(names[1])
    ends = {"state": stands, "owner": None, "next_action_at": None, "closed_at": world.clock.now()}
    mine = cases.c.case_id == spoilt.case_id
    world.store.write(lambda tx: tx.connection.execute(update(cases).where(mine).values(ends)))
    told = world.pay()
    assert [one.split(":")[0] for one in told if names[1] in one] == ["stuck"]
    assert [world.double.posts(name) for name in names] == [1, 0, 1]
    later = world.claim(names[1])
    assert (later.state, later.attempts) == ("claimed", 0)
    assert STUCK - timedelta(seconds=10) < later.due_at - world.clock.now() <= STUCK
    (case,) = world.store.read(lambda tx: tx.all(select(cases.c.state, cases.c.reason).where(mine)))
    assert case.state == becomes
    assert ("the worker could not go on with the payment" in case.reason) is (becomes == "review")


def test_firewall_that_lets_nobody_through_is_a_creem_that_is_away(world: MoneyWorld) -> None:
    behind_a_firewall(world, "/v1/")
    later = [world.charged_again(number) for number in range(6)]
    world.settle_down(days=2 / 24, done=lambda: held(world, CREEM) is not None)
    assert "a body that is not Creem's" in str(held(world, CREEM))
    assert held(world, limits.KEY) is None
    behind_a_firewall(world, "nothing of this")
    world.settle_down(days=0.5)
    assert [world.double.gone(name) for name in later] == [900] * 6


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("side", Lost)
@pytest.mark.parametrize("lie", [Lie.OTHER_TRANSACTION, Lie.OTHER_MODE])
def test_answer_for_another_charge_stops_all_money_until_a_person_releases_it(world: MoneyWorld, lie: Lie, side: Lost) -> None:
    two_due(world, post=lie, post_side=side)
    # within the turn, whatever the next read shows
    assert sorted(world.open_claims()) == [("refunding", "claimed"), ("review", "unknown")]
    assert "Creem answered for another charge or environment" in str(held(world, limits.MONEY))
    world.double.switches = NASTY
    stays_with_one_call(world, limits.MONEY, minutes=60 * 30)
    assert next(told["type"] for told in world.announced()) == "refund.in_review"
    world.store.write(lambda tx: limits.release(tx, by="ada", reason="asked Creem", now=world.clock.now()))
    world.settle_down(days=2)
    assert called(world) == 2
    sent = [world.double.posts(name) for name in ("tran_1", "tran_r1_1")]
    assert sent == [1, 1]
    assert sum(world.double.gone(name) for name in ("tran_1", "tran_r1_1")) == (1800 if side is Lost.AFTER_COMMIT else 900)
    holds(world)


@pytest.mark.parametrize("word", [RefundAnswer.REQUIRES_ACTION, RefundAnswer.UNHEARD_OF, "a word of next year"])
def test_refund_that_may_need_a_hand_in_the_dashboard_is_a_persons_within_the_turn(world: MoneyWorld, word: str) -> None:
    world.double.switches = replace(NASTY, answer=word, ends=Ending.NEVER, turns_early=False)
    world.twice_charged()
    world.pay()
    found = world.case("ord_1")
    assert found is not None
    said = f"Creem answered {word}: the refund may need a step in its dashboard"
    assert (found["state"], found["decision"]["reason"]) == ("review", said)
    assert world.claim("tran_1").state == "in_progress"
    world.sweep()
    assert [told["type"] for told in world.announced()] == ["refund.in_review"]
    world.settle_down(days=2)
    assert world.double.posts("tran_1") == 1
    holds(world)


def test_refund_that_is_pending_is_nobodys_within_the_turn(world: MoneyWorld) -> None:
    world.double.switches = replace(NASTY, ends=Ending.NEVER, turns_early=False)
    world.twice_charged()
    world.pay()
    assert world.open_claims() == [("refunding", "in_progress")]


def test_call_that_was_not_sent_is_one_of_the_five_after_which_creem_is_left_alone(world: MoneyWorld) -> None:
    world.double.switches = replace(NASTY, post=Fault.NOT_SENT, post_times=1)
    world.twice_charged()
    world.pay()
    assert world.open_claims() == [("refunding", "claimed")]
    assert world.claim("tran_1").due_at > world.clock.now()
    for _ in range(4):
        assert held(world, CREEM) is None
        world.store.write(lambda tx: limits.away(tx, "a read that nobody heard", world.clock.now()))
    assert held(world, CREEM) is not None
    world.settle_down(days=1)
    assert (called(world), world.state("ord_1")) == (1, "refunded")
    holds(world)


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.BARE_429])
@pytest.mark.parametrize("side", Lost)
def test_refund_that_was_too_much_at_once_is_read_and_never_called_again(world: MoneyWorld, fault: Fault, side: Lost) -> None:
    world.double.switches = replace(NASTY, post=fault, post_side=side, post_times=1, turns_early=False, settle_after=600.0)
    world.twice_charged()
    world.pay()
    assert world.open_claims() == [("unknown", "unknown")]
    assert world.claim("tran_1").next_step == "read"
    world.settle_down(days=4)
    assert world.double.posts("tran_1") == 1
    assert world.state("ord_1") == ("refunded" if side is Lost.AFTER_COMMIT else "review")
    holds(world)


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize(
    "fault",
    [
        Fault.ERROR_503,
        *(pytest.param(fault, marks=pytest.mark.landing) for fault in (Fault.HTML_502, Fault.TIMEOUT, Fault.CUT_SHORT)),
    ],
)
def test_calls_that_come_to_nothing_end_before_they_have_spent_every_claim(world: MoneyWorld, fault: Fault) -> None:
    """Creem can be read and hears no call: once each claim was sent into that, and each was a person's a day later."""
    world.double.switches = replace(NASTY, post=fault)
    later = [world.charged_again(number) for number in range(12)]
    began = world.clock.now()
    world.settle_down(days=10 / 1440)
    assert 5 <= called(world) <= 5 + 4, "the first five, then one after 1, 2 and 4 minutes"
    assert "refund calls in a row nobody knows what came, at last" in str(held(world, limits.CALLS))
    waits = [claim for claim in map(world.claim, later) if claim.attempts == 0]
    assert len(waits) == 12 - called(world)
    assert all(claim.detail.startswith("money waits, creem_calls: of ") for claim in waits)
    spent = {claim.transaction_id for claim in map(world.claim, later) if claim.attempts}
    world.double.switches = NASTY
    world.settle_down(days=0.1)
    assert [world.double.gone(name) for name in later] == [0 if name in spent else 900 for name in later]
    assert called(world) == 12
    assert held(world, limits.CALLS) is None
    assert world.clock.now() - began < timedelta(hours=4)


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.BARE_429])
@pytest.mark.parametrize(("asks", "minutes"), [("900", 15), (None, 1)])
def test_creem_that_has_too_many_calls_gets_no_other_before_it_wants_one(
    world: MoneyWorld, fault: Fault, asks: str | None, minutes: float
) -> None:
    two_due(world, post=fault, retry_after=asks)
    stays_with_one_call(world, limits.CALLS, minutes=minutes * 0.95)
    world.double.switches = NASTY
    world.settle_down(days=0.1)
    assert called(world) == 2
    assert sum(world.double.gone(name) for name in ("tran_1", "tran_r1_1")) == 900


def all_called_for(world: MoneyWorld, names: list[str]) -> bool:
    return all(world.claim(name).attempts for name in names)


def test_call_that_was_answered_ends_the_row_of_those_that_were_not(world: MoneyWorld) -> None:
    for post, numbers in ((Fault.ERROR_503, range(4)), (Fault.NONE, range(4, 5)), (Fault.ERROR_503, range(5, 9))):
        world.double.switches = replace(NASTY, post=post)
        later = [world.charged_again(number) for number in numbers]
        world.settle_down(days=0.01, done=partial(all_called_for, world, later))
    assert (called(world), held(world, limits.CALLS)) == (9, None)


class Ended(PassesOn):
    """A Creem that did what it was asked, in a task whose time is over before it hears of that."""

    def refund(self, armed: Armed) -> NoReturn:
        """Has it done, and is ended."""
        super().refund(armed)
        raise OutOfTime


def test_call_in_whose_middle_the_task_was_ended_is_proved_by_itself_and_calls_nobody(world: MoneyWorld) -> None:
    """Once it was taken for a defect of the claim, and a person was called about money that had gone back as it should."""
    world.double.switches = NASTY
    world.twice_charged()
    world.sweep()
    with pytest.raises(OutOfTime):
        replace(world.payer(), creem=Ended(world.creem)).pay()
    assert (world.claim("tran_1").state, world.state("ord_1")) == ("sending", "refunding")
    world.settle_down(days=1)
    assert (world.state("ord_1"), world.double.gone("tran_1"), world.double.posts("tran_1")) == ("refunded", 900, 1)
    history = [line["event"] for line in (world.case("ord_1") or {})["history"]]
    assert not [event for event in history if "review" in event]
    holds(world)


def test_dispute_that_we_were_told_of_and_no_read_shows_yet_stops_the_call(world: MoneyWorld) -> None:
    world.double.switches = replace(NASTY, get_lag=600.0)
    world.twice_charged()
    world.double.dispute("tran_1")
    world.double.tick()
    world.sweep()
    world.pay()
    assert world.double.posts("tran_1") == 0
    assert world.state("ord_1") == "review"
    assert "dispute" in world.claim("tran_1").detail


def test_low_balance_is_tried_again_by_days_and_seen(world: MoneyWorld) -> None:
    world.double.switches = replace(NASTY, low_balance=3)
    world.twice_charged()
    world.settle_down(days=0.2)
    assert world.state("ord_1") == "refunding"
    blocked = world.store.read(lambda tx: closed_to(tx, [limits.BALANCE], world.clock.now()))
    assert blocked is not None
    assert "900 minor units wait" in blocked[0]
    world.settle_down(days=5)
    assert world.state("ord_1") == "refunded"
    posts = [seen.at for seen in calls(world, "tran_1")]
    assert len(posts) == 4
    assert all(later - earlier >= timedelta(days=1) for earlier, later in pairwise(posts))
    holds(world)


def test_claim_that_waited_for_days_and_was_sent_is_nobodys_before_its_call_is_old(world: MoneyWorld) -> None:
    """Once a person was told then, at the first look that failed, that nothing could be sent for a day."""
    world.double.switches = replace(NASTY, low_balance=1, turns_early=False, settle_after=86_400 * 3)
    world.twice_charged()
    world.settle_down(days=2, done=lambda: world.double.posts("tran_1") == 2)
    world.double.switches = replace(world.double.switches, probe=Fault.HTML_502)
    world.settle_down(days=0.9)
    assert (world.state("ord_1"), world.claim("tran_1").state) == ("refunding", "in_progress")
    world.settle_down(days=0.3)
    found = world.case("ord_1")
    assert found is not None
    assert found["state"] == "review"
    assert found["decision"]["reason"].startswith("not proved within 24 hours: Creem is not reachable")
    world.double.switches = replace(world.double.switches, probe=Fault.NONE)
    world.settle_down(days=5)
    assert world.state("ord_1") == "refunded"
    holds(world)


def test_low_balance_that_lasts_goes_to_a_person_with_the_lot_released(world: MoneyWorld) -> None:
    assert play(world, days=20, low_balance=99) == "review"
    assert world.credits() == 200
    assert world.double.gone("tran_1") == 0
    holds(world)


@pytest.mark.parametrize("mode", [Mode.CREDITS_ONLY, Mode.OBSERVE])
def test_no_money_leaves_in_other_modes(store: Store, mode: Mode) -> None:
    world = MoneyWorld(store, switches=NASTY, mode=mode)
    world.twice_charged()
    world.settle_down(days=1)
    assert world.state("ord_1") == "review"
    assert world.double.posts("tran_1") == 0
    world.close()


def test_plan_of_a_requeue_says_what_money_would_go_back(store: Store) -> None:
    """Once it said "refunding", no credits, and nothing outside."""
    world = MoneyWorld(store, mode=Mode.OBSERVE)
    world.twice_charged()
    live = MoneyWorld(store, clock=world.clock)
    plan = live.requeuer.plan("ord_1")
    assert (plan.would_be, plan.effects) == ("refunding", ("send 9.00 USD back on tran_1 at Creem",))
    assert live.state("ord_1") == "review", "and it was only a plan"
    world.close()
    live.close()


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize(("tax", "fit"), [(0, 2), (1, 1), pytest.param(2, 1, marks=pytest.mark.landing)])
def test_more_money_than_the_terms_allow_stops_until_a_person_releases_it(store: Store, tax: int, fit: int) -> None:
    world = MoneyWorld(store, switches=NASTY)
    now = world.clock.now()
    limit = world.bench.terms_at(now).money_per_hour_minor_units
    # by the last of these the second charge is over the limit by its own tax alone
    price = limit // 2 - tax // 2
    for number in range(3):
        for which in range(2):
            world.double.pay(
                f"tran_{number}_{which}",
                customer_id=f"cust_{number}",
                amount=price,
                tax=tax,
                order_id=f"ord_{number}_{which}",
                paid_at=now,
            )
        more = {"customer_id": f"cust_{number}", "product_id": "prod_pack", "amount": price}
        world.load(
            an_account(f"acc_{number}"),
            *(
                a_purchase(f"ord_{number}_{w}", f"acc_{number}", 10, now.isoformat(), transaction_id=f"tran_{number}_{w}", **more)
                for w in range(2)
            ),
        )
    world.settle_down(days=0.1)
    sent = [world.double.gone(f"tran_{number}_1") for number in range(3)]
    assert sorted(sent) == [0] * (3 - fit) + [price + tax] * fit
    assert world.store.read(lambda tx: closed_to(tx, [limits.MONEY], world.clock.now())) is not None
    for _ in range(3 - fit):
        world.store.write(lambda tx: limits.release(tx, by="ada", reason="looked at them", now=world.clock.now()))
        world.settle_down(days=0.1)
    assert [world.double.gone(f"tran_{number}_1") for number in range(3)] == [price + tax] * 3
    with pytest.raises(Refused, match="not stopped"):
        world.store.write(lambda tx: limits.release(tx, by="ada", reason="again", now=world.clock.now()))
    world.close()

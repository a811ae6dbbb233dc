"""What a person decides: in order, alone or with a second person, once, and with every effect of the policy's own decisions."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.cases.world import START, a_job, a_purchase, an_account, moves
from tests.requests.world import PNG, PeopleWorld, text_of
from tests.review.test_declined import in_mode
from tests.servers import ON_POSTGRES
from tests.threads import at_once, ends
from worker.cases.review.queue import NAMED_BEFORE
from worker.clock import written
from worker.errors import Refused
from worker.settings import DEFAULT_TERMS, Mode
from worker.store.engine import Store
from worker.store.tables import accounts, actions, cases, leases, payments, proposals

BUSINESS = timedelta(days=3, hours=2)
"""Three business days from the start, when Monday has not begun everywhere yet."""


def in_review(world: PeopleWorld, job: str = "job_1") -> str:
    """A job whose reports contradict each other: only a person can say."""
    if not world.case("job_0") and job == "job_1":
        world.bought_once()
    world.happen(world.submitted(job), world.failed(job), world.succeeded(job))
    found = world.case(job)
    assert found is not None
    assert found["state"] == "review", found
    return str(found["case_id"])


def test_approved_job_gets_its_credits_and_says_who_decided(world: PeopleWorld) -> None:
    case_id = in_review(world)
    assert world.credits() == 45
    assert world.choices(case_id)["credits"]["does"] == "5 credits come back to be spent (5 to ord_1)"
    told = world.decide(case_id, reason="the log shows a crash")
    assert (told["choice"], told["done"], told["overtook"]) == ("credits", True, 0)
    assert world.credits() == 50
    case = world.case(case_id)
    assert case is not None
    assert (case["state"], case["credits_reversed"], case["credits_owed"]) == ("refunded", 5, 5)
    assert case["decision"]["outcome"] == "reverse_credits"
    assert case["decision"]["rule"] == "decided_by_person"
    assert case["decision"]["reason"] == "the log shows a crash"
    decided = next(row for row in case["history"] if row["event"] == "review.decided")
    assert (decided["by"], decided["detail"]["by"]) == ("ann", "ann")
    assert decided["detail"]["policy"]["rule"] == "contradictory_reports"
    world.sweep()
    assert [said["type"] for said in world.announced()][-1] == "refund.credits_reversed"


def test_one_credit_is_spoken_of_as_one(world: PeopleWorld) -> None:
    world.bought_once()
    job = "job_c"
    world.happen(world.submitted(job, credits=1), world.failed(job), world.succeeded(job))
    assert world.choices(job)["credits"]["does"] == "1 credit comes back to be spent (1 to ord_1)"


def test_credits_a_person_gives_back_cover_a_job_that_waits_for_some(world: PeopleWorld) -> None:
    case_id = in_review(world)
    world.happen(world.submitted("dear", credits=50), world.failed("dear"))
    assert world.state("dear") == "waiting"
    world.decide(case_id)
    world.sweep()
    assert (world.state("dear"), world.credits()) == ("refunded", 50)


def test_plan_says_what_the_decision_would_do_and_leaves_the_case_free(world: PeopleWorld) -> None:
    case_id = in_review(world)
    before = world.digest()
    plan = world.reviewer.plan("job_1", None, by="ann")
    assert (plan["case_id"], plan["choice"], plan["needs_second"], plan["agrees_with"]) == (case_id, "credits", False, None)
    assert plan["does"] == world.choices(case_id)["credits"]["does"]
    assert world.reviewer.plan("job_1", "decline", by="ann")["does"] == world.choices(case_id)["decline"]["does"]
    assert world.digest() == before
    assert world.rows(select(leases.c.name).where(leases.c.name.like("review:%"))) == []
    world.reviewer.take(case_id, by="bob")
    with pytest.raises(Refused, match="is with bob until"):
        world.reviewer.plan("job_1", None, by="ann")
    with pytest.raises(Refused, match="money is not possible here; choose one of credits, decline"):
        world.reviewer.plan("job_1", "money", by="bob")
    world.decide(case_id, by="bob")
    with pytest.raises(Refused, match="does not wait for a person: it is refunded"):
        world.reviewer.plan("job_1", None, by="bob")


def test_what_came_after_it_was_shown_is_not_decided_over(world: PeopleWorld) -> None:
    case_id = in_review(world)
    plan = world.reviewer.plan(case_id, "decline", by="ann")
    assert plan["shown"] == world.reviewer.look(case_id, by="ann")["shown"]["decline"]
    # in somebody else's name, and with no word that changes a choice
    world.mail("See the picture of job_1.", sender="evil@evil.example", verified=False, files={"a.png": PNG})
    assert world.reviewer.plan(case_id, "decline", by="ann")["does"] == plan["does"]
    with pytest.raises(Refused, match="there is new mail; look again before you decide"):
        world.reviewer.decide(case_id, "decline", by="ann", reason="it was whole", shown=plan["shown"])
    plan = world.reviewer.plan(case_id, "decline", by="ann")
    assert world.reviewer.decide(case_id, "decline", by="ann", reason="it was whole", shown=plan["shown"])["done"]


def test_second_person_agrees_to_what_the_case_holds_when_it_is_shown(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    world.load({"record": "purchase", **second_purchase()})
    world.decide(case_id, "forfeit", by="ann")
    [(choice, shown)] = world.reviewer.look(case_id, by="bob")["shown"].items()
    world.reviewer.withdraw(case_id, by="ann", reason="not so")
    world.decide(case_id, "forfeit", by="ann")
    with pytest.raises(Refused, match="look again before you decide"):
        world.reviewer.decide(case_id, choice, by="bob", reason="agreed", shown=shown)
    [(choice, shown)] = world.reviewer.look(case_id, by="bob")["shown"].items()
    assert world.reviewer.decide(case_id, choice, by="bob", reason="agreed", shown=shown)["done"]


def test_plan_says_who_has_to_agree_and_what_agreeing_would_do(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    world.load({"record": "purchase", **second_purchase()})
    assert world.reviewer.plan(case_id, "forfeit", by="ann")["needs_second"]
    world.decide(case_id, "forfeit", by="ann")
    with pytest.raises(Refused, match="a second, different person has to agree"):
        world.reviewer.plan(case_id, "forfeit", by="ann")
    with pytest.raises(Refused, match="agree to it or withdraw it first"):
        world.reviewer.plan(case_id, "decline", by="bob")
    plan = world.reviewer.plan(case_id, None, by="bob")
    assert (plan["choice"], plan["needs_second"], plan["agrees_with"]) == ("forfeit", False, "ann")


def test_declined_case_stays_declined_when_it_is_looked_at_again(world: PeopleWorld) -> None:
    case_id = in_review(world)
    world.decide(case_id, "decline", reason="the output was whole")
    assert world.state("job_1") == "declined"
    world.happen(world.event("downloaded", "job_1"))
    world.clock.pass_(days=2)
    world.sweep()
    assert world.state("job_1") == "declined"
    assert world.credits() == 45


def test_decision_replayed_is_refused_and_does_nothing_twice(world: PeopleWorld) -> None:
    case_id = in_review(world)
    world.decide(case_id)
    with pytest.raises(Refused, match="does not wait for a person: it is refunded"):
        world.decide(case_id)
    assert world.credits() == 50


def test_case_in_somebodys_hands_is_refused_to_others_until_the_lease_ends(world: PeopleWorld) -> None:
    case_id = in_review(world)
    world.reviewer.take(case_id, by="ann")
    for act in (lambda: world.reviewer.take(case_id, by="bob"), lambda: world.decide(case_id, by="bob")):
        with pytest.raises(Refused, match="is with ann until"):
            act()
    [item] = world.reviewer.queue(limit=10, after=None)[0]
    assert item["taken_by"] == "ann"
    world.clock.pass_(minutes=16)
    [item] = world.reviewer.queue(limit=10, after=None)[0]
    assert (item["taken_by"], item["taken_until"]) == (None, None)
    assert world.decide(case_id, by="bob")["done"]


def test_case_given_back_is_free_and_only_by_its_holder(world: PeopleWorld) -> None:
    case_id = in_review(world)
    world.reviewer.take(case_id, by="ann")
    world.reviewer.give_back(case_id, by="bob")
    with pytest.raises(Refused):
        world.reviewer.take(case_id, by="bob")
    world.reviewer.give_back(case_id, by="ann")
    world.reviewer.take(case_id, by="bob")


def test_lease_race_has_one_winner(world: PeopleWorld) -> None:
    case_id = in_review(world)
    for turn in range(5):
        found = ends(*(lambda by=by: world.reviewer.take(case_id, by=by) for by in ("ann", "bob", "cat", "dan")), of=Refused)
        assert sum(not isinstance(one, Refused) for one in found) == 1, turn
        world.clock.pass_(minutes=16)


@ON_POSTGRES
def test_case_that_is_given_back_is_free_or_held_and_nothing_else(world: PeopleWorld) -> None:
    case_id = in_review(world)

    def takes(by: str) -> Callable[[], None]:
        def takes_and_gives_back() -> None:
            for _ in range(50):
                with suppress(Refused):
                    world.reviewer.take(case_id, by=by)
                    world.reviewer.give_back(case_id, by=by)

        return takes_and_gives_back

    at_once(takes("ann"), takes("bob"), takes("cat"))
    assert world.rows(select(leases).where(leases.c.name.like("review:%"))) == []


def test_two_people_deciding_at_once_decide_once(world: PeopleWorld) -> None:
    for turn in range(5):
        case_id = in_review(world, f"job_{turn + 1}") if turn else in_review(world)
        works = [lambda by=by, case_id=case_id: world.decide(case_id, "credits", by=by) for by in ("ann", "bob", "cat")]
        found = ends(*works, of=Refused)
        assert sum(not isinstance(one, Refused) for one in found) == 1
    assert world.credits() == 50
    assert world.rows(select(leases).where(leases.c.name.like("review:%"))) == []


def test_reason_is_required(world: PeopleWorld) -> None:
    case_id = in_review(world)
    with pytest.raises(Refused, match="a reason is required"):
        world.decide(case_id, reason="  ")


def test_choice_that_is_none_is_named_with_those_that_are(world: PeopleWorld) -> None:
    case_id = in_review(world)
    with pytest.raises(Refused, match="forfeit is not possible here; choose one of credits, decline"):
        world.decide(case_id, "forfeit")


def test_overtaking_is_on_record_with_its_reason(world: PeopleWorld) -> None:
    first = in_review(world)
    world.clock.pass_(minutes=1)
    second = in_review(world, "job_2")
    assert world.queue() == [first, second]
    assert world.reviewer.look(second, by="ann")["waiting_before"] == [first]
    assert world.decide(second, reason="it is urgent")["overtook"] == 1
    noted = next(row for row in world.case(second)["history"] if row["event"] == "review.overtook")  # type: ignore[index]
    assert noted["detail"] == {"cases": 1, "by": "ann", "reason": "it is urgent"}
    assert world.decide(first)["overtook"] == 0


def test_place_counts_all_who_wait_before_and_names_the_first_of_them(world: PeopleWorld) -> None:
    jobs = [f"job_{number}" for number in range(NAMED_BEFORE + 3)]
    world.load(an_account(), a_purchase("ord_1", "acc_1", 5000))
    world.happen(*(told(job) for job in jobs for told in (world.submitted, world.failed, world.succeeded)))
    queue = [item["case_id"] for item in world.reviewer.queue(limit=200, after=None)[0]]
    seen = world.reviewer.look(queue[-1], by="ann")
    assert (seen["place"], seen["waiting_before"]) == (len(jobs), queue[:NAMED_BEFORE])


def test_case_in_somebodys_hands_is_not_overtaken(world: PeopleWorld) -> None:
    first = in_review(world)
    world.clock.pass_(minutes=1)
    second = in_review(world, "job_2")
    world.reviewer.take(first, by="bob")
    assert world.decide(second)["overtook"] == 0


def test_nothing_is_carried_out_in_mode_observe(store: Store, tmp_path: Path) -> None:
    world = PeopleWorld(store, tmp_path, mode=Mode.OBSERVE)
    case_id = in_review(world)
    with pytest.raises(Refused, match="in mode observe nothing is carried out"):
        world.decide(case_id, "credits")
    assert world.credits() == 45
    world.close()


def test_job_that_was_made_good_by_hand_in_observe_is_not_made_good_again_when_going_live(store: Store, tmp_path: Path) -> None:
    world = PeopleWorld(store, tmp_path, mode=Mode.OBSERVE)
    world.load(an_account(), a_purchase("ord_1", "acc_1", 50))
    for job in ("job_1", "job_2"):
        world.happen(world.submitted(job, credits=5), world.failed(job))
        assert world.state(job) == "review"
    case = world.case("job_1")
    assert case is not None
    shown = world.choices(case["case_id"])["decline"]
    assert (shown["refused"], shown["does"].rpartition(": ")[2]) == (None, "in mode observe")
    world.decide(case["case_id"], "decline", reason="ann gave them back on Monday")
    assert world.state("job_1") == "declined"
    in_mode(world, Mode.FULL)
    world.sweeper = replace(world.sweeper, performer=replace(world.performer, acts=True))
    for case_id in world.queue():
        replace(world.requeuer, assessor=world.assessor).requeue(case_id, by="ann", reason="going live")
    world.sweep()
    assert (world.state("job_1"), world.state("job_2"), world.credits()) == ("declined", "refunded", 45)
    assert [told["data"]["job_id"] for told in world.announced()] == ["job_2"]
    assert world.audit().ok
    world.close()


def in_doubt(world: PeopleWorld, amount: int = 900) -> str:
    """The same charged twice, an hour apart: it may have been meant."""
    names = world.twice_charged(apart=timedelta(minutes=40))
    world.sweep()
    found = world.case("ord_1")
    assert found is not None
    assert (found["state"], found["decision"]["rule"]) == ("review", "duplicate_in_doubt")
    assert world.double.posts(names[1]) == 0
    return str(found["case_id"])


def test_what_would_go_back_names_the_purchase_whatever_it_granted(world: PeopleWorld) -> None:
    for order, credits in (("ord_1", 50), ("ord_2", 0)):
        world.bought_once(order, kind="pass_24h" if not credits else "credit_pack", credits=credits)
        taken = world.mail(f"Please refund my order {order}.", message_id=f"<{order}@example.org>")
        assert f" {order} " in world.choices(taken.case_id)["money"]["does"]


def test_approved_charge_goes_back_once_through_the_procedure(world: PeopleWorld) -> None:
    case_id = in_doubt(world)
    choice = world.choices(case_id)["money"]
    assert choice["moves_money"]
    assert choice["does"].startswith("9.00 USD goes back by the original payment method through Creem; 100 unspent credits")
    told = world.decide(case_id, reason="she bought once")
    assert told["done"]
    assert world.state(case_id) == "refunding"
    with pytest.raises(Refused):
        world.decide(case_id)
    world.settle_down(days=2)
    assert world.state(case_id) == "refunded"
    assert (world.double.posts("tran_1"), world.double.gone("tran_1")) == (1, 900)
    case = world.case(case_id)
    assert case is not None
    assert case["decision"]["reason"] == "she bought once"


def test_declined_charge_stays_and_is_not_asked_about_again(world: PeopleWorld) -> None:
    case_id = in_doubt(world)
    world.decide(case_id, "decline", reason="two packs were meant")
    world.clock.pass_(days=2)
    world.sweep()
    world.reconciler().reconcile()
    assert world.state(case_id) == "declined"
    assert world.double.posts("tran_1") == 0


def test_charge_after_one_that_a_person_let_stand_is_compared_with_that_one(world: PeopleWorld) -> None:
    """Bought, bought again a day later on purpose, and that charged twice: once the third had no case, whatever was said of the
    second, for it was compared with the first alone.
    """
    first, second, third = (charged(world, n, timedelta(hours=30 - hours)) for n, hours in enumerate((0, 23.95, 24.05)))
    world.load(an_account(), first, second, third)
    assert (world.state("ord_1"), world.state("ord_2")) == ("review", None)
    world.decide("ord_1", "decline", reason="bought again on purpose")
    world.settle_down(days=1)
    assert [world.state(f"ord_{n}") for n in range(3)] == [None, "declined", "refunded"]
    assert [world.double.gone(f"tran_{n}") for n in range(3)] == [0, 0, 900]
    found = world.case("ord_2")
    assert found is not None
    assert found["decision"]["reason"] == "the same 9.00 USD was charged 6 minutes after ord_1, which stays valid"


def test_charge_of_a_chain_says_beside_which_one_it_stands_by_now_and_is_told_once(world: PeopleWorld) -> None:
    """Once it went on naming the first, which had gone back, for as long as a person had it."""
    hours = (0, 1, 1.5)
    world.load(an_account(), *(charged(world, n, timedelta(hours=3 - after)) for n, after in enumerate(hours)))
    assert decided(world, "ord_2") == ("ord_0", "1 hour 30 minutes", 1)
    world.clock.pass_(minutes=5)
    assert len(world.written()) == 1
    world.double.refund_in_dashboard("tran_0")
    for _ in range(3):
        world.settle_down(days=0.1)
        world.reconciler().reconcile()
        world.clock.pass_(days=1)
        world.sweep()
        assert decided(world, "ord_2") == ("ord_1", "30 minutes", 2)
    about = [letter for letter in world.written() if "ord_2" in text_of(letter)]
    assert [letter["Subject"] for letter in about] == ["A person will look at your cases"]


def decided(world: PeopleWorld, order: str) -> tuple[str, str, int]:
    """The charge that the case of this order is compared with, how far apart it says they are, and how often that was decided."""
    found = world.case(order)
    assert found is not None
    assert found["state"] == "review"
    facts = world.rows(select(cases.c.facts).where(cases.c.case_id == found["case_id"]))[0].facts
    apart = found["decision"]["reason"].removeprefix("the same was charged again after ").partition(",")[0]
    return facts["first"]["purchase_id"], apart, moves(found).count("case.decided")


def charged(world: PeopleWorld, number: int, ago: timedelta) -> dict[str, Any]:
    """One charge for the same thing at that time, and what the product's history says of it."""
    at, name = world.clock.now() - ago, f"tran_{number}"
    world.double.pay(name, customer_id="cust_1", amount=900, order_id=f"ord_{number}", paid_at=at)
    return world.bought(f"ord_{number}", name, at.isoformat())


def test_money_does_not_leave_without_the_mode_for_it(store: Store, tmp_path: Path) -> None:
    world = PeopleWorld(store, tmp_path, mode=Mode.CREDITS_ONLY)
    case_id = in_doubt(world)
    with pytest.raises(Refused, match="no money leaves in mode credits_only"):
        world.decide(case_id, "money")
    world.close()


def a_dispute(world: PeopleWorld, *, used: bool = True) -> str:
    """A purchase that is used and then disputed at the bank."""
    transaction = world.bought_once()
    if used:
        world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))
    world.double.dispute(transaction)
    world.double.tick()
    world.sweep()
    found = world.case(transaction)
    assert found is not None
    assert (found["kind"], found["state"]) == ("dispute", "review")
    return str(found["case_id"])


def test_dispute_won_gives_the_frozen_credits_back_to_be_spent(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    assert (world.credits(), world.account("acc_1")["frozen"]) == (0, 45)
    world.decide(case_id, "won", reason="the bank said so")
    assert (world.credits(), world.account("acc_1")["frozen"]) == (45, 0)
    assert world.state(case_id) == "declined"


def test_credits_of_a_dispute_that_was_won_cover_a_job_that_waits_for_some(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    world.happen(world.submitted("job_2"), world.failed("job_2"))
    assert world.state("job_2") == "waiting"
    world.decide(case_id, "won", reason="the bank said so")
    world.sweep()
    assert (world.state("job_2"), world.credits()) == ("refunded", 45)


def drawn_upon(world: PeopleWorld, *, apart: int) -> list[str]:
    """Two charges of 100 credits so many minutes apart, and a job that took half of the later lot; returns their cases' rule."""
    world.load(*world.history_of_charges(2, apart=timedelta(minutes=apart)), a_job(credits=150))
    return judged(world)


def judged(world: PeopleWorld) -> list[str]:
    """Where the case of a duplicate stands, and by which rule."""
    found = world.case("ord_1") or {}
    return [found["state"], found["decision"]["rule"]]


@pytest.mark.parametrize(
    ("by", "apart", "then"),
    [("itself", 5, ["refunding", "duplicate_charge"]), ("a person", 40, ["review", "duplicate_in_doubt"])],
)
def test_duplicate_is_judged_anew_when_its_credits_come_back(world: PeopleWorld, by: str, apart: int, then: list[str]) -> None:
    """Policy.md, "Duplicate charge": automatic if the later lot is untouched. Once a person was asked about credits that had come
    back, for a day.
    """
    assert drawn_upon(world, apart=apart) == ["review", "duplicate_lot_used"]
    if by == "itself":
        world.happen(world.failed("job_1", code="internal_error"))
    else:
        world.happen(world.failed("job_1"), world.succeeded("job_1"))
        world.decide("job_1", "credits", reason="the log shows a crash")
    world.sweep()
    assert world.state("job_1") == "refunded"
    assert judged(world) == then
    world.settle_down(days=1)
    assert world.double.gone("tran_1") == (900 if then[0] == "refunding" else 0)


def test_no_of_a_person_to_a_duplicate_stays_when_its_credits_come_back(world: PeopleWorld) -> None:
    drawn_upon(world, apart=5)
    world.decide("ord_1", "decline", reason="bought again on purpose")
    world.happen(world.failed("job_1", code="internal_error"))
    world.sweep()
    assert (world.state("job_1"), judged(world)[0], world.double.gone("tran_1")) == ("refunded", "declined", 0)


def test_duplicate_in_doubt_says_at_once_that_its_credits_were_used(world: PeopleWorld) -> None:
    world.load(*world.history_of_charges(2, apart=timedelta(minutes=40)))
    assert judged(world) == ["review", "duplicate_in_doubt"]
    world.happen(world.submitted("job_1", credits=150))
    world.sweep()
    assert judged(world) == ["review", "duplicate_lot_used"]


def test_duplicate_pass_in_doubt_says_at_once_that_a_job_ran_under_it(world: PeopleWorld) -> None:
    passes = world.history_of_charges(2, apart=timedelta(minutes=40), kind="pass_24h", credits=0)
    world.load(*passes)
    # when the first is over, and before anybody is reminded
    world.clock.pass_(hours=23, minutes=10)
    world.happen(world.submitted("job_1", credits=0, paid_with="pass"))
    world.sweep()
    assert judged(world) == ["review", "duplicate_lot_used"]


def test_dispute_lost_voids_what_was_not_used(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    world.decide(case_id, "lost", reason="the bank said so")
    assert (world.credits(), world.account("acc_1")["frozen"]) == (0, 0)
    assert world.account("acc_1")["lots"][0]["void"] == 45
    assert world.state(case_id) == "external"


def test_dispute_has_no_remedy_at_hand_and_says_what_there_is(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    with pytest.raises(Refused, match="there is no remedy at hand; choose one of won"):
        world.decide(case_id)


def test_suspension_needs_a_second_different_person(world: PeopleWorld) -> None:
    world.load(an_account("acc_2"))
    case_id = a_dispute(world)
    told = world.decide(case_id, "suspend", by="ann", reason="she used it and disputes it")
    assert (told["done"], told["waits_for_second"]) == (False, True)
    assert standing(world) == "active"
    for same in ("ann", "Ann", " ANN "):
        with pytest.raises(Refused, match="a second, different person has to agree"):
            world.decide(case_id, "suspend", by=same)
    with pytest.raises(Refused, match="suspend is proposed by ann"):
        world.decide(case_id, "forfeit", by="bob")
    assert world.decide(case_id, "suspend", by="bob", reason="I looked as well")["done"]
    assert (standing(world), standing(world, "acc_2")) == ("suspended", "active")
    with pytest.raises(Refused, match="is not possible here"):
        world.decide(case_id, "suspend", by="cat")
    [row] = world.rows(select(proposals))
    assert (row.state, row.proposed_by, row.ended_by) == ("agreed", "ann", "bob")
    assert [(row.action, row.subject) for row in world.rows(select(actions))] == [("account.suspended", "acc_1")]


def test_agreement_race_agrees_once(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    world.load({"record": "purchase", **second_purchase()})
    world.decide(case_id, "forfeit", by="ann")
    found = ends(*(lambda by=by: world.decide(case_id, "forfeit", by=by) for by in ("bob", "cat", "ann")), of=Refused)
    assert sum(not isinstance(one, Refused) for one in found) == 1


def test_suspended_account_is_reinstated_by_one_person_and_still_made_whole(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    world.decide(case_id, "suspend", by="ann")
    world.decide(case_id, "suspend", by="bob")
    world.load({"record": "purchase", **second_purchase()})
    world.happen(world.submitted("job_9"), world.failed("job_9"))
    assert world.state("job_9") == "refunded"
    assert world.decide(case_id, "reinstate", by="ann", reason="a mix-up")["done"]
    assert standing(world) == "active"


def suspended_and_closed(world: PeopleWorld) -> str:
    """A request under which two people suspended the account, and whose money was declined."""
    world.bought_once()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))
    case_id = world.mail().case_id
    world.decide(case_id, "suspend", by="ann", reason="resold")
    world.decide(case_id, "suspend", by="bob")
    world.decide(case_id, "decline", by="bob", reason="what came out was used")
    world.sweep()
    assert (world.state(case_id), world.queue()) == ("declined", [])
    return case_id


def test_suspension_is_lifted_under_the_case_it_came_of_though_that_is_closed(world: PeopleWorld) -> None:
    case_id = suspended_and_closed(world)
    before = world.case(case_id)
    assert before is not None
    assert world.account("acc_1")["suspended_under"] == case_id
    assert list(world.choices(case_id)) == ["reinstate"]
    assert world.reviewer.plan(case_id, "reinstate", by="cat")["needs_second"] is False
    for other in ("decline", "money", "suspend", "forfeit"):
        with pytest.raises(Refused, match=f"{other} is not possible here; choose one of reinstate"):
            world.decide(case_id, other, by="cat")
    world.clock.pass_(hours=2)
    told = world.decide(case_id, "reinstate", by="cat", reason="it was her brother")
    assert (told["done"], told["told"], told["overtook"]) == (True, "acc_1 is active", 0)
    assert (standing(world), world.account("acc_1")["suspended_under"]) == ("active", None)
    after = world.case(case_id)
    assert after is not None
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"history", "notices"}, "the case keeps its end"
    lifted = after["history"][-1]
    assert (lifted["event"], lifted["by"], lifted["detail"]["reason"]) == ("account.reinstated", "cat", "it was her brother")
    recorded = [(row.action, row.by, row.reason) for row in world.rows(select(actions).order_by(actions.c.id))]
    assert recorded[-1] == ("account.active", "cat", "it was her brother")
    world.sweep()
    assert [said["type"] for said in world.announced()][-1] == "account.active"
    world.clock.pass_(minutes=2)
    assert [mail for mail in world.written() if "open again" in mail["Subject"]]
    assert world.audit().breaches == []
    for again in (lambda: world.decide(case_id, "reinstate", by="ann"), lambda: world.reviewer.take(case_id, by="ann")):
        with pytest.raises(Refused, match="does not wait for a person: it is declined"):
            again()


def test_suspension_is_lifted_by_one_of_several_at_once(world: PeopleWorld) -> None:
    case_id = suspended_and_closed(world)
    found = ends(*(lambda by=by: world.decide(case_id, "reinstate", by=by) for by in ("ann", "bob", "cat")), of=Refused)
    assert sum(not isinstance(one, Refused) for one in found) == 1
    assert [row.action for row in world.rows(select(actions.c.action))].count("account.active") == 1


def test_suspension_is_lifted_only_under_the_last_case_it_came_of(world: PeopleWorld) -> None:
    first = suspended_and_closed(world)
    world.decide(first, "reinstate", by="cat")
    world.clock.pass_(seconds=1)
    second = world.mail("Please refund my order ord_1, once more.", message_id="<mail-2@example.org>").case_id
    for by in ("ann", "bob"):
        world.decide(second, "suspend", by=by)
    assert second != first
    assert world.account("acc_1")["suspended_under"] == second
    assert world.choices(first) == {}
    with pytest.raises(Refused, match="does not wait for a person"):
        world.decide(first, "reinstate", by="cat")
    world.decide(second, "decline", by="ann")
    assert world.decide(second, "reinstate", by="ann")["done"]


def test_suspension_by_the_product_is_not_lifted_here(world: PeopleWorld) -> None:
    case_id = suspended_and_closed(world)
    world.decide(case_id, "reinstate", by="cat")
    world.load(an_account(status="suspended"))
    assert (standing(world), world.account("acc_1")["suspended_under"]) == ("suspended", None)
    with pytest.raises(Refused, match="does not wait for a person"):
        world.decide(case_id, "reinstate", by="cat")


def test_proposal_that_outlived_its_case_is_not_agreed_to_where_the_suspension_can_be_lifted(world: PeopleWorld) -> None:
    case_id = suspended_and_closed(world)
    world.load({"record": "purchase", **second_purchase()})
    waits = update(cases).where(cases.c.case_id == case_id)
    row = world.rows(select(cases).where(cases.c.case_id == case_id))[0]
    review = {"state": "review", "owner": "person", "closed_at": None, "next_action_at": world.clock.now()}
    world.store.write(lambda tx: tx.connection.execute(waits.values(**review)))
    world.decide(case_id, "forfeit", by="ann")
    ended = {name: getattr(row, name) for name in review}
    world.store.write(lambda tx: tx.connection.execute(waits.values(**ended)))
    for choice in ("forfeit", "reinstate", None):
        with pytest.raises(Refused, match="does not wait for a person: it is declined"):
            world.decide(case_id, choice, by="bob")
    assert world.reviewer.end_stale() == 1
    assert world.decide(case_id, "reinstate", by="bob")["done"]
    assert world.account("acc_1")["frozen"] == 0


def second_purchase() -> dict[str, Any]:
    known = {"id": "ord_2", "account_id": "acc_1", "kind": "credit_pack", "billing": "first", "amount": 900, "currency": "USD"}
    return {**known, "credits": 20, "paid_at": "2026-03-02T09:30:00Z"}


def test_forfeiture_freezes_at_once_and_voids_only_when_the_second_agrees(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    world.load({"record": "purchase", **second_purchase()})
    assert world.choices(case_id)["forfeit"]["does"].startswith("20 credits of acc_1 are frozen")
    world.decide(case_id, "forfeit", by="ann", reason="used, then disputed")
    assert (world.credits(), world.account("acc_1")["frozen"]) == (0, 65)
    assert world.audit().breaches == []
    told = world.decide(case_id, "forfeit", by="bob", reason="agreed")
    assert told["told"] == "20 credits are void"
    lots = {lot["purchase_id"]: lot for lot in world.account("acc_1")["lots"]}
    assert (lots["ord_2"]["void"], lots["ord_2"]["frozen"]) == (20, 0)
    # what the dispute itself holds stays for the dispute to settle
    assert (lots["ord_1"]["void"], lots["ord_1"]["frozen"]) == (0, 45)


def test_credits_that_were_forfeited_wrongly_are_given_again_once_and_cost_no_money(world: PeopleWorld) -> None:
    """As the runbook says, "A wrong forfeiture"."""
    world.bought_once()
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))
    case_id = world.mail().case_id
    assert "are frozen, and void for good once a second person agrees" in world.choices(case_id)["forfeit"]["does"]
    for by in ("ann", "bob"):
        world.decide(case_id, "forfeit", by=by)
    world.decide(case_id, "decline", reason="it was used")
    world.clock.pass_(minutes=2)
    [letter] = [mail for mail in world.written() if "forfeited" in mail["Subject"]]
    world.mail("That was my brother.", message_id="<2@example.org>", In_Reply_To=str(letter["Message-ID"]))
    assert (world.state(case_id), world.credits()) == ("review", 0)
    again = {**a_purchase(f"again-{case_id}", credits=45), "amount": 0}
    for _ in range(2):
        world.load(again)
        assert world.credits() == 45
    world.decide(case_id, "decline", reason="your 45 credits are back: the forfeiture was wrong")
    assert world.mail(f"Please refund again-{case_id}.", message_id="<3@example.org>").state == "nothing_owed"
    assert world.credits() == 45


def test_forfeiture_withdrawn_gives_everything_back(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    world.load({"record": "purchase", **second_purchase()})
    world.decide(case_id, "forfeit", by="ann")
    before = world.digest()
    plan = world.reviewer.plan_withdraw(case_id, by="bob", reason="a look")
    assert world.digest() == before
    with pytest.raises(Refused, match="forfeit is proposed by ann by now"):
        world.reviewer.withdraw(case_id, "suspend", by="bob", reason="another was shown")
    told = world.reviewer.withdraw(case_id, "forfeit", by="bob", reason="not without a warning")
    assert plan == told
    assert (told["proposed_by"], told["told"]) == ("ann", "forfeit is withdrawn; 20 credits can be spent again")
    assert (world.credits(), world.account("acc_1")["frozen"]) == (20, 45)
    with pytest.raises(Refused, match="nothing is proposed"):
        world.reviewer.withdraw(case_id, by="bob", reason="again")
    # and it can be proposed anew
    world.decide(case_id, "forfeit", by="bob")
    world.decide(case_id, "forfeit", by="ann")
    assert world.account("acc_1")["frozen"] == 45


def test_measures_are_refused_where_nothing_was_delivered(world: PeopleWorld) -> None:
    case_id = a_dispute(world, used=False)
    for choice in ("suspend", "forfeit"):
        with pytest.raises(Refused, match="no successful output that was delivered and downloaded"):
            world.decide(case_id, choice)
    assert standing(world) == "active"


def test_dispute_won_while_a_forfeit_is_open_releases_only_its_own(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    world.load({"record": "purchase", **second_purchase()})
    world.decide(case_id, "forfeit", by="ann")
    with pytest.raises(Refused, match="forfeit is proposed by ann"):
        world.decide(case_id, "won", by="bob")
    world.reviewer.withdraw(case_id, by="bob", reason="the bank decided")
    world.decide(case_id, "won", by="bob")
    assert (world.credits(), world.account("acc_1")["frozen"]) == (65, 0)


def test_deadlines_come_earliest_first_with_what_has_gone_by(world: PeopleWorld) -> None:
    in_review(world)
    world.clock.pass_(days=1)
    in_review(world, "job_2")
    found = world.reviewer.deadlines(limit=10)
    assert [item["what"] for item in found] == ["our promise of 3 business days"] * 2
    assert found[0]["at"] < found[1]["at"]
    assert found[0]["percent"] > 25
    assert found[1]["percent"] == 0


def test_deadline_of_a_failure_heard_of_late_runs_from_the_failure(world: PeopleWorld) -> None:
    world.bought_once()
    told = [world.submitted("job_1"), world.succeeded("job_1"), world.failed("job_1")]
    world.clock.pass_(hours=38)
    world.happen(*told)
    assert [item["percent"] for item in world.reviewer.deadlines(limit=10)] == [50]


def test_creem_waits_three_business_days_for_a_word_about_money_and_for_none_about_a_job(world: PeopleWorld) -> None:
    in_review(world)
    world.bought_once("ord_2", "acc_2")
    world.mail("Please refund ord_2.", sender="acc_2@example.org")
    world.double.dispute(world.bought_once("ord_3", "acc_3"))
    world.clock.pass_(hours=38)
    world.double.tick()
    world.sweep()
    told = {item["kind"]: item["creem_may_act_at"] for item in world.reviewer.queue(limit=10, after=None)[0]}
    heard_late = written(START + timedelta(days=3, hours=38))
    assert told == {"job": None, "request": written(START + BUSINESS), "dispute": heard_late}


def test_dispute_that_opens_again_gives_creem_its_time_anew(world: PeopleWorld) -> None:
    """Once the days were counted from the first dispute: Creem's time was over before the second began, and led the deadlines."""
    case_id = a_dispute(world)
    world.decide(case_id, "won", reason="the bank said so")
    world.clock.pass_(days=14)
    world.double.dispute("tran_ord_1")
    world.double.tick()
    world.sweep()
    [item] = world.reviewer.queue(limit=10, after=None)[0]
    assert item["creem_may_act_at"] == item["due_at"] == written(START + timedelta(days=14) + BUSINESS)
    assert [one["what"] for one in world.reviewer.deadlines(limit=10)] == ["our promise of 3 business days"]


@pytest.fixture
def patient(store: Store, tmp_path: Path) -> Iterator[PeopleWorld]:
    """A world whose promise is a day longer than Creem's patience."""
    [shipped] = DEFAULT_TERMS.glob("*.toml")
    (tmp_path / "terms").mkdir()
    longer = shipped.read_text().replace("promise_business_days = 3", "promise_business_days = 4")
    (tmp_path / "terms" / shipped.name).write_text(longer)
    world = PeopleWorld(store, tmp_path, terms_dir=tmp_path / "terms")
    yield world
    world.close()


def test_creems_patience_is_a_deadline_where_it_ends_before_our_promise(patient: PeopleWorld) -> None:
    patient.decide(a_dispute(patient), "won", reason="the bank said so")
    patient.clock.pass_(days=14)
    patient.double.dispute("tran_ord_1")
    patient.double.tick()
    patient.sweep()
    patient.clock.pass_(hours=38)
    told = [(item["what"], item["percent"]) for item in patient.reviewer.deadlines(limit=10)]
    assert told == [("Creem may refund by itself", 50), ("our promise of 4 business days", 37)]


def test_creems_patience_comes_first_however_many_promises_end_before_that_of_its_case(patient: PeopleWorld) -> None:
    """Once only the first promises were looked at, five for each line that was asked for."""
    for number in range(1, 7):
        in_review(patient, f"job_{number}")
    patient.clock.pass_(hours=1)
    patient.double.dispute(patient.bought_once("ord_2", "acc_2"))
    patient.double.tick()
    patient.sweep()
    [first] = patient.reviewer.deadlines(limit=1)
    assert (first["kind"], first["what"]) == ("dispute", "Creem may refund by itself")


def test_queue_goes_on_page_by_page(world: PeopleWorld) -> None:
    ids = [in_review(world)]
    for number in range(2, 6):
        world.clock.pass_(minutes=1)
        ids.append(in_review(world, f"job_{number}"))
    seen: list[str] = []
    after = None
    for _ in range(3):
        items, after = world.reviewer.queue(limit=2, after=after)
        seen += [item["case_id"] for item in items]
    assert (seen, after) == (ids, None)


def standing(world: PeopleWorld, account: str = "acc_1") -> str:
    return str(world.rows(select(accounts.c.status).where(accounts.c.account_id == account))[0].status)


def test_history_of_an_approval_reads_from_opening_to_end(world: PeopleWorld) -> None:
    case_id = in_review(world)
    world.decide(case_id)
    found = [event for event in moves(world.case(case_id)) if event.startswith(("review", "credits", "case.moved"))]
    assert found == ["review.decided", "credits.reversed", "case.moved"]


def test_product_that_still_calls_the_account_active_does_not_lift_a_suspension(world: PeopleWorld) -> None:
    case_id = a_dispute(world)
    world.decide(case_id, "suspend", by="ann")
    world.decide(case_id, "suspend", by="bob")
    world.load(an_account() | {"email": "new@example.org"})
    assert standing(world) == "suspended"
    world.sweep()
    assert [said["type"] for said in world.announced()][-1] == "account.suspended"
    world.decide(case_id, "reinstate", by="cat")
    world.load(an_account() | {"email": "newer@example.org"})
    assert standing(world) == "active"


def test_approve_alone_sends_no_money_where_the_policy_said_something_else(world: PeopleWorld) -> None:
    world.bought_once(ago=timedelta(days=60))
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.submitted("job_2"), world.failed("job_2"))
    strange = world.mail(sender="somebody@else.example", verified=False).case_id
    assert world.state(strange) == "waiting"
    with pytest.raises(Refused, match=r"there is no remedy at hand; choose one of money: 9\.00 USD goes back"):
        world.decide(strange)
    assert world.decide(strange, "money")["choice"] == "money"


@pytest.mark.parametrize("end", ["declined", "delivered"])
def test_person_gives_the_credits_of_a_job_whose_own_case_is_over(world: PeopleWorld, end: str) -> None:
    world.bought_once()
    if end == "declined":
        world.happen(world.submitted("job_1"), world.failed("job_1", code="invalid_image"))
    else:
        world.happen(world.submitted("job_1"), world.failed("job_1", code="gpu_out_of_memory"))
        world.happen(world.succeeded("job_1", attempt=2))
    assert (world.state("job_1"), world.credits()) == (end, 45)
    mail = world.mail("The layers of job_1 are blank, and my image is fine. Please give the credits back.").case_id
    if end == "declined":
        # the second time a person reads it
        world.clock.pass_(minutes=5)
        mail = world.mail("Look at my image! It is job_1.", message_id="<again@example.org>").case_id
    told = world.decide(mail, "credits")
    assert (told["choice"], world.credits(), world.state(mail)) == ("credits", 50, "refunded")
    world.happen(world.failed("job_1", code="internal_error", attempt=3), world.event("downloaded", "job_1"))
    world.clock.pass_(days=1)
    world.sweep()
    assert world.credits() == 50


def test_job_that_still_waits_for_its_own_decision_is_not_decided_by_a_mail(world: PeopleWorld) -> None:
    own = in_review(world)
    mail = world.mail().case_id
    assert world.choices(mail)["credits"]["refused"] == f"its failed jobs have cases of their own: {own}"


def test_second_person_is_asked_by_what_goes_back_and_not_by_the_price(world: PeopleWorld) -> None:
    transaction = "tran_ord_1"
    paid_at = world.clock.now() - timedelta(days=1)
    known: dict[str, Any] = {"customer_id": "cust_acc_1", "product_id": "prod_ord_1"}
    world.double.pay(transaction, amount=9900, tax=2079, order_id="ord_1", paid_at=paid_at, email="acc_1@example.org", **known)
    purchase = a_purchase("ord_1", "acc_1", 50, written(paid_at), transaction_id=transaction, **known)
    world.load(an_account(), {**purchase, "amount": 9900})
    world.reconciler().reconcile()
    case_id = world.mail().case_id
    found = world.choices(case_id)["money"]
    assert found["does"].startswith("119.79 USD goes back")
    assert found["needs_second"]
    assert world.decide(case_id, by="ann")["waits_for_second"]
    assert world.decide(case_id, by="bob")["done"]
    world.settle_down(days=1)
    assert (world.state(case_id), world.double.gone(transaction)) == ("refunded", 11979)
    assert [row.charged for row in world.rows(select(payments.c.charged))] == [11979]


def test_what_two_people_agree_to_is_what_the_first_was_shown(world: PeopleWorld) -> None:
    """Once the first proposed 500.00, the charge was read as 595.00 meanwhile, the second agreed to 500.00, and 595.00 left."""
    transaction = world.bought_once(amount=50000, tax=9500)
    case_id = world.mail().case_id
    assert world.decide(case_id, by="ann")["told"].startswith("proposed; a second person has to agree: 500.00 USD goes back")
    world.reconciler().reconcile()
    for agree in (world.reviewer.plan, world.decide):
        with pytest.raises(Refused, match=r"ann proposed another thing: 500.00 USD goes back .* by now 595.00 USD goes back"):
            agree(case_id, None, by="bob")
    assert world.claim(transaction) is None
    world.reviewer.withdraw(case_id, by="bob", reason="more was paid")
    assert "595.00 USD goes back" in world.decide(case_id, by="bob")["told"]
    assert world.decide(case_id, by="ann")["done"]
    world.settle_down(days=1)
    assert (world.state(case_id), world.double.gone(transaction)) == ("refunded", 59500)


def test_mail_about_a_disputed_order_hides_no_dispute_and_takes_no_decision_meant_for_it(world: PeopleWorld) -> None:
    dispute = a_dispute(world)
    first = world.mail(sender="evil@attacker.example", verified=False, message_id="<1@x>").case_id
    world.clock.pass_(minutes=1)
    world.mail(sender="evil@attacker.example", verified=False, message_id="<2@x>")
    for name in ("ord_1", "tran_ord_1"):
        assert world.case(name)["case_id"] == dispute  # type: ignore[index]
    assert world.decide("ord_1", "won")["case_id"] == dispute
    assert world.case("ord_1")["case_id"] == first, "what still needs somebody, the first that came"  # type: ignore[index]


def test_case_is_found_by_the_transaction_that_is_claimed(world: PeopleWorld) -> None:
    world.bought_once()
    case_id = world.mail().case_id
    world.decide(case_id, "money")
    assert world.case("tran_ord_1")["case_id"] == case_id  # type: ignore[index]


def test_charge_that_stays_valid_since_its_request_was_judged_is_not_sent_back_by_a_bare_approval(world: PeopleWorld) -> None:
    world.bought_once()
    case_id = world.mail().case_id
    assert world.case(case_id)["decision"]["outcome"] == "refund_payment"  # type: ignore[index]
    again = world.clock.now() - timedelta(days=1) + timedelta(minutes=5)
    known: dict[str, Any] = {"customer_id": "cust_acc_1", "product_id": "prod_ord_1", "transaction_id": "tran_2"}
    world.load({**a_purchase("ord_2", "acc_1", 50, written(again), **known), "amount": 900})
    assert world.state("ord_2") == "refunding"
    with pytest.raises(Refused, match="the same was charged again as"):
        world.decide(case_id)

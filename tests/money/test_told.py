"""What Creem tells us becomes purchases, disputes and money that is known to be gone: in any order, any number of times."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import select, text, update

from tests import faults
from tests.cases.test_held import held
from tests.cases.world import START, a_job, a_purchase, an_account, moves
from tests.money.plans import NASTY
from tests.money.world import MoneyWorld
from tests.servers import ON_POSTGRES, POSTGRES_AT_NIGHT
from tests.store.rows import allow_other_states, before, waiting_for_locks
from worker.cases.money import limits
from worker.cases.money.charges import hear_paid, hear_refunds, lock
from worker.cases.money.settle import Settler
from worker.clock import written
from worker.creem.client import Creem, CreemAway, CreemRefused
from worker.creem.environment import Environment
from worker.creem.said import RefundCreated
from worker.creem.search import CameShort
from worker.creem.transactions import Transaction
from worker.errors import Refused
from worker.sandbox.creem import Switches
from worker.sandbox.creem.words import Fault, Lie, Nested
from worker.store.breakers import CREEM
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import breakers, charges, creem_refunds, payments, purchases


@pytest.fixture
def world(store: Store) -> Iterator[MoneyWorld]:
    made = MoneyWorld(store)
    yield made
    made.close()


def known_product(world: MoneyWorld) -> None:
    """Somebody bought the pack before, so what it grants is known."""
    sold = a_purchase("ord_old", "acc_0", 25, "2026-01-01T09:00:00Z", product_id="prod_pack", customer_id="cust_0")
    month = a_purchase("ord_month", "acc_0", 40, "2026-01-01T09:00:00Z", product_id="prod_month", customer_id="cust_0")
    world.load(an_account("acc_0"), sold, month | {"kind": "subscription", "amount": 1500})


def heard(world: MoneyWorld) -> None:
    world.double.tick()
    world.sweep()


def test_checkout_grants_its_credits_to_the_account_of_its_address(world: MoneyWorld) -> None:
    known_product(world)
    world.load(an_account("acc_1"))
    world.double.pay("tran_1", customer_id="cust_1", amount=900, order_id="ord_1", email="ACC_1@example.org", announce=True)
    heard(world)
    assert world.credits("acc_1") == 25
    assert world.audit().breaches == []


def test_charge_nobody_can_place_is_kept_with_what_to_do_and_comes_back(world: MoneyWorld) -> None:
    world.double.pay("tran_1", customer_id="cust_1", amount=900, order_id="ord_1", email="acc_1@example.org", announce=True)
    heard(world)
    assert world.dead() == [("unknown_customer", "open")]
    world.load(an_account("acc_1"))
    known_product(world)
    letter = world.letters.listing(state="open", limit=5, after=None)[0][0]
    assert "import it, then requeue" in letter["detail"]
    world.letters.requeue(letter["dead_id"], by="ada", reason="imported")
    heard(world)
    assert world.credits("acc_1") == 25


def a_customer_of_two_accounts(world: MoneyWorld) -> None:
    """One customer at Creem who has bought for acc_1 and for acc_2."""
    known_product(world)
    bought = [
        a_purchase(f"ord_{which}", which, 25, "2026-01-10T09:00:00Z", product_id="prod_pack", customer_id="cust_1")
        for which in ("acc_1", "acc_2")
    ]
    world.load(an_account(), an_account("acc_2"), *bought)


def pay_a_month(world: MoneyWorld, number: int, start: datetime, **who: Any) -> None:
    """The month of this number of one subscription is paid, and Creem tells of it."""
    begins = start + number * timedelta(days=30)
    world.double.pay(
        f"tran_m{number}",
        customer_id="cust_1",
        amount=1500,
        product_id="prod_month",
        subscription_id="sub_1",
        paid_at=begins,
        period_start=begins,
        period_end=begins + timedelta(days=30),
        announce=True,
        **who,
    )


def owner_of(world: MoneyWorld, transaction_id: str) -> str:
    named = purchases.c.transaction_id == transaction_id
    return str(world.store.read(lambda tx: tx.one(select(purchases.c.account_id).where(named))).account_id)


@pytest.mark.parametrize("told", ["one by one", "at once"])
def test_order_that_was_paid_twice_is_a_persons_and_once_imported_a_duplicate(world: MoneyWorld, told: str) -> None:
    """Once what Creem told of the second payment was taken for the first told again, and nobody heard of it."""
    known_product(world)
    world.load(an_account("acc_1"))
    for number in range(2):
        paid_at = world.clock.now() - timedelta(minutes=30 - 2 * number)
        who: dict[str, Any] = {"customer_id": "cust_1", "order_id": "ord_1", "request_id": "chk_1", "email": "acc_1@example.org"}
        world.double.pay(f"tran_{number}", amount=900, paid_at=paid_at, announce=True, **who)
        if told == "one by one":
            heard(world)
    heard(world)
    assert (world.dead(), world.credits()) == ([("conflicting_purchase", "open")], 25)
    letter = world.letters.listing(state="open", limit=5, after=None)[0][0]
    assert "ord_1 is booked with transaction tran_0, and Creem tells of tran_1 for the same order" in letter["detail"]
    second = written(world.clock.now() - timedelta(minutes=28))
    world.load(world.bought("ord_1-2", "tran_1", second, credits=25, request_id="chk_1"))
    world.letters.requeue(letter["dead_id"], by="ada", reason="imported")
    world.settle_down(days=1)
    assert (world.dead(), world.state("ord_1-2")) == ([("conflicting_purchase", "requeued")], "refunded")
    assert (world.double.gone("tran_0"), world.double.gone("tran_1"), world.credits()) == (0, 900, 25)
    assert world.audit().breaches == []


@pytest.mark.parametrize("email", ["acc_1@example.org", "acc_2@example.org"])
def test_charge_of_a_customer_with_two_accounts_is_of_the_one_with_its_address(world: MoneyWorld, email: str) -> None:
    a_customer_of_two_accounts(world)
    world.double.pay("tran_1", customer_id="cust_1", amount=900, order_id="ord_1", email=email, announce=True)
    heard(world)
    assert owner_of(world, "tran_1") == email.removesuffix("@example.org")


def test_renewal_of_a_customer_with_two_accounts_is_of_the_one_that_has_the_subscription(world: MoneyWorld) -> None:
    a_customer_of_two_accounts(world)
    start = world.clock.now() - timedelta(days=40)
    for number, named in enumerate(({"account_id": "acc_1"}, None)):
        pay_a_month(world, number, start, email="acc_2@example.org", metadata=named)
        heard(world)
    assert owner_of(world, "tran_m1") == "acc_1"


def test_charge_that_may_be_of_two_accounts_waits_to_be_imported_and_grants_nothing_till_then(world: MoneyWorld) -> None:
    a_customer_of_two_accounts(world)
    before = world.credits("acc_1"), world.credits("acc_2")
    world.double.pay("tran_1", customer_id="cust_1", amount=900, order_id="ord_1", email="else@example.org", announce=True)
    heard(world)
    assert world.dead() == [("several_accounts", "open")]
    letter = world.letters.listing(state="open", limit=5, after=None)[0][0]
    assert "customer cust_1 may be any of acc_1 and acc_2" in letter["detail"]
    assert (world.credits("acc_1"), world.credits("acc_2")) == before
    world.load(world.bought("ord_1", "tran_1", "2026-03-02T09:00:00Z", account_id="acc_1", credits=25))
    world.letters.requeue(letter["dead_id"], by="ada", reason="imported")
    heard(world)
    assert (world.credits("acc_1"), world.credits("acc_2")) == (before[0] + 25, before[1])
    assert world.dead() == [("several_accounts", "requeued")]


def test_webhook_of_another_environment_grants_nothing_however_often_it_is_put_back(world: MoneyWorld) -> None:
    known_product(world)
    world.load(an_account("acc_1"))
    world.double.pay("tran_1", customer_id="cust_1", amount=900, order_id="ord_1", email="acc_1@example.org", announce=True)
    live = replace(world.receiver, accepts_mode=Environment.LIVE.accepts)
    world.receiver = live
    world.double.tick()
    assert world.dead() == [("other_environment", "open")]
    letters = replace(world.letters, accepts_mode=live.accepts_mode)
    letter = letters.listing(state="open", limit=5, after=None)[0][0]["dead_id"]
    assert letters.plan(letter)["would_be"] == "open"
    with pytest.raises(Refused, match=r"object\.mode is test"):
        letters.requeue(letter, by="ada", reason="try again")
    assert world.dead() == [("other_environment", "open")]


def test_webhook_taken_in_without_a_key_is_held_against_the_key_where_it_is_handled(store: Store) -> None:
    before = MoneyWorld(store, key=False)
    known_product(before)
    before.load(an_account("acc_1"))
    before.receiver = replace(before.receiver, accepts_mode=None)
    before.double.pay("tran_1", customer_id="cust_1", amount=900, order_id="ord_1", email="acc_1@example.org", announce=True)
    before.double.tick()
    live = Settler(before.settler.ledger, before.bench, Environment.LIVE)
    before.sweeper = replace(before.sweeper, assessor=replace(before.assessor, settler=live))
    before.sweep()
    assert before.dead() == [("other_environment", "open")]
    assert before.credits("acc_1") == 0
    before.close()


def test_import_and_webhook_of_one_charge_grant_once_in_either_order(world: MoneyWorld) -> None:
    known_product(world)
    world.load(an_account("acc_1"), an_account("acc_2"))
    for account, first in (("acc_1", "import"), ("acc_2", "webhook")):
        customer, order, charge = f"cust_{account}", f"ord_{account}", f"tran_{account}"
        record = a_purchase(
            order, account, 25, "2026-03-02T09:00:00Z", product_id="prod_pack", customer_id=customer, transaction_id=charge
        )
        pay = {"customer_id": customer, "amount": 900, "order_id": order, "email": f"{account}@example.org"}
        if first == "import":
            world.load(record)
        world.double.pay(charge, paid_at=world.clock.now() - timedelta(hours=1), announce=True, **pay)  # type: ignore[arg-type]
        heard(world)
        world.load(record)
        assert world.credits(account) == 25, first
    assert world.dead() == []


@pytest.mark.parametrize("unsaid", ["customer_id", "product_id"])
@pytest.mark.parametrize("by", ["webhook", "import"])
def test_double_charge_whose_customer_or_product_is_told_of_later_is_found(world: MoneyWorld, unsaid: str, by: str) -> None:
    """Once it stayed unknown, whoever told it, and the charges were never compared with any other."""
    known_product(world)
    account, *full = world.history_of_charges(2, credits=25)
    world.load(account, *({name: value for name, value in record.items() if name != unsaid} for record in full))
    (finding,) = world.reconciler().reconcile().findings
    assert (finding.check, finding.problem.split()[0]) == ("nothing_to_compare_by", "2")
    assert list(world.claims()) == []
    if by == "import":
        world.load(*full)
    else:
        for number in range(2):
            hear_of_checkout(world, number, paid=None, whole=True)
    world.settle_down(days=1)
    assert (world.state("ord_1"), world.double.gone("tran_1"), world.double.gone("tran_0")) == ("refunded", 900, 0)
    assert world.credits() == 25
    assert world.reconciler().reconcile().findings == []
    assert world.dead() == []


@pytest.mark.parametrize("by", ["webhook", "import"])
def test_customer_that_is_known_is_not_changed_by_another_that_is_told_later(world: MoneyWorld, by: str) -> None:
    account, *full = world.history_of_charges(1, credits=25)
    world.load(account, *full)
    if by == "import":
        world.load(full[0] | {"customer_id": "cust_2"})
    else:
        hear_of_checkout(world, 0, paid=None, whole=True, customer="cust_2")
    stands = world.store.read(lambda tx: tx.value(select(purchases.c.customer_id)))
    assert stands == "cust_1"


def two_passes(world: MoneyWorld) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A pass bought again by the same checkout 20 hours later: the history of that, and of jobs under the second alone."""
    began, checkout = world.clock.now() - timedelta(hours=60), "chk_1"
    bought = [an_account()]
    for number in range(2):
        name, at = f"tran_{number}", began + number * timedelta(hours=20)
        world.double.pay(name, customer_id="cust_1", amount=900, order_id=f"ord_{number}", paid_at=at, request_id=checkout)
        bought.append(world.bought(f"ord_{number}", name, written(at), request_id=checkout, kind="pass_24h", credits=0))
    hours = range(26, 32)
    ran = [
        a_job(
            f"job_{hour}", paid_with="pass", status="succeeded", downloads=2, submitted_at=written(began + timedelta(hours=hour))
        )
        for hour in hours
    ]
    return bought, ran


def test_pass_that_was_bought_twice_goes_back_while_nothing_ran_under_the_second(world: MoneyWorld) -> None:
    bought, _ = two_passes(world)
    world.load(*bought)
    world.settle_down(days=1)
    assert (world.state("ord_1"), world.double.gone("tran_1")) == ("refunded", 900)


@pytest.mark.parametrize("late", [False, True], ids=["told of with it", "told of before it is sent"])
def test_pass_under_which_jobs_ran_does_not_go_back_by_itself(world: MoneyWorld, late: bool) -> None:
    """Once a pass, which grants no credits, was untouched whatever ran under it."""
    bought, ran = two_passes(world)
    for records in (bought, ran) if late else ([*bought, *ran],):
        world.load(*records)
    world.settle_down(days=1)
    assert (world.state("ord_1"), world.double.gone("tran_1")) == ("review", 0)
    assert [claim.state for claim in world.claims()] == ["mismatch"] * late
    found = world.case("ord_1")
    assert found is not None
    assert found["reason"].startswith("6 jobs ")


def told_of(world: MoneyWorld, account: str = "acc_1") -> dict[str, Any]:
    """Creem told of a charge, and nobody has handled that yet. Returns its record, which knows more than can be supposed."""
    known_product(world)
    world.load(an_account("acc_1"), an_account("acc_2"))
    paid_at = world.clock.now() - timedelta(hours=1)
    mail = "acc_1@example.org"
    world.double.pay("tran_1", customer_id="cust_1", amount=900, order_id="ord_1", paid_at=paid_at, email=mail, announce=True)
    return world.bought("ord_1", "tran_1", written(paid_at)) | {"account_id": account, "credits": 40}


@ON_POSTGRES
@pytest.mark.parametrize("account", ["acc_1", "acc_2"], ids=["of the account supposed", "of another"])
def test_charge_imported_while_its_webhook_waits_for_the_account_is_as_it_was_imported(
    world: MoneyWorld, store: Store, account: str
) -> None:
    record = told_of(world, account)
    world.double.tick()
    with before(store, "pipeline_away_until", lambda: world.load(record)):
        world.sweep()
    assert world.dead() == []
    assert [world.credits(name) for name in ("acc_1", "acc_2")] == [40 if name == account else 0 for name in ("acc_1", "acc_2")]
    assert world.audit().breaches == []


def test_charge_imported_in_one_batch_with_its_webhook_is_as_it_was_imported(world: MoneyWorld) -> None:
    world.put_in(told_of(world))
    heard(world)
    assert world.dead() == []
    assert world.lot("ord_1") == (40, 0, 0)
    assert world.audit().breaches == []


PRICE, PAID = 900, 1071
SEEN_OF_ORDER = Transaction("tran_0", "test", PRICE, PRICE, "USD", "paid", "paid", 0, order="ord_0", customer="cust_1")


@dataclass
class Shows:
    """Creem, which lists these transactions for each customer, and says in `short` that there are more."""

    creem: Creem
    seen: list[Transaction]
    short: bool = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.creem, name)

    def transactions_of_customer(self, customer_id: str) -> list[Transaction]:
        """These."""
        if self.short:
            raise CameShort("there are more", self.seen)
        return self.seen


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("whole", [False, True], ids=["by the order", "by the transaction"])
@pytest.mark.parametrize("first", ["an import", "a webhook of the price", "a webhook of what was paid"])
def test_charge_known_by_its_price_is_the_same_as_one_known_by_what_was_paid(world: MoneyWorld, first: str, whole: bool) -> None:
    """Once 9.00 and 10.71 were two things: a double charge with tax had no case and was never found."""
    known_product(world)
    history = world.history_of_charges(2, tax=PAID - PRICE, credits=25)
    world.load(*history[:2] if first == "an import" else history[:1])
    if first != "an import":
        hear_of_checkout(world, 0, paid=None if first.endswith("price") else PAID, whole=whole)
    hear_of_checkout(world, 1, paid=PAID, whole=whole)
    world.settle_down(days=1)
    assert world.state("ord_1") == "refunded"
    assert (world.double.gone("tran_0"), world.double.gone("tran_1")) == (0, PAID)
    world.load(*history)
    assert (world.dead(), world.reconciler().reconcile().findings) == ([], [])
    assert world.audit().breaches == []


@pytest.mark.parametrize(("amount", "dead"), [(PRICE, []), (PAID, []), (950, [("conflicting_purchase", "open")])])
def test_history_may_name_the_price_or_what_was_paid_of_a_charge_that_a_webhook_told_of(
    world: MoneyWorld, amount: int, dead: list[tuple[str, str]]
) -> None:
    known_product(world)
    account, purchase = world.history_of_charges(1, tax=PAID - PRICE, credits=25)
    world.load(account)
    hear_of_checkout(world, 0, paid=PAID)
    world.load(purchase | {"amount": amount})
    assert (world.dead(), world.credits()) == (dead, 25)


def test_history_that_names_what_was_paid_before_it_was_read_is_taken_once_it_was(world: MoneyWorld) -> None:
    known_product(world)
    account, purchase = world.history_of_charges(1, tax=PAID - PRICE, credits=25)
    world.load(account)
    hear_of_checkout(world, 0, paid=None)
    world.load(purchase | {"amount": PAID})
    letter = world.letters.listing(state="open", limit=5, after=None)[0][0]
    assert "run `refunds reconcile`" in letter["detail"]
    world.reconciler().reconcile()
    world.letters.requeue(letter["dead_id"], by="ada", reason="it was read")
    world.sweep()
    assert (world.dead(), world.credits()) == ([("conflicting_purchase", "requeued")], 25)


def test_double_charge_of_which_one_is_known_by_its_price_is_found_by_the_run_that_reads_them(world: MoneyWorld) -> None:
    account, first, second = world.history_of_charges(2, tax=PAID - PRICE)
    world.load(account, first, second | {"amount": PAID})
    assert world.state("ord_1") is None
    world.reconciler().reconcile()
    assert world.state("ord_1") == "refunding"


def test_charge_at_another_tax_on_the_same_price_is_looked_at_by_a_person(world: MoneyWorld) -> None:
    known_product(world)
    world.load(world.history_of_charges(2)[0])
    hear_of_checkout(world, 0, paid=PAID)
    hear_of_checkout(world, 1, paid=PRICE)
    world.settle_down(days=1)
    assert (world.state("ord_1"), world.double.gone("tran_1")) == ("review", 0)


def test_checkouts_that_cost_nothing_are_no_charge_made_twice(world: MoneyWorld) -> None:
    known_product(world)
    world.load(world.history_of_charges(2)[0])
    for number in range(2):
        hear_of_checkout(world, number, paid=0)
    world.settle_down(days=1)
    assert (world.credits(), world.case("ord_1")) == (50, None)
    assert world.audit().breaches == []


def hear_of_checkout(
    world: MoneyWorld,
    number: int,
    *,
    paid: int | None,
    whole: bool = False,
    customer: str = "cust_1",
    price: int = PRICE,
    **more: Any,
) -> None:
    """Creem tells of one of the charges of `history_of_charges`, and what was paid for it: by its order, or by its transaction
    where that comes `whole`.
    """
    name, at = f"tran_{number}", world.clock.now() - timedelta(hours=1) + number * timedelta(minutes=5)
    order: dict[str, Any] = {"id": f"ord_{number}", "amount": price, "currency": "USD", "transaction": name}
    order["updated_at"] = written(at)
    if whole:
        order["transaction"] = {"id": name, "amount": price, "amount_paid": paid, "created_at": int(at.timestamp() * 1000)}
    elif paid is not None:
        order["amount_paid"] = paid
    said = {"order": order, "product": "prod_pack", "customer": {"id": customer, "email": "acc_1@example.org"}, **more}
    event = {"id": f"evt_{number}", "eventType": "checkout.completed", "created_at": 1772445600000, "object": said}
    world.receiver.receive(json.dumps(event).encode())
    world.sweep()


def test_several_units_grant_what_was_granted_at_their_price_or_nothing_till_a_person_imports_it(world: MoneyWorld) -> None:
    """Once three units granted what one does, and two thirds of the credits stayed when the money had gone back."""
    known_product(world)
    world.load(an_account("acc_1"))
    hear_of_checkout(world, 1, paid=2700, price=2700, units=3)
    assert (world.dead(), world.credits("acc_1")) == ([("unknown_product", "open")], 0)
    letter = world.letters.listing(state="open", limit=5, after=None)[0][0]
    assert "nobody bought 3 units of product prod_pack before" in letter["detail"]
    told = world.bought("ord_1", "tran_1", written(world.clock.now() - timedelta(minutes=55)), amount=2700, credits=75)
    world.load(told)
    world.letters.requeue(letter["dead_id"], by="ada", reason="imported")
    world.sweep()
    # the next three are known, and one unit of it, be it at another price, is not taken for three
    hear_of_checkout(world, 2, paid=2700, price=2700, units=3, customer="cust_2")
    hear_of_checkout(world, 3, paid=900, customer="cust_3")
    granted = [lot["granted"] for lot in world.account("acc_1")["lots"]]
    assert (granted, world.audit().breaches) == ([75, 75, 25], [])


@pytest.mark.parametrize("nested", Nested)
def test_subscription_and_its_renewal_each_bring_a_lot(world: MoneyWorld, nested: Nested) -> None:
    known_product(world)
    world.load(an_account("acc_1"))
    world.double.switches = Switches(nested=nested)
    start = world.clock.now() - timedelta(days=40)
    for number in range(2):
        pay_a_month(world, number, start, email="acc_1@example.org", metadata={"account_id": "acc_1"})
    world.double.cancel_subscription("sub_1")
    heard(world)
    lots = world.account("acc_1")["lots"]
    # without its neighbours a charge does not say what was bought for how much: it is kept, and a person imports it
    assert [lot["granted"] for lot in lots] == [40, 40] or (nested is not Nested.AS_DOCUMENTED and len(world.dead()) == 2)
    assert world.audit().breaches == []


@pytest.mark.parametrize(
    ("periods", "billed"),
    [
        # (first day, days, price, product) of each period
        ([(0, 7, 0, "prod_month"), (7, 30, 1500, "prod_month")], "first"),
        ([(0, 30, 1500, "prod_month"), (12, 30, 1500, "prod_month")], "first"),
        ([(0, 30, 900, "prod_pack"), (29.5, 30, 1500, "prod_month")], "first"),
        ([(0, 30, 1500, "prod_month"), (60, 30, 1500, "prod_month")], "first"),
        ([(0, 30, 1500, "prod_month"), (30, 30, 1500, "prod_month")], "renewal"),
    ],
    ids=["trial", "changed", "changed at its end", "gap", "renewed"],
)
@pytest.mark.parametrize("told", ["one by one", "at once"])
def test_charge_is_a_renewal_where_it_is_known_to_go_on_with_what_was_paid(
    world: MoneyWorld, periods: list[tuple[float, int, int, str]], billed: str, told: str
) -> None:
    """Once every period was that began after its subscription: who paid at a trial's end was declined (policy.md, "First")."""
    known_product(world)
    world.load(an_account("acc_1"))
    start = world.clock.now() - timedelta(days=70)
    for number, (day, days, amount, product) in enumerate(periods):
        begins = start + timedelta(days=day)
        period: dict[str, Any] = {"paid_at": begins, "period_start": begins, "period_end": begins + timedelta(days=days)}
        of_it: dict[str, Any] = {"product_id": product, "subscription_id": "sub_1", "email": "acc_1@example.org"}
        world.double.pay(f"tran_m{number}", customer_id="cust_1", amount=amount, announce=True, **of_it, **period)
        if told == "one by one":
            heard(world)
    heard(world)
    mine = select(purchases.c.transaction_id, purchases.c.billing).where(purchases.c.account_id == "acc_1")
    booked = {row.transaction_id: row.billing for row in world.store.read(lambda tx: tx.all(mine))}
    assert booked == {"tran_m0": "first", "tran_m1": billed}
    assert (world.dead(), world.audit().breaches) == ([], [])


def test_renewal_of_a_subscription_that_an_import_told_of_is_one(world: MoneyWorld) -> None:
    """Import records name no subscription; what they name of its customer, product and period does."""
    known_product(world)
    start, of_it = world.clock.now() - timedelta(days=31), {"kind": "subscription", "product_id": "prod_month"}
    month = {"period_start": written(start), "period_end": written(start + timedelta(days=30))}
    world.load(an_account("acc_1"), world.bought("ord_m0", "tran_m0", written(start), amount=1500, **of_it, **month))
    world.double.pay("tran_0", customer_id="cust_2", amount=1500, subscription_id="sub_1", paid_at=start)
    pay_a_month(world, 1, start, email="acc_1@example.org")
    heard(world)
    mine = select(purchases.c.billing).where(purchases.c.transaction_id == "tran_m1")
    assert [row.billing for row in world.store.read(lambda tx: tx.all(mine))] == ["renewal"]


@pytest.mark.parametrize(
    ("paid", "begins", "subscriptions", "states"),
    [
        ((0, 2), (0, 2), ("sub_1", "sub_2"), [None, "refunded"]),
        ((0, 300), (0, 300), ("sub_1", "sub_2"), [None, "refunded"]),
        ((0, 300), (0, 0), ("sub_1", "sub_1"), [None, "refunded"]),
        ((0, 86400), (0, 86400), ("sub_1", "sub_1"), [None, None]),
        # the first day's is paid only minutes before the second day's
        ((86100, 86400), (0, 86400), ("sub_1", "sub_1"), [None, None]),
    ],
)
def test_subscription_paid_twice_for_the_same_time_goes_back_once(
    world: MoneyWorld, paid: tuple[int, ...], begins: tuple[int, ...], subscriptions: tuple[str, ...], states: list[str | None]
) -> None:
    """Once the periods had to begin in the same second: whoever began two was declined, and both lots could be spent."""
    known_product(world)
    world.load(an_account("acc_1"))
    start = world.clock.now() - timedelta(days=2)
    for number, subscription in enumerate(subscriptions):
        starts = start + timedelta(seconds=begins[number])
        world.double.pay(
            f"tran_d{number}",
            customer_id="cust_1",
            amount=1500,
            product_id="prod_month",
            subscription_id=subscription,
            paid_at=start + timedelta(seconds=paid[number]),
            period_start=starts,
            period_end=starts + timedelta(days=1),
            email="acc_1@example.org",
            announce=True,
        )
    heard(world)
    world.settle_down(days=1)
    assert [world.state(f"tran_d{number}") for number in range(2)] == states
    refunded = states.count("refunded")
    assert [world.double.posts(f"tran_d{number}") for number in range(2)] == [0, refunded]
    assert world.credits("acc_1") == 80 - 40 * refunded
    assert world.audit().breaches == []


def test_dispute_freezes_the_lot_and_opens_a_case_with_its_evidence(world: MoneyWorld) -> None:
    world.twice_charged(charges=1, credits=20)
    world.load(a_job("job_1", credits=5, status="succeeded", downloads=2, layers_delivered=6))
    world.double.dispute("tran_0")
    heard(world)
    assert world.credits() == 0
    assert world.account("acc_1")["frozen"] == 15
    found = world.case("ord_0")
    assert found is not None
    assert (found["kind"], found["state"], found["decision"]["clause"]) == ("dispute", "review", "dispute-hold")
    evidence = next(row["detail"] for row in found["history"] if row["event"] == "dispute.evidence")
    assert [job["job_id"] for job in evidence["jobs"]] == ["job_1"]
    assert evidence["jobs"][0]["downloads"] == 2
    world.settle_down(days=2)
    assert world.audit().breaches == []


def test_dispute_of_which_only_the_charge_can_be_read_holds_it_and_a_person_sees_its_letter(world: MoneyWorld) -> None:
    world.twice_charged()
    at = int(world.clock.now().timestamp() * 1000)
    said = {"id": "disp_1", "mode": "test", "transaction": {"id": "tran_1"}, "amount": "900", "created_at": 1794987850}
    event = {"id": "evt_1", "eventType": "dispute.created", "created_at": at, "object": said}
    for _ in range(2):
        world.receiver.receive(json.dumps(event).encode())
        world.sweep()
    world.settle_down(days=0.1)
    assert (world.state("tran_1"), world.double.posts("tran_1"), world.lot("ord_1")) == ("review", 0, (0, 100, 0))
    found = world.case("tran_1")
    assert found is not None
    opened = next(line["detail"] for line in found["history"] if line["event"] == "case.opened")
    assert (opened["dispute_id"], opened["amount"]) == ("disp_1", 900)
    assert world.dead() == [("bad_value", "open")]
    assert world.audit().breaches == []


@pytest.mark.parametrize("state", ["sending", "unknown"])
def test_requeue_takes_no_claim_out_of_the_hands_of_who_calls_for_it(world: MoneyWorld, state: str) -> None:
    world.twice_charged()
    later = world.clock.now() + timedelta(minutes=1)
    under_way = update(payments).values(state=state, next_step="read", attempts=1, armed_at=world.clock.now(), due_at=later)
    world.store.write(lambda tx: tx.connection.execute(under_way).rowcount)
    world.requeuer.requeue("ord_1", by="ada", reason="to be sure")
    assert world.claim("tran_1").due_at == (later if state == "sending" else world.clock.now())
    world.pay()
    assert world.double.posts("tran_1") == 0


def test_requeue_of_a_case_about_an_order_names_it_as_one(world: MoneyWorld) -> None:
    world.twice_charged()
    plan = world.requeuer.plan("ord_1").document()
    assert (plan["job_id"], plan["order_id"]) == (None, "ord_1")


@pytest.mark.parametrize("unsaid", [{}, {"product_id": None}, {"customer_id": None}])
def test_dispute_that_is_told_of_before_the_purchase_is_kept(world: MoneyWorld, unsaid: dict[str, None]) -> None:
    world.double.pay("tran_0", customer_id="cust_1", amount=900, order_id="ord_0")
    world.double.dispute("tran_0")
    heard(world)
    world.load(an_account(), world.bought("ord_0", "tran_0", "2026-03-01T09:00:00Z", **unsaid))
    found = world.case("ord_0")
    assert found is not None
    assert found["kind"] == "dispute"
    assert world.credits() == 0


def test_job_paid_from_a_disputed_charge_is_held_for_a_person(world: MoneyWorld) -> None:
    world.twice_charged(charges=1, credits=20)
    world.happen(world.submitted("job_1"))
    world.double.dispute("tran_0")
    heard(world)
    world.happen(world.failed("job_1"))
    found = world.case("job_1")
    assert found is not None
    assert (found["state"], found["decision"]["clause"]) == ("review", "dispute-hold")
    assert world.credits() == 0


def test_failure_that_comes_with_the_word_of_a_dispute_is_held_for_a_person(world: MoneyWorld) -> None:
    """What is known of the charge is read with the job, before the word is heard."""
    world.twice_charged(charges=1, credits=20)
    world.happen(world.submitted("job_1", credits=8))
    world.arrive(world.failed("job_1"))
    world.double.dispute("tran_0")
    heard(world)
    found = world.case("job_1")
    assert found is not None
    assert (found["state"], found["decision"]["clause"]) == ("review", "dispute-hold")
    assert world.credits() == 0


def test_refund_by_another_hand_takes_its_credits_along(world: MoneyWorld) -> None:
    world.twice_charged(charges=1, credits=20)
    world.happen(world.submitted("job_1", credits=5))
    world.double.refund_in_dashboard("tran_0")
    heard(world)
    world.settle_down(days=1)
    lot = world.account("acc_1")["lots"][0]
    assert (lot["remaining"], lot["frozen"], lot["void"], lot["spent"]) == (0, 0, 15, 5)
    assert world.audit().breaches == []


@pytest.mark.parametrize("lie", [Lie.OTHER_MODE, Lie.OTHER_TRANSACTION, Lie.NOT_FOUND])
def test_charge_whose_reads_teach_nothing_is_read_once_an_hour_and_keeps_no_other_waiting(world: MoneyWorld, lie: Lie) -> None:
    """Once one of another mode was read on and on for as long as a task may take, and no other charge at all."""
    world.twice_charged(apart=timedelta(days=2))
    world.double.set("tran_0", Switches(get=lie))
    for name in ("tran_0", "tran_1"):
        world.double.refund_in_dashboard(name)
    heard(world)
    assert sorted(world.pay()) == ["not there tran_0", "read tran_1"]
    world.clock.pass_(minutes=59)
    assert world.pay() == []
    world.double.set("tran_0", Switches())
    world.clock.pass_(minutes=1)
    assert world.pay() == ["read tran_0"]
    assert [lot["void"] for lot in world.account("acc_1")["lots"]] == [100, 100]


@dataclass(frozen=True, slots=True)
class Refusing:
    """Creem, which refuses to show some charges."""

    creem: Creem
    says: Exception
    about: frozenset[str]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.creem, name)

    def transaction(self, transaction_id: str) -> Transaction | None:
        """As Creem has it, or the refusal."""
        if transaction_id in self.about:
            raise self.says
        return self.creem.transaction(transaction_id)


def refuse(world: MoneyWorld, http_status: int, *names: str) -> None:
    world.creem = Refusing(world.creem, CreemRefused(http_status, "no"), frozenset(names))


def counted_against(world: MoneyWorld) -> set[str]:
    heard_of = world.store.read(lambda tx: tx.all(select(breakers.c.name).where(breakers.c.failures > 0)))
    return {row.name for row in heard_of}


@ON_POSTGRES
def test_charge_that_creem_refuses_to_show_is_no_word_of_creem_being_away(two_told_of: MoneyWorld) -> None:
    """Once each such answer counted as none, and five of them held everybody's money."""
    refuse(two_told_of, 400, "tran_0")
    assert two_told_of.pay() == ["refused tran_0", "read tran_9"]
    for _ in range(6):
        two_told_of.clock.pass_(minutes=10)
        assert two_told_of.pay() == ["refused tran_0"]
    assert counted_against(two_told_of) == set()


@ON_POSTGRES
def test_key_that_may_not_read_is_asked_with_once_in_ten_minutes_and_told_of(two_told_of: MoneyWorld) -> None:
    well = two_told_of.creem
    refuse(two_told_of, 403, "tran_0", "tran_9")
    for refused in ("tran_0", "tran_9", "tran_0"):
        assert two_told_of.pay() == [f"refused {refused}"]
        assert two_told_of.pay() == []
        two_told_of.clock.pass_(minutes=10)
    assert counted_against(two_told_of) == {limits.KEY}
    two_told_of.creem = well
    assert two_told_of.pay() == ["read tran_9", "read tran_0"]


@ON_POSTGRES
def test_charge_that_creem_is_too_far_away_to_show_is_read_once_it_is_back(two_told_of: MoneyWorld) -> None:
    two_told_of.double.switches = Switches(get=Fault.ERROR_503)
    assert two_told_of.pay() == ["later tran_0", "later tran_9"]
    assert two_told_of.pay() == []
    assert counted_against(two_told_of) == {CREEM}
    two_told_of.double.switches = Switches()
    two_told_of.clock.pass_(minutes=10)
    assert two_told_of.pay() == ["read tran_0", "read tran_9"]


@ON_POSTGRES
def test_database_that_goes_while_a_charge_is_booked_leaves_it_to_be_read_again(two_told_of: MoneyWorld) -> None:
    world = two_told_of
    # commits that it may call, that no turn is due, that it may call; a read; and the commit that books it
    world.doors.faults = frozenset({faults.Fault(len(world.doors.names) + 4, faults.How.FAILS_BEFORE)})
    assert world.pay() == []
    assert world.doors.names[-1] == "commit"
    world.clock.pass_(minutes=10)
    assert world.pay() == ["read tran_0", "read tran_9"]


@pytest.fixture
def two_told_of(store: Store) -> Iterator[MoneyWorld]:
    """Money went back of two charges of two accounts, the first one's before the other's; both are to be read."""
    with waiting_for_locks(store, milliseconds=250) as hasty:
        made = MoneyWorld(hasty)
        made.twice_charged(apart=timedelta(days=2))
        bought_by_another(made)
        for name in ("tran_0", "tran_9"):
            made.double.refund_in_dashboard(name)
            heard(made)
            made.clock.pass_(seconds=1)
        yield made
        made.close()


def bought_by_another(world: MoneyWorld) -> None:
    at = world.clock.now() - timedelta(hours=3)
    world.double.pay("tran_9", customer_id="cust_9", amount=900, order_id="ord_9", paid_at=at)
    bought = world.bought("ord_9", "tran_9", at.isoformat(), customer_id="cust_9")
    world.load(an_account("acc_9"), {**bought, "account_id": "acc_9"})


@ON_POSTGRES
def test_charge_whose_account_somebody_holds_keeps_no_other_waiting(two_told_of: MoneyWorld, store: Store) -> None:
    with held(store, "acc_1"):
        told = two_told_of.pay()
    assert [line.split()[0] for line in told] == ["later,", "read"]
    two_told_of.settle_down(days=1)
    assert two_told_of.audit().breaches == []


@ON_POSTGRES
@pytest.mark.parametrize("says", [None, CreemAway("no answer"), RuntimeError("a defect of ours")], ids=["paid", "away", "defect"])
def test_claim_whose_account_somebody_holds_keeps_no_other_waiting(store: Store, says: Exception | None) -> None:
    """What follows from what Creem says, or from an error, is written behind the same lock."""
    with waiting_for_locks(store, milliseconds=250) as hasty:
        world = MoneyWorld(hasty, switches=NASTY)
        names = [world.charged_again(number) for number in range(3)]
        well = world.creem
        if says is not None:
            world.creem = Refusing(well, says, frozenset({names[1]}))
        with held(store, "acc_r1"):
            told = world.pay()
        assert len(told) == 3
        assert sorted(name for line in told for name in names if "later, " in line and name in line) == [names[1]]
        assert [world.double.posts(name) for name in names] == [1, 0, 1]
        world.creem = well
        world.settle_down(days=1)
        assert [world.double.gone(name) for name in names] == [900, 900, 900]
        world.close()


@ON_POSTGRES
def test_charge_that_cannot_be_booked_keeps_no_other_waiting(two_told_of: MoneyWorld) -> None:
    with two_told_of.store.engine.begin() as connection:
        connection.execute(text("update purchases set kind = 'gift' where account_id = 'acc_1'"))
    assert two_told_of.pay() == ["stuck tran_0", "read tran_9"]


@ON_POSTGRES
def test_charge_with_a_case_of_a_newer_release_keeps_no_other_waiting(world: MoneyWorld) -> None:
    world.twice_charged()
    bought_by_another(world)
    for name in ("tran_1", "tran_9"):
        world.double.refund_in_dashboard(name)
        heard(world)
        world.clock.pass_(seconds=1)
    allow_other_states(world.store)
    with world.store.engine.begin() as connection:
        connection.execute(text("update cases set state = 'weighed' where account_id = 'acc_1'"))
    assert {"left for a newer release tran_1", "read tran_9"} <= set(world.pay())


@ON_POSTGRES
def test_webhook_of_one_customer_that_cannot_be_handled_keeps_no_other_waiting(world: MoneyWorld) -> None:
    """Once it kept everybody's money for as long as it was there."""
    stuck = world.charged_again(7)
    allow_other_states(world.store)
    world.store.write(lambda tx: tx.connection.execute(text("update cases set state = 'weighed'")))
    world.double.refund_in_dashboard(stuck, 100)
    world.double.tick()
    world.twice_charged()
    world.settle_down(days=0.1, done=lambda: world.double.gone("tran_1") > 0)
    assert world.double.gone("tran_1") == 900
    assert world.double.gone(stuck) == 100
    assert not world.all_handled()


def test_refunds_in_parts_are_added_up_by_their_own_ids(world: MoneyWorld) -> None:
    world.twice_charged(charges=1, credits=90)
    world.double.switches = Switches(webhook_copies=3, webhook_new_id=True)
    for part in (300, 300):
        world.double.refund_in_dashboard("tran_0", part)
        heard(world)
        world.settle_down(days=0.1)
    lot = world.account("acc_1")["lots"][0]
    assert (lot["remaining"], lot["void"]) == (30, 60)
    world.double.refund_in_dashboard("tran_0")
    world.settle_down(days=0.1)
    assert world.account("acc_1")["lots"][0]["void"] == 90
    assert world.audit().breaches == []


ORDERS = list(permutations(["fail", "refund", "dispute"]))


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("order", ORDERS, ids=["-".join(order) for order in ORDERS])
@pytest.mark.parametrize("part", [None, 450], ids=["whole", "part"])
def test_no_order_of_remedies_gives_more_back_than_was_paid(world: MoneyWorld, order: tuple[str, ...], part: int | None) -> None:
    """One purchase of 20 credits for 900: what the customer can spend is never worth more than what we still hold."""
    world.twice_charged(charges=1, credits=20)
    world.happen(world.submitted("job_1", credits=8))
    for what in order:
        if what == "fail":
            world.happen(world.failed("job_1"))
        elif what == "refund":
            world.double.refund_in_dashboard("tran_0", part)
        else:
            world.double.dispute("tran_0")
        heard(world)
        world.settle_down(days=0.2)
        left = max(0, 900 - world.double.gone("tran_0"))
        assert world.credits() * 900 // 20 <= left, (what, world.account("acc_1"))
    assert world.credits() == 0, "a disputed charge leaves nothing to spend"
    assert world.audit().breaches == []


def test_webhooks_that_repeat_themselves_change_nothing(world: MoneyWorld) -> None:
    world.double.switches = replace(Switches(), webhook_copies=4, webhook_new_id=True, webhook_swapped=True)
    world.twice_charged()
    world.settle_down(days=1)
    assert world.state("ord_1") == "refunded"
    found = world.case("ord_1")
    assert list(moves(found)).count("payment.refunded") == 1
    assert world.audit().breaches == []


def test_reconcile_finds_what_no_webhook_told(world: MoneyWorld) -> None:
    world.hears = False
    world.twice_charged(charges=1, credits=20)
    world.double.refund_in_dashboard("tran_0")
    done = world.reconciler().reconcile()
    assert [item["check"] for item in done.repaired] == ["transaction"]
    assert world.credits() == 0
    assert done.unmatched == 0
    again = world.reconciler().reconcile()
    assert (again.repaired, again.findings) == ([], [])


def test_reconcile_names_charges_and_purchases_without_a_counterpart(world: MoneyWorld) -> None:
    world.twice_charged(charges=1)
    world.double.pay("tran_extra", customer_id="cust_1", amount=500, paid_at=world.clock.now() - timedelta(days=3))
    world.load(world.bought("ord_ghost", "tran_ghost", "2026-02-20T09:00:00Z", product_id="prod_other"))
    done = world.reconciler().reconcile()
    assert {(f.check, f.row, f.cents) for f in done.findings} == {
        ("charge_without_purchase", "tran_extra", 500),
        ("purchase_unknown_to_creem", "tran_ghost", 900),
    }
    assert done.unmatched == 1400
    assert not done.ok


def test_reconcile_finds_the_transaction_of_an_order_and_with_it_the_duplicate(world: MoneyWorld) -> None:
    world.twice_charged(charges=1)
    paid_at = world.clock.now() - timedelta(minutes=57)
    world.double.pay("tran_late", customer_id="cust_1", amount=900, order_id="ord_late", paid_at=paid_at)
    nameless = world.bought("ord_late", "x", paid_at.isoformat())
    del nameless["transaction_id"]
    world.load(nameless)
    assert world.state("ord_late") == "review"
    world.reconciler().reconcile()
    world.settle_down(days=1)
    assert world.state("ord_late") == "refunded"
    assert world.double.gone("tran_late") == 900
    assert world.audit().breaches == []


def of_one_order(world: MoneyWorld, **attempts: dict[str, Any]) -> None:
    """A purchase without its transaction, and what Creem has of its order."""
    at = world.clock.now() - timedelta(hours=1)
    for number, (name, more) in enumerate(attempts.items()):
        known: dict[str, Any] = {"customer_id": "cust_1", "amount": 900, "order_id": "ord_0"}
        world.double.pay(name, paid_at=at + number * timedelta(minutes=1), **known | more)
    nameless = world.bought("ord_0", "x", written(at))
    del nameless["transaction_id"]
    world.load(an_account(), nameless)


def known_as(world: MoneyWorld) -> str | None:
    """The transaction that the purchase is known by."""
    named = select(purchases.c.transaction_id).where(purchases.c.purchase_id == "ord_0")
    known: str | None = world.store.read(lambda tx: tx.value(named))
    return known


NO: dict[str, Any] = {"status": "declined"}


@pytest.mark.parametrize("order", [("tran_no", "tran_yes"), ("tran_yes", "tran_no")])
def test_order_is_known_by_the_transaction_that_was_paid_and_not_by_one_that_was_declined(
    world: MoneyWorld, order: tuple[str, str]
) -> None:
    """Once it was the oldest, and what became of the money was lost on us."""
    of_one_order(world, **{name: NO if name == "tran_no" else {} for name in order})
    world.reconciler().reconcile()
    assert known_as(world) == "tran_yes"
    world.double.refund_in_dashboard("tran_yes")
    world.settle_down(days=1)
    assert world.lot("ord_0") == (0, 0, 100)
    assert world.reconciler().reconcile().findings == []


@pytest.mark.parametrize(
    "attempts",
    [
        {"tran_no": NO},
        {"tran_a": {}, "tran_b": {}},
        {"tran_a": {"amount": 901}},
        {"tran_a": {"currency": "EUR"}},
    ],
    ids=["none was paid", "two were paid", "another amount", "another currency"],
)
def test_order_whose_transaction_is_not_certain_is_put_to_a_person_and_bound_to_none(
    world: MoneyWorld, attempts: dict[str, dict[str, Any]]
) -> None:
    of_one_order(world, **attempts)
    world.reconciler().reconcile()
    done = world.reconciler().reconcile()
    assert known_as(world) is None
    (finding,) = [one for one in done.findings if one.check == "order_without_transaction"]
    assert finding.row == "ord_0"
    assert all(name in finding.problem for name in attempts)


def test_order_is_bound_to_no_transaction_of_another_customer(world: MoneyWorld) -> None:
    """Whom Creem names with a transaction counts, whoever was asked about."""
    seen = replace(SEEN_OF_ORDER, customer="cust_2")
    of_one_order(world)
    done = replace(world.reconciler(), creem=Shows(world.creem, [seen])).reconcile()
    assert (known_as(world), [one.check for one in done.findings if one.cents == 0]) == (None, ["order_without_transaction"])


def test_order_of_which_a_list_came_short_waits_for_a_whole_one(world: MoneyWorld) -> None:
    of_one_order(world)
    replace(world.reconciler(), creem=Shows(world.creem, [SEEN_OF_ORDER], short=True)).reconcile()
    assert known_as(world) is None
    replace(world.reconciler(), creem=Shows(world.creem, [SEEN_OF_ORDER])).reconcile()
    assert known_as(world) == "tran_0"


def test_renewals_that_name_the_first_order_leave_it_to_the_charge_that_is_nobodys(world: MoneyWorld) -> None:
    renewal = replace(SEEN_OF_ORDER, id="tran_m1")
    of_one_order(world)
    world.load(world.bought("ord_m1", "tran_m1", written(world.clock.now() - timedelta(minutes=30)), billing="renewal"))
    replace(world.reconciler(), creem=Shows(world.creem, [SEEN_OF_ORDER, renewal])).reconcile()
    assert known_as(world) == "tran_0"


@pytest.fixture
def keyless(store: Store) -> Iterator[MoneyWorld]:
    """An installation that hears Creem's webhooks and has no key to read there."""
    made = MoneyWorld(store, key=False)
    yield made
    assert made.audit().breaches == []
    made.close()


def lots(world: MoneyWorld) -> list[tuple[int, int]]:
    """(left, void) of each lot."""
    return [(lot["remaining"], lot["void"]) for lot in world.account("acc_1")["lots"]]


def test_where_nothing_can_be_read_the_sum_of_what_was_heard_counts(keyless: MoneyWorld) -> None:
    keyless.twice_charged(charges=1, credits=90)
    for part, left in ((300, (60, 30)), (300, (30, 60)), (300, (0, 90))):
        keyless.double.refund_in_dashboard("tran_0", part)
        heard(keyless)
        assert lots(keyless) == [left]


@pytest.mark.parametrize("first", [True, False], ids=["known of the charge first", "and last"])
def test_where_nothing_can_be_read_no_more_goes_back_than_was_paid(keyless: MoneyWorld, first: bool) -> None:
    """The same refund told of under new ids, with its charge or without: once that was more than the row may hold."""
    keyless.twice_charged(charges=1, credits=90)
    told = [("ref_1", first), ("ref_2", not first), ("ref_3", first), ("ref_4", not first)]
    for refund_id, whole in told:
        hear_of_refund(keyless, refund_id, 400, whole=whole)
    row = keyless.store.read(lambda tx: tx.all(select(charges)))[0]
    assert (row.amount_paid, row.refunded, row.due_at) == (900, 900, None)
    assert lots(keyless) == [(0, 90)]


def test_where_nothing_can_be_read_a_refund_of_an_unknown_charge_is_kept_as_it_was_told(keyless: MoneyWorld) -> None:
    hear_of_refund(keyless, "ref_1", 400, whole=False)
    hear_of_refund(keyless, "ref_1", 400, whole=False)
    row = keyless.store.read(lambda tx: tx.all(select(charges)))[0]
    assert (row.amount_paid, row.refunded) == (None, 400)


def hear_of_refund(world: MoneyWorld, refund_id: str, cents: int, *, whole: bool) -> None:
    """Creem tells of a refund, with its charge beside it or without."""
    paid = Transaction("tran_0", "test", 900, 900, "USD", "paid", "paid", 0)
    now = world.clock.now()
    one = RefundCreated(refund_id, "tran_0", cents, "USD", "succeeded", "requested", now, paid if whole else None, None)

    def hear(tx: Tx) -> None:
        lock(tx, ["tran_0"])
        hear_refunds(tx, [one], now, can_read=False)
        world.settler.settle(tx, ["ord_0"], now)

    world.store.write(hear)


def refund_of(number: int, status: str) -> RefundCreated:
    return RefundCreated(f"ref_{number}", f"tran_{number}", 400, "USD", status, "requested", START, None, None)


@pytest.mark.parametrize("can_read", [True, False])
def test_what_is_told_of_one_charge_is_nothing_about_another(store: Store, can_read: bool) -> None:
    now = START

    def hear(tx: Tx, number: int, status: str) -> None:
        lock(tx, ["tran_1", "tran_2"])
        hear_paid(tx, {f"tran_{number}": number * 900})
        hear_refunds(tx, [refund_of(number, status)], now + number * timedelta(minutes=1), can_read=can_read)

    # of the second the word comes first, and it is no last word
    store.write(lambda tx: hear(tx, 2, "pending"))
    before = store.read(lambda tx: tx.all(select(charges).where(charges.c.transaction_id == "tran_2")))
    store.write(lambda tx: hear(tx, 1, "succeeded"))
    assert store.read(lambda tx: tx.all(select(charges).where(charges.c.transaction_id == "tran_2"))) == before
    r, c = creem_refunds.c, charges.c
    assert store.read(lambda tx: tx.all(select(r.status).order_by(r.refund_id))) == [("succeeded",), ("pending",)]
    assert store.read(lambda tx: tx.value(select(c.amount_paid).where(c.transaction_id == "tran_1"))) == 900


def test_what_is_known_of_a_charge_is_not_written_over_by_what_is_told_later(store: Store) -> None:
    """Nor is less taken for paid than went back."""

    def hear(tx: Tx) -> None:
        lock(tx, ["tran_1", "tran_2"])
        hear_paid(tx, {"tran_1": 900})
        hear_refunds(tx, [refund_of(2, "succeeded")], START, can_read=False)
        hear_paid(tx, {"tran_1": 950, "tran_2": 300})
        hear_refunds(tx, [refund_of(2, "pending")], START, can_read=True)

    store.write(hear)
    c = charges.c
    known = store.read(lambda tx: tx.all(select(c.amount_paid, c.refunded).order_by(c.transaction_id)))
    assert [tuple(row) for row in known] == [(900, 0), (None, 400)]
    assert store.read(lambda tx: tx.value(select(creem_refunds.c.status))) == "succeeded"


@pytest.mark.parametrize(("state", "waits"), [("sending", True), ("unknown", False)])
def test_claim_of_a_charge_that_was_told_of_is_read_at_once_but_for_one_whose_call_is_under_way(
    world: MoneyWorld, state: str, waits: bool
) -> None:
    world.twice_charged()
    now = world.clock.now()
    later = now + timedelta(minutes=1)
    armed = update(payments).values(state=state, next_step="read", attempts=1, armed_at=now, due_at=later)
    world.store.write(lambda tx: tx.connection.execute(armed).rowcount)

    def hear(tx: Tx) -> None:
        lock(tx, ["tran_1"])
        hear_refunds(tx, [refund_of(1, "succeeded")], now, can_read=True)

    world.store.write(hear)
    assert world.claim("tran_1").due_at == (later if waits else now)

"""Money through real processes: worker, web, Redis and database, and Creem over HTTP, driven only through the contract."""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest

from tests.scenarios.system import System, a_purchase, a_system, an_account, charge, descendants, failed, runs, submitted
from tests.servers import ON_POSTGRES, conninfo, eventually
from worker.clock import SystemClock, written
from worker.sandbox.creem import CreemDouble, Lost, SecondRefund, Switches
from worker.sandbox.creem.answers import Reply
from worker.sandbox.creem.deliveries import post_to
from worker.sandbox.creem.server import CreemServer
from worker.sandbox.creem.words import Fault
from worker.sandbox.servers import RunningRedis, free_port

pytestmark = pytest.mark.landing
NASTY = Switches(second_refund=SecondRefund.PAYS_AGAIN, second_while_pending=SecondRefund.PAYS_AGAIN)


class Shop:
    """An installation, its Creem, and customers who are charged twice."""

    def __init__(self, system: System, double: CreemDouble) -> None:
        self.system, self.double = system, double
        self.now = datetime.now(UTC) - timedelta(minutes=30)

    def charged_twice(self, customers: int, switches: dict[int, Switches] | None = None) -> list[str]:
        """Each customer is charged twice, five minutes apart; returns the later orders."""
        records = []
        for n in range(customers):
            records.append(an_account(f"acc_{n}"))
            for which in range(2):
                order, paid_at = f"ord_{n}_{which}", self.now + which * timedelta(minutes=5)
                record = a_purchase(order, f"acc_{n}", 10, written(paid_at))
                if which and switches and n in switches:
                    self.double.set(record["transaction_id"], switches[n])
                charge(self.double, record, paid_at)
                records.append(record)
        self.system.load(records)
        return [f"ord_{n}_1" for n in range(customers)]

    def ends(self) -> dict[str, str]:
        """State of each case by order."""
        return {item["order_id"]: item["state"] for item in self.system.json("cases", "--limit", "200")["items"]}

    def holds(self) -> None:
        """Never more than paid, never twice, and the books say so too."""
        assert self.double.overpaid() == {}
        assert all(self.double.posts(one.transaction_id) == 1 for one in self.double.movements if one.kind == "refund")
        self.system.audit()


class Held(CreemDouble):
    """Does a refund at once, and answers when it is told to."""

    asked, answers = threading.Event(), threading.Event()

    def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        reply = super().request(method, target, headers, body)
        if method == "POST":
            self.asked.set()
            self.answers.wait(60)
        return reply


@pytest.fixture
def creem() -> type[CreemDouble]:
    return CreemDouble


@pytest.fixture
def shop(database_url: str, own_redis: RunningRedis, creem: type[CreemDouble]) -> Iterator[Shop]:
    port = free_port()
    double = creem(SystemClock(), switches=NASTY, deliver=post_to(f"http://127.0.0.1:{port}/webhooks/creem"))
    with CreemServer(double) as server:
        settings = {
            "REFUNDS_CREEM_API_KEY": double.api_key,
            "REFUNDS_CREEM_BASE_URL": server.url,
            "REFUNDS_CREEM_WEBHOOK_SECRET": double.webhook_secret,
            "REFUNDS_CREEM_TIMEOUT_SECONDS": "2",
            "REFUNDS_WEB_PORT": str(port),
        }
        with a_system(database_url, own_redis.url, **settings) as system:
            yield Shop(system, double)


@ON_POSTGRES
def test_duplicates_go_back_disputes_stop_and_every_command_says_so(shop: Shop) -> None:
    system, lost = shop.system, Switches(post=Fault.TIMEOUT, post_side=Lost.AFTER_COMMIT, post_times=1)
    orders = shop.charged_twice(4, {1: lost})
    system.load([an_account("acc_d"), a_purchase("ord_d", "acc_d", 10, "2026-11-01T09:00:00Z")])
    shop.double.pay("tran_ord_d", customer_id="cust_acc_d", product_id="prod_pack", amount=900, order_id="ord_d")
    system.start("worker.cli", "web")
    system.worker()
    web = f"http://127.0.0.1:{system.environ['REFUNDS_WEB_PORT']}"

    def ready() -> bool:
        try:
            return httpx.get(f"{web}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    assert eventually(ready, within=30), system.logs()
    shop.double.dispute("tran_ord_d")
    wanted = dict.fromkeys(orders, "refunded") | {"ord_d": "review"}
    assert eventually(lambda: shop.ends() == wanted, within=90), f"{shop.ends()}\n{system.logs()}"
    found = system.case(orders[0])
    assert found is not None
    assert found["kind"] == "duplicate_charge"
    assert (
        found["payments"][0] | {"transaction_id": "tran_ord_0_1", "amount": 900, "currency": "USD", "state": "refunded"}
        == (found["payments"][0])
    )
    [listed] = [case for case in system.json("cases", "--kind", "duplicate_charge")["items"] if case["order_id"] == orders[0]]
    assert listed["payments"] == found["payments"]
    why = system.json("why", orders[0])
    assert (why["decision"]["clause"], why["same_again"]) == ("duplicate-charge", True)
    assert why["counterfactual"]["change"] == "no earlier charge for the same thing stood"
    assert system.credits("acc_0") == 10
    assert system.json("account", "acc_d")["frozen"] == 10
    for order in orders:
        assert "clause" in system.refunds("why", order).stdout
        assert "payment.refunded" in system.refunds("show", order).stdout
    assert system.json("status")["payments"]["refunded_minor_units"] == 4 * 900
    agreed = system.json("reconcile")
    assert (agreed["ok"], agreed["unmatched_cents"]) == (True, 0), agreed
    assert system.json("requeue", orders[0], "--reason", "again?")["items"][0]["nothing"] is True
    shop.holds()


@pytest.mark.nightly
@ON_POSTGRES
def test_money_stopped_by_a_person_waits_until_it_is_released(shop: Shop) -> None:
    system = shop.system
    system.refunds("money", "stop", "--reason", "looking at something")
    (order,) = shop.charged_twice(1)
    system.worker()
    assert eventually(lambda: len(shop.double.requests) >= 2, within=30), system.logs()
    stopped = system.json("status")["breakers"]["money"]
    assert stopped["needs_person"] is True
    assert "looking at something" in stopped["last_error"]
    assert "refunds money release" in system.refunds("status").stdout
    assert shop.double.movements == []
    system.refunds("money", "release", "--reason", "nothing was wrong", "--yes")
    assert eventually(lambda: shop.ends() == {order: "refunded"}, within=60), system.logs()
    assert system.refunds("money", "release", "--reason", "again", "--yes", expect=1).stderr.startswith("refunds: money is not")
    shop.holds()


@pytest.mark.nightly
@ON_POSTGRES
def test_workers_killed_again_and_again_send_each_refund_once(shop: Shop) -> None:
    system = shop.system
    slow = Switches(settle_after=1.0, turns_early=False)
    orders = shop.charged_twice(8, dict.fromkeys(range(0, 8, 2), slow))
    for _ in range(2):
        worker = system.worker()
        before = len(shop.double.requests)
        assert eventually(lambda seen=before: len(shop.double.requests) > seen + 2, within=30), system.logs()  # type: ignore[misc]
        for pid in [*descendants(worker.pid), worker.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        worker.wait(10)
    system.worker()

    def settled() -> bool:
        claims = system.json("status")["payments"]["by_state"]
        return not {"claimed", "sending", "confirming", "in_progress", "refused", "rejected"} & claims.keys()

    assert eventually(settled, within=120), f"{system.json('status')}\n{system.logs()}"
    # a call that died between its arming and its answer, and never left, stays unknown: that is the price, and it is seen
    assert set(shop.ends().values()) <= {"refunded", "unknown"}
    assert set(shop.ends()) == set(orders)
    refunded = [order for order, state in shop.ends().items() if state == "refunded"]
    assert all(shop.double.gone(f"tran_{order}") == 900 for order in refunded)
    shop.holds()


@ON_POSTGRES
def test_creem_that_is_away_costs_nobody_credits(shop: Shop) -> None:
    system = shop.system
    shop.double.switches = Switches(get=Fault.TIMEOUT)
    shop.charged_twice(3)
    system.worker()
    assert eventually(lambda: len(shop.double.requests) > 1, within=30), system.logs()
    system.load([an_account("acc_j"), a_purchase("ord_j", "acc_j", 50)])
    system.emit([submitted("job_1", "acc_j"), failed("job_1", "acc_j")])
    system.comes_to("refunded", within=20)
    assert shop.double.movements == []
    shop.double.switches = NASTY
    shop.holds()


@ON_POSTGRES
def test_key_at_the_wrong_host_stops_every_process_with_one_line(shop: Shop) -> None:
    shop.system.extra = {
        **shop.system.extra,
        "REFUNDS_CREEM_API_KEY": "creem_live_key",
        "REFUNDS_CREEM_BASE_URL": "https://test-api.creem.io",
    }
    for words in (["worker"], ["web"], ["reconcile"]):
        done = shop.system.refunds(*words, expect=2)
        assert "REFUNDS_CREEM_BASE_URL" in done.stderr
        assert "creem_live_key" not in done.stderr
        assert "Traceback" not in done.stderr


@ON_POSTGRES
def test_credits_at_creem_come_back_and_are_taken_before_money_goes(shop: Shop) -> None:
    shop.system.extra = {**shop.system.extra, "REFUNDS_CREEM_CREDITS": "default"}
    shop.double.credits.open("cust_acc_0", 20)
    shop.double.credits.open("cust_acc_1", 95)
    assert "in the account 'default' of each customer at Creem" in shop.system.refunds("doctor", expect=None).stdout
    shop.system.worker()
    (order,) = shop.charged_twice(1)
    shop.system.load([an_account("acc_1"), a_purchase("ord_9", "acc_1", 100)])
    shop.system.emit([submitted("job_1", "acc_1"), failed("job_1", "acc_1")])
    credits = shop.double.credits
    assert eventually(lambda: shop.ends().get(order) == "refunded" and credits.of("cust_acc_1").balance == 100, within=60)
    assert credits.of("cust_acc_0").balance == 10
    assert [step["event"] for step in shop.system.json("show", "job_1")["history"]][-1] == "credits.booked"
    shop.holds()


@ON_POSTGRES
@pytest.mark.parametrize("creem", [Held])
def test_call_is_answered_though_every_process_of_the_service_is_told_to_end_at_once(shop: Shop) -> None:
    """As systemd tells all of a service's, and a script that of a group: once the call in hand was broken off, and whether the
    money had left was asked of Creem for up to a day, and then of a person.
    """
    system = shop.system
    [order] = shop.charged_twice(1)
    worker = system.start("celery", "-A", "worker", "worker", "--concurrency", "2", REFUNDS_CREEM_TIMEOUT_SECONDS="30")
    system.start("celery", "-A", "worker", "beat")
    assert Held.asked.wait(90), system.logs()
    pool = descendants(worker.pid)
    for number in (signal.SIGTERM, signal.SIGHUP):
        for pid in pool:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
    worker.terminate()
    assert eventually(lambda: "Warm shutdown" in system.logs(), within=30)
    Held.answers.set()
    assert worker.wait(60) == 0, system.logs()
    assert not any(runs(pid) for pid in pool)
    found = system.case(order)
    assert found is not None
    assert [call["outcome"] for call in found["payments"][0]["calls"]] == ["accepted"], system.logs()
    shop.holds()


class HeldAlone(Held):
    """Another one, with moments of its own."""

    asked, answers = threading.Event(), threading.Event()


@ON_POSTGRES
@pytest.mark.parametrize("creem", [HeldAlone])
def test_process_that_is_told_to_end_by_itself_takes_no_other_task(shop: Shop) -> None:
    """Once it went on for as long as one task waited behind the other, and after ninety seconds was broken off in whichever it
    then had in hand.
    """
    system = shop.system
    [order] = shop.charged_twice(1)
    worker = system.start("celery", "-A", "worker", "worker", "--concurrency", "1", REFUNDS_CREEM_TIMEOUT_SECONDS="30")
    system.start("celery", "-A", "worker", "beat")
    assert HeldAlone.asked.wait(90), system.logs()
    [told] = descendants(worker.pid)
    waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    where = conninfo(system.database_url)
    with psycopg.connect(where, autocommit=True) as admin, psycopg.connect(where) as lunch:
        # what comes next, which has waited behind the call, will be in hand for a while
        lunch.execute("lock table inbox in access exclusive mode")
        os.kill(told, signal.SIGTERM)
        HeldAlone.answers.set()
        assert eventually(lambda: admin.execute(waits).fetchone(), within=60), system.logs()
        assert not runs(told)
    assert eventually(lambda: shop.ends() == {order: "refunded"}, within=60), system.logs()
    shop.holds()

"""A lively installation: every kind of case, in many states, with hostile text in every place that outsiders can fill."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.cases.world import a_job, a_purchase, an_account
from tests.requests.world import PeopleWorld
from worker.clock import new_id
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import case_history, cases, evidence, requests

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[31m\u202eevil\u2066 {{ 7*7 }} javascript:alert(1)"
HOSTILE_ADDRESS = "<img/src=x/onerror=alert(1)>\u202e@example.org"
RAW = b'{"id": "<script>alert(1)</script>", "text": "\x1b]0;owned\x07 \xff\xfe \xe2\x80\xae gnp.exe"}\n<!-- second line'


def a_scene(store: Store, folder: Path) -> PeopleWorld:
    """The installation; `close()` it afterwards."""
    world = PeopleWorld(store, folder)
    world.twice_charged(credits=40)
    world.settle_down(days=1)
    world.load(an_account("acc_2") | {"email": HOSTILE_ADDRESS}, a_purchase("ord_2", "acc_2", 200))
    why = {"code": "model_error", "message": HOSTILE}
    world.happen(world.submitted("job_whole", "acc_2"), world.failed("job_whole", "acc_2", failure=why))
    world.happen(world.submitted("job_again", "acc_2"), world.incomplete("job_again", "acc_2"))
    world.happen(world.failed("job_early", "acc_2"))
    world.happen(world.submitted("job_odd", "acc_2"), world.succeeded("job_odd", "acc_2"), world.failed("job_odd", "acc_2"))
    a_dispute(world)
    a_request(world)
    world.happen(RAW, b"{", '{"no": "event"}')
    return world


def a_dispute(world: PeopleWorld) -> None:
    """A charge that the bank was told is wrong."""
    paid_at = world.clock.now() - timedelta(days=2)
    paid: dict[str, Any] = {"customer_id": "cust_3", "amount": 900, "order_id": "ord_3", "paid_at": paid_at}
    world.double.pay("tran_3", email="acc_3@example.org", **paid)
    world.load(an_account("acc_3"), world.bought("ord_3", "tran_3", paid_at.isoformat(), account="acc_3", credits=20))
    world.load(a_job("job_3", "acc_3", status="succeeded", downloads=2, layers_delivered=6))
    world.double.dispute("tran_3")
    world.double.tick()
    world.sweep()


def a_request(world: PeopleWorld, number: int = 4) -> str:
    """A mail that asks for a purchase's money back, in hostile words and with a hostile file; returns its case."""
    order, account = f"ord_{number}", f"acc_{number}"
    world.bought_once(order, account)
    now = world.clock.now()
    case_id, request_id = new_id("case", now), new_id("req", now)
    case = {
        "case_id": case_id,
        "kind": "request",
        "subject": request_id,
        "account_id": account,
        "order_id": order,
        "state": "review",
        "owner": "support",
        "reason": f"asked for by mail: {HOSTILE}",
        "credits_owed": 0,
        "credits_reversed": 0,
        "reruns": 0,
        "delivered_late": False,
        "stuck": 0,
        "failed_at": now,
        "opened_at": now,
        "due_at": now + timedelta(days=2),
        "warned_percent": 0,
        "next_action_at": now + timedelta(days=30),
    }
    mail = {
        "request_id": request_id,
        "key": f"mail:{number}",
        "case_id": case_id,
        "origin": "maildir",
        "received_at": now,
        "sender": HOSTILE_ADDRESS,
        "verdict": "verified",
        "verdict_detail": HOSTILE,
        "automatic": False,
        "subject": HOSTILE,
        "text": f"Please refund {order}.\n\n{HOSTILE}\n" + "and so on\n" * 500,
        "named": {},
        "problems": [],
        "size": 900,
    }
    file = {
        "evidence_id": new_id("ev", now),
        "request_id": request_id,
        "case_id": case_id,
        "name": "../../<b>x</b>\u202egnp.exe",
        "stored": f"chance-{number}",
        "declared_type": "image/png",
        "kind": "image/png",
        "size": 900,
        "sha256": "0" * 64,
        "state": "kept",
        "received_at": now,
        "delete_by": now + timedelta(days=30),
    }
    told = {"case_id": case_id, "at": now, "event": "request.received", "by": "worker", "detail": {"subject": HOSTILE}}

    def write(tx: Tx) -> None:
        for table, row in ((cases, case), (requests, mail), (evidence, file), (case_history, told)):
            tx.insert(table, [row])

    world.store.write(write)
    return case_id

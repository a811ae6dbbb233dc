"""A lively installation: every kind of case, in many states, with hostile text in every place that outsiders can fill."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.cases.world import a_job, a_purchase, an_account
from tests.requests.world import PeopleWorld
from worker.store.engine import Store

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
    world.happen(world.submitted("job_odd", "acc_2"), world.succeeded("job_odd", "acc_2"))
    world.happen(world.failed("job_odd", "acc_2", failure={"code": HOSTILE}))
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
    text = f"Please refund {order}.\n\n{HOSTILE}\n" + "and so on\n" * 500
    files = {"../../<b>x</b>\u202egnp.exe": b"MZ" + HOSTILE.encode()}
    known = {"sender": f"{account}@example.org", "message_id": f"<{number}@example.org>"}
    return world.mail(text, subject=HOSTILE, files=files, **known).case_id

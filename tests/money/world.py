"""The money steps on a real database against the Creem double: clock, crashes and the order of everything in the test's hands."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import httpx
from sqlalchemy import select, union_all

from tests.cases.world import HandClock, World, a_purchase, an_account
from tests.doors import Doors, DoorStore
from tests.faults import Fault
from worker.cases.assess.imports import Importer
from worker.cases.money.epoch import Watch, Witnesses
from worker.cases.money.pay import Payer
from worker.cases.reconcile.reconcile import Reconciler
from worker.clock import written
from worker.creem.answers import Answer, CallOutcome
from worker.creem.client import Armed, Creem, CreemAway, CreemHttp
from worker.creem.environment import Address, Environment
from worker.creem.receive import Received, Receiver
from worker.creem.transactions import Transaction
from worker.intake.records import read_record
from worker.sandbox.creem import CreemDouble, Switches
from worker.settings import Mode
from worker.store.engine import Store
from worker.store.tables import breakers, cases, charges, effects, inbox, payments

ADDRESS = Address("https://test-api.creem.io", Environment.TEST)
KEY = "creem_test_double"


def creem_lost() -> NoReturn:
    """What a caller meets whose question to Creem was lost, before it came there or after."""
    raise CreemAway("the connection was lost")


@dataclass
class DoorCreem:
    """Creem whose calls are doors. A call whose answer is lost is one whose outcome is unknown, whether or not it was made."""

    inner: Creem
    doors: Doors

    @property
    def environment(self) -> Environment:
        return self.inner.environment

    def transaction(self, transaction_id: str) -> Transaction | None:
        return self.doors.through("read", lambda: self.inner.transaction(transaction_id), creem_lost)

    def transactions_of_customer(self, customer_id: str) -> list[Transaction]:
        return self.doors.through("search", lambda: self.inner.transactions_of_customer(customer_id), creem_lost)

    def refund(self, armed: Armed) -> Answer:
        nothing = Answer(CallOutcome.UNKNOWN, detail="the connection was lost")
        return self.doors.through("call", lambda: self.inner.refund(armed), lambda: nothing)


class MoneyWorld(World):
    """A World with Creem beside it."""

    def __init__(
        self,
        store: Store,
        *,
        switches: Switches | None = None,
        faults: frozenset[Fault] = frozenset(),
        mode: Mode = Mode.FULL,
        clock: HandClock | None = None,
        hears: bool = True,
        key: bool = True,
        seed: int = 0,
        **more: Any,
    ) -> None:
        self.doors = Doors(faults)
        self.guarded = DoorStore(store, self.doors)
        super().__init__(self.guarded, mode=mode, clock=clock, creem=key, **more)
        self.hears = hears
        self.receiver = Receiver(store, self.clock, Environment.TEST.accepts)
        self.double = CreemDouble(self.clock, api_key=KEY, switches=switches or Switches(), deliver=self._deliver, seed=seed)
        self.http = httpx.Client(transport=self.double.transport(), base_url=ADDRESS.base_url)
        self.creem: Creem = self.a_client()
        self.received: list[Received] = []
        self.started = self.clock.now()
        self.generation = 0

    def a_client(self) -> CreemHttp:
        """A client whose time is the hand clock's."""
        return CreemHttp(
            ADDRESS,
            KEY,
            read_seconds=10,
            refund_seconds=20,
            client=self.http,
            sleep=lambda seconds: self.clock.pass_(seconds=seconds),
            timer=self.seconds,
        )

    def _deliver(self, body: bytes, headers: dict[str, str]) -> int:
        if not self.hears:
            return 503
        got = self.doors.process(lambda: self.receiver.receive(body), "web: ")
        if got is None:
            return 503
        self.received.append(got[0])
        return 200

    def payer(self, holder: str | None = None) -> Payer:
        """A fresh process that may pay."""
        self.generation += 1
        seen = self.witnesses()
        return Payer(
            store=self.guarded,
            creem=DoorCreem(self.creem, self.doors),
            settler=self.settler,
            clock=self.clock,
            holder=holder or f"process-{self.generation}",
            refund_seconds=20,
            turn_seconds=50,
            timer=self.seconds,
            witnesses=seen,
            watch=Watch(self.guarded, seen, self.clock) if seen.any else None,
        )

    def witnesses(self) -> Witnesses:
        """Who remembers outside the database, as a process that has just started finds them: here nobody."""
        return Witnesses()

    def reconciler(self) -> Reconciler:
        return Reconciler(
            self.store, DoorCreem(self.creem, self.doors), self.settler, self.assessor, self.clock, timedelta(days=60)
        )

    def pay(self) -> list[str]:
        """One process pays what is due, and dies where it is told to; the next one starts from the rows alone."""
        return self.doors.process(self.payer().pay) or []

    def twice_charged(self, *, charges: int = 2, **more: Any) -> list[str]:
        """One customer charged for the same thing so many times, and the product's history of it is loaded; returns the
        transactions, first to last.
        """
        self.load(*self.history_of_charges(charges, **more))
        return [f"tran_{number}" for number in range(charges)]

    def history_of_charges(
        self, charges: int = 2, *, apart: timedelta = timedelta(minutes=5), tax: int = 0, **more: Any
    ) -> list[dict[str, Any]]:
        """One customer is charged for the same thing so many times; returns what the product's history says of that."""
        first_paid = self.clock.now() - timedelta(hours=1)
        records = [an_account()]
        for number in range(charges):
            paid_at, name = first_paid + number * apart, f"tran_{number}"
            self.double.pay(
                name,
                customer_id="cust_1",
                amount=900,
                tax=tax,
                order_id=f"ord_{number}",
                paid_at=paid_at,
                request_id=f"chk_{number}",
                email="acc_1@example.org",
            )
            records.append(self.bought(f"ord_{number}", name, paid_at.isoformat(), request_id=f"chk_{number}", **more))
        return records

    def charged_again(self, number: int, *, settle: bool = True) -> str:
        """Another customer charged twice, five minutes apart; returns the later transaction. Without `settle` the purchases are
        only in the inbox.
        """
        name, paid = f"r{number}", self.clock.now() - timedelta(hours=1)
        records = [an_account(f"acc_{name}")]
        for which in range(2):
            at, charge = paid + which * timedelta(minutes=5), f"{name}_{which}"
            known: dict[str, Any] = {"customer_id": f"cust_{name}", "product_id": "prod_pack"}
            self.double.pay(f"tran_{charge}", amount=900, order_id=f"ord_{charge}", paid_at=at, **known)
            records.append(
                a_purchase(
                    f"ord_{charge}",
                    f"acc_{name}",
                    10,
                    written(at),
                    transaction_id=f"tran_{charge}",
                    **known,
                )
            )
        if settle:
            self.load(*records)
        else:
            self.put_in(*records)
        return f"tran_{name}_1"

    def put_in(self, *records: dict[str, Any]) -> None:
        """Records come into the inbox and nobody handles them yet."""
        known = [read_record(json.dumps(record).encode()) for record in records]
        Importer(self.store, self.assessor, self.clock)._store(known)

    def bought(self, name: str, transaction: str, paid_at: str, **more: Any) -> dict[str, Any]:
        known: dict[str, Any] = {"customer_id": "cust_1", "product_id": "prod_pack", "transaction_id": transaction}
        return a_purchase(name, paid_at=paid_at.replace("+00:00", "Z"), **known | more)

    def settle_down(self, *, days: float = 3, done: Callable[[], bool] | None = None) -> None:
        """Lets time pass, step by step, with everything that ordinary processes do in it."""
        until = self.clock.now() + timedelta(days=days)
        while self.clock.now() < until:
            self.turn()
            if (done or self.at_rest)():
                self.sweep()
                return
            self.clock.at = self._next_moment(until)

    def turn(self) -> None:
        """What ordinary processes do at one moment."""
        self.double.tick()
        self.sweep()
        self.pay()

    def _next_moment(self, until: Any) -> Any:
        now = self.clock.now()
        rows = self.store.read(
            lambda tx: tx.all(
                union_all(
                    select(payments.c.due_at),
                    select(charges.c.due_at),
                    select(cases.c.next_action_at),
                    select(inbox.c.due_at).where(inbox.c.state == "new"),
                    select(effects.c.due_at).where(effects.c.state.in_(["due", "claimed"])),
                    select(breakers.c.open_until).where(breakers.c.needs_person.is_(False)),
                )  # type: ignore[arg-type]
            )
        )
        due = [row.due_at for row in rows] + [self.double.next_due()]
        ahead = [at for at in due if at is not None and at > now]
        return min([*ahead, now + timedelta(hours=6), until]) + timedelta(milliseconds=1)

    def at_rest(self) -> bool:
        """True when no claim is open, nothing that came in is unhandled, and Creem has nothing more to tell."""
        return not self.open_claims() and self.all_handled() and self.double.next_due() is None

    def open_claims(self) -> list[tuple[str, str]]:
        """The state of the case and of the claim, for each claim that is open."""
        joined = select(cases.c.state, payments.c.state.label("claim")).join(payments, payments.c.case_id == cases.c.case_id)
        return [(r.state, r.claim) for r in self.store.read(lambda tx: tx.all(joined.where(payments.c.closed_at.is_(None))))]

    def all_handled(self) -> bool:
        """True when no row of the inbox waits for anybody, not even until a dead process's time is over."""
        return not self.store.read(lambda tx: tx.all(select(inbox.c.id).where(inbox.c.state == "new").limit(1)))

    def lot(self, name: str) -> tuple[int, int, int]:
        """(left, frozen, void) of a lot of acc_1."""
        found = next(each for each in self.account("acc_1")["lots"] if each["purchase_id"] == name)
        return found["remaining"], found["frozen"], found["void"]

    def claim(self, transaction_id: str) -> Any:
        rows = self.store.read(lambda tx: tx.all(select(payments).where(payments.c.transaction_id == transaction_id)))
        return rows[0] if rows else None

    def claims(self) -> Iterator[Any]:
        yield from self.store.read(lambda tx: tx.all(select(payments).order_by(payments.c.transaction_id)))

    def close(self) -> None:
        self.http.close()

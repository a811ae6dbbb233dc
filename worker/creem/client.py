"""Creem over HTTP: reads that are repeated, and one refund call that never is."""

import random
import time
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import httpx
from pydantic import SecretStr

from worker.clock import Clock, SystemClock
from worker.creem.answers import Answer
from worker.creem.armed import Armed, DeadlinePassed
from worker.creem.credits import CreditAccounts
from worker.creem.environment import Address, Environment, address_of
from worker.creem.post import Refunds
from worker.creem.reads import CreemAway, CreemRefused, Reads
from worker.creem.search import of_customer
from worker.creem.transactions import Transaction, read_transaction
from worker.creem.wire import Ask, Pace, Wire
from worker.deadline import bounded_client
from worker.errors import Misconfigured

__all__ = ["Armed", "Creem", "CreemAway", "CreemHttp", "CreemRefused", "DeadlinePassed"]


class Creem(Protocol):
    """The payment provider. Reads raise `CreemAway` or `CreemRefused`."""

    @property
    def environment(self) -> Environment:
        """Where its money is."""
        ...

    def transaction(self, transaction_id: str) -> Transaction | None:
        """The transaction as Creem shows it now; None where Creem says that there is none."""
        ...

    def transactions_of_customer(self, customer_id: str) -> list[Transaction]:
        """All of them, oldest first."""
        ...

    def refund(self, armed: Armed) -> Answer:
        """Asks once for the whole rest of the transaction to go back. Raises for a spent or late permission only."""
        ...


class CreemHttp:
    """Creem's API. Safe to share between threads; at most `per_second` requests leave it."""

    def __init__(
        self,
        address: Address,
        api_key: SecretStr | str,
        *,
        read_seconds: float = 10.0,
        refund_seconds: float = 30.0,
        client: httpx.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
        timer: Callable[[], float] = time.monotonic,
        per_second: float = 5.0,
        chance: Callable[[], float] = random.random,
        clock: Clock | None = None,
    ) -> None:
        """`read_seconds` covers all tries of one question, `refund_seconds` the one call. Raises `Misconfigured` where the key
        belongs to another address.
        """
        key = api_key if isinstance(api_key, SecretStr) else SecretStr(api_key)
        if address_of(key.get_secret_value(), address.base_url) != address:
            raise Misconfigured(f"the Creem key belongs to another environment than {address.environment.value}")
        self._address = address
        client = client or bounded_client(timer)
        wire, pace = Wire(address.base_url, key, client, timer), Pace(per_second, sleep, timer)
        self._wire = wire
        clock = clock or SystemClock()
        self._reads = Reads(wire, pace, seconds=read_seconds, sleep=sleep, timer=timer, clock=clock, chance=chance)
        self.credits = CreditAccounts(wire, pace, self._reads, seconds=read_seconds)
        """The credits that customers have at Creem."""
        self._refunds = Refunds(wire, pace, environment=address.environment, seconds=refund_seconds, timer=timer, clock=clock)

    def __repr__(self) -> str:
        return f"CreemHttp({self._address.base_url}, {self._address.environment.value})"

    @property
    def environment(self) -> Environment:
        """Where its money is."""
        return self._address.environment

    @property
    def time(self) -> datetime | None:
        """What Creem took for the present when it last answered, to the second; None where it did not say."""
        return self._wire.time

    def transaction(self, transaction_id: str) -> Transaction | None:
        """The transaction as Creem shows it now; None where Creem says that there is none.

        It is what was answered: whether it is the one that was asked for, in the right mode, is for the caller to compare.
        """
        if not _can_be_asked(transaction_id):
            return None
        ask = Ask("GET", "/v1/transactions", {"transaction_id": transaction_id}, about=transaction_id)
        return self._reads.ask(ask, read_transaction)

    def transactions_of_customer(self, customer_id: str) -> list[Transaction]:
        """Every transaction of the customer, oldest first."""
        return of_customer(self._reads, customer_id) if _can_be_asked(customer_id) else []

    def refund(self, armed: Armed) -> Answer:
        """Sends `POST /v1/refunds` once, using the permission up. See `worker.creem.post`."""
        return self._refunds.send(armed)


def _can_be_asked(name: str) -> bool:
    """An id that no query can hold, or that would ask for everything, is no id of Creem's."""
    return 0 < len(name) <= 256 and name.isprintable()

"""A Creem between the procedure and its client: what a test makes happen at a call."""

from dataclasses import dataclass

from worker.creem.answers import Answer
from worker.creem.armed import Armed
from worker.creem.client import Creem
from worker.creem.environment import Environment
from worker.creem.transactions import Transaction


@dataclass
class PassesOn:
    """Passes everything on to `inner`; whoever builds on it changes the call that it is about."""

    inner: Creem

    @property
    def environment(self) -> Environment:
        return self.inner.environment

    def transaction(self, transaction_id: str) -> Transaction | None:
        return self.inner.transaction(transaction_id)

    def transactions_of_customer(self, customer_id: str) -> list[Transaction]:
        return self.inner.transactions_of_customer(customer_id)

    def refund(self, armed: Armed) -> Answer:
        return self.inner.refund(armed)

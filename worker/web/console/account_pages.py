"""Accounts: standing, lots and cases of one."""

from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route

from worker.cases.documents.document import account_document, listing
from worker.store.engine import Store
from worker.web.console.guard import Guard, Visit

MOST_LOTS, MOST_CASES = 40, 20


@dataclass(frozen=True, slots=True)
class AccountPages:
    """The accounts."""

    store: Store

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        return [guard.page("/accounts/{account_id}", self.one)]

    def one(self, visit: Visit) -> Response:
        """One account with its latest lots and cases."""
        name, now = visit.name("account_id"), visit.clock.now()
        account, (cases, following) = self.store.read(
            lambda tx: (
                account_document(tx, name),
                listing(tx, now, state=None, kind=None, account=name, limit=MOST_CASES, after=None),
            )
        )
        if account["account_id"] != name:
            return visit.go(f"/accounts/{account['account_id']}")
        return visit.page(
            "account.html", account=account, lots=account["lots"][-MOST_LOTS:], cases=cases, more=following is not None
        )

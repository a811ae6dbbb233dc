"""Cases: find one, read it, understand it, put it back."""

import json
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from policy import Editions
from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.known import accounts_called, no_account
from worker.cases.documents.document import explained, find, listing
from worker.cases.named import Found, named
from worker.cases.requeue import Plan, Requeuer
from worker.errors import Refused
from worker.store.engine import Store
from worker.web.console.forms import reason_of
from worker.web.console.guard import Guard, Visit
from worker.web.console.words import latest

MOST, MOST_HISTORY, MOST_LETTERS, MOST_FILES = 30, 25, 3, 10
PLACES = {Found.ACCOUNT: "/accounts", Found.DEAD_LETTER: "/dead", Found.CASE: "/cases"}


@dataclass(frozen=True, slots=True)
class CasePages:
    """The cases. `flower` is where the tasks can be watched, None where nowhere."""

    store: Store
    editions: Editions
    requeuer: Requeuer
    flower: str | None

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        return [
            guard.page("/cases", self.listing),
            guard.page("/cases/{case_id}", self.one),
            guard.page("/cases/{case_id}/requeue", self.rehearsal),
            guard.act("/cases/{case_id}/requeue", self.requeue),
        ]

    def listing(self, visit: Visit) -> Response:
        """Cases, newest first; a name that is searched for leads straight to what has it."""
        query, missing = visit.asked("q"), None
        if query:
            try:
                found, name = self.store.read(lambda tx: named(tx, query))
                return visit.go(f"{PLACES[found]}/{name}")
            except Refused as error:
                missing = str(error)
        wanted = {"state": visit.asked("state"), "kind": visit.asked("kind"), "account": visit.asked("account")}
        if wanted["state"] not in {None, *CaseState} or wanted["kind"] not in {None, *CaseKind}:
            raise HTTPException(400, "There is no such state or kind.")
        after, unproved = visit.asked("after"), visit.asked("unproved") == "yes"
        now = visit.clock.now()
        items, following = self.store.read(lambda tx: listing(tx, now, **wanted, unproved=unproved, limit=MOST, after=after))
        account = wanted["account"]
        if account and not items:
            missing = missing or self.store.read(lambda tx: None if accounts_called(tx, account) else no_account(tx, account))
        return visit.page(
            "cases.html",
            404 if query else 200,
            missing=missing,
            wanted=wanted,
            unproved=unproved,
            items=items,
            following=following,
            states=[state.value for state in CaseState],
            kinds=[kind.value for kind in CaseKind],
        )

    def one(self, visit: Visit) -> Response:
        """One case, whole, with its latest history."""
        name, now = visit.name("case_id"), visit.clock.now()
        case = self.store.read(lambda tx: explained(tx, self.editions, name, now))
        if case["case_id"] != name:
            return visit.go(f"/cases/{case['case_id']}")
        history = case["history"]
        before = visit.asked("before") or ""
        end = min(int(before), len(history)) if before.isdigit() and len(before) < 9 else len(history)
        start = max(0, end - MOST_HISTORY)
        return visit.page(
            "case.html",
            case=case,
            history=history[start:end],
            start=start,
            letters=latest(case["requests"], MOST_LETTERS),
            files=latest(case["evidence"], MOST_FILES),
            told=case["notices"][-MOST_FILES:],
            in_review=case["state"] == CaseState.REVIEW or (case["kind"], case["state"]) == (CaseKind.REQUEST, CaseState.WAITING),
            flower=f"{self.flower}/tasks?search={quote(case['job_id'] or case['case_id'], safe='')}" if self.flower else None,
        )

    def rehearsal(self, visit: Visit) -> Response:
        """What putting the case back would do; nothing is changed."""
        return self._rehearsed(visit, self.requeuer.plan(self._case_id(visit)))

    def requeue(self, visit: Visit) -> Response:
        """Puts the case back, provided that what would happen is still what was shown."""
        case_id, reason = self._case_id(visit), reason_of(visit.form)
        plan = self.requeuer.plan(case_id)
        if visit.form.get("shown") != fingerprint(plan):
            return self._rehearsed(visit, plan, 409, "The case moved after this page was shown. This is what would happen now.")
        if plan.nothing:
            raise Refused(f"{case_id} stays as it is: putting it back would change nothing")
        self.requeuer.requeue(case_id, by=visit.operator, reason=reason)
        return visit.go(f"/cases/{case_id}", "requeued")

    def _rehearsed(self, visit: Visit, plan: Plan, status: int = 200, said: str | None = None) -> Response:
        return visit.page(
            "requeue.html", status, plan=plan.document(), shown=fingerprint(plan), said=said, reason=visit.form.get("reason", "")
        )

    def _case_id(self, visit: Visit) -> str:
        name = visit.name("case_id")
        try:
            return str(self.store.read(lambda tx: find(tx, name)).case_id)
        except Refused as error:
            raise HTTPException(404, str(error)) from error


def fingerprint(plan: Plan) -> str:
    """What tells one plan from another."""
    return sha256(json.dumps(plan.document(), sort_keys=True).encode()).hexdigest()[:32]

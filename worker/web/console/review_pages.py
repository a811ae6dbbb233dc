"""The review queue: take a case, see what every choice would do, decide, or agree to what somebody else proposed."""

from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from worker.cases.review.queue import does_not_wait
from worker.cases.review.reviewer import Reviewer
from worker.errors import Refused
from worker.operators.credentials import Credentials, TooSoon
from worker.operators.operators import LOCAL
from worker.web.console.forms import reason_of
from worker.web.console.guard import Guard, Visit
from worker.web.console.sign_in_pages import too_soon
from worker.web.console.words import latest

MOST, MOST_LETTERS, MOST_FILES, MOST_BEFORE = 30, 5, 10, 5
MOVED = (
    "The case moved after this page was shown: the choice does something else by now, or there is new mail. "
    "Look again before you decide."
)


@dataclass(frozen=True, slots=True)
class ReviewPages:
    """The queue. A choice that moves money or needs two people asks for the password again."""

    reviews: Reviewer
    credentials: Credentials

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        return [
            guard.page("/review", self.queue),
            guard.page("/review/{case_id}", self.look),
            guard.act("/review/{case_id}/take", self.take),
            guard.act("/review/{case_id}/give-back", self.give_back),
            guard.act("/review/{case_id}/decide", self.decide),
            guard.act("/review/{case_id}/withdraw", self.withdraw),
            guard.act("/review/{case_id}/name", self.name),
        ]

    def queue(self, visit: Visit) -> Response:
        """Who waits, in the order received."""
        items, following = self.reviews.queue(limit=MOST, after=visit.asked("after"))
        approved = self.reviews.approved_by(visit.operator)
        return visit.page("review.html", items=items, following=following, approved=approved)

    def look(self, visit: Visit) -> Response:
        """One case with what every choice would do; nothing is taken."""
        seen = self._seen(visit)
        if visit.asked("note") == "taken" and seen["taken_by"] != visit.operator:
            # an address handed on, or kept: whoever opens it now has not taken the case
            return visit.go(f"/review/{seen['case']['case_id']}")
        return self._page(visit, seen)

    def take(self, visit: Visit) -> Response:
        """The case is the operator's for a while."""
        case_id = self._seen(visit)["case"]["case_id"]
        self.reviews.take(case_id, by=visit.operator)
        return visit.go(f"/review/{case_id}", "taken")

    def give_back(self, visit: Visit) -> Response:
        """The case is free again."""
        case_id = self._seen(visit)["case"]["case_id"]
        self.reviews.give_back(case_id, by=visit.operator)
        return visit.go("/review", "given-back")

    def decide(self, visit: Visit) -> Response:
        """Does, proposes or agrees, provided that the choice still does what was shown."""
        seen = self._seen(visit)
        try:
            return self._decided(visit, seen)
        except Refused:
            if (came := self._sent_twice(visit, seen["case"]["case_id"])) is None:
                raise
            return came

    def _decided(self, visit: Visit, seen: dict[str, Any]) -> Response:
        case_id, reason = seen["case"]["case_id"], reason_of(visit.form)
        if not seen["choices"]:
            said = does_not_wait(case_id, seen["case"]["state"])
            return self._sent_twice(visit, case_id) or self._page(visit, seen, 409, said)
        choice = next((each for each in _open_to(seen) if each["choice"] == visit.form.get("choice")), None)
        if choice is None:
            return self._page(visit, seen, 400, "Choose one of the ways to decide it.")
        shown = seen["shown"][choice["choice"]]
        if visit.form.get(f"shown-{choice['choice']}") != shown:
            return self._sent_twice(visit, case_id) or self._page(visit, seen, 409, MOVED)
        if asks_again(choice) and visit.operator != LOCAL:
            try:
                held = self.credentials.hold(visit.operator, visit.form.get("password", ""), visit.address)
            except TooSoon as wait:
                answer = self._page(visit, seen, 429, too_soon(wait))
                answer.headers["retry-after"] = str(wait.seconds)
                return answer
            if not held:
                return self._page(visit, seen, 403, "That is not your password. Nothing was changed.")
        done = self.reviews.decide(case_id, choice["choice"], by=visit.operator, reason=reason, shown=shown)
        if done["waits_for_second"]:
            return visit.go(f"/review/{case_id}", "proposed")
        return visit.go(f"/cases/{case_id}", "decided")

    def _sent_twice(self, visit: Visit, case_id: str) -> Response | None:
        """Where the form led when it came before, as the first click of two: what it says stands on the case."""
        word = self.reviews.word_on(case_id)
        if word is None or (word.by, word.choice, word.reason) != (
            visit.operator,
            visit.form.get("choice"),
            reason_of(visit.form),
        ):
            return None
        return visit.go(f"/review/{case_id}", "proposed") if word.proposed else visit.go(f"/cases/{case_id}", "decided")

    def withdraw(self, visit: Visit) -> Response:
        """The proposal that was shown is off the table."""
        seen = self._seen(visit)
        case_id, reason, choice = seen["case"]["case_id"], reason_of(visit.form), visit.form.get("choice")
        if not choice:
            return self._page(visit, seen, 400, "Say which proposal is withdrawn.")
        self.reviews.withdraw(case_id, choice, by=visit.operator, reason=reason)
        return visit.go(f"/review/{case_id}", "withdrawn")

    def name(self, visit: Visit) -> Response:
        """The mail, which names no order, means this one of those that were shown."""
        seen = self._seen(visit)
        case_id, reason, order = seen["case"]["case_id"], reason_of(visit.form), visit.form.get("order", "")
        if order not in {each["purchase_id"] for each in seen["orders_to_name"]}:
            return self._page(visit, seen, 400, "Choose one of the orders that it may mean.")
        self.reviews.name(case_id, order, by=visit.operator, reason=reason)
        return visit.go(f"/review/{case_id}", "named")

    def _seen(self, visit: Visit) -> dict[str, Any]:
        try:
            return self.reviews.look(visit.name("case_id"), by=visit.operator)
        except Refused as error:
            raise HTTPException(404, str(error)) from error

    def _page(self, visit: Visit, seen: dict[str, Any], status: int = 200, said: str | None = None) -> Response:
        proposal, offered = seen["proposal"], _open_to(seen)
        return visit.page(
            "review_case.html",
            status,
            **seen,
            said=said,
            me=visit.operator,
            mine=seen["taken_by"] == visit.operator,
            own_proposal=proposal is not None and proposal["proposed_by"] == visit.operator,
            asks_again=visit.operator != LOCAL and any(asks_again(choice) for choice in offered if not choice["refused"]),
            letters=latest(seen["requests"], MOST_LETTERS),
            before=seen["waiting_before"][:MOST_BEFORE],
            files=latest(seen["evidence"], MOST_FILES),
            form=visit.form,
        )


def _open_to(seen: dict[str, Any]) -> list[dict[str, Any]]:
    """What can be chosen: any of the choices, or, while something is proposed, to agree to just that."""
    proposal = seen["proposal"]
    if proposal is None:
        return list(seen["choices"])
    return [{"choice": proposal["choice"], "does": proposal["does"], "refused": None, "needs_second": True, "moves_money": False}]


def asks_again(choice: dict[str, Any]) -> bool:
    """True for a choice that is confirmed with the password."""
    return bool(choice["moves_money"] or choice["needs_second"])

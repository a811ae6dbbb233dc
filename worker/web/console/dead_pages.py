"""Dead letters: look, put back, put aside."""

from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from worker.cases.dead import DeadLetters
from worker.errors import Refused
from worker.web.console.forms import reason_of
from worker.web.console.guard import Guard, Visit
from worker.web.console.pages import HEADERS
from worker.web.console.words import bounded

MOST = 30
RAW_HEADERS = HEADERS | {"content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox"}


@dataclass(frozen=True, slots=True)
class DeadPages:
    """The dead letters."""

    letters: DeadLetters

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        return [
            guard.page("/dead", self.listing),
            guard.page("/dead/{dead_id}", self.one),
            guard.page("/dead/{dead_id}/raw", self.raw),
            guard.act("/dead/{dead_id}/requeue", self.requeue),
            guard.act("/dead/{dead_id}/discard", self.discard),
        ]

    def listing(self, visit: Visit) -> Response:
        """Letters, newest first: those open, or all."""
        everything = visit.asked("all") is not None
        items, following = self.letters.listing(state=None if everything else "open", limit=MOST, after=visit.asked("after"))
        return visit.page("dead.html", items=items, following=following, everything=everything)

    def one(self, visit: Visit) -> Response:
        """One letter with its original bytes, shown safely."""
        item = self._letter(visit)
        text, complete = bounded(item["raw"])
        return visit.page("dead_letter.html", item=item, text=text, complete=complete)

    def raw(self, visit: Visit) -> Response:
        """The original bytes, as a file that no browser opens."""
        dead_id = self._letter(visit)["dead_id"]
        named = {"content-disposition": f'attachment; filename="{dead_id}.bin"'}
        return Response(self.letters.raw(dead_id), media_type="application/octet-stream", headers=RAW_HEADERS | named)

    def requeue(self, visit: Visit) -> Response:
        """Puts the letter's document back to be handled like any other."""
        dead_id, reason = self._letter(visit)["dead_id"], reason_of(visit.form)
        self.letters.requeue(dead_id, by=visit.operator, reason=reason)
        return visit.go(f"/dead/{dead_id}", "dead-requeued")

    def discard(self, visit: Visit) -> Response:
        """Marks the letter as dealt with."""
        dead_id, reason = self._letter(visit)["dead_id"], reason_of(visit.form)
        self.letters.discard(dead_id, by=visit.operator, reason=reason)
        return visit.go(f"/dead/{dead_id}", "dead-discarded")

    def _letter(self, visit: Visit) -> dict[str, Any]:
        try:
            return self.letters.one(visit.name("dead_id"))
        except Refused as error:
            raise HTTPException(404, str(error)) from error

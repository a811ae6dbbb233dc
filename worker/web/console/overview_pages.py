"""How things stand, and which promise is due next."""

from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route

from worker.cases.documents.promises import overdue, promises
from worker.cases.overview import overview
from worker.clock import Clock
from worker.store.engine import Store
from worker.web.console.guard import Guard, Visit

FIRST, MOST = 10, 30


@dataclass(frozen=True, slots=True)
class OverviewPages:
    """The first page, and the board of deadlines."""

    store: Store
    clock: Clock

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        return [guard.page("/", self.first), guard.page("/overdue", self.deadlines)]

    def first(self, visit: Visit) -> Response:
        """The figures of this moment, and the deadlines that come first."""
        now = self.clock.now()
        figures, (due, _) = self.store.read(lambda tx: (overview(tx, now), promises(tx, now, limit=FIRST, after=None)))
        return visit.page("overview.html", figures=figures, due=due)

    def deadlines(self, visit: Visit) -> Response:
        """Every open promise, earliest first."""
        now, after = self.clock.now(), visit.asked("after")
        (late, _), (due, following) = self.store.read(lambda tx: (overdue(tx, now), promises(tx, now, limit=MOST, after=after)))
        return visit.page("overdue.html", late=late, due=due, following=following)

"""The console: its routes, made of its collaborators."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from policy import Editions
from worker.cases.dead import DeadLetters
from worker.cases.requeue import Requeuer
from worker.cases.review.reviewer import Reviewer
from worker.clock import Clock
from worker.errors import Misconfigured
from worker.operators.credentials import Credentials
from worker.operators.operators import Operators
from worker.operators.sessions import Sessions
from worker.store.engine import Store
from worker.web.console.account_pages import AccountPages
from worker.web.console.case_pages import CasePages
from worker.web.console.dead_pages import DeadPages
from worker.web.console.guard import Guard
from worker.web.console.hosts import Hosts
from worker.web.console.overview_pages import OverviewPages
from worker.web.console.pages import STYLE_PATH, Pages, style
from worker.web.console.review_pages import ReviewPages
from worker.web.console.sign_in_pages import SignInPages


class _Group(Protocol):
    def routes(self, guard: Guard) -> list[Route]: ...


@dataclass(frozen=True, slots=True)
class Console:
    """Pages for operators and the people on call."""

    guard: Guard
    routes: list[Route]

    @classmethod
    def of(
        cls,
        *,
        store: Store,
        clock: Clock,
        editions: Editions,
        requeuer: Requeuer,
        letters: DeadLetters,
        reviews: Reviewer,
        web_host: str,
        fit: Callable[[], None],
        console_hosts: Collection[str] = (),
        password: str | None = None,
        flower_url: str | None = None,
        opens: bool = False,
    ) -> "Console":
        """A console. `password` signs in as `console`; without one, and while no operator was ever added, everybody on this
        machine acts as `local` if it `opens` to them. `fit` raises where the database has become one that nothing is to be
        decided in. Raises `Misconfigured` for a Flower address that is no web address.
        """
        sessions = Sessions(store, clock, password)
        credentials = Credentials.of(store, clock, Operators(store, clock), password)
        guard = Guard(Pages(), sessions, Hosts.of(web_host, console_hosts), clock, opens, fit)
        groups: list[_Group] = [
            SignInPages(credentials, sessions),
            OverviewPages(store, clock),
            CasePages(store, editions, requeuer, _web_address(flower_url)),
            DeadPages(letters),
            AccountPages(store),
            ReviewPages(reviews, credentials),
        ]
        routes = [route for group in groups for route in group.routes(guard)]
        return cls(guard, [Route(STYLE_PATH, _style, methods=["GET"]), *routes])

    async def fault(self, request: Request, status: int) -> Response:
        """A page for what no route answered."""
        return await run_in_threadpool(self.guard.fault, request, status)


async def _style(request: Request) -> Response:
    return style()


def _web_address(url: str | None) -> str | None:
    if url is None:
        return None
    if urlsplit(url).scheme not in {"http", "https"}:
        raise Misconfigured("REFUNDS_FLOWER_URL: expected a URL like https://flower.example.org")
    return url.rstrip("/")

"""What stands before every page: host, origin, session, token. No handler runs before all of them hold."""

import hmac
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from worker.clock import Clock
from worker.errors import Misconfigured, Refused, TryLater, one_line
from worker.observe import log
from worker.operators.operators import LOCAL
from worker.operators.sessions import Session, Sessions
from worker.web.console import faults
from worker.web.console.forms import read_form
from worker.web.console.hosts import Hosts, names_its_site, over_tls, own_form, stays_here
from worker.web.console.notes import NOTES
from worker.web.console.pages import HEADERS, Pages

COOKIE = "refunds_session"
ENDED = "Your session has ended. Nothing was changed; sign in and do it again."
FOREIGN = "This form was sent by another site, or a proxy before the console changed the Host header. Nothing was changed."
NO_FORM: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Visit:
    """One request that may be answered: who asks, what the form says, and how to answer."""

    request: Request
    session: Session | None
    form: Mapping[str, str]
    pages: Pages
    clock: Clock

    @property
    def operator(self) -> str:
        """Who acts. Only handlers behind the sign-in may ask."""
        assert self.session is not None, "this page is behind the sign-in"
        return self.session.operator

    @property
    def address(self) -> str:
        """Where the request comes from."""
        return self.request.client.host if self.request.client else "unknown"

    def name(self, of: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[of])

    def asked(self, name: str) -> str | None:
        """A field of the query, as it is read; None where it is missing or empty."""
        return as_read(self.request.query_params.get(name, "")) or None

    def page(self, template: str, /, status: int = 200, **values: Any) -> Response:
        """The page."""
        note = NOTES.get(self.request.query_params.get("note", ""))
        here = self.request.url.path
        return self.pages.page(
            template, status, self.clock.now(), session=self.session, local=LOCAL, note=note, here=here, **values
        )

    def fault(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
        """A page that says what is wrong."""
        answer = self.page("fault.html", status, title=faults.title(status), detail=detail)
        answer.headers.update(headers or {})
        return answer

    def sign_in_form(self, status: int, onward: str, said: str | None = None, written: str = "") -> Response:
        """The form to sign in with, which leads on to `onward`; `written` is what was lost with the form before."""
        return self.page("sign_in.html", status, onward=onward, said=said, written=written)

    def go(self, path: str, note: str | None = None) -> Response:
        """On to another page, by GET."""
        return RedirectResponse(f"{path}?{urlencode({'note': note})}" if note else path, 303, HEADERS)


Handler = Callable[[Visit], Response]


@dataclass(frozen=True, slots=True)
class Guard:
    """Wraps handlers into routes. Handlers are plain functions and run in the thread pool."""

    pages: Pages
    sessions: Sessions
    hosts: Hosts
    clock: Clock
    opens: bool
    """Whether whoever is at this machine is let in while nobody can sign in."""
    fit: Callable[[], None]
    """Raises where the database has become one that nothing is to be decided in: operators or cases that are hidden from us
    would be taken for none.
    """
    read: list[Route] = field(default_factory=list)
    """The pages to read, as they were made."""

    def page(self, path: str, handler: Handler, *, public: bool = False) -> Route:
        """A page to read: it changes nothing."""
        route = self._route("GET", path, handler, public)
        self.read.append(route)
        return route

    def act(self, path: str, handler: Handler, *, public: bool = False) -> Route:
        """A form sent in: the only way to change anything."""
        return self._route("POST", path, handler, public)

    def _route(self, method: str, path: str, handler: Handler, public: bool) -> Route:
        async def answer(request: Request) -> Response:
            form = NO_FORM
            try:
                self._check(request)
                if request.method == "POST":
                    form = await read_form(request)
            except HTTPException as error:
                return self.fault(request, error.status_code, error.detail)
            return await run_in_threadpool(self._answered, request, form, handler, public)

        return Route(path, answer, methods=[method])

    def _check(self, request: Request) -> None:
        if not self.hosts.allow(request):
            raise HTTPException(
                421, "This console does not answer to that name; REFUNDS_CONSOLE_HOSTS lists those it answers to."
            )
        if request.method == "POST" and not own_form(request):
            raise HTTPException(403, FOREIGN)
        asked = (as_read(text) for text in request.query_params.values())
        told = (*request.path_params.values(), *request.query_params.keys(), *asked)
        if not all(str(text).isprintable() for text in told):
            raise HTTPException(400, "The address holds control characters.")

    def _answered(self, request: Request, form: Mapping[str, str], handler: Handler, public: bool) -> Response:
        visit = Visit(request, None, form, self.pages, self.clock)
        token = None
        try:
            self.fit()
            session, token = self._session(request)
            visit = Visit(request, session, form, self.pages, self.clock)
            answer = self._admitted(visit, handler, public)
        except HTTPException as error:
            answer = visit.fault(error.status_code, error.detail, error.headers)
        except Refused as error:
            answer = visit.fault(404 if request.method != "POST" else 409, str(error))
        except (TryLater, Misconfigured) as error:
            log.error("console.unavailable", path=request.url.path, error=one_line(error))
            answer = visit.fault(503, faults.AWAY, {"retry-after": "30"})
        if token is not None:
            keep(answer, request, token)
        return answer

    def _admitted(self, visit: Visit, handler: Handler, public: bool) -> Response:
        if visit.session is None and not public:
            if visit.request.method == "POST":
                # nobody types a reason twice: the form is gone, its words are shown
                onward, written = self._page_before(visit.request.url.path), visit.form.get("reason", "").strip()
                return visit.sign_in_form(403, onward, ENDED, written)
            path = visit.request.url.path
            query = f"?{visit.request.url.query}" if visit.request.url.query else ""
            return visit.go("/sign-in" if path == "/" else f"/sign-in?{urlencode({'next': path + query})}")
        # a sign-in has no session to take a token from; its origin was checked
        if visit.request.method == "POST" and visit.session is not None:
            if visit.operator == LOCAL and not names_its_site(visit.request):
                raise HTTPException(403, "This form does not say which page sent it. Nothing was changed.")
            sent = visit.form.get("csrf", "")
            if not hmac.compare_digest(sent.encode(), visit.session.csrf.encode()):
                raise HTTPException(403, "This form is not from this session: open the page again. Nothing was changed.")
        return handler(visit)

    def _page_before(self, path: str) -> str:
        """The page that a form sent in to this path is on."""
        while path != "/" and not any(route.path_regex.match(path) for route in self.read):
            path = path.rpartition("/")[0] or "/"
        return path

    def _session(self, request: Request) -> tuple[Session | None, str | None]:
        """The session, and the token to keep where one has just begun."""
        token = request.cookies.get(COOKIE)
        here = stays_here(request)
        found = self.sessions.of(token, open_house=here and self.opens) if token else None
        if found is not None or not self.sessions.nobody_can_sign_in():
            return found, None
        if not here:
            raise HTTPException(403, "While no password is set, this console answers only on the machine it runs on.")
        if request.method == "POST" or not self.opens:
            return None, None
        fresh, session = self.sessions.begin(LOCAL, instead_of=token)
        return session, fresh

    def fault(self, request: Request, status: int, detail: str | None = None) -> Response:
        """A page that says what is wrong, for whoever asks."""
        return Visit(request, None, NO_FORM, self.pages, self.clock).fault(status, detail or faults.detail(status))


def as_read(text: str) -> str:
    """A text without what no eye sees in it, as it comes along with what is copied from a mail, a chat or a sheet."""
    seen = (" " if sign.isspace() else sign for sign in text if unicodedata.category(sign) != "Cf")
    return "".join(seen).strip()


def keep(answer: Response, request: Request, token: str) -> None:
    """Has the browser keep the session's token, out of reach of scripts and other sites."""
    answer.set_cookie(COOKIE, token, path="/", httponly=True, samesite="strict", secure=over_tls(request))


def forget(answer: Response) -> None:
    """Has the browser drop the session's token."""
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")

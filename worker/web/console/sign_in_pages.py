"""Signing in and out."""

import re
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route

from worker.observe import log
from worker.operators.credentials import Credentials, TooSoon
from worker.operators.sessions import Sessions
from worker.web.console.guard import COOKIE, Guard, Visit, forget, keep

NOBODY = "Nobody can sign in yet: `refunds operator add NAME` on this machine adds somebody."
WRONG = "That name and password do not go together."
_OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,500}")


@dataclass(frozen=True, slots=True)
class SignInPages:
    """The one door."""

    credentials: Credentials
    sessions: Sessions

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        return [
            guard.page("/sign-in", self.ask, public=True),
            guard.act("/sign-in", self.sign_in, public=True),
            guard.act("/sign-out", self.sign_out),
        ]

    def ask(self, visit: Visit) -> Response:
        """The form; whoever is signed in already goes on."""
        onward = own_path(visit.asked("next"))
        if visit.session:
            return visit.go(onward)
        return visit.sign_in_form(200, onward, NOBODY if self.sessions.nobody_can_sign_in() else None)

    def sign_in(self, visit: Visit) -> Response:
        """A new session under a new token, or the form again."""
        onward = own_path(visit.form.get("next"))
        name = visit.form.get("name", "").strip().lower()
        try:
            held = self.credentials.hold(name, visit.form.get("password", ""), visit.address)
        except TooSoon as wait:
            answer = visit.sign_in_form(429, onward, too_soon(wait))
            answer.headers["retry-after"] = str(wait.seconds)
            return answer
        if not held:
            log.warning("console.sign_in_refused", address=visit.address)
            return visit.sign_in_form(403, onward, WRONG)
        token, _ = self.sessions.begin(name, instead_of=visit.request.cookies.get(COOKIE))
        log.info("console.signed_in", operator=name, address=visit.address)
        answer = visit.go(onward)
        keep(answer, visit.request, token)
        return answer

    def sign_out(self, visit: Visit) -> Response:
        """The session ends here and in the browser."""
        self.sessions.end(visit.request.cookies.get(COOKIE, ""))
        answer = visit.go("/sign-in", "signed-out")
        forget(answer)
        return answer


def own_path(named: str | None) -> str:
    """A path of this site; the first page where something else was named."""
    return named if named and _OWN_PATH.fullmatch(named) else "/"


def too_soon(wait: TooSoon) -> str:
    """What to say while somebody has to wait."""
    span = f"{wait.seconds} seconds" if wait.seconds < 120 else f"{-(-wait.seconds // 60)} minutes"
    return f"Too many wrong passwords. Try again in {span}; nothing was checked this time."

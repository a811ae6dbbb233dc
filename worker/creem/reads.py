"""Questions that move nothing, and are therefore asked again: only those of `REPEATABLE`, whatever anybody asks here."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

import httpx
from tenacity import RetryCallState, Retrying, retry_if_result

from worker.clock import Clock
from worker.creem.envelope import Understood, retry_after
from worker.creem.reading import Unreadable
from worker.creem.wire import Ask, Pace, Unheard, Wire
from worker.errors import RefundsError, TryLater, plain_line

T = TypeVar("T")
REPEATABLE = frozenset({("GET", f"/v1/{path}") for path in ("transactions", "transactions/search", "customer-credits/accounts")})
"""What may be sent more than once (creem-api.md, 14.2). Everything else is sent once, also by accident."""
TRIES = 4
BASE, CAP = 0.5, 20.0
"""The longest pause before the second try, and before any: chance draws between none and that, which doubles with each try."""
BODY_LIMIT = 1024 * 1024
"""A page of a hundred transactions takes about 50 KiB."""
_SHORTEST = 0.001


class CreemRefused(RefundsError):
    """Creem said no to a question. Asking again would bring the same answer."""

    def __init__(self, http_status: int, detail: str) -> None:
        super().__init__(http_status, detail)
        self.http_status, self.detail = http_status, detail

    @property
    def key_trouble(self) -> bool:
        """True where the key is wrong or may not ask this."""
        return self.http_status in {401, 403}

    def __str__(self) -> str:
        return self.detail


class CreemAway(TryLater):
    """Creem did not answer, or not readably. `retry_after`: seconds it asked us to stay away, if it did."""

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__("Creem", why)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class _Try(Generic[T]):
    """How one try went: what was read (None where Creem has no such thing), or why to ask again or not."""

    read: T | None = None
    trouble: str | None = None
    again: bool = False
    pause: float | None = None


class Reads:
    """Asks, and asks again, within `seconds` from the first question to the last byte of the last answer; `chance` draws from 0
    to 1.
    """

    def __init__(
        self,
        wire: Wire,
        pace: Pace,
        *,
        seconds: float,
        sleep: Callable[[float], None],
        timer: Callable[[], float],
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._wire, self._pace, self._seconds = wire, pace, seconds
        self._sleep, self._timer, self._clock = sleep, timer, clock
        self._chance = chance

    def ask(self, ask: Ask, read: Callable[[dict[str, Any]], T]) -> T | None:
        """What `read` makes of the answer; None where Creem says that there is no such thing.

        Raises `CreemRefused` for a no, and `CreemAway` with `retry_after` where no answer could be had or read.
        """
        until = self._timer() + self._seconds
        may_repeat = (ask.method, ask.path) in REPEATABLE

        def wait(state: RetryCallState) -> float:
            longest: float = min(CAP, BASE * 2 ** (state.attempt_number - 1))
            return max(self._chance() * longest, _last(state).pause or 0.0)

        def stop(state: RetryCallState) -> bool:
            return state.attempt_number >= TRIES or self._timer() + state.upcoming_sleep >= until

        def give_up(state: RetryCallState) -> NoReturn:
            raise self._away(_last(state), state.attempt_number)

        retrying = Retrying(
            retry=retry_if_result(lambda tried: may_repeat and tried.again),
            wait=wait,
            stop=stop,
            sleep=self._sleep,
            retry_error_callback=give_up,
        )
        numbers = iter(range(1, TRIES + 1))
        tried: _Try[T] = retrying(lambda: self._once(ask, read, until, next(numbers)))
        if tried.trouble is not None:
            raise self._away(tried, 1)
        return tried.read

    def _once(self, ask: Ask, read: Callable[[dict[str, Any]], T], until: float, attempt: int) -> _Try[T]:
        self._pace.wait()
        # the stop rule leaves time for this try; a floor keeps a sleep that overshot from asking for zero seconds
        left = max(_SHORTEST, until - self._timer())
        heard = self._wire.once(ask, seconds=left, most=BODY_LIMIT, attempt=attempt)
        if isinstance(heard, Unheard):
            error = heard.error
            return _Try(trouble=self._line(f"no answer ({type(error).__name__}): {error}"), again=True)
        return self._understand(heard.response, heard.said, read)

    def _understand(self, response: httpx.Response, said: Understood, read: Callable[[dict[str, Any]], T]) -> _Try[T]:
        if said.http_status == 200 and said.document is not None:
            try:
                return _Try(read(said.document))
            except Unreadable as fault:
                return _Try(trouble=self._line(f"it answered what cannot be read: {fault}"), again=True)
        if said.http_status == 404:
            # a path that does not exist, or a proxy that lost its way, answers without a trace id: that is no word on the id
            return _Try() if said.trace_id is not None else _Try(trouble=self._line(said.line), again=True)
        if said.refuses:
            raise CreemRefused(said.http_status, self._line(said.line))
        # somebody in between says no or leads elsewhere: not now, and not by asking again at once
        again = not (said.no or 300 <= said.http_status < 400)
        return _Try(trouble=self._line(said.line), again=again, pause=retry_after(response, self._clock.now()))

    def _away(self, tried: _Try[T], tries: int) -> CreemAway:
        count = "" if tries == 1 else f" ({tries} tries)"
        return CreemAway(f"{tried.trouble}{count}", tried.pause)

    def _line(self, text: str) -> str:
        return plain_line(self._wire.hide(text))


def _last(state: RetryCallState) -> _Try[Any]:
    assert state.outcome is not None, "tenacity asks only after a try"
    tried: _Try[Any] = state.outcome.result()
    return tried

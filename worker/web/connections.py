"""Connections on which it is the client's turn cost nobody else anything: they end in time, and give way to those that come.

uvicorn alone waits for ever for the head of a request, and counts every open connection as one in hand. And nobody says by two
lengths of one request what the next one on the connection is.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from worker.clock import Every
from worker.observe import log

MOST = 256
"""Connections at once. One more takes the place of whoever has kept us waiting longest; where nobody does, it is told to come
again."""


class _Framed(h11.Connection):
    """Refuses a request that tells its length in both ways: h11 believes one, a proxy in front may have believed the other, and
    what the one calls a body the other answers as a request (RFC 9112, 6.3)."""

    def next_event(self) -> Any:
        """What came next. Raises `h11.RemoteProtocolError`."""
        event = super().next_event()
        if isinstance(event, h11.Request) and {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
            raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding")
        return event


class Connection(H11Protocol):
    """One connection of one client."""

    head_seconds = 10.0
    """How long the head of a request may take, from the connection or the answer before it to its last byte."""

    grace_seconds = 1.0
    """So long nobody has to give way, up to twice as many: what a client sends at once is read a moment later."""

    telling = Every(60.0)
    """How often the log says that some gave way: once for all connections."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        limit = self.config.h11_max_incomplete_event_size
        self.conn = _Framed(h11.SERVER, **({} if limit is None else {"max_incomplete_event_size": limit}))
        self._since = 0.0
        self._head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes the connection in, in place of another where there are too many."""
        super().connection_made(transport)
        self._await_head()
        if (over := len(self.connections) - MOST + 1) > 0:
            self._make_room(over)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes what came. Only a whole head ends the wait for it, however much comes in between."""
        super().data_received(data)
        if self._answering():
            self._stop_waiting()
            self._since = self.loop.time()

    def send_400_response(self, msg: str) -> None:
        """Ends the connection over what is no request, or no body of one, and says so where nothing was answered yet. uvicorn
        says it twice, and takes its own second word for a defect of ours.
        """
        if self.cycle is not None:
            # an answer that is being made is for nobody now
            self.cycle.disconnected = True
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.close()

    def on_response_complete(self) -> None:
        """Waits for the next request, if it is not there already."""
        super().on_response_complete()
        if not self._answering():
            self._await_head()

    def waits(self) -> bool:
        """True where it is the client's turn: to send a request, the rest of one, or to read the answer."""
        return not self._answering() or self.cycle.more_body or self.flow.write_paused

    def waited(self) -> float:
        """For how many seconds nothing of the client's has come that is worth a wait: a head, or a part of a body."""
        return self.loop.time() - self._since

    def give_way(self) -> None:
        """The connection ends at once, whatever is on its way."""
        self.connections.discard(self)
        self.transport.abort()

    def _make_room(self, places: int) -> None:
        grace = self.grace_seconds if places <= MOST else 0.0
        others = (one for one in self.connections if isinstance(one, Connection) and one is not self)
        waiting = [one for one in others if one.waits() and one.waited() >= grace]
        for one in sorted(waiting, key=Connection.waited, reverse=True)[:places]:
            one.give_way()
        if waiting and self.telling.due():
            log.warning("web.connections_given_up", why=f"more than {MOST} at once, and some of them silent")

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _await_head(self) -> None:
        self._stop_waiting()
        self._since = self.loop.time()
        self._head = self.loop.call_later(self.head_seconds, self.give_way)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

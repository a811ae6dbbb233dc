"""The way of an event into the books as a model: stream, inbox row, counted attempts, hints that are lost and doubled, and the
sweep (failure-modes.md, Appendix A).

Each `without` takes one thing away that the code does. It is the protocol as the code has it, which differs from the appendix:
what comes for the first time may be handled in the commit that takes it in; whoever takes up a row counts that in a commit of
its own, and the number fences those who overslept; a row that was begun too often, or says what cannot be, lies with the dead
letters; one whose job is not known waits. The sweep takes rows up itself and sends no hint.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Row(NamedTuple):
    """An event as the inbox holds it."""

    state: str = "new"
    attempts: int = 0


@dataclass(frozen=True)
class Acknowledged:
    """An entry with the event was acknowledged, and Redis may forget it."""


class Books(NamedTuple):
    """One event: the stream, the inbox, the broker, and the processes at work on it."""

    stream: bool = True
    """An entry with it was given to nobody yet."""
    pending: bool = False
    row: Row | None = None
    hints: int = 0
    effects: int = 0
    intake: tuple[str, ...] = ("", "")
    workers: tuple[tuple[str, int], ...] = (("", 0), ("", 0))
    """What each does, and the attempt that it counted."""


NEW, IDLE = "new", ("", 0)
ACKNOWLEDGES = "acknowledges"


@dataclass(frozen=True)
class Intake:
    """commit → acknowledge → hint, with two who read the stream and two who handle rows."""

    without: str = ""
    kills: bool = False
    """Whoever handles it dies of it."""
    most: int = 2
    """How often it is begun before it lies with the dead letters."""
    followed: bool = False
    """Ways that really were gone are compared: a producer may send it again at any time, and people put rows back."""

    @property
    def start(self) -> Books:
        return Books()

    def harm(self, books: Books) -> str | None:
        return "handled twice" if books.effects > 1 else None

    def over(self, books: Books) -> bool:
        ended = books.row is not None and books.row.state in {"handled", "dead"}
        return ended and not books.stream and not books.pending

    def moves(self, books: Books) -> Iterator[tuple[str, Books]]:
        for who, does in enumerate(books.intake):
            for name, after, next_ in self._intake(books, does):
                intake = (*books.intake[:who], next_, *books.intake[who + 1 :])
                yield f"intake {'AB'[who]} {name}", after._replace(intake=intake)
        for who, (does, counted) in enumerate(books.workers):
            for name, after, now in self._worker(books, does, counted):
                workers = (*books.workers[:who], now, *books.workers[who + 1 :])
                yield f"worker {'AB'[who]} {name}", after._replace(workers=workers)
        if not self.followed:
            # the row is found without a hint by a sweep, which is where ways are followed all the same
            if books.hints:
                yield "a hint is lost", books._replace(hints=books.hints - 1)
            if books.hints == 1:
                yield "a hint comes twice", books._replace(hints=2)
        if books.row is not None and books.row.state == "waiting":
            yield "its job comes", self._handled(books, books.row.attempts)
            yield "its job is found", books._replace(row=Row())
            yield "its job comes, and contradicts it", books._replace(row=Row("dead", books.row.attempts))
        if self.followed:
            yield from self._others(books)

    def _others(self, books: Books) -> Iterator[tuple[str, Books]]:
        if not books.stream:
            yield "a producer sends it again", books._replace(stream=True)
        if books.row is None or books.row.state == "dead":
            yield "a person puts it back", books._replace(row=Row())

    def _intake(self, books: Books, does: str) -> Iterator[tuple[str, Books, str]]:
        acknowledged = books._replace(pending=False)
        match does:
            case "":
                if books.stream:
                    yield "reads it", books._replace(stream=False, pending=True), "has read it first"
                if books.pending:
                    yield "reads or reclaims it", books, "has read it again"
                return
            case "has read it first" | "has read it again" if self.without == "commit first":
                yield ACKNOWLEDGES, acknowledged, "acknowledged"
            case "has read it first" | "has read it again":
                if self.without != "at once only at first":
                    yield "takes it in", self._taken_in(books), "took it in"
                if not self.kills and does == "has read it first":
                    yield from self._at_once(books)
            case "acknowledged":
                yield "takes it in", self._taken_in(books), "is done"
            case "took it in":
                yield ACKNOWLEDGES, acknowledged, "is done"
            case "is done":
                yield "hints", books._replace(hints=0 if self.followed else min(2, books.hints + 1)), ""
        yield "dies", books, ""

    def _at_once(self, books: Books) -> Iterator[tuple[str, Books, str]]:
        if books.row is not None:
            yield "finds it known", books, "took it in"
            return
        yield "handles it at once", self._handled(books, 1), "took it in"
        for state in ("waiting", "dead"):
            yield f"finds it {state} at once", books._replace(row=Row(state, 1)), "took it in"

    def _taken_in(self, books: Books) -> Books:
        stands = books.row if self.without != "one row for an event" else None
        return books._replace(row=stands or Row())

    def _handled(self, books: Books, attempts: int) -> Books:
        effects = books.effects + (not self.followed)
        return books._replace(row=Row("handled", attempts), effects=effects)

    def _worker(self, books: Books, does: str, counted: int) -> Iterator[tuple[str, Books, tuple[str, int]]]:
        row = books.row
        match does:
            case "":
                yield from self._takes_up(books)
                return
            case "has it" if row is None or (row != Row(NEW, counted) and self.without != "what is done is done"):
                yield "finds it gone", books, IDLE
            case "has it" if counted > self.most:
                yield "buries it", books._replace(row=Row("dead", counted)), IDLE
            case "has it" if self.without == "one transaction":
                yield "acts", books._replace(effects=books.effects + 1), ("has acted", counted)
            case "has it":
                yield "gives it back uncounted", books._replace(row=Row(NEW, max(0, counted - 1))), IDLE
                if not self.kills:
                    yield from self._handles(books, counted)
            case "has acted":
                yield "marks it", books._replace(row=Row("handled", counted)), IDLE
        yield "dies", books, IDLE

    def _takes_up(self, books: Books) -> Iterator[tuple[str, Books, tuple[str, int]]]:
        row, by_hint = books.row, books._replace(hints=max(0, books.hints - 1))
        if row is None or row.state != NEW:
            if books.hints:
                yield "takes a hint for nothing", by_hint, IDLE
            return
        counts = self.without != "counted before the work"
        counted = min(row.attempts + 1, 10 if self.followed else self.most + 1) if counts else row.attempts
        taken = Row(NEW, counted)
        if books.hints:
            yield "takes a hint and the row up", by_hint._replace(row=taken), ("has it", counted)
        if self.without != "sweep":
            yield "sweeps and takes the row up", books._replace(row=taken), ("has it", counted)

    def _handles(self, books: Books, counted: int) -> Iterator[tuple[str, Books, tuple[str, int]]]:
        yield "handles it", self._handled(books, counted), IDLE
        yield "finds it waiting", books._replace(row=Row("waiting", counted)), IDLE
        yield "finds that it says what cannot be", books._replace(row=Row("dead", counted)), IDLE
        if counted >= self.most:
            yield "fails and buries it", books._replace(row=Row("dead", counted)), IDLE
        else:
            yield "fails and puts it off", books, IDLE

    # what can be seen of it from outside: acknowledgements, and what a commit makes of the row

    def told(self, books: Books, name: str, after: Books) -> Hashable | None:
        if name.endswith(ACKNOWLEDGES):
            return Acknowledged()
        return after.row if after.row != books.row else None

    def strangers(self, told: Hashable) -> bool:
        return False

    def set_back(self, books: Books, row: Row | None) -> Books:
        return books._replace(row=row, intake=self.start.intake, workers=self.start.workers)

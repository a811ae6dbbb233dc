"""The way of an event into the books as a model: the stream, the inbox, a broker that loses and doubles, and the sweep."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Books(NamedTuple):
    """One event: the stream, the inbox, the broker, and the processes at work on it."""

    stream: bool = True
    pending: bool = False
    row: str = ""
    hints: int = 0
    effects: int = 0
    intake: tuple[str, ...] = ("", "")
    workers: tuple[str, ...] = ("", "")


@dataclass(frozen=True)
class Intake:
    """commit → acknowledge → hint, with two intakes and two workers; `without` takes one thing away that the code does."""

    without: str = ""

    @property
    def start(self) -> Books:
        return Books()

    def harm(self, books: Books) -> str | None:
        return "handled twice" if books.effects > 1 else None

    def over(self, books: Books) -> bool:
        return books.effects == 1 and not books.stream and not books.pending

    def moves(self, books: Books) -> Iterator[tuple[str, Books]]:
        for who, does in enumerate(books.intake):
            for name, after, next_ in self._intake(books, does):
                intake = (*books.intake[:who], next_, *books.intake[who + 1 :])
                yield f"intake {'AB'[who]} {name}", after._replace(intake=intake)
        for who, does in enumerate(books.workers):
            for name, after, next_ in self._worker(books, does):
                workers = (*books.workers[:who], next_, *books.workers[who + 1 :])
                yield f"worker {'AB'[who]} {name}", after._replace(workers=workers)
        if books.row == "new" and not books.hints and self.without != "sweep":
            yield "the sweep hints", books._replace(hints=1)
        if books.hints:
            yield "a hint is lost", books._replace(hints=books.hints - 1)
        if books.hints == 1:
            yield "a hint comes twice", books._replace(hints=2)

    def _intake(self, books: Books, does: str) -> Iterator[tuple[str, Books, str]]:
        commits, acknowledges = books._replace(row=books.row or "new"), books._replace(pending=False)
        match does:
            case "":
                if books.stream or books.pending:
                    yield "reads or reclaims it", books._replace(stream=False, pending=True), "has read"
                return
            case "has read" if self.without == "commit first":
                yield "acknowledges", acknowledges, "acknowledged"
            case "has read":
                yield "commits", commits, "committed"
            case "acknowledged":
                yield "commits", commits, "is done"
            case "committed":
                yield "acknowledges", acknowledges, "is done"
            case "is done":
                yield "hints", books._replace(hints=min(2, books.hints + 1)), ""
        yield "dies", books, ""

    def _worker(self, books: Books, does: str) -> Iterator[tuple[str, Books, str]]:
        acts, marks = books._replace(effects=books.effects + 1), books._replace(row="handled")
        match does:
            case "":
                if books.hints:
                    yield "takes a hint", books._replace(hints=books.hints - 1), "has a hint"
                return
            case "has a hint" if books.row != "new":
                yield "finds nothing to do", books, ""
            case "has a hint" if self.without == "one transaction":
                yield "looks", books, "has looked"
            case "has a hint":
                yield "handles it", acts._replace(row="handled"), ""
            case "has looked":
                yield "acts", acts, "has acted"
            case "has acted":
                yield "marks it", marks, ""
        yield "dies", books, ""

"""What the review pages need of the review step."""

from typing import Any, Protocol


class Reviews(Protocol):
    """The queue of cases that a person decides, in the order they were received."""

    def queue(self, *, limit: int, after: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """Who waits, first come first, and the id to continue after."""
        ...

    def look(self, name: str, *, by: str) -> dict[str, Any]:
        """One case as this person has to see it to decide; takes nothing. Raises `Refused`."""
        ...

    def approved_by(self, by: str) -> dict[str, Any]:
        """What this person approved alone in the last 24 hours, beside what is left to one person."""
        ...

    def take(self, name: str, *, by: str) -> None:
        """The case is this person's for a bounded time. Raises `Refused` where somebody else holds it."""
        ...

    def give_back(self, name: str, *, by: str) -> None:
        """The case is free for others again."""
        ...

    def decide(self, name: str, choice: str | None, *, by: str, reason: str, shown: str | None = None) -> dict[str, Any]:
        """Does what was chosen, proposes it to a second person, or agrees to what another proposed. Raises `Refused`, also where
        what was `shown` of it is not what stands.
        """
        ...

    def withdraw(self, name: str, choice: str | None, *, by: str, reason: str) -> dict[str, Any]:
        """The open proposal of this choice is off the table. Raises `Refused` where there is none."""
        ...

    def name(self, name: str, order: str, *, by: str, reason: str) -> dict[str, Any]:
        """The mail of the case is about this order of its account, and judged by it. Raises `Refused`."""
        ...

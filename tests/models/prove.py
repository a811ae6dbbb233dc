"""The protocols as models, tried in every order: as the code has them, and with one safeguard less at a time."""

import time
from collections.abc import Sequence
from typing import Any

from tests.models.intake import Intake
from tests.models.refund import Refund
from tests.models.search import Found, search
from worker.screen import out, say, table

JOURNAL, REDIS = frozenset({"journal"}), frozenset({"redis"})
TWICE, STUCK, HANDLED_TWICE = "money moved twice", "nothing can end it any more", "handled twice"
HOLD: Sequence[tuple[str, Any, int, bool]] = (
    ("refund", Refund(), 3_000, False),
    ("refund, set back, with the journal", Refund(witnesses=JOURNAL, restores=True), 50_000, True),
    ("refund, set back, Redis too", Refund(witnesses=JOURNAL | REDIS, restores=True, redis_too=True), 80_000, False),
    ("refund, set back slowly, with Redis alone", Refund(witnesses=REDIS, restores=True, slowly=True), 40_000, True),
    ("refund, four calls, and Creem shows anything", Refund(calls=4, shows_anything=True), 50_000, True),
    ("event", Intake(), 2_000, False),
    ("event, begun three times", Intake(most=3), 4_000, False),
    ("event that kills whoever handles it", Intake(kills=True), 1_000, False),
)
"""By name: what holds in every order, how many worlds that is at least, and whether it is left to the night."""
HARMS: Sequence[tuple[str, Any, str, int]] = (
    ("M_RESTORE: nobody remembers what was set back", Refund(restores=True), TWICE, 13),
    ("M_RETRY", Refund(without="a lost answer is no reason to call"), TWICE, 9),
    ("M_CHECKRETRY", Refund(without="paid proves nothing"), TWICE, 11),
    ("M_RESEND", Refund(without="found armed is unknown"), TWICE, 8),
    ("M_SENDFIRST", Refund(without="arm first"), TWICE, 11),
    ("M_NOCAS", Refund(without="arms only what stands as it was"), TWICE, 11),
    ("a stop is not heeded", Refund(witnesses=REDIS, restores=True, slowly=True, without="a stop is heeded"), TWICE, 13),
    ("a call that began counts as in vain", Refund(JOURNAL, restores=True, without="what begins was not in vain"), TWICE, 14),
    ("the journal is written after the call", Refund(witnesses=JOURNAL, restores=True, without="journal first"), TWICE, 13),
    # the journal is read while arming; Redis may be asked a moment before the other call is told to it
    ("set back within one permission, with Redis alone", Refund(witnesses=REDIS, restores=True), TWICE, 13),
    ("M_ACKFIRST", Intake("commit first"), STUCK, 3),
    ("M_NOSWEEP", Intake("sweep"), STUCK, 4),
    ("M_CHECKTHENACT", Intake("one transaction"), HANDLED_TWICE, 6),
    ("one event may have two rows", Intake("one row for an event"), HANDLED_TWICE, 6),
    ("a row that is done is done again", Intake("what is done is done"), HANDLED_TWICE, 6),
    ("an attempt counts with the work it is for", Intake("counted before the work", kills=True), STUCK, 0),
    ("what comes again is handled at once as well", Intake("at once only at first", kills=True), STUCK, 0),
)
"""By name: one safeguard less, the harm that is done, and in how many steps at least."""


def main() -> int:
    """Tries every model, prints what each comes to and the shortest way to each harm, and returns 1 where one is not as it is
    to be.
    """
    shown = table("The protocols, in every order", "model", "worlds", "steps", "seconds", "harm")
    holds, began_at = True, time.monotonic()
    for name, model, _, _ in HOLD:
        began, found = time.monotonic(), search(model)
        shown.add_row(name, f"{len(found.worlds):,}", f"{found.steps:,}", f"{time.monotonic() - began:.1f}", found.harm or "none")
        holds = holds and found.harm is None
        _tell(name, found)
    out.print(shown)
    without = table("\nThe same with one safeguard less", "what is missing", "harm", "the shortest way there")
    for name, model, harm, _ in HARMS:
        found = search(model)
        without.add_row(name, str(found.harm), "; ".join(found.way))
        holds = holds and found.harm == harm
    out.print(without)
    say("{s} s", s=f"{time.monotonic() - began_at:.0f}")
    return int(not holds)


def _tell(name: str, found: Found[Any]) -> None:
    if found.harm is not None:
        way = table(f"{name}: {found.harm}", "step", "what happens")
        for number, step in enumerate(found.way, 1):
            way.add_row(str(number), step)
        out.print(way)


if __name__ == "__main__":
    raise SystemExit(main())

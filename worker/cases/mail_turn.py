"""One turn at what customers send: each part by itself, in the order in which none holds up the others."""

from worker.cases.requests.evidence import Evidence, Removed
from worker.cases.requests.maildir import Maildir
from worker.cases.requests.register import TakenMail
from worker.cases.review.reviewer import Reviewer


def take_turn(reviewer: Reviewer, evidence: Evidence, maildir: Maildir | None) -> tuple[Removed, list[TakenMail]]:
    """Stale proposals are ended, files whose time is over are gone, mails that have arrived are taken in.

    Mails last: one that a full disk has no room for must not hold up what makes room. What a part raises is raised once all
    parts had their turn.
    """
    try:
        reviewer.end_stale()
    finally:
        try:
            swept = evidence.sweep()
        finally:
            taken = maildir.take() if maildir is not None else []
    return swept, taken

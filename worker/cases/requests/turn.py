"""One turn at what customers send: each part by itself, in the order in which none holds up the others."""

from contextlib import ExitStack

from worker.cases.requests.evidence import Evidence, Swept
from worker.cases.requests.maildir import Maildir
from worker.cases.requests.mailroom import TakenMail
from worker.cases.review.reviewer import Reviewer


def take_turn(reviewer: Reviewer, evidence: Evidence, maildir: Maildir | None) -> tuple[Swept, list[TakenMail]]:
    """Stale proposals are ended, files whose time is over are gone, mails that have arrived are taken in.

    Mails last: one that a full disk has no room for must not hold up what makes room. What a part raises is raised once all
    parts had their turn.
    """
    swept, taken = list[Swept](), list[TakenMail]()
    with ExitStack() as ends:
        # last in, first out
        if maildir is not None:
            ends.callback(lambda: taken.extend(maildir.take()))
        ends.callback(lambda: swept.append(evidence.sweep()))
        ends.callback(reviewer.end_stale)
    return swept[0], taken

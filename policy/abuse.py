"""Grounds for measures against an account: facts alone, and never a fault of ours (policy.md, `dispute-abuse`)."""

from policy.facts import Use
from policy.words import count


def grounds_for_measures(use: Use) -> str | None:
    """What speaks for suspension or forfeiture, in words: successful outputs that were delivered and taken; None where nothing
    does. Jobs that failed never count. Two people decide, never a machine.
    """
    if not use.completed or not use.downloads:
        return None
    return f"{count(use.completed, 'completed job')} with {count(use.downloads, 'download')} were delivered for it"

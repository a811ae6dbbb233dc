"""Chance in the test's hands: a run that is played again draws the same."""

import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def chance_of(seed: int) -> Iterator[random.Random]:
    """Everything drawn inside comes from the seed, the random part of identities too."""
    chance, before, drawn = random.Random(seed), secrets.token_bytes, random.getstate()
    names = random.Random(seed + 1)
    secrets.token_bytes = lambda nbytes=32: names.randbytes(nbytes or 32)
    # what tenacity draws between two reads of Creem, and two tries of a unit of work
    random.seed(seed + 2)
    try:
        yield chance
    finally:
        secrets.token_bytes = before
        random.setstate(drawn)

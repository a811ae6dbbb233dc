"""Ids and chance of the double: the same for the same seed and the same order of events."""

from hashlib import sha256
from random import Random
from uuid import UUID

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Names:
    """Makes what Creem would make up."""

    def __init__(self, seed: int) -> None:
        self._seed, self._chance = seed, Random(seed)

    def new(self, prefix: str) -> str:
        """A fresh id, `prefix_` and 22 letters and digits."""
        number, letters = self._chance.getrandbits(130), []
        for _ in range(22):
            number, place = divmod(number, 62)
            letters.append(_ALPHABET[place])
        return f"{prefix}_{''.join(letters)}"

    def trace(self) -> str:
        """A fresh `trace_id`."""
        return str(UUID(int=self._chance.getrandbits(128), version=4))

    def place(self, key: str) -> bytes:
        """Where an id stands in a list: an order that means nothing and never changes."""
        return sha256(f"{self._seed}:{key}".encode()).digest()

"""Which switches hold for which transaction."""

from collections import Counter

from worker.sandbox.creem.switches import Switches


class Settings:
    """The switches in force, and how often each counted one was met."""

    def __init__(self, switches: Switches) -> None:
        self.default = switches
        self._own: dict[str, Switches] = {}
        self._met: Counter[tuple[str, str]] = Counter()

    def of(self, transaction_id: str) -> Switches:
        """What holds for one transaction."""
        return self._own.get(transaction_id, self.default)

    def set(self, transaction_id: str, switches: Switches) -> None:
        """Gives one transaction switches of its own, and counts from the start."""
        self._own[transaction_id] = switches
        for met in [key for key in self._met if key[0] == transaction_id]:
            del self._met[met]

    def set_default(self, switches: Switches) -> None:
        """Replaces what holds for all others, and counts from the start for them."""
        self.default = switches
        for met in [key for key in self._met if key[0] not in self._own]:
            del self._met[met]

    def take(self, transaction_id: str, name: str, times: int) -> bool:
        """Whether this is one of the first so many times; counts it if so."""
        if self._met[transaction_id, name] >= times:
            return False
        self._met[transaction_id, name] += 1
        return True

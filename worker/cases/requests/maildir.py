"""The Maildir that requests arrive in: each mail is taken and then removed, for its bytes are with the case from there on.

A crash in between leaves the mail where it was; it is taken again, found known, and removed.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from worker.cases.requests.mailroom import Mailroom
from worker.cases.requests.register import Taken, TakenMail
from worker.errors import LockedOut, Misconfigured, NoGround, one_line
from worker.intake.mail.reader import LIMITS
from worker.observe import log

ROUND = 50
"""Most mails taken in one turn: a task has a time limit."""
_LAIN_AT_MOST = timedelta(days=365)
"""A file that says it is older was given a wrong time, and counts as received when it is taken."""


@dataclass(frozen=True, slots=True)
class Maildir:
    """A folder with `new` and `cur` as mail hosts deliver to."""

    folder: Path
    mailroom: Mailroom
    in_vain: set[str] = field(default_factory=set)
    """Files that this process tried and could not take: they come after all others, however many they are."""

    def check(self) -> None:
        """Raises `Misconfigured` where the folder is no Maildir that we may read and empty."""
        if not (self.folder / "new").is_dir():
            raise Misconfigured(f"REFUNDS_MAIL_DIR: {self.folder} has no folder `new`; expected a Maildir")

    def take(self) -> list[TakenMail]:
        """Takes in what has arrived, oldest first, up to a round. One mail that cannot be taken stays and never stops others."""
        done = []
        for path, delivered in self._arrived():
            try:
                raw = read_mail_file(path)
            except FileNotFoundError:
                continue  # another process was faster
            except OSError as error:
                log.error("mail.unreadable_file", file=path.name, error=one_line(error))
                self.in_vain.add(path.name)
                continue
            try:
                taken = self.mailroom.take(raw, origin="maildir", received_at=self._received_at(delivered))
            except LockedOut:
                # somebody holds its account, and not those of others
                self.in_vain.add(path.name)
                raise
            except NoGround:
                raise
            except Exception as error:
                log.exception("mail.failed", file=path.name, error=one_line(error))
                self.in_vain.add(path.name)
                continue
            path.unlink(missing_ok=True)
            if taken.outcome is not Taken.KNOWN:
                done.append(taken)
        return done

    def waiting(self) -> int:
        """How many mails lie there."""
        return sum(1 for _ in self._files())

    def _arrived(self) -> list[tuple[Path, float]]:
        """The files of a round with the time that each was last written."""
        aged = []
        for path in self._files():
            with suppress(FileNotFoundError):
                aged.append((path.name in self.in_vain, path.stat().st_mtime, path.name, path))
        self.in_vain.intersection_update(name for _, _, name, _ in aged)
        return [(path, delivered) for _, delivered, _, path in sorted(aged)[:ROUND]]

    def _received_at(self, delivered: float) -> datetime:
        """When the mail host delivered it; now, where the file's time cannot be that."""
        now = self.mailroom.clock.now()
        lain = now.timestamp() - delivered
        return now - timedelta(seconds=lain) if 0 < lain < _LAIN_AT_MOST.total_seconds() else now

    def _files(self) -> Iterator[Path]:
        # what another reader has moved to `cur` is as much a request as what nobody has seen
        for name in ("new", "cur"):
            with suppress(FileNotFoundError):
                yield from (path for path in (self.folder / name).iterdir() if path.is_file() and not path.name.startswith("."))


def read_mail_file(path: Path) -> bytes:
    """The bytes of a mail, no more than one over what is kept of any: the reader then says that it was cut."""
    with path.open("rb") as file:
        return file.read(LIMITS.raw_bytes + 1)

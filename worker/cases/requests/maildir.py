"""The Maildir that requests arrive in: each mail is taken and then removed, for its bytes are with the case from there on.

A crash in between leaves the mail where it was; it is taken again, found known, and removed. Whoever may write there says by
that what a mail is, and never what else this process reads or removes: no link is followed, be it a file or one of the folders.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from worker import disk
from worker.cases.requests.mailroom import Mailroom
from worker.cases.requests.register import Taken, TakenMail
from worker.errors import LockedOut, Misconfigured, NoGround, TryLater, one_line
from worker.intake.mail.reader import LIMITS
from worker.observe import log
from worker.patience import Patience

ROUND = 50
"""Most mails taken in one turn: a task has a time limit."""
_LAIN_AT_MOST = timedelta(days=365)
"""A file that says it is older was given a wrong time, and counts as received when it is taken."""
_FOLDERS = ("new", "cur")
_BYTES = LIMITS.raw_bytes + 1
"""What is read of a mail, one more than is kept of any: the reader then says that it was cut."""


@dataclass(frozen=True, slots=True)
class _Lying:
    """A file by its name in a folder that is open, so that nobody puts another folder in its place meanwhile."""

    folder: int
    name: str


@dataclass(frozen=True, slots=True)
class Maildir:
    """A folder with `new` and `cur` as mail hosts deliver to."""

    folder: Path
    mailroom: Mailroom
    in_vain: set[str] = field(default_factory=set)
    """Files that this process tried and could not take: they come after all others, however many they are."""
    patience: Patience = field(default_factory=disk.patience)
    """A folder that hangs holds nobody up: not who takes mails, and not who counts them."""

    def check(self) -> None:
        """Raises `Misconfigured` where the folder is no Maildir that we may read and empty, `OSError` where it cannot be read."""
        self.patience.look(self._check)

    def _check(self) -> None:
        if not (self.folder / "new").is_dir():
            raise Misconfigured(f"REFUNDS_MAIL_DIR: {self.folder} has no folder `new`; expected a Maildir")
        for name in _FOLDERS:
            if (self.folder / name).is_symlink():
                raise Misconfigured(
                    f"REFUNDS_MAIL_DIR: `{name}` in {self.folder} is a link; expected a Maildir with folders of its own"
                )

    def take(self) -> list[TakenMail]:
        """Takes in what has arrived, oldest first, up to a round. One mail that cannot be taken stays and never stops others.

        Raises `TryLater` where the folder does not answer, or is no Maildir any more.
        """
        try:
            self.patience.look(self._touch)
        except OSError as error:
            raise TryLater("the Maildir", error.strerror or type(error).__name__) from error
        done = []
        with self._files() as files:
            for file, delivered in self._arrived(files):
                taken = self._take(file, delivered)
                if taken is not None and taken.outcome is not Taken.KNOWN:
                    done.append(taken)
        return done

    def waiting(self) -> tuple[int, datetime | None]:
        """How many mails lie there, and when the oldest was received. Raises `OSError` where the folder cannot be read."""
        return self.patience.look(self._waiting)

    def _touch(self) -> None:
        # of what is only read the system may remember an answer; that a folder is opened, its server is asked
        for name in _FOLDERS:
            with suppress(FileNotFoundError, PermissionError, NotADirectoryError), os.scandir(self.folder / name) as lying:
                next(lying, None)
        self._be_there()

    def _be_there(self) -> None:
        # where its disk is not mounted any more nothing lies there, and whether anybody wrote cannot be told
        if not os.path.lexists(self.folder / "new"):
            raise FileNotFoundError(errno.ENOENT, "it has no folder `new` any more; is its disk there?")

    def _waiting(self) -> tuple[int, datetime | None]:
        self._be_there()
        with self._files() as files:
            delivered = [at for at in map(_delivered, files) if at is not None]
        return len(delivered), min(map(self._received_at, delivered), default=None)

    def _take(self, file: _Lying, delivered: float) -> TakenMail | None:
        try:
            raw = _read(file)
        except FileNotFoundError:
            return None  # another process was faster
        except OSError as error:
            log.error("mail.unreadable_file", file=file.name, error=one_line(error))
            self.in_vain.add(file.name)
            return None
        try:
            taken = self.mailroom.take(raw, origin="maildir", received_at=self._received_at(delivered))
        except LockedOut:
            # somebody holds its account, and not those of others
            self.in_vain.add(file.name)
            raise
        except NoGround:
            raise
        except Exception as error:
            log.exception("mail.failed", file=file.name, error=one_line(error))
            self.in_vain.add(file.name)
            return None
        with suppress(FileNotFoundError):
            os.unlink(file.name, dir_fd=file.folder)
        return taken

    def _arrived(self, files: list[_Lying]) -> list[tuple[_Lying, float]]:
        """The files of a round with the time that each was last written."""
        aged = []
        for file in files:
            if (delivered := _delivered(file)) is not None:
                aged.append((file.name in self.in_vain, delivered, file.name, file))
        self.in_vain.intersection_update(name for _, _, name, _ in aged)
        return [(file, delivered) for _, delivered, _, file in sorted(aged, key=lambda one: one[:3])[:ROUND]]

    def _received_at(self, delivered: float) -> datetime:
        """When the mail host delivered it; now, where the file's time cannot be that."""
        now = self.mailroom.clock.now()
        lain = now.timestamp() - delivered
        return now - timedelta(seconds=lain) if 0 < lain < _LAIN_AT_MOST.total_seconds() else now

    @contextmanager
    def _files(self) -> Iterator[list[_Lying]]:
        """What lies there and is no folder, while those it lies in are open."""
        with ExitStack() as held:
            files = []
            # what another reader has moved to `cur` is as much a request as what nobody has seen
            for name in _FOLDERS:
                with suppress(FileNotFoundError):
                    folder = os.open(self.folder / name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                    held.callback(os.close, folder)
                    with os.scandir(folder) as lying:
                        files += [_Lying(folder, one.name) for one in lying if _may_be_a_mail(one)]
            yield files


def _may_be_a_mail(lying: os.DirEntry[str]) -> bool:
    # a link is none, but one that lies there is told of when it is read
    return not lying.name.startswith(".") and (lying.is_symlink() or lying.is_file(follow_symlinks=False))


def _delivered(file: _Lying) -> float | None:
    """When it was last written; None where it is gone."""
    with suppress(FileNotFoundError):
        return os.stat(file.name, dir_fd=file.folder, follow_symlinks=False).st_mtime
    return None


def _read(file: _Lying) -> bytes:
    # a link may lead to whatever this process may read, its own secrets among it; a pipe would never end
    opened = os.open(file.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=file.folder)
    with open(opened, "rb") as raw:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError("it is no ordinary file")
        return raw.read(_BYTES)


def read_mail_file(path: Path) -> bytes:
    """The bytes of a mail that a person names, be it a link or a pipe."""
    with path.open("rb") as file:
        return file.read(_BYTES)

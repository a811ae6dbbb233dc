"""The Maildir: what arrives is taken and removed, whoever dies or reads at the same time."""

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar, cast

import pytest
from sqlalchemy import func, select

from tests.cases.test_held import held
from tests.cases.world import an_account
from tests.doors import Doors, DoorStore
from tests.faults import away, database_lost, death
from tests.logs import heard
from tests.requests.world import PNG, PeopleWorld, a_mail, lying_in
from tests.servers import ON_POSTGRES, ON_SQLITE, POSTGRES_AT_NIGHT, eventually
from tests.store.rows import waiting_for_locks
from worker.cases.mail_turn import take_turn
from worker.cases.requests.evidence import Evidence, Removed
from worker.cases.requests.files import Files
from worker.cases.requests.maildir import ROUND, Maildir
from worker.cases.requests.mailroom import Mailroom
from worker.cases.requests.register import TakenMail
from worker.cases.review.reviewer import Reviewer
from worker.clock import Clock, moment
from worker.disk import patience
from worker.errors import LockedOut, Misconfigured, TryLater
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import evidence, requests

T = TypeVar("T")


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[PeopleWorld]:
    made = PeopleWorld(store, tmp_path)
    made.bought_once()
    yield made
    made.close()


@pytest.fixture
def maildir(world: PeopleWorld, tmp_path: Path) -> Maildir:
    for name in ("new", "cur", "tmp"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    return Maildir(tmp_path / "mail", world.mailroom)


def deliver(maildir: Maildir, name: str, raw: bytes, where: str = "new", *, at: float | None = None) -> Path:
    path = maildir.folder / where / name
    path.write_bytes(raw)
    if at is not None:
        os.utime(path, (at, at))
    return path


def test_mail_is_taken_and_removed(world: PeopleWorld, maildir: Maildir) -> None:
    deliver(maildir, "1", a_mail())
    [taken] = maildir.take()
    assert world.state(taken.case_id) == "review"
    assert maildir.waiting()[0] == 0
    assert maildir.take() == []


def test_mail_another_reader_has_seen_is_taken_too_and_unfinished_deliveries_are_not(maildir: Maildir) -> None:
    deliver(maildir, "1:2,S", a_mail(), "cur")
    unfinished = deliver(maildir, "2", a_mail(message_id="<2@example.org>"), "tmp")
    assert len(maildir.take()) == 1
    assert unfinished.exists()


def test_mail_that_lay_while_nobody_took_it_is_judged_by_when_it_was_delivered(world: PeopleWorld, maildir: Maildir) -> None:
    """The window was open when it came to us; that all workers were drained is not the customer's doing."""
    world.bought_once("ord_2", ago=timedelta(days=7))
    delivered = world.clock.now()
    deliver(maildir, "1", a_mail("Please refund ord_2."), at=delivered.timestamp())
    world.clock.pass_(days=1, hours=14)
    before = world.mail("Please refund ord_1.", message_id="<2@example.org>")
    [taken] = maildir.take()
    case = world.case(taken.case_id) or {}
    assert (case["state"], case["decision"]["outcome"], case["opened_at"]) == ("review", "refund_payment", moment(delivered))
    promised = (world.case(before.case_id) or {})["due_at"]
    assert case["due_at"] < promised
    # the order of review is that of receipt, and its file has the days from when we kept it
    assert world.queue() == [taken.case_id, before.case_id]
    assert {row.received_at for row in world.rows(select(evidence.c.received_at))} == {world.clock.now()}


def test_same_words_weeks_later_are_another_mail_though_nothing_marks_either(world: PeopleWorld, maildir: Maildir) -> None:
    """Some forms on the web write neither a Message-ID nor a Date; the second was removed, and nobody ever told of it."""
    head = b"Authentication-Results: mx.layers.example; dmarc=pass header.from=example.org\r\nFrom: acc_1@example.org\r\n"
    for _ in range(2):
        world.clock.pass_(days=25)
        deliver(maildir, "1", head + b"\r\nPlease refund my last order", at=world.clock.now().timestamp())
        assert len(maildir.take()) == 1
        # left by a process that died after its commit, and taken a day later
        deliver(maildir, "1", head + b"\r\nPlease refund my last order", at=world.clock.now().timestamp())
        world.clock.pass_(days=1)
        assert (maildir.take(), maildir.waiting()[0]) == ([], 0)
    assert len(world.rows(select(requests))) == 2


@pytest.mark.parametrize("at", [-1e9, 0, 4e9, 1e15])
def test_file_whose_time_cannot_be_is_received_when_it_is_taken(world: PeopleWorld, maildir: Maildir, at: float) -> None:
    deliver(maildir, "1", a_mail(), at=at)
    [taken] = maildir.take()
    assert (world.case(taken.case_id) or {})["opened_at"] == moment(world.clock.now())


def test_what_a_mail_names_that_lay_is_looked_up_minutes_after_it_was_taken(world: PeopleWorld, maildir: Maildir) -> None:
    """What stopped us stopped the events as well."""
    deliver(maildir, "1", a_mail("Please refund ord_2."), at=world.clock.now().timestamp())
    world.clock.pass_(days=1, hours=14)
    [taken] = maildir.take()
    world.bought_once("ord_2")
    world.clock.pass_(minutes=5)
    world.sweep()
    assert world.state(taken.case_id) == "review"


def test_mail_left_by_a_process_that_died_after_the_commit_is_known_and_removed(world: PeopleWorld, maildir: Maildir) -> None:
    world.mailroom.take(a_mail(), origin="maildir")
    deliver(maildir, "1", a_mail())
    assert maildir.take() == []
    assert maildir.waiting()[0] == 0
    assert len(world.lying()) == 1


def test_readers_at_once_take_each_mail_once(world: PeopleWorld, maildir: Maildir) -> None:
    for number in range(12):
        deliver(maildir, str(number), a_mail(message_id=f"<{number}@example.org>", sender=f"s{number}@else.example"))
    with ThreadPoolExecutor(3) as pool:
        taken = [mail for done in pool.map(lambda _: maildir.take(), range(3)) for mail in done]
    assert len(taken) == 12
    counted = world.rows(select(func.count()).select_from(requests).add_columns(func.count(func.distinct(requests.c.key))))
    assert tuple(counted[0]) == (12, 12)
    kept = {row.stored for row in world.rows(select(evidence.c.stored))}
    assert {path.name for path in world.lying()} == kept


def test_mail_that_cannot_be_kept_stays_where_it_is(world: PeopleWorld, maildir: Maildir) -> None:
    path = deliver(maildir, "1", a_mail())
    world.files.folder.write_bytes(b"a file where the folder should be")
    with pytest.raises(TryLater, match="the evidence folder"):
        maildir.take()
    assert path.exists()
    assert world.rows(select(requests)) == []
    world.files.folder.unlink()
    assert len(maildir.take()) == 1


def test_mail_of_which_only_a_part_fits_leaves_nothing_on_the_disk_and_is_taken_once_there_is_room(
    world: PeopleWorld, maildir: Maildir
) -> None:
    deliver(maildir, "1", a_mail(files={"a.png": PNG}))
    tight = Maildir(maildir.folder, replace(world.mailroom, files=TightFiles(world.files.mark, room=1)))
    for _ in range(3):
        with pytest.raises(TryLater, match="No space left"):
            tight.take()
        assert world.lying() == []
    assert len(maildir.take()) == 1
    assert world.evidence.missing() == []


def test_mail_that_finds_no_room_does_not_hold_up_the_deletion_that_makes_room(world: PeopleWorld, maildir: Maildir) -> None:
    decided = world.mail(files={"a.png": PNG})
    world.decide(decided.case_id, "decline")
    world.clock.pass_(days=2)
    deliver(maildir, "1", a_mail(message_id="<2@example.org>", sender="someone@else.example"))
    tight = Maildir(maildir.folder, replace(world.mailroom, files=TightFiles(world.files.mark, room=2)))
    assert len(world.lying()) == 2
    swept, taken = take_turn(world.reviewer, world.evidence, tight)
    assert (swept.deleted, len(taken)) == (2, 1)


@dataclass
class Broken:
    """A part of the turn that has a defect."""

    def end_stale(self) -> int:
        """Raises."""
        raise KeyError("a defect")

    def sweep(self) -> Removed:
        """Raises."""
        raise KeyError("a defect")


@pytest.mark.parametrize("which", ["proposals", "files"])
def test_part_that_cannot_be_done_does_not_hold_up_the_others(world: PeopleWorld, maildir: Maildir, which: str) -> None:
    deliver(maildir, "1", a_mail())
    reviewer = cast("Reviewer", Broken()) if which == "proposals" else world.reviewer
    evidence = cast("Evidence", Broken()) if which == "files" else world.evidence
    with pytest.raises(KeyError):
        take_turn(reviewer, evidence, maildir)
    assert (maildir.waiting()[0], len(world.queue())) == (0, 1)


def test_mail_whose_commit_stands_though_nobody_heard_of_it_keeps_its_files(world: PeopleWorld, maildir: Maildir) -> None:
    deliver(maildir, "1", a_mail(files={"a.png": PNG}))
    with pytest.raises(TryLater, match="the connection was lost"):
        Maildir(maildir.folder, replace(world.mailroom, store=LostCommit(world.store))).take()
    assert maildir.take() == []
    assert maildir.waiting()[0] == 0
    assert {row.stored for row in world.rows(select(evidence.c.stored))} == {path.name for path in world.lying()}
    assert world.evidence.missing() == []


def test_mail_whose_commit_stands_only_after_its_answer_was_lost_keeps_its_files(world: PeopleWorld, maildir: Maildir) -> None:
    """As where the server still waits for a standby when the connection breaks. Once the files were deleted meanwhile."""
    deliver(maildir, "1", a_mail(files={"a.png": PNG}))
    late = LateCommit(world.store)
    with pytest.raises(TryLater, match="the connection was lost"):
        Maildir(maildir.folder, replace(world.mailroom, store=late)).take()
    assert world.rows(select(evidence)) == []
    late.stand()
    assert (maildir.take(), maildir.waiting()[0]) == ([], 0)
    assert len(world.rows(select(evidence))) == 2
    assert world.evidence.missing() == []


def test_mail_whose_commit_does_not_stand_leaves_no_file(world: PeopleWorld, maildir: Maildir) -> None:
    deliver(maildir, "1", a_mail(files={"a.png": PNG}))
    with pytest.raises(TryLater, match="the connection was lost"):
        Maildir(maildir.folder, replace(world.mailroom, store=LostCommit(world.store, stands=False))).take()
    assert world.lying() == []
    assert len(maildir.take()) == 1


def test_dying_at_every_commit_and_every_file_loses_and_doubles_nothing(world: PeopleWorld, maildir: Maildir) -> None:
    """A mail with two files: three files kept, one commit, one removal, and a death before and after each of them."""
    for point in range(10):
        path = deliver(maildir, "1", a_mail(message_id=f"<{point}@example.org>", files={"a.png": PNG, "b.png": PNG + b"b"}))
        doors = Doors(frozenset({death(point)}))
        dying = replace(world.mailroom, store=DoorStore(world.store, doors), files=DoorFiles(world.files.mark, doors))
        doors.process(Maildir(maildir.folder, dying).take)
        maildir.take()
        assert not path.exists()
        assert len(world.rows(select(requests).where(requests.c.message_id == f"<{point}@example.org>"))) == 1
    old = world.clock.now().timestamp() - 7200
    for path in world.lying():
        os.utime(path, (old, old))
    world.evidence.sweep()
    kept = {row.stored for row in world.rows(select(evidence.c.stored))}
    assert {path.name for path in world.lying()} == kept
    assert len(kept) == 30
    assert world.evidence.missing() == []


@dataclass(frozen=True, slots=True)
class DoorFiles(Files):
    """A folder whose writes are doors."""

    doors: Doors

    def keep(self, content: bytes) -> str:
        return self.doors.through("file", lambda: Files.keep(self, content), away("the evidence folder"))


def test_folder_that_is_no_maildir_is_said_at_start(tmp_path: Path, world: PeopleWorld) -> None:
    with pytest.raises(Misconfigured, match="expected a Maildir"):
        Maildir(tmp_path / "nothing", world.mailroom).check()


@ON_SQLITE
def test_folder_that_is_a_link_is_no_maildirs(tmp_path: Path, world: PeopleWorld, maildir: Maildir) -> None:
    elsewhere = deliver(maildir, "journal", a_mail(), "tmp")
    maildir.folder.joinpath("new").rmdir()
    maildir.folder.joinpath("new").symlink_to("tmp")
    with pytest.raises(Misconfigured, match="is a link; expected a Maildir"):
        maildir.check()
    with pytest.raises(NotADirectoryError):
        maildir.take()
    assert elsewhere.exists()


@ON_SQLITE
def test_maildir_whose_disk_is_not_mounted_any_more_is_away_and_not_empty(maildir: Maildir) -> None:
    deliver(maildir, "1", a_mail())
    mounted = maildir.folder.rename(maildir.folder.with_name("mounted elsewhere"))
    maildir.folder.mkdir()
    with pytest.raises(FileNotFoundError, match="no folder `new` any more"):
        maildir.waiting()
    with pytest.raises(TryLater, match=r"^the Maildir is not reachable: it has no folder `new` any more; is its disk there\?$"):
        maildir.take()
    maildir.folder.rmdir()
    mounted.rename(maildir.folder)
    assert len(maildir.take()) == 1


@ON_SQLITE
def test_what_lies_there_and_is_no_file_of_its_own_leads_to_nothing_and_keeps_no_mail_behind_it(
    world: PeopleWorld, maildir: Maildir, tmp_path: Path
) -> None:
    secret = tmp_path / "environment"
    secret.write_text("REFUNDS_CREEM_API_KEY=creem_live_CANARY")
    new = maildir.folder / "new"
    for name, target in (("0", secret), ("1", tmp_path), ("2", tmp_path / "nothing"), ("3", new / "3")):
        (new / name).symlink_to(target)
    os.mkfifo(new / "4")
    deliver(maildir, "5", a_mail())
    with heard() as said:
        [taken] = maildir.take()
    assert world.state(taken.case_id) == "review"
    assert said.getvalue().count("mail.unreadable_file") == 4
    assert secret.read_text().endswith("CANARY")
    assert not any("CANARY" in row.text for row in world.rows(select(requests.c.text)))


@pytest.mark.landing
@POSTGRES_AT_NIGHT
def test_hostile_corpus_goes_through_the_whole_step_and_nothing_is_lost(world: PeopleWorld, maildir: Maildir) -> None:
    corpus = sorted((Path(__file__).parents[1] / "intake" / "mail" / "corpus").glob("*.eml"))
    for number, path in enumerate(corpus):
        deliver(maildir, f"{number:03}", path.read_bytes())
    while maildir.take():
        pass
    assert maildir.waiting()[0] == 0
    keys = world.rows(select(func.count()).select_from(requests))[0][0]
    assert len(corpus) - 5 <= keys <= len(corpus)
    world.sweep()
    assert world.audit().breaches == []


@dataclass(frozen=True, slots=True)
class TightFiles(Files):
    """A folder on a disk with room for so many files."""

    room: int

    def keep(self, content: bytes) -> str:
        if self.folder.is_dir() and len(lying_in(self.folder)) >= self.room:
            raise TryLater("the evidence folder", os.strerror(errno.ENOSPC))
        return Files.keep(self, content)


class LostCommit(Store):
    """A database whose connection is gone at every commit; the commit stands, or does not."""

    def __init__(self, inner: Store, *, stands: bool = True) -> None:
        self.url, self.engine, self.stands = inner.url, inner.engine, stands

    def write(self, work: Callable[[Tx], T]) -> T:
        if self.stands:
            super().write(work)
        database_lost()


class LateCommit(Store):
    """A database whose connection is gone at the commit, which nobody sees until it is made to stand."""

    def __init__(self, inner: Store) -> None:
        self.url, self.engine = inner.url, inner.engine
        self.waits = ExitStack()

    def write(self, work: Callable[[Tx], T]) -> T:
        connection = self.waits.enter_context(self.engine.connect().execution_options(writing=True))
        self.waits.enter_context(connection.begin())
        work(Tx(connection))
        database_lost()

    def stand(self) -> None:
        """The commit stands from now on."""
        self.waits.close()


@dataclass
class Picky:
    """A mailroom that has a defect with some mails."""

    mailroom: Mailroom

    @property
    def clock(self) -> Clock:
        """The mailroom's."""
        return self.mailroom.clock

    def take(self, raw: bytes, *, origin: str, received_at: datetime | None = None) -> TakenMail:
        """Takes what does not say `odd`."""
        if b"odd" in raw:
            raise KeyError("a defect")
        return self.mailroom.take(raw, origin=origin, received_at=received_at)


@ON_SQLITE
def test_since_when_the_oldest_mail_lies_there_is_known_whatever_keeps_it_from_being_taken(
    world: PeopleWorld, maildir: Maildir
) -> None:
    now = world.clock.now()
    assert maildir.waiting() == (0, None)
    deliver(maildir, "1", a_mail(), at=(now - timedelta(days=5)).timestamp())
    deliver(maildir, "2", a_mail(message_id="<2@example.org>"), "cur", at=(now - timedelta(days=1)).timestamp())
    world.files.folder.parent.mkdir(exist_ok=True)
    world.files.folder.write_bytes(b"no folder")
    with pytest.raises(TryLater):
        maildir.take()
    assert maildir.waiting() == (2, now - timedelta(days=5))
    world.files.folder.unlink()
    maildir.take()
    assert maildir.waiting() == (0, None)
    deliver(maildir, "3", a_mail(), at=0)
    assert maildir.waiting() == (1, now), "no mail is as old as that"


def test_mails_that_nobody_can_take_keep_none_behind_them(maildir: Maildir) -> None:
    picky = replace(maildir, mailroom=cast("Mailroom", Picky(maildir.mailroom)))
    for number in range(ROUND + 1):
        deliver(maildir, f"{number:03}", a_mail("odd", message_id=f"<{number}@example.org>"))
    behind = deliver(maildir, "after all others", a_mail())
    with heard() as said:
        picky.take()
        assert len(picky.take()) == 1
    assert said.getvalue().count("mail.failed") >= ROUND
    assert not behind.exists()
    assert maildir.waiting()[0] == ROUND + 1


@ON_POSTGRES
def test_mail_of_an_account_that_somebody_holds_keeps_none_behind_it(maildir: Maildir, world: PeopleWorld, store: Store) -> None:
    world.load(an_account("acc_2"))
    deliver(maildir, "1", a_mail())
    deliver(maildir, "2", a_mail(message_id="<2@example.org>", sender="acc_2@example.org"))
    with waiting_for_locks(store, milliseconds=250) as hasty, held(store, "acc_1"):
        impatient = replace(maildir, mailroom=replace(world.mailroom, store=hasty))
        for _ in range(2):
            with pytest.raises(LockedOut):
                impatient.take()
        assert maildir.waiting()[0] == 1
    assert len(maildir.take()) == 1


@ON_SQLITE
def test_maildir_that_does_not_answer_holds_nobody_up_and_is_gone_on_with_once_it_does(
    maildir: Maildir, world: PeopleWorld, tmp_path: Path
) -> None:
    """Two tasks at a Maildir on a network disk that hung were two task processes that gave no credits back."""
    os.mkfifo(tmp_path / "pipe")
    waits = patience(0.05)
    hanging = replace(maildir, patience=waits)
    deliver(hanging, "1", a_mail())
    with pytest.raises(TimeoutError):
        waits.look((tmp_path / "pipe").read_bytes)
    for told in (hanging.waiting, hanging.check):
        with pytest.raises(TimeoutError, match="the disk does not answer"):
            told()
    with pytest.raises(TryLater, match=r"^the Maildir is not reachable: the disk does not answer"):
        hanging.take()
    (tmp_path / "pipe").write_bytes(b"back")

    def taken() -> bool:
        try:
            return len(hanging.take()) == 1
        except TryLater:
            return False

    assert eventually(taken)
    assert hanging.waiting() == (0, None)

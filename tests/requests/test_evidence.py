"""Files of customers: kept apart, looked at on record, deleted in time, a receipt left, whatever dies in between."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update

from tests.policy.build import SHIPPED
from tests.requests.world import PNG, PeopleWorld
from tests.servers import ON_POSTGRES, POSTGRES_AT_NIGHT
from tests.store.rows import before, writes_anew
from worker.cases.requests.evidence import MOST_LEFTOVERS, ROUND, Evidence
from worker.cases.requests.files import Files
from worker.cases.requests.mark import LOOKED_UP, MARK, Mark
from worker.cli.doctor.examine import examine
from worker.clock import ROUND_SECONDS
from worker.disk import patience
from worker.errors import Misconfigured, Refused, TryLater
from worker.runtime import unfit
from worker.settings import load_settings
from worker.store import schema
from worker.store.engine import Store
from worker.store.tables import evidence


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[PeopleWorld]:
    made = PeopleWorld(store, tmp_path)
    made.bought_once()
    yield made
    made.close()


def with_file(world: PeopleWorld) -> tuple[str, str]:
    """A request with a picture; returns case id and evidence id."""
    taken = world.mail(files={"../../layers.png": PNG})
    found = world.case(taken.case_id)
    assert found is not None
    return taken.case_id, next(file["evidence_id"] for file in found["evidence"] if file["name"] != "mail.eml")


def states(world: PeopleWorld) -> set[str]:
    return {row.state for row in world.rows(select(evidence))}


def on_disk(world: PeopleWorld) -> int:
    return len(world.lying())


def test_file_lies_under_a_name_of_ours_and_is_readable_by_us_alone(world: PeopleWorld) -> None:
    with_file(world)
    for path in world.lying():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "." not in path.name
        assert "layers" not in path.name
    assert stat.S_IMODE(world.files.folder.stat().st_mode) == 0o700


def test_receipt_says_what_it_is_by_its_bytes(world: PeopleWorld) -> None:
    case_id, evidence_id = with_file(world)
    receipt = next(f for f in world.case(case_id)["evidence"] if f["evidence_id"] == evidence_id)  # type: ignore[index]
    assert (receipt["kind"], receipt["size"], receipt["sha256"]) == ("png", len(PNG), sha256(PNG).hexdigest())
    assert "/" not in receipt["name"]


def test_every_look_is_on_record_before_anything_is_shown(world: PeopleWorld) -> None:
    case_id, evidence_id = with_file(world)
    _, content = world.evidence.look(evidence_id, by="ann", reason="is it blank")
    assert content == PNG
    receipt = next(f for f in world.case(case_id)["evidence"] if f["evidence_id"] == evidence_id)  # type: ignore[index]
    assert [(look["by"], look["reason"]) for look in receipt["looks"]] == [("ann", "is it blank")]


def test_file_is_deleted_within_the_hours_after_the_decision_and_its_receipt_stays(world: PeopleWorld) -> None:
    case_id, evidence_id = with_file(world)
    world.decide(case_id, "decline")
    world.clock.pass_(hours=11)
    assert world.evidence.sweep().deleted == 0
    world.clock.pass_(hours=2)
    assert world.evidence.sweep().deleted == 2
    assert (states(world), on_disk(world)) == ({"deleted"}, 0)
    with pytest.raises(Refused, match="its receipt is all that is left"):
        world.evidence.look(evidence_id, by="ann", reason="once more")
    receipt = world.case(case_id)["evidence"][1]  # type: ignore[index]
    assert receipt["deleted_at"] is not None
    assert receipt["sha256"] == sha256(PNG).hexdigest()
    world.sweep()
    assert world.audit().breaches == []


def test_files_of_a_decided_case_go_and_those_of_another_stay(world: PeopleWorld) -> None:
    case_id, _ = with_file(world)
    world.bought_once("ord_2", "acc_2")
    asks = {"sender": "acc_2@example.org", "files": {"layers.png": PNG}}
    other = world.mail("Please refund my order ord_2.", **asks).case_id
    world.decide(case_id, "decline")
    world.clock.pass_(hours=13)
    assert [world.evidence.sweep().deleted for _ in range(2)] == [2, 0]
    kept = world.case(other)
    assert kept is not None
    assert [file["deleted_at"] for file in kept["evidence"]] == [None, None]
    assert on_disk(world) == 2


def test_file_goes_in_time_after_the_decision_however_long_the_money_waits(world: PeopleWorld) -> None:
    case_id, _ = with_file(world)
    world.double.switches = replace(world.double.switches, low_balance=99)
    world.decide(case_id, "money")
    for _ in range(2):
        world.settle_down(days=0.5)
        world.evidence.sweep()
    assert (world.state(case_id), states(world), on_disk(world)) == ("refunding", {"deleted"}, 0)


def test_file_of_a_case_that_an_answer_opens_again_is_kept_like_that_of_any_open_one(world: PeopleWorld) -> None:
    """The time after the no once stood on, and the audit named the file as kept too long."""
    case_id, evidence_id = with_file(world)
    longest = world.rows(select(evidence.c.delete_by).where(evidence.c.evidence_id == evidence_id))
    world.decide(case_id, "decline", reason="it was used")
    world.evidence.sweep()
    world.clock.pass_(hours=2)
    [letter] = [sent for sent in world.written() if "was declined" in sent["Subject"]]
    world.mail("It was not!", subject=f"Re: {letter['Subject']}", In_Reply_To=letter["Message-ID"], message_id="<2@x>")
    world.clock.pass_(hours=30)
    assert (world.state(case_id), world.evidence.sweep().deleted) == ("review", 0)
    assert world.rows(select(evidence.c.delete_by).where(evidence.c.evidence_id == evidence_id)) == longest
    world.sweep()
    assert world.audit().breaches == []
    world.decide(case_id, "decline")
    world.clock.pass_(hours=13)
    assert world.evidence.sweep().deleted == 3


def test_undecided_case_keeps_no_file_past_the_longest_time(world: PeopleWorld) -> None:
    with_file(world)
    world.clock.pass_(days=28)
    assert world.evidence.sweep().deleted == 0
    world.clock.pass_(days=1, minutes=1)
    assert world.evidence.sweep().deleted == 2
    assert on_disk(world) == 0


@pytest.mark.parametrize(("days", "there"), [(1, 11), (2, 23), (3, 47)])
def test_file_that_may_be_kept_for_a_day_is_there_to_be_looked_at(store: Store, tmp_path: Path, days: int, there: int) -> None:
    (tmp_path / "terms").mkdir()
    brief = SHIPPED.read_text().replace("evidence_days_max = 30", f"evidence_days_max = {days}")
    (tmp_path / "terms" / SHIPPED.name).write_text(brief)
    world = PeopleWorld(store, tmp_path, terms_dir=tmp_path / "terms")
    world.bought_once()
    with_file(world)
    for hours, deleted in ((0, 0), (there, 0), (1, 2)):
        world.clock.pass_(hours=hours, minutes=1)
        assert world.evidence.sweep().deleted == deleted
    assert "no_evidence_kept_too_long" not in [breach["check"] for breach in world.audit().breaches]
    world.close()


def test_audit_names_a_file_that_was_kept_too_long(world: PeopleWorld) -> None:
    with_file(world)
    world.clock.pass_(days=31)
    world.sweep()
    found = [breach["check"] for breach in world.audit().breaches]
    assert "no_evidence_kept_too_long" in found
    world.evidence.sweep()
    assert "no_evidence_kept_too_long" not in [breach["check"] for breach in world.audit().breaches]


@pytest.mark.parametrize("died", ["before_unlink", "after_unlink"])
def test_deletion_that_dies_in_the_middle_is_ended_by_the_next_sweep(world: PeopleWorld, died: str) -> None:
    case_id, _ = with_file(world)
    world.decide(case_id, "decline")
    world.store.write(lambda tx: tx.connection.execute(update(evidence).values(state="deleting")).rowcount)
    if died == "after_unlink":
        for path in world.lying():
            path.unlink()
    assert world.evidence.sweep().deleted == 2
    assert (states(world), on_disk(world)) == ({"deleted"}, 0)


def test_file_that_is_gone_is_said_and_not_hidden(world: PeopleWorld) -> None:
    _, evidence_id = with_file(world)
    for path in world.lying():
        path.unlink()
    with pytest.raises(Refused, match="not there any more"):
        world.evidence.look(evidence_id, by="ann", reason="is it blank")
    assert evidence_id in world.evidence.missing()
    assert len(world.evidence.missing()) == 2
    assert states(world) == {"kept"}, "a folder that is away comes back"
    (world.files.folder / MARK).write_text("db_of_others\n")
    told = {
        "REFUNDS_DATABASE_URL": world.store.url,
        "REFUNDS_REDIS_URL": "redis://127.0.0.1:1/0",
        "REFUNDS_EVIDENCE_DIR": str(world.files.folder),
    }
    found = {finding["check"]: finding for finding in examine(load_settings(told))}
    assert (found["evidence files"]["ok"], found["evidence files"]["finding"].split(" in ")[0]) == (False, "2 files should lie")
    assert "is that of the database db_of_others" in found["evidence folder"]["finding"]


def test_half_written_file_is_left_by_nobody(world: PeopleWorld) -> None:
    with_file(world)
    half = world.files.folder / f"{world.lying()[0].name}.0123abcd.part"
    half.write_bytes(b"half")
    aged(world, half, hours=2)
    assert world.evidence.sweep().orphans == 1
    assert not half.exists()


def aged(world: PeopleWorld, *paths: Path, hours: float) -> None:
    """These were last written so long ago."""
    at = world.clock.now().timestamp() - hours * 3600
    for path in paths:
        os.utime(path, (at, at))


def test_what_others_keep_in_the_folder_stays(world: PeopleWorld) -> None:
    with_file(world)
    folder = world.files.folder
    theirs = [folder / name for name in (".env", "notes.txt", "claims.jsonl", "tls.key", "0123.part", "A" * 32, "0" * 31)]
    for path in theirs:
        path.write_bytes(b"precious")
    theirs.append(folder / f"{0:032x}")
    theirs[-1].symlink_to(folder / ".env")
    aged(world, *theirs[:-1], hours=72)
    assert world.evidence.sweep().orphans == 0
    assert all(path.read_bytes() == b"precious" for path in theirs)


def beside(world: PeopleWorld) -> Evidence:
    """The evidence of an observer, or of a staging, that was given the same folder: other books."""
    other = Store(f"sqlite:///{world.folder / 'beside.db'}")
    schema.upgrade(other)
    return Evidence(other, Files(Mark(world.files.folder, other, world.clock)), world.bench, world.clock)


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "as_an_older_release_left_it"])
def test_folder_of_another_database_is_neither_swept_nor_written_to(world: PeopleWorld, marked: bool) -> None:
    with_file(world)
    if not marked:
        (world.files.folder / MARK).unlink()
    aged(world, *world.lying(), hours=2)
    other = beside(world)
    for _ in range(2):
        assert other.sweep().orphans == 0
        with pytest.raises(TryLater, match="ours needs one of its own"):
            other.files.keep(PNG)
    assert world.evidence.missing() == []
    world.mail(message_id="<2@example.org>")
    assert (on_disk(world), world.evidence.sweep().orphans) == (3, 0)


def test_row_deletes_nothing_in_the_folder_of_another_database(world: PeopleWorld) -> None:
    """As where a copy of the books was given another's folder."""
    case_id, _ = with_file(world)
    world.decide(case_id, "decline")
    (world.files.folder / MARK).write_text("db_of_others\n")
    world.clock.pass_(hours=13)
    with pytest.raises(TryLater, match="that of the database db_of_others"):
        world.evidence.sweep()
    assert (states(world), on_disk(world)) == ({"deleting"}, 2)


def many_more(world: PeopleWorld, evidence_id: str, stored: Sequence[str]) -> None:
    """Receipts like this one, of as many files."""
    [row] = world.rows(select(evidence).where(evidence.c.evidence_id == evidence_id))
    known = {column.name: getattr(row, column.name) for column in evidence.columns}
    more = [known | {"evidence_id": f"evidence_{name}", "stored": name} for name in stored]
    world.store.write(lambda tx: tx.insert(evidence, more))


@POSTGRES_AT_NIGHT
def test_leftover_is_found_however_many_files_have_their_rows(world: PeopleWorld) -> None:
    kept, left = [f"{number:031x}0" for number in range(LOOKED_UP)], [f"{number:031x}f" for number in range(LOOKED_UP)]
    many_more(world, with_file(world)[1], kept)
    long_ago = world.clock.now().timestamp() - 7200
    for name in (*kept, *left):
        (world.files.folder / name).touch()
        os.utime(world.files.folder / name, (long_ago, long_ago))
    assert world.evidence.sweep().orphans == len(left)
    assert not any((world.files.folder / name).exists() for name in left)


@ON_POSTGRES
def test_file_whose_row_is_written_anew_meanwhile_is_no_leftover(world: PeopleWorld) -> None:
    """To the one moment that a look keeps to, a table that somebody changes so is empty."""
    with_file(world)
    world.evidence.sweep()
    for path in world.lying():
        aged(world, path, hours=2)
    world.clock.pass_(hours=1)
    with before(
        world.store,
        "evidence.state != ",
        writes_anew(world.store.url, "evidence", "alter column size type bigint using size + 0"),
    ):
        assert world.evidence.sweep().orphans == 0
    assert on_disk(world) == 2


def leftovers(world: PeopleWorld, names: Iterable[str]) -> None:
    """Files of ours without a row, two hours old."""
    for name in names:
        (world.files.folder / name).touch()
        aged(world, world.files.folder / name, hours=2)


@POSTGRES_AT_NIGHT
def test_turn_deletes_some_of_many_leftovers_and_the_next_goes_on(world: PeopleWorld) -> None:
    """Once one turn deleted all, a sync of the folder for each, and ran out of its task's time."""
    with_file(world)
    leftovers(world, (f"{number:032x}" for number in range(3 * MOST_LEFTOVERS)))
    assert [world.evidence.sweep().orphans for _ in range(5)] == [MOST_LEFTOVERS] * 3 + [0, 0]
    assert on_disk(world) == 2


def test_whole_folder_is_looked_through_once_an_hour_whoever_sweeps(world: PeopleWorld) -> None:
    with_file(world)
    world.evidence.sweep()
    leftovers(world, ["0" * 32])
    another = replace(world.evidence)
    for _ in range(2):
        assert (world.evidence.sweep().orphans, another.sweep().orphans) == (0, 0)
        world.clock.pass_(minutes=29)
    world.clock.pass_(minutes=2)
    assert (another.sweep().orphans, world.evidence.sweep().orphans) == (1, 0)


def test_look_through_a_folder_that_takes_too_long_ends_and_is_not_begun_again_with_the_next_turn(world: PeopleWorld) -> None:
    with_file(world)
    leftovers(world, ["0" * 32])
    slow = replace(world.evidence, timer=count(step=ROUND_SECONDS).__next__)
    assert slow.sweep().orphans == 0
    assert world.evidence.sweep().orphans == 0
    world.clock.pass_(hours=1)
    assert world.evidence.sweep().orphans == 1


def test_every_file_of_a_decided_case_is_given_its_time_however_many_have_theirs(world: PeopleWorld) -> None:
    case_id, evidence_id = with_file(world)
    many_more(world, evidence_id, [f"{number:032x}" for number in range(2 * ROUND)])
    world.decide(case_id, "decline")
    for _ in range(3):
        world.evidence.sweep()
    assert {row.delete_by for row in world.rows(select(evidence.c.delete_by))} == {world.clock.now() + timedelta(hours=24)}


def test_file_that_cannot_be_deleted_keeps_no_other(world: PeopleWorld) -> None:
    first, _ = with_file(world)
    name = world.rows(select(evidence.c.stored).order_by(evidence.c.delete_by))[0].stored
    # the name of a folder: no unlink will ever do
    (world.files.folder / name).unlink()
    (world.files.folder / name).mkdir()
    world.decide(first, "decline")
    world.clock.pass_(hours=13)
    for _ in range(2):
        with pytest.raises(TryLater, match="the evidence folder"):
            world.evidence.sweep()
    assert sorted(row.state for row in world.rows(select(evidence))) == ["deleted", "deleting"]
    (world.files.folder / name).rmdir()
    assert world.evidence.sweep().deleted == 1


def test_receipt_that_names_a_file_of_the_host_touches_none_and_keeps_no_other(world: PeopleWorld, tmp_path: Path) -> None:
    """A row that somebody put in by hand, or out of another table."""
    first, evidence_id = with_file(world)
    theirs = tmp_path / "letters.txt"
    theirs.write_text("not ours")
    named = update(evidence).where(evidence.c.evidence_id == evidence_id).values(stored="../letters.txt")
    world.store.write(lambda tx: tx.connection.execute(named).rowcount)
    with pytest.raises(Refused, match="is no name of a file of ours"):
        world.evidence.look(evidence_id, by="ann", reason="to see")
    assert world.evidence.missing() == [evidence_id]
    world.decide(first, "decline")
    world.clock.pass_(hours=13)
    with pytest.raises(TryLater, match="is no name of a file of ours"):
        world.evidence.sweep()
    assert sorted(row.state for row in world.rows(select(evidence))) == ["deleted", "deleting"]
    assert theirs.read_text() == "not ours"


def test_folder_that_is_away_when_a_file_is_to_go_brings_none_back_that_stays(world: PeopleWorld) -> None:
    case_id, _ = with_file(world)
    world.decide(case_id, "decline")
    away = world.files.folder.rename(world.files.folder.with_name("away"))
    world.clock.pass_(hours=13)
    with pytest.raises(TryLater, match="the evidence folder"):
        world.evidence.sweep()
    assert states(world) == {"deleting"}, "nobody says that it has gone"
    # a release before this one said so
    world.store.write(lambda tx: tx.connection.execute(update(evidence).values(state="deleted", deleted_at=world.clock.now())))
    away.rename(world.files.folder)
    long_ago = world.clock.now().timestamp() - 7200
    for path in world.lying():
        os.utime(path, (long_ago, long_ago))
    assert world.evidence.sweep().orphans == 2
    assert on_disk(world) == 0


@pytest.mark.parametrize("later", [True, False], ids=["taken_in_after_the_backup", "nothing_since"])
def test_books_out_of_a_backup_delete_nothing_that_came_after_it_before_the_longest_time(world: PeopleWorld, later: bool) -> None:
    """So do those of a staging that was made of a copy, and given the folder of the live one."""
    with_file(world)
    world.evidence.sweep()
    if later:
        world.mail(message_id="<later@example.org>")
        world.evidence.sweep()
        newest = evidence.c.evidence_id == select(func.max(evidence.c.evidence_id)).scalar_subquery()
        world.store.write(lambda tx: tx.connection.execute(delete(evidence).where(newest)))
    world.files.keep(b"what a crash left")
    world.clock.pass_(hours=1)
    aged(world, *world.files.folder.iterdir(), hours=2)
    assert world.evidence.sweep().orphans == (0 if later else 1)
    assert on_disk(world) == (4 if later else 2)
    world.clock.pass_(hours=1)
    assert world.evidence.sweep().orphans == 0, "not with the next look either"
    world.clock.pass_(hours=1)
    aged(world, *world.files.folder.iterdir(), hours=29 * 24 + 1)
    assert world.evidence.sweep().orphans == (2 if later else 0)
    assert on_disk(world) == 2


def test_folder_that_does_not_answer_is_tried_later(world: PeopleWorld) -> None:
    folder = world.files.folder
    folder.mkdir()
    # a pipe that nobody writes to hangs whoever opens it, as the disk of a machine that is away does
    os.mkfifo(folder / MARK)
    files = Files(Mark(folder, world.store, world.clock, patience(0.05)))
    for work in (lambda: files.keep(PNG), replace(world.evidence, files=files).sweep):
        with pytest.raises(TryLater, match=r"^the evidence folder is not reachable: the disk does not answer"):
            work()
    (folder / MARK).write_bytes(b"")


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"EVIDENCE_DIR": "{at}/mail", "MAIL_DIR": "{at}/mail"}, "REFUNDS_MAIL_DIR"),
        ({"EVIDENCE_DIR": "{at}/mail/files", "MAIL_DIR": "{at}/mail"}, "REFUNDS_MAIL_DIR"),
        ({"EVIDENCE_DIR": "{at}/link", "JOURNAL_DIR": "{at}/link/journal"}, "REFUNDS_JOURNAL_DIR"),
        ({"EVIDENCE_DIR": "{at}/link/journal", "JOURNAL_DIR": "{at}"}, "REFUNDS_JOURNAL_DIR"),
        ({"EVIDENCE_DIR": "{at}", "DATABASE_URL": "sqlite:///{at}/refunds.db"}, "REFUNDS_DATABASE_URL"),
        ({"EVIDENCE_DIR": "."}, "REFUNDS_DATABASE_URL"),
        ({"EVIDENCE_DIR": "{at}/evidence", "DATABASE_URL": "sqlite:///{at}/refunds.db", "JOURNAL_DIR": "{at}/journal"}, None),
    ],
)
def test_folder_in_which_files_are_deleted_holds_nothing_else(tmp_path: Path, told: dict[str, str], named: str | None) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    environ = {f"REFUNDS_{name}": value.format(at=tmp_path) for name, value in told.items()}
    if named is None:
        load_settings(environ, fit=unfit)
        return
    with pytest.raises(Misconfigured, match=rf"REFUNDS_EVIDENCE_DIR: .* \({named}\); give it a folder of its own"):
        load_settings(environ, fit=unfit)

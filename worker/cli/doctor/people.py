"""Customers' mails and files, what they are told, and what one backup may not hold together."""

from collections.abc import Iterator

from worker import disk
from worker.cli import ground
from worker.cli.doctor.finding import Finding, finding
from worker.clock import moment
from worker.notices.mail.postbox import postbox_of
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store.breakers import BREAK_AFTER, MAIL, not_heard


def people(runtime: Runtime) -> Iterator[Finding]:
    """Whether mails come in, customers are told, and their files lie where only we read them."""
    settings, maildir = runtime.settings, runtime.maildir
    if maildir is None:
        yield finding("mail", True, "no REFUNDS_MAIL_DIR: requests come in by `refunds request add` only")
    else:
        maildir.check()
        lying, since = maildir.waiting()
        yield finding("mail", True, f"{maildir.folder}: {lying} mails lie there{f', since {moment(since)}' if since else ''}")
        vouched = bool(runtime.mailroom.trusted)
        said = (
            f"senders are vouched for by {settings.mail_hosts}"
            if vouched
            else "no REFUNDS_MAIL_HOSTS: every sender is asked back"
        )
        yield finding("senders", vouched, said, "warning")
    yield _notices(runtime)
    yield _evidence_folder(settings)
    yield from _backups(runtime)


def _notices(runtime: Runtime) -> Finding:
    settings = runtime.settings
    if settings.notices_url is None or runtime.notifier.mailer is None:
        return finding("notices", False, "no REFUNDS_NOTICES_URL: customers are told nothing", "warning")
    why = postbox_of(settings.notices_url, timeout=settings.notices_timeout_seconds).trouble(settings.notices_from)
    if why is not None:
        return finding("notices", False, f"{why}: customers are not told until it takes letters", "warning")
    lost = runtime.store.read(lambda tx: not_heard(tx, MAIL))
    if lost is not None and lost[0] >= BREAK_AFTER:
        told = f"{lost[0]} letters in a row were refused or may not have arrived, the last: {lost[1]}; none is sent again"
        return finding("notices", False, told, "warning")
    return finding("notices", True, f"customers are written to from {settings.notices_from}", "warning")


def _evidence_folder(settings: Settings) -> Finding:
    folder = settings.evidence_dir
    if folder.is_dir() and ground.open_to_others(folder):
        return finding("evidence", False, f"{folder} can be read by others; chmod 700 {folder}")
    why = disk.refusal(folder)
    # without mails only what `refunds request add` brings is kept there
    severity = "warning" if settings.mail_dir is None else "fault"
    fine = f"{folder} is read by us alone"
    return finding("evidence", why is None, f"{folder} takes no files: {why}; no mail is taken in" if why else fine, severity)


def evidence(runtime: Runtime) -> Iterator[Finding]:
    """Whether every file that is to be kept is there."""
    folder, mark = runtime.settings.evidence_dir, runtime.files.mark
    if other := mark.stranger():
        why = f"{folder} is that of the database {other}: nothing of ours is kept or deleted there"
        yield finding("evidence folder", False, f"{why}; set REFUNDS_EVIDENCE_DIR to a folder of its own")
    elif mark.books_are_behind():
        why = f"{folder} has seen files that this database does not know: it came out of a backup, or is a copy of another"
        yield finding("evidence folder", False, f'{why} (docs/operating.md, "After a restore")', "warning")
    gone = runtime.evidence.missing()
    fine = "every file that customers sent and that is to be kept is there"
    wrong = f"{len(gone)} files should lie in {folder} and do not, as {', '.join(gone[:1])}; do all processes use this folder?"
    yield finding("evidence files", not gone, wrong if gone else fine)


def _backups(runtime: Runtime) -> Iterator[Finding]:
    """What one backup may not hold together: the journal would go back with the database."""
    journal, database = runtime.settings.journal_dir, runtime.store.file
    if journal is not None and database is not None and disk.nested(journal, database.parent):
        why = f"the claim journal {journal} lies with the database: a backup of both brings both back, and nobody notices"
        yield finding("backups", False, f"{why} which calls were lost; keep it apart", "warning")

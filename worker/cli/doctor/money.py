"""Creem, and what a restore must not undo."""

from collections.abc import Iterator
from pathlib import Path

from policy.words import count
from worker import disk
from worker.cases.money import claims
from worker.cases.money.clocks import apart
from worker.cases.money.restore import Checked
from worker.cli import ground
from worker.cli.doctor.finding import Finding, finding
from worker.clock import SystemClock
from worker.creem.client import CreemRefused
from worker.errors import TryLater
from worker.runtime import Runtime
from worker.settings import Mode


def creem(runtime: Runtime) -> Iterator[Finding]:
    """Whether money can be sent back, and whether webhooks are believed."""
    if runtime.settings.mode is Mode.OBSERVE:
        watching = f", beside the live installation, as {runtime.settings.group}" if runtime.settings.observer else ""
        yield finding("mode", False, f"observe: cases are decided and nothing is done about them{watching}", "warning")
    # where one process has the key, each has its own secrets alone
    apart = runtime.settings.creem_environment
    if runtime.settings.creem_webhook_secret is None:
        told = "no REFUNDS_CREEM_WEBHOOK_SECRET: every webhook is turned away with 401"
        yield finding("webhooks", bool(apart), f"{told}, if this is where they come in" if apart else told, "warning")
    creem, address = runtime.creem, runtime.creem_address
    if apart and creem is None:
        yield finding(
            "creem", True, f"no REFUNDS_CREEM_API_KEY here: what is to be paid ({apart}) waits for the process that has it"
        )
        return
    if creem is None or address is None:
        yield finding("creem", True, "no REFUNDS_CREEM_API_KEY: credits only, no money is refunded")
        return
    where = f"{address.base_url} ({address.environment.value})"
    try:
        creem.transaction("tran_doctor")
    except TryLater as error:
        yield finding("creem", False, f"{where}: {error}; money waits, credits do not", "warning")
    except CreemRefused as refusal:
        wrong = "the key is refused" if refusal.key_trouble else "the question is refused"
        yield finding("creem", False, f"{where}: {wrong}: {refusal}; correct REFUNDS_CREEM_API_KEY")
    else:
        yield finding("creem", True, f"{where} answers, the key can read")


def time_told(runtime: Runtime) -> Iterator[Finding]:
    """Whether this host goes by the time that Creem's last answer, to `creem`, was dated by."""
    told = runtime.creem.time if runtime.creem is not None else None
    wrong = apart(told, SystemClock().now(), "Creem's")
    if wrong is not None:
        yield finding("clock", False, f"{wrong}: set it where it is wrong, for what is asked in time is counted by it", "warning")


def claimed(runtime: Runtime) -> Iterator[Finding]:
    """Whether everything that was claimed can be carried out with the key that there is."""
    if runtime.environment is None:
        return
    ours = runtime.environment.value
    for whose, number in runtime.store.read(lambda tx: claims.open_elsewhere(tx, ours)).items():
        theirs = f"{count(number, 'open refund')} claimed with Creem's {whose} key, and this process is of {ours}: nobody goes on"
        undone = "until a process has that key; what was never sent `refunds review withdraw` takes back"
        yield finding("claims", False, f"{theirs} {undone}")


def restore(runtime: Runtime) -> Iterator[Finding]:
    """What would happen after the database was set back to a backup."""
    if runtime.creem is None:
        return
    folder, found = runtime.settings.journal_dir, runtime.restorer.check()
    if folder is None:
        why = (
            "no REFUNDS_JOURNAL_DIR: only Redis remembers how far the database had come; after a restore nobody can say which "
            "refunds were sent, and an empty Redis alone stops money until `refunds restore lift`"
        )
        yield finding("claim journal", False, why, "warning")
    else:
        yield _journal(folder, found)
    away = found.remembered.redis_away
    if away is not None and found.wrong is None:
        yield finding("restore", False, f"Redis cannot be asked how far the database had come: {away}", "warning")
        return
    remembered = (("Redis", found.remembered.redis), ("journal", found.remembered.journal))
    told = (f"{name} remembers {'nothing' if mark is None else mark}" for name, mark in remembered)
    marks = ", ".join([f"database at mark {found.mark}", *told])
    yield finding("restore", found.wrong is None, f"{found.wrong}; see `refunds restore check`" if found.wrong else marks)


def _journal(folder: Path, found: Checked) -> Finding:
    why = disk.refusal(folder)
    cannot = f"cannot be written to ({why}): no money leaves until it can"
    if not folder.is_dir():
        fine = f"{folder} is made with the first call"
        return finding("claim journal", why is None, f"{folder} {cannot}" if why else fine)
    if why is not None:
        return finding("claim journal", False, f"{folder} {cannot}")
    if ground.open_to_others(folder):
        return finding("claim journal", False, f"{folder} can be read by others; chmod 700 {folder}", "warning")
    kept = found.journal
    assert kept is not None, "a folder was named"
    torn = f", {kept.unreadable} lines torn by a crash" if kept.unreadable else ""
    told = f"{folder}: {len(kept)} calls{torn}"
    if found.mark and (kept.begins is None or (found.remembered.journal or 0) < found.mark - 1):
        return finding(
            "claim journal", False, f"{told}; it knows nothing of the last of {found.mark} marks: was it lost?", "warning"
        )
    return finding("claim journal", True, told)

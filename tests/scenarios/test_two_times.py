"""A clock that is days wrong, the database's or a host's: nobody decides by it, and all goes on once it is right."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.postgres import start_postgres
from tests.requests.world import OUR_HOST, PNG, a_mail
from tests.scenarios.system import System, a_purchase, a_system, an_account, failed, submitted
from tests.scenarios.terminal import in_new_interpreter
from tests.servers import ON_POSTGRES, conninfo, eventually, fresh_database
from tests.soak.clocks import Clocks, WallClock, clocks_in
from tests.soak.disk import LeftOut
from worker.clock import written
from worker.sandbox.servers import RunningRedis

pytestmark = pytest.mark.landing
YEAR = 366 * 86400


@pytest.fixture
def clocks() -> Iterator[Clocks]:
    """Clocks in a folder that whoever Postgres runs as can reach."""
    with tempfile.TemporaryDirectory(prefix="refunds-clock-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        try:
            found = clocks_in(folder / "clocks")
        except LeftOut as why:
            pytest.skip(f"no clock can be set here: {why}")
        library = folder / found.library.name
        shutil.copyfile(found.library, library)
        library.chmod(0o755)
        yield Clocks(library, found.folder)


@ON_POSTGRES
def test_command_on_a_host_that_is_days_wrong_decides_nothing_and_answers_what_is_asked(
    database_url: str, own_redis: RunningRedis, clocks: Clocks
) -> None:
    clock = clocks.make("host")
    with a_system(database_url, own_redis.url) as system:
        system.load([an_account()])
        clock.set(YEAR)
        system.typed, system.extra = in_new_interpreter, clock.environ
        done = system.refunds("import", "-", stdin="", expect=2)
        assert done.stderr.startswith("refunds: the time: the database says it is 20")
        assert system.json("account", "acc_1")["email"] == "acc_1@example.org"
        found = {finding["check"]: finding for finding in system.json("doctor", expect=1)["findings"]}
        assert "ahead of the database's: where it is a day and more nothing is decided" in found["clock"]["finding"]


@pytest.fixture
def moving(clocks: Clocks, own_redis: RunningRedis, tmp_path: Path) -> Iterator[tuple[System, WallClock]]:
    """An installation that takes mails, and the clock of its database."""
    clock, folder = clocks.make("database"), Path(tempfile.mkdtemp(prefix="refunds-moving-"))
    folder.chmod(0o711)
    for name in ("new", "cur", "tmp"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    (tmp_path / "evidence").mkdir()
    more = {"REFUNDS_MAIL_DIR": f"{tmp_path / 'mail'}", "REFUNDS_EVIDENCE_DIR": f"{tmp_path / 'evidence'}"}
    more |= {"REFUNDS_MAIL_HOSTS": OUR_HOST, "REFUNDS_PEOPLE_SECONDS": "1"}
    try:
        with start_postgres(folder, durable=False) as server:
            server.stop()
            server.environment = {**(server.environment or {}), **clock.environ}
            server.start()
            with fresh_database(server.url) as url, a_system(url, own_redis.url, **more) as system:
                yield system, clock
    finally:
        shutil.rmtree(folder)


def write_in(system: System, number: int) -> None:
    """A mail of this customer comes into the Maildir."""
    mails, sender = Path(system.environ["REFUNDS_MAIL_DIR"]), f"acc_{number}@example.org"
    text = a_mail(f"Please refund my order ord_{number}.", sender=sender, message_id=f"<{number}@e>", files={"a.png": PNG})
    (mails / "tmp" / str(number)).write_bytes(text)
    os.rename(mails / "tmp" / str(number), mails / "new" / str(number))


def refusals(system: System) -> int:
    """How many tasks were not sure of the time so far."""
    return sum(path.read_text().count("the time: the database says it is") for path in system.folder.glob("*.log"))


@pytest.mark.nightly
@pytest.mark.parametrize("seconds", [YEAR, -2 * 86400])
def test_database_whose_clock_jumps_by_days_decides_nothing_for_anybody_until_it_is_right(
    moving: tuple[System, WallClock], seconds: int
) -> None:
    """By the year that it was ahead, files of open requests were deleted, letters dropped, what was asked in time declined; by
    the two days that it was behind, events were from the future.
    """
    system, clock = moving
    paid_at = written(datetime.now(UTC) - timedelta(hours=2))
    for name in ("1", "2"):
        system.load([an_account(f"acc_{name}"), a_purchase(f"ord_{name}", f"acc_{name}", 50, paid_at)])
    system.worker(1)
    write_in(system, 1)
    assert eventually(lambda: system.states() == {"review": 1}, 60), system.logs()

    clock.set(seconds)
    assert eventually(lambda: "the time: the database says it is" in system.logs(), 30), system.logs()
    write_in(system, 2)
    system.refunds("emit", "-", stdin="\n".join([submitted("job_2", "acc_2"), failed("job_2", "acc_2")]))
    assert "the time" in system.refunds("import", "-", stdin="", expect=2).stderr
    turned_away = refusals(system)
    assert eventually(lambda: refusals(system) > turned_away + 10, 30), system.logs()
    with psycopg.connect(conninfo(system.database_url)) as session:
        asked = "select (select count(*) from cases), (select count(*) from dead_letters)"
        assert session.execute(asked).fetchone() == (1, 0)
        assert session.execute("select distinct state from evidence").fetchall() == [("kept",)]

    clock.set(0)
    assert eventually(lambda: system.states() == {"review": 2, "refunded": 1}, 60), system.logs()
    assert system.audit()["breaches"] == []

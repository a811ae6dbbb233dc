"""A real restore: Postgres' own files of before the refund come back under real processes, real Redis, Creem over HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from tests.scenarios.system import System, a_purchase, a_system, an_account
from tests.servers import ON_POSTGRES, conninfo, eventually
from worker.clock import SystemClock, written
from worker.sandbox.creem import CreemDouble, SecondRefund, Switches
from worker.sandbox.creem.server import CreemServer
from worker.sandbox.servers import start_redis

SLOW = Switches(
    second_refund=SecondRefund.PAYS_AGAIN, second_while_pending=SecondRefund.PAYS_AGAIN, turns_early=False, settle_after=3600
)


@pytest.fixture
def double() -> CreemDouble:
    return CreemDouble(SystemClock(), switches=SLOW)


@pytest.fixture
def system(database_url: str, double: CreemDouble, tmp_path: Path) -> Iterator[System]:
    with start_redis(tmp_path / "redis") as redis, CreemServer(double) as creem:
        settings = {
            "REFUNDS_CREEM_API_KEY": double.api_key,
            "REFUNDS_CREEM_BASE_URL": creem.url,
            "REFUNDS_CREEM_TIMEOUT_SECONDS": "2",
            "REFUNDS_JOURNAL_DIR": str(tmp_path / "journal"),
        }
        with a_system(database_url, redis.url, **settings) as made:
            yield made


def copy_files(server: str, source: str, target: str) -> None:
    """Postgres copies the files of one database to another; nobody may be connected."""
    with psycopg.connect(conninfo(server), autocommit=True) as admin:
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(target)))
        copy = "create database {} template {} strategy file_copy"
        admin.execute(sql.SQL(copy).format(sql.Identifier(target), sql.Identifier(source)))


@pytest.mark.nightly
@pytest.mark.landing
@ON_POSTGRES
def test_restored_postgres_sends_nothing_again(system: System, double: CreemDouble, postgres_server: str) -> None:
    name = str(make_url(system.database_url).database)
    at = datetime.now(UTC) - timedelta(minutes=30)
    records = [an_account()]
    for number in range(2):
        paid_at = at + number * timedelta(minutes=5)
        records.append(a_purchase(f"ord_{number}", paid_at=written(paid_at)))
        known = {"customer_id": records[-1]["customer_id"], "order_id": f"ord_{number}"}
        double.pay(f"tran_ord_{number}", amount=900, paid_at=paid_at, **known)
    system.load(records)
    copy_files(postgres_server, name, f"{name}_backup")
    try:
        worker = system.worker(1)
        # the charge is read again once the answer is on record
        assert eventually(lambda: double.posts("tran_ord_1") == 1 and len(double.requests) > 3, within=60), system.logs()
        worker.terminate()
        worker.wait(40)
        copy_files(postgres_server, f"{name}_backup", name)
    finally:
        with psycopg.connect(conninfo(postgres_server), autocommit=True) as admin:
            admin.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(f"{name}_backup")))

    system.worker(1)
    asked = len(double.requests)
    assert eventually(lambda: len(double.requests) > asked, within=60), system.logs()
    assert eventually(lambda: "restore" in system.json("status")["breakers"], within=60), system.logs()
    found = system.json("restore", "check", expect=1)
    assert [item["transaction_id"] for item in found["missing"]] == ["tran_ord_1"]
    recovered = system.refunds("restore", "recover", "--reason", "the disk was lost").stdout
    assert "tran_ord_1" in recovered
    assert "1 calls put back as unknown, 0 left, 0 events read from the stream again" in recovered
    assert "Lifted at mark 2" in system.refunds("restore", "lift", "--reason", "compared with the dashboard").stdout
    asked = len(double.requests)
    assert eventually(lambda: len(double.requests) > asked, within=60), system.logs()
    assert (double.posts("tran_ord_1"), double.overpaid()) == (1, {})
    assert system.json("restore", "check")["ok"] is True
    system.audit()

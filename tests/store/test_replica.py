"""A server that only replays is no place for these books: they would be read as they were (failure-modes.md, X6)."""

import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import fakeredis
import psycopg
import pytest
from sqlalchemy import make_url, select, text

from policy import load_editions
from tests.cases.world import HandClock
from tests.postgres import start_postgres
from tests.servers import conninfo, eventually, give_schema
from tests.store.rows import an_account
from worker.cli.doctor.database import locks
from worker.errors import Misconfigured, TryLater
from worker.runtime import Runtime
from worker.settings import DEFAULT_TERMS, Settings
from worker.store import schema
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import accounts
from worker.web.metrics import Figures


@dataclass
class Pair:
    """The URLs of a server that takes writes, and of one that stands by with the same books and only replays."""

    primary: str
    standby: str


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Both, in a folder that the user whom Postgres runs as can reach."""
    with tempfile.TemporaryDirectory(prefix="refunds-replica-") as made, ExitStack() as stack:
        folder = Path(made)
        folder.chmod(0o711)
        with start_postgres(folder / "primary", durable=False) as server:
            give_schema(server.url)
        # as its owner's, who is another where we are root
        subprocess.run(["cp", "-a", folder / "primary", folder / "standby"], check=True)
        (folder / "standby" / "data" / "standby.signal").touch()
        yield Pair(*(stack.enter_context(start_postgres(folder / name, durable=False)).url for name in ("primary", "standby")))


class Address:
    """One address that leads to the server named when a connection is made, as a failover moves it; closed by `close`."""

    def __init__(self, url: str) -> None:
        self.leads_to = url
        self._listening = socket.create_server(("127.0.0.1", 0))
        host, port = self._listening.getsockname()
        self.url = make_url(url).set(host=host, port=port).render_as_string(hide_password=False)
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections; those there are end with their clients."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                there = make_url(self.leads_to)
                server = socket.create_connection((str(there.host), int(there.port or 0)))
                for here, beyond in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(here, beyond), daemon=True).start()

    def _pass_on(self, here: socket.socket, beyond: socket.socket) -> None:
        with suppress(OSError), here:
            while said := here.recv(65536):
                beyond.sendall(said)
            beyond.shutdown(socket.SHUT_WR)


@pytest.mark.landing
@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
def test_replica_is_refused_in_one_line(pair: Pair, monkeypatch: pytest.MonkeyPatch, isolation: str) -> None:
    # as whoever runs the server may have it for every session; it was a page of stack, and the end of a process that waits
    monkeypatch.setenv("PGOPTIONS", f"-c default_transaction_isolation={isolation.replace(' ', chr(92) + ' ')}")
    store = Store(pair.standby)
    with pytest.raises(Misconfigured, match=r"^the database server is a read-only replica: name the primary$"):
        schema.require_current(store)
    store.close()


@pytest.mark.landing
def test_replica_is_no_database_that_is_up(pair: Pair) -> None:
    def up(url: str) -> bool:
        store = Store(url)
        said = Figures(store, fakeredis.FakeRedis(), "events", HandClock(), load_editions(DEFAULT_TERMS)).text().decode()
        store.close()
        return "refunds_database_up 1.0" in said.splitlines()

    assert (up(pair.primary), up(pair.standby)) == (True, False)


@pytest.mark.landing
def test_process_that_waits_while_the_address_leads_to_a_standby_goes_on_once_it_leads_to_the_primary(pair: Pair) -> None:
    """Once each look found the same connection, and said so for as long as the standby lived."""
    address = Address(pair.standby)
    store = Store(address.url)

    def look(tx: Tx) -> None:
        # within another one, so that the pool has two
        store.read(schema.known_name)

    store.read(look)
    with pytest.raises(Misconfigured, match="read-only replica"):
        schema.require_current(store)
    address.leads_to = pair.primary
    for _ in range(3):
        assert schema.require_current(store) == schema.head()
    store.close()
    address.close()


@pytest.mark.landing
@pytest.mark.parametrize("reads", [0, 1, 2], ids=["fresh", "after a read", "after reads on two connections"])
def test_connections_that_a_failover_left_with_a_standby_are_dropped(pair: Pair, reads: int) -> None:
    address = Address(pair.standby)
    store = Store(address.url)

    def look(tx: Tx) -> None:
        # each within the other's, so that each has a connection of its own
        tx.connection.execute(text("select 1"))
        nested.append(True)
        if len(nested) < reads:
            store.read(look)

    def write() -> None:
        store.write(lambda tx: tx.insert_absent(accounts, [an_account(f"acc_{reads}")]))

    nested: list[bool] = []
    if reads:
        store.read(look)
    with pytest.raises(TryLater, match=r"^the database is not reachable: cannot .* (read-only transaction|during recovery)"):
        write()
    nested.clear()
    if reads:
        store.read(look)
    address.leads_to = pair.primary
    write()
    store.close()
    address.close()
    primary = Store(pair.primary)
    assert primary.read(lambda tx: tx.all(select(accounts.c.account_id).where(accounts.c.account_id == f"acc_{reads}")))
    primary.close()


@contextmanager
def standby_awaited(url: str) -> Iterator[None]:
    """Commits wait until a standby has them, and it is away."""
    with psycopg.connect(conninfo(url), autocommit=True) as admin:
        admin.execute("alter system set synchronous_standby_names = 'the_other'")
        admin.execute("select pg_reload_conf()")
        assert eventually(lambda: admin.execute("show synchronous_standby_names").fetchone() == ("the_other",))
        try:
            yield
        finally:
            admin.execute("alter system reset synchronous_standby_names")
            admin.execute("select pg_reload_conf()")


def test_doctor_says_that_commits_wait_for_a_standby_and_blames_no_session_of_ours(pair: Pair) -> None:
    """Everything stood still without a line in any log, and it advised to end our own session, as it did each one after."""
    runtime = Runtime.start(Settings(database_url=pair.primary))
    adding = threading.Thread(target=lambda: runtime.store.write(lambda tx: tx.insert(accounts, [an_account("acc_waits")])))

    def told() -> list[tuple[str, bool]]:
        return [(found["check"], found["ok"]) for found in locks(runtime)]

    with standby_awaited(pair.primary):
        adding.start()
        assert eventually(lambda: ("commits", False) in told())
        commits, others = locks(runtime)
        assert others["ok"], others
        assert commits["severity"] == "fault"
        assert commits["finding"].startswith("1 session committed and waits for a standby since 20")
        assert "`synchronous_standby_names` is 'the_other'" in commits["finding"]
    adding.join(10)
    assert told() == [("locks", True)]
    assert runtime.store.read(lambda tx: tx.exists(select(accounts).where(accounts.c.account_id == "acc_waits")))
    runtime.store.close()

"""A book moves while the real processes of the old database are still at work, and nothing of what comes meanwhile is lost."""

import json
from pathlib import Path

import pytest
import redis as redis_py

from tests.scenarios.system import System, a_purchase, a_system, an_account, failed, submitted
from tests.servers import eventually, fresh_database, give_schema

pytestmark = pytest.mark.landing
GROUP = "refunds"


def pending(client: redis_py.Redis) -> int:
    """Events that an intake has in hand, or that nobody has read."""
    [group] = [group for group in client.xinfo_groups("layer-jobs:events") if group["name"] == GROUP.encode()]
    return int(group["pending"]) + int(group["lag"] or 0)


def test_book_moves_under_processes_that_nobody_stopped_and_each_event_counts_once(
    tmp_path: Path, redis_server: str, redis: redis_py.Redis, postgres_server: str
) -> None:
    with fresh_database(postgres_server) as url, a_system(url, redis_server) as new:
        old = System(tmp_path, f"sqlite:///{tmp_path / 'refunds.db'}", redis_server, new.extra, new.typed)
        old.refunds("db", "upgrade")
        old.load([an_account(), a_purchase(credits=500)])
        process = old.worker()
        old.emit([document for n in range(20) for document in (submitted(f"job_{n}"), failed(f"job_{n}"))])
        old.comes_to("refunded", "job_19")
        moved = old.json("db", "move", "--to", url, "--reason", "we grew", "--yes")
        assert moved["rows"]["cases"] == 20
        # they are still there, and take what comes, and can keep none of it
        old.emit([document for n in range(20, 40) for document in (submitted(f"job_{n}"), failed(f"job_{n}"))])
        assert eventually(lambda: "this database is closed" in old.logs() or "the book was moved" in old.logs(), within=60)
        assert process.poll() is None
        assert pending(redis) == 40
        refused = old.refunds("status", "--json", expect=2)
        assert "the book was moved on" in json.loads(refused.stdout)["faults"][0]
        new.worker()
        new.settles(cases=40)
        # nobody stops them even now
        new.emit([document for n in range(40, 60) for document in (submitted(f"job_{n}"), failed(f"job_{n}"))])
        new.settles(cases=60)
        assert (new.states(), new.credits("acc_1")) == ({"refunded": 60}, 500)
        assert process.poll() is None
        old.stop()
        new.audit()


def test_command_says_what_it_would_do_what_it_did_and_where_the_book_is(
    tmp_path: Path, redis_server: str, redis: redis_py.Redis, postgres_server: str
) -> None:
    with a_system(f"sqlite:///{tmp_path / 'refunds.db'}", redis_server) as old, fresh_database(postgres_server) as url:
        old.load([an_account(), a_purchase()])
        to = ("--to", url, "--reason", "we grew", "--yes")
        assert "the database has no schema" in old.refunds("db", "move", *to, expect=2).stderr
        assert "expected a URL like" in old.refunds("db", "move", "--to", "mysql://host/db", "--reason", "no", expect=2).stderr
        give_schema(url)
        home = {"REFUNDS_BALANCE_TABLE": "public.profiles(account=id, balance=credits)"}
        with_balances = System(tmp_path, old.database_url, redis_server, home, old.typed)
        assert "do not come along" in with_balances.refunds("db", "move", *to, expect=1).stderr
        would = old.json("db", "move", *to, "--dry-run")
        assert (would["dry_run"], would["rows"]["purchases"]) == (True, 1)
        assert old.credits("acc_1") == 100
        done = old.refunds("db", "move", *to)
        assert "Moved." in done.stdout
        assert "moved already" in old.refunds("db", "move", *to, expect=1).stderr
        [finding] = [f for f in old.json("doctor", expect=1)["findings"] if f["check"] == "database"]
        assert "name that in REFUNDS_DATABASE_URL" in finding["finding"]
        assert System(tmp_path, url, redis_server, {}, old.typed).credits("acc_1") == 100
        assert old.json("restore", "reopen", "--reason", "the server burnt", "--yes")["ok"]
        assert "opened again by tester" in old.refunds("status").stdout

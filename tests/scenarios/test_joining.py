"""`docs/joining.md` as somebody would follow it: its snippets and commands, copied out of it, against real processes."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from tests.scenarios.system import ROOT, System, a_system
from tests.servers import ON_POSTGRES, conninfo, eventually
from worker.intake.fields import ID
from worker.intake.stream import open_stream_client
from worker.sandbox.servers import RunningRedis

pytestmark = pytest.mark.landing
GUIDE = (ROOT / "docs" / "joining.md").read_text()


def snippets(language: str) -> list[str]:
    """The fenced blocks of that language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def run(system: System, snippet: str) -> str:
    """What the Python snippet prints, with this Redis in place of the one that it names."""
    text = snippet.replace("redis://localhost:6379/0", system.redis_url)
    assert system.redis_url in text
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(beginning: str) -> list[str]:
    """The words of the command that the guide shows as inline code and that begins so."""
    (found,) = re.findall(rf"`refunds ({beginning}[^`]*)`", GUIDE)
    return shlex.split(found)


def test_the_guide_says_what_an_id_may_be() -> None:
    assert f"are {ID}; what carries any other is refused" in GUIDE


@ON_POSTGRES
def test_the_guide_leads_from_the_first_event_to_credits_that_came_back(system: System, tmp_path: Path) -> None:
    tell, read, _ = snippets("python")
    system.extra = {**system.extra, "REFUNDS_MODE": "observe"}
    history = tmp_path / "history.jsonl"
    history.write_text(snippets("json")[0])
    system.refunds("import", str(history))
    run(system, tell)
    with open_stream_client(system.redis_url) as client:
        client.execute_command(*shlex.split(snippets("sh")[0])[1:])
    observing = system.worker()
    system.comes_to("review")
    shown = system.case("job_1")
    assert shown is not None
    assert "effect.held" in {entry["event"] for entry in shown["history"]}
    assert system.credits("acc_1") == 5, "the job's price is gone, and in observe nothing comes back"
    observing.terminate()
    observing.wait(60)
    system.extra = {**system.extra, "REFUNDS_MODE": "credits_only"}
    going_live = command("requeue --kind job")
    assert going_live[-1] == "--dry-run"
    assert "refunded" in system.refunds(*going_live).stdout
    assert (system.case("job_1") or {})["state"] == "review", "a rehearsal changes nothing"
    system.refunds(*going_live[:-1], "--yes")
    system.worker()
    system.settles(cases=1)
    assert system.credits("acc_1") == 10
    with open_stream_client(system.redis_url) as client:
        client.xgroup_create("refunds:events", "balance", "0", mkstream=True)
        assert client.xreadgroup("balance", "me", {"refunds:events": ">"}), "the product was given it, and died over it"
    assert "refund.credits_reversed" in run(system, read)
    assert "refund.credits_reversed" not in run(system, read), "what was acknowledged is not read again"
    system.audit()


@ON_POSTGRES
def test_the_guide_leads_to_credits_in_the_products_own_table(database_url: str, own_redis: RunningRedis) -> None:
    owner = make_url(database_url)
    named = dict(line.split("=", 1) for line in snippets("ini")[0].splitlines())
    ours = make_url(named["REFUNDS_DATABASE_URL"])
    role, password = str(ours.username), str(ours.password)
    ours = ours.set(host=owner.host, port=owner.port, database=owner.database, query={**owner.query, **ours.query})
    (rights,) = snippets("sql")
    with psycopg.connect(conninfo(database_url), autocommit=True) as product:
        product.execute("create table profiles (id text primary key, credits integer not null)")
        product.execute("create table credit_entries (reference text primary key, user_id text, amount integer, type text)")
        product.execute("insert into profiles values ('acc_1', 5)")
        product.execute(rights.encode())
        try:
            with a_system(ours.render_as_string(hide_password=False), own_redis.url) as system:
                assert (role, password) == ("refunds_app", "choose-one")
                system.extra = {name: value for name, value in named.items() if name.startswith("REFUNDS_BALANCE")}
                system.extra |= {"REFUNDS_MODE": "credits_only"}
                (system.folder / "history.jsonl").write_text(snippets("json")[0])
                system.refunds("import", "history.jsonl")
                run(system, snippets("python")[0])
                system.worker()
                system.settles(cases=1)
                assert product.execute("select credits from profiles").fetchall() == [(10,)], system.logs()
                entries = product.execute("select user_id, amount, type from credit_entries").fetchall()
                assert entries == [("acc_1", 5, "reversal")]
                system.audit()
                assert "credits are booked in public.profiles and public.credit_entries too" in doctor(system)
                product.execute("update credit_entries set amount = 50")
                told = system.json("audit", expect=1)["breaches"]
                assert [breach["check"] for breach in told] == ["balances_follow_postings"]
                system.extra |= {"REFUNDS_BALANCE_TABLE": "public.profiles(account=id, balance=coins)"}
                assert "REFUNDS_BALANCE_TABLE: public.profiles has no column coins" in doctor(system)
                system.stop()
                system.worker()
                assert eventually(lambda: "has no column coins" in system.logs(), within=60), system.logs()
                assert "process.started" not in system.logs().rpartition("has no column coins")[2]
        finally:
            product.execute("drop schema refunds cascade")
            product.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(role)))


def doctor(system: System) -> str:
    return system.refunds("doctor", "--json", expect=None).stdout

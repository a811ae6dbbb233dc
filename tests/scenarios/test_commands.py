"""Commands as a person or a script meets them: shapes of the contract, and what they say when something is wrong."""

import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tests.money.world import MoneyWorld
from tests.notices.rude_server import rude_server
from tests.requests.world import PeopleWorld
from tests.scenarios.system import ROOT, System, a_purchase, a_system, an_account, failed, submitted, succeeded
from tests.scenarios.terminal import in_new_interpreter
from tests.servers import ON_POSTGRES, a_user, eventually
from tests.sockets import Behaviour, Wire, http, server
from worker.broker import answers, celery_of
from worker.cases.chain.heads import Head, Heads
from worker.cases.money import limits
from worker.clock import written
from worker.reruns import Answer
from worker.sandbox.creem import Switches
from worker.sandbox.creem.words import Fault
from worker.sandbox.servers import start_redis
from worker.settings import Settings
from worker.store.breakers import MAIL, in_vain, not_heard
from worker.store.engine import Store

pytestmark = pytest.mark.landing
NO_TEXT = os.fsdecode(b"bad\xff")
NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture
def system(tmp_path: Path, redis_server: str, redis: redis_py.Redis) -> Iterator[System]:
    with a_system(f"sqlite:///{tmp_path / 'refunds.db'}", redis_server) as made:
        yield made


def sweep(system: System) -> None:
    """What intake and one sweep would do, without processes."""
    system.refunds("import", "-", stdin="")
    system.one_turn()


def one_line(text: str) -> str:
    assert "Traceback" not in text
    assert len(text.strip().splitlines()) == 1, text
    assert text.startswith("refunds: "), text
    return text


def test_terminal_of_one_script_shows_what_it_can(system: System, tmp_path: Path) -> None:
    done = in_new_interpreter(["policy", "show"], b"", system.environ | {"PYTHONIOENCODING": "ascii"}, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2026" in done.stdout


def test_interpreter_that_leaves_checks_out_is_refused(system: System, tmp_path: Path) -> None:
    done = in_new_interpreter(["status"], b"", system.environ | {"PYTHONOPTIMIZE": "1"}, tmp_path)
    assert done.returncode == 2
    assert one_line(done.stderr).startswith("refunds: PYTHONOPTIMIZE: ")


def test_case_document_has_the_shape_of_the_contract(system: System) -> None:
    system.load([an_account(), a_purchase(credits=50)])
    system.emit([submitted("job_1"), failed("job_1")])
    sweep(system)
    case = system.json("show", "job_1")
    named = "case_id kind job_id account_id order_id state decision credits_owed credits_reversed reruns payments"
    assert {*named.split(), "opened_at", "due_at", "closed_at", "history"} <= case.keys()
    assert case["decision"] == {
        "outcome": "reverse_credits",
        "rule": "server_fault",
        "clause": "failed-job",
        "terms": "2025-12-03",
        "reason": case["decision"]["reason"],
    }
    assert {"at", "event", "by", "detail"} == case["history"][0].keys()
    assert system.json("show", case["case_id"]) == case
    account = system.json("account", "acc_1")
    assert {"account_id", "email", "status", "credits", "frozen", "lots"} <= account.keys()
    assert {"purchase_id", "granted", "remaining", "frozen", "void"} <= account["lots"][0].keys()
    listed = system.json("cases", "--state", "refunded", "--account", "acc_1", "--kind", "job")
    assert (len(listed["items"]), listed["next"]) == (1, None)
    status = system.json("status")
    assert {"backlog", "cases", "oldest_unhandled_at", "overdue_promises", "unknown_outcomes"} <= status.keys()
    audit = system.json("audit")
    assert (audit["ok"], audit["breaches"]) == (True, [])
    assert "Had " in system.refunds("why", "job_1").stdout


def test_every_answer_about_money_that_waits_says_that_nothing_has_left_and_what_holds_it(system: System) -> None:
    system.refunds("db", "upgrade")
    with closing(MoneyWorld(Store(system.database_url), switches=Switches(get=Fault.TIMEOUT))) as world:
        world.twice_charged()
        world.turn()
        assert world.state("ord_1") == "refunding"
        due_at = written(world.claim("tran_1").due_at)
        world.store.write(lambda tx: limits.stop(tx, by="ann", reason="a look first", now=world.clock.now()))
        world.store.close()
    held = "held by the money breaker until a person ends that: stopped by ann: a look first"
    shown, listed = system.refunds("show", "ord_1").stdout, system.refunds("cases", "--state", "refunding").stdout
    why = system.refunds("why", "ord_1").stdout.strip().splitlines()[-1]
    assert why.startswith("The money (tran_1  9.00 USD): nothing has left yet: ")
    assert "nothing has left yet" in " ".join(listed.split()), "and not why it was owed"
    assert f"next turn {due_at}" in why
    assert f"next turn {due_at}" in shown
    assert held in why
    assert held in shown
    assert "next look" not in shown
    assert system.json("cases")["items"][0]["stands"] == system.json("show", "ord_1")["payments"][0]["stands"]


def test_customer_is_found_by_mail_address_and_no_list_is_empty_for_a_name_that_is_unknown(system: System) -> None:
    system.load([an_account(), a_purchase(credits=50)])
    system.emit([submitted("job_1"), failed("job_1")])
    sweep(system)
    mail = system.json("account", "acc_1")["email"]
    assert system.json("account", mail.upper())["account_id"] == "acc_1"
    assert system.refunds("account", mail).stdout.startswith("acc_1 ")
    assert system.json("cases", "--account", mail)["items"][0]["job_id"] == "job_1"
    assert system.json("cases", "--account", "nobody@example.org") == {"items": [], "next": None}
    listed = system.refunds("cases", "--account", "acc_").stdout
    assert listed == "acc_: no account of that name or address; there are acc_1.\n"
    shown = system.refunds("show", "acc_1", expect=1).stderr
    assert "acc_1 is an account: `refunds account acc_1`, `refunds cases --account acc_1`" in shown
    assert "; there are job_1" in system.refunds("show", "job_", expect=1).stderr


def test_case_that_waits_for_facts_says_whose_until_when_and_what_to_do(system: System) -> None:
    system.refunds("db", "upgrade")
    system.emit([submitted("job_1"), failed("job_1")])
    sweep(system)
    case = system.json("show", "job_1")
    assert case["state"] == "waiting"
    said = system.refunds("why", "job_1").stdout.strip().splitlines()[-1]
    assert said.startswith("Nothing is decided yet: waiting for the account, a debit in the ledger")
    for part in (", of account acc_1. ", "import it", f"by {case['next_action_at']}"):
        assert part in said


def test_pages_follow_one_another_without_a_gap(system: System) -> None:
    system.load([an_account(), a_purchase(credits=50)])
    system.emit([line for n in range(5) for line in (submitted(f"job_{n}"), failed(f"job_{n}"))])
    sweep(system)
    seen, after = [], None
    while True:
        page = system.json("cases", "--limit", "2", *(["--after", after] if after else []))
        seen += [item["job_id"] for item in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(seen) == [f"job_{n}" for n in range(5)]


@pytest.mark.parametrize(
    ("words", "right"),
    [(("cases",), "case_01J"), (("review", "list"), "case_01J"), (("dead", "list"), "dead_01J")],
)
def test_id_to_continue_after_that_is_none_is_usage(system: System, words: tuple[str, ...], right: str) -> None:
    other = "dead_" if right.startswith("case_") else "case_"
    for wrong in ("garbage", "", f"{other}{'0' * 26}", f"{right[:5]}{'0' * 25}", f"{right[:5]}{'0' * 26}\n"):
        said = one_line(system.refunds(*words, "--after", wrong, "--json", expect=2).stderr)
        assert f"--after: expected an id like {right}…, which is `next` of the page before" in said
    assert system.json(*words, "--after", f"{right[:5]}{'0' * 26}")["items"] == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("REFUNDS_REDIS_ULR", "redis://x", "did you mean REFUNDS_REDIS_URL?"),
        ("REFUNDS_DATABASE_URL", "mysql://x", "expected a URL like postgresql+psycopg://"),
        ("REFUNDS_MODE", "brave", "'full', 'credits_only' or 'observe'"),
        ("REFUNDS_WEB_PORT", "99999", "less than or equal to 65535"),
    ],
)
def test_wrong_setting_is_named_with_what_would_be_right(system: System, name: str, value: str, said: str) -> None:
    system.extra = {name: value}
    for words in (["status"], ["worker"], ["doctor"]):
        done = system.refunds(*words, expect=2)
        assert name in done.stdout + done.stderr
        assert said in " ".join((done.stdout + done.stderr).split())
        assert "Traceback" not in done.stderr


def test_case_whose_row_was_changed_by_hand_is_shown_or_is_one_line_that_says_where_to_look(system: System) -> None:
    system.load([an_account(), a_purchase()])
    system.emit([submitted("job_1"), failed("job_1")])
    system.one_turn()
    with closing(sqlite3.connect(system.database_url.removeprefix("sqlite:///"))) as books, books:
        books.execute("delete from case_history")
    assert "job_1" in system.refunds("show", "job_1").stdout
    with closing(sqlite3.connect(system.database_url.removeprefix("sqlite:///"))) as books, books:
        books.execute("update cases set clause = 'another'")
    said = one_line(system.refunds("why", "job_1", expect=1).stderr)
    assert "'another' is not a valid Clause (worker/cases/book/decided.py:" in said
    assert "`refunds audit` names" in said
    [fault] = system.json("why", "job_1", expect=1)["faults"]
    assert fault in said


def test_every_wrong_setting_is_reported_at_once(system: System) -> None:
    system.extra = {"REFUNDS_MODE": "brave", "REFUNDS_BATCH": "none", "REFUNDS_TURBO": "1"}
    lines = system.refunds("status", expect=2).stderr.strip().splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["REFUNDS_TURBO", "REFUNDS_MODE", "REFUNDS_BATCH"]


def test_creem_key_is_named_with_the_other_faults(system: System) -> None:
    system.extra = {"REFUNDS_MODE": "brave", "REFUNDS_CREEM_API_KEY": "abc"}
    lines = system.refunds("status", expect=2).stderr.strip().splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["REFUNDS_MODE", "REFUNDS_CREEM_API_KEY"]
    assert "abc" not in lines[1]
    system.extra = {"REFUNDS_CREEM_API_KEY": "creem_test_1", "REFUNDS_CREEM_BASE_URL": "https://api.creem.io"}
    [found] = system.json("doctor", expect=2)["findings"]
    assert (found["check"], found["ok"]) == ("configuration", False)
    assert "REFUNDS_CREEM_BASE_URL: https://api.creem.io is the live host" in found["finding"]
    system.extra |= {"REFUNDS_CREEM_BASE_URL": "api.creem.io", "REFUNDS_CREEM_API_KEY": "creem test"}
    assert len(system.refunds("cases", expect=2).stderr.splitlines()) == 2, "a variable is named once"


def settings_named(said: str) -> list[str]:
    """The variable of each line of a refusal, without what begins them all."""
    return [line.removeprefix("refunds: REFUNDS_").partition(":")[0] for line in said.strip().splitlines()]


def test_settings_that_do_not_go_together_are_named_with_the_other_faults(system: System) -> None:
    system.extra = {
        "REFUNDS_MODE": "brave", "REFUNDS_CREEM_CREDITS": "default", "REFUNDS_BALANCE_TABLE": "profiles",
        "REFUNDS_BALANCE_ENTRIES": "entries(key=id)", "REFUNDS_NOTICES_URL": "smtp://ann:hunter2@mail.example.org?starttls=none",
        "REFUNDS_STREAM": "refunds:events",
    }  # fmt: skip
    said = system.refunds("status", expect=2).stderr
    assert settings_named(said) == [
        "MODE", "OUTCOMES_STREAM", "CREEM_CREDITS", "CREEM_CREDITS", "BALANCE_TABLE", "BALANCE_ENTRIES", "NOTICES_URL",
    ]  # fmt: skip
    assert "hunter2" not in said


def test_what_a_single_setting_cannot_be_is_named_with_the_other_faults_and_without_secrets(system: System) -> None:
    system.extra = {
        "REFUNDS_MODE": "brave", "REFUNDS_CREEM_API_KEY": "hunter2secret", "REFUNDS_CREEM_BASE_URL": "https://creem.example/v1",
        "REFUNDS_DATABASE_URL": "postgres://ann:hunter2secret@h/d?foo=bar", "REFUNDS_PIPELINE_URL": "http://ann:hunter2@h/?a=b",
        "REFUNDS_REDIS_URL": "redis://:hunter2secret@h/0?foo=bar",
    }  # fmt: skip
    said = system.refunds("status", expect=2).stderr
    assert sorted(settings_named(said)) == sorted(name.removeprefix("REFUNDS_") for name in system.extra)
    assert "hunter2" not in said


def test_port_that_is_taken_is_said_alike_by_all_that_listen_with_what_to_do(system: System) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        why = f"cannot listen on 127.0.0.1 port {port}: Address already in use; end what listens there, or name another port"
        system.extra = {"REFUNDS_WEB_PORT": str(port)}
        said = one_line(system.refunds("web", expect=2).stderr.partition("\n")[2])
        for double in ("pipeline", "creem"):
            held = one_line(system.refunds("sandbox", double, "--port", str(port), expect=2).stderr)
            assert held.startswith(f"refunds: --port: {why}")
    assert f"REFUNDS_WEB_PORT: {why}" in said
    system.extra = {"REFUNDS_WEB_HOST": "192.0.2.1", "REFUNDS_CONSOLE_PASSWORD": "correct horse battery"}
    said = one_line(system.refunds("web", expect=2).stderr.partition("\n")[2])
    assert "REFUNDS_WEB_HOST: cannot listen on 192.0.2.1 port 8080: Cannot assign requested address" in said


def test_doctor_and_web_name_all_that_is_wrong_with_the_settings_of_the_web_process(system: System) -> None:
    system.refunds("db", "upgrade")
    system.extra = {"REFUNDS_WEB_HOST": "::", "REFUNDS_CONSOLE_PASSWORD": " ", "REFUNDS_CREEM_WEBHOOK_SECRET": "a,,b"}
    lines = system.refunds("web", expect=2).stderr.strip().splitlines()[-2:]
    assert [line.split(": ")[1] for line in lines] == ["REFUNDS_WEB_HOST", "REFUNDS_CREEM_WEBHOOK_SECRET"]
    [found] = [one for one in system.json("doctor", expect=1)["findings"] if one["check"] == "web"]
    assert (found["ok"], found["severity"]) == (False, "fault")
    assert "REFUNDS_WEB_HOST" in found["finding"]
    assert "REFUNDS_CREEM_WEBHOOK_SECRET" in found["finding"]
    # with those of all processes at once
    system.extra = {**system.extra, "REFUNDS_TYPO": "1", "REFUNDS_TERMS_DIR": "/nowhere"}
    lines = system.refunds("web", expect=2).stderr.strip().splitlines()
    named = ["REFUNDS_TYPO", "REFUNDS_WEB_HOST", "REFUNDS_CREEM_WEBHOOK_SECRET", "REFUNDS_TERMS_DIR"]
    assert [line.split(": ")[1] for line in lines] == named
    system.extra = {"REFUNDS_TERMS_DIR": "/nowhere"}
    assert "REFUNDS_TERMS_DIR: /nowhere: no terms here" in one_line(system.refunds("policy", "show", expect=2).stderr)


@pytest.mark.parametrize("outside", [{"REFUNDS_WEB_HOST": "::"}, {"REFUNDS_CONSOLE_HOSTS": "refunds.example.org"}])
def test_doctor_warns_of_a_console_that_others_can_reach_with_a_password_they_can_guess(
    system: System, outside: dict[str, str]
) -> None:
    system.refunds("db", "upgrade")
    system.extra = outside | {"REFUNDS_CONSOLE_PASSWORD": "s3cret"}
    [found] = [one for one in system.json("doctor")["findings"] if one["check"] == "web"]
    assert (found["ok"], found["severity"]) == (False, "warning")
    assert "a password has 12 to 256 characters" in found["finding"]
    assert "s3cret" not in found["finding"]


def test_placeholder_of_the_manifests_is_no_secret(system: System) -> None:
    system.extra = {"REFUNDS_CONSOLE_PASSWORD": "CHANGE-ME", "REFUNDS_CREEM_WEBHOOK_SECRET": "whsec_CHANGE-ME"}
    lines = system.refunds("web", expect=2).stderr.strip().splitlines()
    assert sorted(line.split(": ")[1] for line in lines) == ["REFUNDS_CONSOLE_PASSWORD", "REFUNDS_CREEM_WEBHOOK_SECRET"]


def test_celery_itself_names_a_wrong_setting_without_a_traceback(system: System) -> None:
    system.extra = {"REFUNDS_REDIS_ULR": "x"}
    process = system.start("celery", "-A", "worker", "worker")
    assert process.wait(30) != 0
    assert "did you mean REFUNDS_REDIS_URL?" in system.logs()
    assert "Traceback" not in system.logs()


def test_unreachable_postgres_is_one_line_without_the_password(system: System) -> None:
    system.database_url = "postgresql+psycopg://refunds:s3cret@127.0.0.1:1/refunds"
    said = system.refunds("status", expect=2).stderr
    assert "the database is not reachable" in one_line(said)
    assert "s3cret" not in said


def test_unreachable_redis_is_named_and_the_books_can_still_be_read(system: System) -> None:
    system.redis_url = NOBODY
    assert "Redis is not reachable" in one_line(system.refunds("emit", "-", stdin="{}", expect=2).stderr)
    status = system.json("status")
    assert "Redis is not reachable" in status["stream"]["error"]
    assert status["backlog"] is None, "nobody knows"
    assert system.json("audit", "--books-only")["ok"]
    breach = system.json("audit", expect=1)["breaches"][0]
    assert breach["check"] == "no_event_lost"


def test_reconcile_and_recover_do_not_agree_with_a_stream_that_they_could_not_read(system: System) -> None:
    """Once `reconcile` said that both sides agree: an event that was lost behind it was looked for nowhere, and nobody heard."""
    system.redis_url = NOBODY
    [left] = system.json("reconcile", expect=1)["findings"]
    assert (left["check"], left["row"]) == ("not_compared", "stream")
    assert "the stream cannot be read" in left["problem"]
    assert "--books-only leaves it out" in left["problem"]
    assert system.json("reconcile", "--books-only")["ok"]
    said = system.refunds("restore", "recover", "--yes", "--reason", "disk lost", expect=2).stderr
    assert "the stream cannot be read" in said


@pytest.mark.nightly
def test_locked_sqlite_file_is_named(tmp_path: Path, system: System) -> None:
    system.load([an_account()])
    path = system.database_url.removeprefix("sqlite:///")
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("begin exclusive")
        assert "locked by another process" in one_line(system.refunds("import", "-", stdin="", expect=2).stderr)
        other.execute("rollback")
    other.close()


def test_missing_schema_says_which_command_makes_it(system: System, tmp_path: Path) -> None:
    system.database_url = f"sqlite:///{tmp_path / 'empty.db'}"
    assert "refunds db upgrade" in one_line(system.refunds("status", expect=2).stderr)
    assert not (tmp_path / "empty.db").exists(), "a mistyped name leaves nothing behind"
    (tmp_path / "empty.db").touch()
    assert "refunds db upgrade" in one_line(system.refunds("status", expect=2).stderr)


def test_case_that_is_named_twice_is_put_back_once(system: System) -> None:
    system.load([an_account(), a_purchase(credits=50)])
    system.emit([submitted("job_1"), failed("job_1", code="job_timeout")])
    system.extra = {"REFUNDS_PIPELINE_URL": "http://127.0.0.1:1"}
    sweep(system)
    names = ("job_1", "job_1", system.json("show", "job_1")["case_id"])
    assert len(system.json("requeue", *names, "--dry-run", "--reason", "a look")["items"]) == 1
    assert "1 put back" in system.refunds("requeue", *names, "--reason", "pipeline is back", "--yes").stdout


def test_folder_is_no_terms_file(system: System, tmp_path: Path) -> None:
    said = one_line(system.refunds("policy", "check", str(tmp_path), expect=2).stderr)
    assert said.endswith(": is no file; name one of terms\n")


def test_wrong_terms_file_names_file_key_and_what_would_be_right(system: System, tmp_path: Path) -> None:
    shipped = ROOT / "policy" / "terms" / "2025-12-03.toml"
    wrong = tmp_path / "2025-12-03.toml"
    wrong.write_text(shipped.read_text().replace("promise_business_days = 3", 'promise_busines_days = "three"'))
    done = system.refunds("policy", "check", str(wrong), expect=1)
    assert "promise_busines_days" in done.stderr
    assert "promise_business_days" in done.stderr
    assert "2025-12-03.toml" in done.stderr
    assert system.json("policy", "check", str(wrong), expect=1)["ok"] is False
    assert system.json("policy", "check")["ok"] is True


def test_calendar_that_nobody_has_is_a_fault_of_the_terms_like_any_other(system: System, tmp_path: Path) -> None:
    text = (ROOT / "policy" / "terms" / "2025-12-03.toml").read_text()
    (wrong := tmp_path / "2025-12-03.toml").write_text(text.replace('holiday_calendar = "US"', 'holiday_calendar = "ZZ"'))
    assert "'ZZ' is no calendar we have" in one_line(system.refunds("policy", "check", str(wrong), expect=1).stderr)
    assert system.json("policy", "check", str(wrong), expect=1)["ok"] is False


def test_replay_shows_what_other_terms_would_have_cost(system: System, tmp_path: Path) -> None:
    system.load([an_account(), a_purchase(credits=50)])
    system.emit([submitted("job_1"), failed("job_1"), submitted("job_2"), failed("job_2")])
    sweep(system)
    shipped = (ROOT / "policy" / "terms" / "2025-12-03.toml").read_text()
    harsher = tmp_path / "2027-01-01.toml"
    code = json.loads(failed("job_1"))["data"]["failure"]["code"]
    moved = shipped.replace("2025-12-03", "2027-01-01").replace(f'"{code}", ', "").replace("input = [", f'input = ["{code}", ')
    harsher.write_text(moved)
    found = system.json("policy", "replay", "--terms", str(harsher))
    assert (found["cases"], found["changed"], found["credits"], found["money"]) == (2, 2, -10, {})
    assert [(row["clause"], row["before"], row["after"]) for row in found["by_clause"]] == [
        ("failed-job", "reverse_credits", "decline")
    ]
    picture = tmp_path / "changes.png"
    shown = system.refunds("policy", "replay", "--terms", str(harsher), "--plot", str(picture)).stdout
    assert "2, 100.0 %" in shown
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert system.json("policy", "replay", "--terms", "2025-12-03", "--since", "2026-01-01")["changed"] == 0
    assert system.credits("acc_1") == 50, "nothing was taken back"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--terms", "2031-01-01"), "no such file, and no edition 2031-01-01"),
        (("--terms", "2025-12-03", "--since", "yesterday"), "2026-03-01 or"),
        (("--terms", "2025-12-03", "--plot", "changes.pdf"), "expected a name like changes.png"),
        (("--terms", "2025-12-03", "--plot", "nowhere/changes.png"), "there is no folder nowhere"),
    ],
)
def test_replay_says_what_it_cannot_read(system: System, words: tuple[str, ...], said: str) -> None:
    assert said in one_line(system.refunds("policy", "replay", *words, expect=2).stderr)


def test_new_terms_that_move_much_take_effect_with_two_people(system: System, tmp_path: Path) -> None:
    shipped, folder = (ROOT / "policy" / "terms" / "2025-12-03.toml").read_text(), tmp_path / "terms"
    folder.mkdir()
    (folder / "2025-12-03.toml").write_text(
        shipped.replace("duplicate_w", "activation_second_person_above_credits = 4\nduplicate_w", 1)
    )
    system.extra = {**system.extra, "REFUNDS_TERMS_DIR": str(folder)}
    system.load([an_account(), a_purchase(credits=50)])
    system.emit([submitted("job_1"), failed("job_1")])
    sweep(system)
    other = shipped.replace("2025-12-03", "2027-01-01").replace('"model_error", ', "")
    (folder / "2027-01-01.toml").write_text(other.replace("input = [", 'input = ["model_error", '))

    said = "edition 2027-01-01 of the terms waits for a person: `refunds policy activate 2027-01-01`"
    assert said in system.refunds("doctor", expect=1).stdout
    words = ("policy", "activate", "2027-01-01", "--reason", "agreed in the meeting")
    dry = system.json(*words, "--dry-run")
    assert (dry["dry_run"], dry["would_be"], dry["credits"]) == (True, "proposed", 5)
    assert "would be put to a second person" in system.refunds(*words, "--dry-run").stdout
    assert "left as it is" in system.refunds(*words, stdin="no\n", expect=1).stderr
    shown = system.refunds(*words).stdout
    assert "waits for a second person" in shown
    assert "proposed by tester; another person has to" in one_line(system.refunds(*words, expect=1).stderr)
    system.extra = {**system.extra, "REFUNDS_ACTOR": "somebody else"}
    assert system.json(*words, "--dry-run")["would_be"] == "activated"
    done = system.json(*words, "--yes")
    assert (done["state"], done["by"], done["first"], done["credits"]) == ("activated", "somebody else", "tester", 5)
    assert said not in system.refunds("doctor").stdout
    assert "no edition 2031-01-01" in one_line(
        system.refunds("policy", "activate", "2031-01-01", "--reason", "-", expect=2).stderr
    )


@pytest.mark.parametrize(
    "words",
    [
        ("import", "-"),
        ("requeue", "job_1", "--reason", "again", "--yes"),
        ("review", "decline", "job_1", "--reason", "no", "--yes"),
        ("request", "add", "mail.eml"),
        ("reconcile",),
    ],
    ids=" ".join,
)
def test_no_command_decides_by_terms_that_no_process_would_decide_by(
    system: System, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """The folder of whoever types it is another than the processes have: there an edition waits for the word of two people."""
    shipped, folder = (ROOT / "policy" / "terms" / "2025-12-03.toml").read_text(), tmp_path / "terms"
    folder.mkdir()
    first = shipped.replace("duplicate_w", "activation_second_person_above_credits = 4\nduplicate_w", 1)
    (folder / "2025-12-03.toml").write_text(first)
    system.extra = {**system.extra, "REFUNDS_TERMS_DIR": str(folder)}
    system.load([an_account(), a_purchase(credits=50)])
    system.emit([submitted("job_1"), failed("job_1", code="unheard_of")])
    sweep(system)
    (system.folder / "mail.eml").write_text("From: acc_1@example.org\nSubject: job_1\n\nMy job job_1 failed.\n")
    before = system.json("show", "job_1")
    (folder / "2026-01-01.toml").write_text(shipped.replace("2025-12-03", "2026-01-01"))
    said = one_line(system.refunds(*words, expect=2).stderr)
    assert "edition 2026-01-01 of the terms waits for a person" in said
    assert system.json("show", "job_1") == before


def test_doctor_names_what_was_judged_before_the_file_of_its_edition_came(system: System, tmp_path: Path) -> None:
    shipped, folder = (ROOT / "policy" / "terms" / "2025-12-03.toml").read_text(), tmp_path / "terms"
    folder.mkdir()
    (folder / "2025-12-03.toml").write_text(shipped)
    system.extra = {**system.extra, "REFUNDS_TERMS_DIR": str(folder)}
    system.load([an_account(), a_purchase(credits=50)])
    system.emit([submitted("job_1"), failed("job_1")])
    sweep(system)
    late = f"{datetime.now(UTC) - timedelta(days=3):%Y-%m-%d}"
    (folder / f"{late}.toml").write_text(shipped.replace("2025-12-03", late))
    found = {finding["check"]: finding for finding in system.json("doctor")["findings"]}["terms in force"]
    assert (found["ok"], found["severity"]) == (False, "warning")
    assert found["finding"].startswith(f"edition 2025-12-03 judged 1 case of days when {late} was in force: its file came after")


def test_nothing_starts_under_wrong_terms(system: System, tmp_path: Path) -> None:
    shipped = ROOT / "policy" / "terms" / "2025-12-03.toml"
    (tmp_path / "terms").mkdir()
    (tmp_path / "terms" / shipped.name).write_text(
        shipped.read_text().replace("rerun_deadline_minutes = 60", "rerun_deadline_minutes = -1")
    )
    system.extra = {"REFUNDS_TERMS_DIR": str(tmp_path / "terms")}
    assert "rerun_deadline_minutes" in one_line(system.refunds("worker", expect=2).stderr)
    process = system.start("celery", "-A", "worker", "worker")
    assert process.wait(30) != 0
    assert "rerun_deadline_minutes" in system.logs()
    assert "Traceback" not in system.logs()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("[", "[["), ("money_per_day_minor_units = 1000000", "money_per_day_minor_units = 999")],
    ids=["syntax", "amount"],
)
def test_status_under_terms_that_cannot_be_read_tells_all_else_and_the_fault_first(
    system: System, tmp_path: Path, right: str, wrong: str
) -> None:
    """Whoever is called at night types this first, and nothing can be started then."""
    system.load([an_account(), a_purchase(credits=50)])
    system.emit([submitted("job_1"), failed("job_1")])
    sweep(system)
    shipped = ROOT / "policy" / "terms" / "2025-12-03.toml"
    (tmp_path / "terms").mkdir()
    (tmp_path / "terms" / shipped.name).write_text(shipped.read_text().replace(right, wrong, 1))
    system.extra = {**system.extra, "REFUNDS_TERMS_DIR": str(tmp_path / "terms")}
    done = system.refunds("status", expect=2)
    assert "2025-12-03.toml" in done.stdout.splitlines()[0] + done.stdout.splitlines()[1]
    assert "1 refunded" in done.stdout
    assert "Nobody waits" not in done.stdout
    assert "2025-12-03.toml" in done.stderr
    found = system.json("status", expect=2)
    assert (found["cases"]["refunded"], found["deadlines"], found["approved"]) == (1, [], [])
    assert "2025-12-03.toml" in found["faults"][0]
    assert "2025-12-03.toml" in system.refunds("status", "--deadlines", expect=2).stderr
    system.extra = {name: value for name, value in system.extra.items() if name != "REFUNDS_TERMS_DIR"}
    assert system.json("status")["faults"] == []


def test_terms_with_many_faults_are_said_to_have_them_in_four_lines(system: System, tmp_path: Path) -> None:
    system.refunds("db", "upgrade")
    (tmp_path / "terms").mkdir()
    (tmp_path / "terms" / "2027-01-01.toml").write_text("effective = 1\n")
    system.extra = {"REFUNDS_TERMS_DIR": str(tmp_path / "terms")}
    faults = system.json("policy", "check", expect=1)["faults"]
    lines = system.refunds("policy", "show", expect=2).stderr.splitlines()
    assert lines[:3] == [f"refunds: {fault}" for fault in faults[:3]]
    assert lines[3:] == [f"refunds: … and {len(faults) - 3} more: `refunds policy check` names them all"]


def test_faulty_import_line_changes_nothing_and_is_named(system: System) -> None:
    lines = [
        json.dumps(an_account()),
        json.dumps(a_purchase(credits=-5)),
        "{",
        json.dumps({**a_purchase("ord_2"), "paid_at": "2026-03-01"}),
    ]
    done = system.refunds("import", "-", stdin="\n".join(lines), expect=1)
    assert "line 2: credits is -5; expected a whole number from 0" in done.stderr
    assert "line 3:" in done.stderr
    assert "line 4: paid_at" in done.stderr
    assert "nothing was imported" in done.stderr
    assert "no account of that name" in system.refunds("account", "acc_1", expect=1).stderr


def test_import_says_of_every_file_what_of_it_is_refused(system: System) -> None:
    system.load([an_account(), a_purchase()])
    file = json.dumps({**a_purchase(), "amount": 907})
    for _ in range(2):
        done = system.refunds("import", "-", stdin=file, expect=1)
        assert done.stdout == "Imported nothing; 0 were known already; 1 refused.\n"
        assert "refunds: purchase:ord_1: " in done.stderr
        told = system.json("import", "-", stdin=file, expect=1)
        assert (told["records"], told["repeated"], [one["record"] for one in told["refused"]]) == ({}, 0, ["purchase:ord_1"])


def test_import_names_cases_of_every_kind(system: System) -> None:
    twins = [{**a_purchase(name), "request_id": "chk-1"} for name in ("ord_1", "ord_2")]
    done = system.refunds("import", "-", stdin="\n".join(json.dumps(one) for one in (an_account(), *twins)))
    assert "Cases in it: 1 " in done.stdout


def test_suspended_account_says_the_command_that_lifts_it_and_that_does(system: System, tmp_path: Path) -> None:
    system.refunds("db", "upgrade")
    with closing(PeopleWorld(Store(system.database_url), tmp_path)) as world:
        world.bought_once()
        world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))
        case_id = world.mail().case_id
        for by, choice in (("ann", "suspend"), ("bob", "suspend"), ("bob", "decline")):
            world.decide(case_id, choice, by=by)
        world.store.close()
    lifts = f'refunds review approve {case_id} --choice reinstate --reason "…"'
    assert f"`{lifts}`" in " ".join(system.refunds("account", "acc_1").stdout.split())
    shown = system.refunds("review", "show", case_id).stdout
    assert "acc_1 is active again" in shown
    assert "review decline" not in shown
    assert "acc_1 is active." in system.refunds(*shlex.split(lifts)[1:], "--yes").stdout
    assert system.json("account", "acc_1")["status"] == "active"
    assert "reinstate" not in system.refunds("account", "acc_1").stdout
    assert "does not wait for a person" in system.refunds("review", "show", case_id).stdout


def test_whoever_would_turn_a_no_is_told_what_does(system: System, tmp_path: Path) -> None:
    system.refunds("db", "upgrade")
    with closing(PeopleWorld(Store(system.database_url), tmp_path)) as world:
        world.bought_once()
        world.happen(world.submitted("job_1"), world.failed("job_1", code="invalid_image"))
        world.sweep()
        world.store.close()
    approve = system.refunds("review", "approve", "job_1", "--reason", "r", "--yes", expect=1).stderr
    shown = system.refunds("review", "show", "job_1").stdout
    requeued = system.refunds("requeue", "job_1", "--reason", "r").stdout
    assert "Nothing to do" in requeued
    assert "\n## A wrong no\n" in (ROOT / "docs" / "runbook.md").read_text()
    for said in (approve, shown, requeued):
        assert 'the runbook, "A wrong no", has what turns' in " ".join(said.split())


def test_import_warns_once_of_each_name_that_it_does_not_know(system: System) -> None:
    records = [an_account("acc_1"), *({**a_purchase(f"ord_{n}"), "transaction": "tran_1", "\x1b[2J\ud800": 1} for n in range(3))]
    lines = "\n".join(map(json.dumps, records))
    done = system.refunds("import", "-", stdin=lines)
    assert "3 purchases" in done.stdout
    names = (r"\u001b[2J\ud800", "transaction")
    assert done.stderr.splitlines() == [f'refunds: "{name}": not known, ignored in 3 records' for name in names]
    many = an_account("acc_2") | {f"name_{n}": None for n in range(22)}
    told = system.refunds("import", "-", stdin=json.dumps(many), expect=0).stderr.splitlines()
    assert (len(told), told[-1]) == (21, "refunds: and 2 more names that are not known")
    assert "not known" not in system.refunds("import", "-", stdin=json.dumps(an_account("acc_2"))).stderr


def test_import_says_which_accounts_stay_suspended(system: System) -> None:
    records = [an_account(f"acc_{number:02}") for number in range(21)]
    system.load(records)
    suspend = "update accounts set status = 'suspended', suspended_here = 1"
    with closing(sqlite3.connect(system.database_url.removeprefix("sqlite:///"))) as books, books:
        books.execute(suspend)
    one, all_of_them = (json.dumps(records[3]), "\n".join(map(json.dumps, records)))
    said = system.refunds("import", "-", stdin=one).stdout
    assert "1 were known already" in said
    assert "acc_03 stays suspended: two people suspended it here." in said
    assert system.json("import", "-", stdin=one)["stay_suspended"] == ["acc_03"]
    told = " ".join(system.refunds("import", "-", stdin=all_of_them).stdout.split())
    assert "21 accounts stay suspended: two people suspended them here (acc_00, acc_01, " in told
    assert "acc_19, …)." in told


def test_many_cases_are_put_back_at_once_by_what_they_have_in_common(system: System) -> None:
    system.load([an_account(), a_purchase(credits=200)])
    system.emit([failed(f"job_{n}") for n in range(30)])
    sweep(system)
    looking = ("requeue", "--state", "waiting", "--limit", "28", "--dry-run", "--reason", "looking")
    shown = system.refunds(*looking).stdout
    assert "28" in shown, "more than a page is summed up"
    assert "2 more match" in shown
    behind = system.json(*looking)["next"]
    assert f"--after {behind}" in shown
    assert len(system.json(*looking, "--after", behind)["items"]) == 2
    assert "Nothing was changed" in shown
    system.emit([submitted(f"job_{n}", "acc_1", 1) for n in range(20)])
    done = system.json("requeue", "--kind", "job", "--state", "waiting", "--reason", "their jobs came late")
    assert len(done["items"]) == 30
    sweep(system)
    assert system.states() == {"refunded": 20, "waiting": 10}


@pytest.mark.parametrize("words", [(), ("job_1", "--state", "waiting"), ("job_1", "--after", "case_01M2Q0ZVBW9K6X4T8N3R5Y7ADE")])
def test_requeue_wants_names_or_a_filter_and_not_both(system: System, words: tuple[str, ...]) -> None:
    assert "not both" in one_line(system.refunds("requeue", *words, "--reason", "r", expect=2).stderr)


def test_requeue_that_matches_nothing_says_so(system: System) -> None:
    assert "No case matches" in system.refunds("requeue", "--stuck", "--reason", "r").stdout


def test_comparing_with_a_database_that_holds_nothing_says_which_one(system: System, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path}/empty.db"
    said = system.refunds("compare", "--with", other, expect=2).stderr
    assert one_line(said).startswith(f"refunds: --with {other}: the schema is missing")


def test_dead_letters_are_grouped_and_put_back_by_reason(system: System) -> None:
    system.emit(["no json", "nor this"])
    sweep(system)
    assert "not_json" in system.refunds("dead", "list", "--by-reason").stdout
    done = system.json("dead", "requeue", "--all-of", "not_json", "--reason", "the producer says it is fine", expect=1)["items"]
    assert [item["state"] for item in done] == ["open", "open"]
    said = system.refunds("dead", "requeue", "--all-of", "not_json", "--reason", "again", "--yes", expect=1).stdout
    assert all(said.count(item["dead_id"]) == 1 for item in done), "each is named once"
    letter = done[0]["dead_id"]
    assert f"{letter} is a dead letter: `refunds dead show {letter}`" in system.refunds("show", letter, expect=1).stderr
    assert "--all-of" in one_line(system.refunds("dead", "requeue", "--reason", "which?", expect=2).stderr)


def test_flood_of_dead_letters_is_put_aside_by_reason_and_no_other_with_it(system: System) -> None:
    system.emit([*(f"no json {number}" for number in range(3)), failed("job_1").replace("layer_job.failed", "layer_job.frozen")])
    sweep(system)
    why = ("--all-of", "not_json", "--reason", "a flood")
    dry = system.json("dead", "discard", *why, "--dry-run")
    assert [item["would_be"] for item in dry["items"]] == ["discarded"] * 3
    first = system.json("dead", "discard", *why, "--limit", "2", "--yes")
    assert [item["state"] for item in first["items"]] == ["discarded"] * 2
    assert first["next"] == first["items"][-1]["dead_id"]
    assert "left as it is" in one_line(system.refunds("dead", "discard", *why, stdin="n\n", expect=1).stderr)
    assert "1 of 1 letter is put aside" in system.refunds("dead", "discard", *why, "--yes").stdout
    assert [item["reason"] for item in system.json("dead", "list")["items"]] == ["unknown_type"]
    both = system.refunds("dead", "discard", "dead_1", *why, expect=2)
    assert "not both" in one_line(both.stderr)
    typo = ("--all-of", "not_jason", "--reason", "r", "--yes")
    said = one_line(system.refunds("dead", "discard", *typo, expect=2).stderr)
    assert said.startswith("refunds: --all-of: expected a reason that letters have (bad_number, ")
    assert said.endswith(", wrong_version), not not_jason\n")
    assert "No open letter has that reason" in system.refunds("dead", "discard", *why, "--yes").stdout


@pytest.mark.parametrize("act", ["requeue", "discard"])
def test_reason_that_no_letter_has_yet_is_no_typo(system: System, act: str) -> None:
    why = ("--reason", "r", "--yes")
    for reason in ("unknown_customer", "keeps_failing", "not_json"):
        assert "No open letter has that reason" in system.refunds("dead", act, "--all-of", reason, *why).stdout
    system.refunds("dead", act, "--all-of", "unknown_costumer", *why, expect=2)


def test_letter_that_was_put_back_and_fails_again_is_where_the_answer_said(system: System) -> None:
    system.load([an_account(), a_purchase()])
    dearer = json.loads(submitted("job_1", credits=7)) | {"id": "another"}
    system.emit([submitted("job_1"), json.dumps(dearer)])
    sweep(system)
    (letter,) = system.json("dead", "list")["items"]
    assert letter["reason"] == "conflicting_job", letter
    sought = "What fails again comes back here under its reason: `refunds dead list --by-reason`"
    for which in (["--all-of", "conflicting_job"], [letter["dead_id"]]):
        assert sought in system.refunds("dead", "requeue", *which, "--reason", "r", "--yes").stdout
        assert system.json("dead", "list")["items"] == []
        sweep(system)
        assert [item["reason"] for item in system.json("dead", "list")["items"]] == ["conflicting_job"]
    assert sought not in system.refunds("dead", "discard", "--all-of", "conflicting_job", "--reason", "r", "--yes").stdout


def test_letters_behind_those_that_stay_open_can_be_reached(system: System) -> None:
    system.emit(["no json", "nor this", "and neither this"])
    sweep(system)
    why = ("--all-of", "not_json", "--reason", "r", "--yes", "--limit", "2")
    shown = system.refunds("dead", "requeue", *why, expect=1).stdout
    after = shown.rpartition("--after ")[2].strip()
    assert "0 of 2 letters are put back" in shown
    assert "0 of 1 letter is put back" in system.refunds("dead", "requeue", *why, "--after", after, expect=1).stdout


def test_dry_run_of_dead_letters_says_which_by_reason_and_changes_nothing(system: System) -> None:
    system.emit(["no json", "nor this", failed("job_1").replace("layer_job.failed", "layer_job.frozen")])
    sweep(system)
    before = system.json("dead", "list", "--all")
    # letters of one millisecond come in any order
    one = next(item["dead_id"] for item in before["items"] if item["reason"] == "unknown_type")
    why = ("--reason", "a look", "--dry-run")
    many = system.json("dead", "requeue", "--all-of", "not_json", *why)
    assert (many["dry_run"], many["next"], len(many["items"])) == (True, None, 2)
    assert {(item["reason"], item["would_be"]) for item in many["items"]} == {("not_json", "open")}
    single = system.json("dead", "requeue", one, *why)
    assert (single["dry_run"], single["dead_id"], single["reason"]) == (True, one, "unknown_type")
    gone = system.json("dead", "discard", one, *why)
    assert (gone["dry_run"], gone["would_be"]) == (True, "discarded")
    shown = system.refunds("dead", "requeue", "--all-of", "not_json", *why).stdout
    assert "2 with reason not_json would stay open" in shown
    for words in (["requeue", one], ["discard", one], ["requeue", "--all-of", "not_json"]):
        assert "Nothing was changed" in system.refunds("dead", *words, *why).stdout
    assert system.json("dead", "list", "--all") == before
    assert "left as it is" in one_line(system.refunds("dead", "discard", one, "--reason", "r", stdin="n\n", expect=1).stderr)
    refused = system.refunds("dead", "requeue", "--all-of", "not_json", "--reason", "r", "--json", stdin="no\n", expect=1)
    assert (json.loads(refused.stdout)["faults"], system.json("dead", "list", "--all")) == (["left as it is"], before)
    assert system.json("dead", "discard", one, "--reason", "noise", "--yes")["state"] == "discarded"


def charged_twice(account: str = "acc_1") -> list[dict[str, Any]]:
    """What the product's history says of a customer who paid for the same thing twice within five minutes."""
    first = datetime.now(UTC) - timedelta(minutes=30)
    paid = (first, first + timedelta(minutes=5))
    bought = [a_purchase(f"ord_{account}_{number}", account, 10, written(at)) for number, at in enumerate(paid)]
    return [an_account(account), *bought]


def test_status_says_that_nobody_takes_the_refunds_that_are_due(system: System) -> None:
    system.extra = {**system.extra, "REFUNDS_CREEM_ENVIRONMENT": "test", "REFUNDS_READY_BACKLOG_SECONDS": "1"}
    system.load(charged_twice())
    said = "refunds are due since"
    assert eventually(lambda: said in system.refunds("status", expect=None).stdout, within=30), system.refunds("status").stdout


def test_doctor_and_status_find_refunds_that_were_claimed_with_another_key(system: System) -> None:
    plain = system.extra
    system.extra = {**plain, "REFUNDS_CREEM_ENVIRONMENT": "test"}
    system.load(charged_twice())

    def claims() -> list[dict[str, Any]]:
        return [one for one in system.json("doctor", expect=None)["findings"] if one["check"] == "claims"]

    assert claims() == []
    system.extra = {**plain, "REFUNDS_CREEM_ENVIRONMENT": "live"}
    [found] = claims()
    assert (found["ok"], found["severity"]) == (False, "fault")
    assert found["finding"].startswith("1 open refund claimed with Creem's test key, and this process is of live: nobody goes on")
    assert "1 refund claimed with Creem's test key, which this process has not" in system.refunds("status", expect=None).stdout


def test_import_that_knows_of_no_creem_where_others_refund_says_so(system: System) -> None:
    def told(account: str) -> str:
        return system.refunds("import", "-", stdin="".join(json.dumps(one) + "\n" for one in charged_twice(account))).stderr

    named = {**system.extra, "REFUNDS_CREEM_ENVIRONMENT": "test"}
    said = "refunds: money (test) is refunded here, and this command has no REFUNDS_CREEM_ENVIRONMENT"
    assert said not in told("acc_1"), "nobody refunds here yet"
    system.extra, plain = named, system.extra
    assert said not in told("acc_2")
    system.extra = plain
    assert said in one_line(told("acc_3"))


def test_brake_on_money_never_asks_and_letting_it_go_does(system: System) -> None:
    why = ("--reason", "looking at something")
    dry = system.json("money", "stop", *why, "--dry-run")
    assert dry == {"dry_run": True, "would_be": "stopped", "stopped": None, "waiting_minor_units": 0}
    assert "money is not stopped" in one_line(system.refunds("money", "release", *why, "--dry-run", expect=1).stderr)
    system.refunds("money", "stop", *why, stdin="n\n")
    assert "stopped already: money: stopped by tester" in system.refunds("money", "stop", *why, "--dry-run").stdout
    assert system.json("money", "release", *why, "--dry-run")["would_be"] == "released"
    assert "left as it is" in system.refunds("money", "release", *why, stdin="n\n", expect=1).stderr
    assert "money" in system.json("status")["breakers"]
    system.refunds("money", "release", *why, "--yes")
    assert system.json("status")["breakers"] == {}


def test_withdrawal_is_shown_and_asked_for(system: System) -> None:
    system.load([an_account(), a_purchase(credits=2000)])
    system.emit([submitted("job_1", credits=1500), failed("job_1"), succeeded("job_1")])
    sweep(system)
    assert system.json("review", "approve", "job_1", "--reason", "the log shows a crash")["waits_for_second"]
    words = ("review", "withdraw", "job_1", "--reason", "the log was another's")
    dry = system.json(*words, "--dry-run")
    assert (dry["dry_run"], dry["choice"], dry["proposed_by"]) == (True, "credits", "tester")
    assert "Nothing was changed" in system.refunds(*words, "--dry-run").stdout
    assert "left as it is" in system.refunds(*words, stdin="n\n", expect=1).stderr
    assert system.json("review", "show", "job_1")["proposal"]["choice"] == "credits"
    assert system.json(*words, "--yes")["told"] == "credits is withdrawn"
    assert "nothing is proposed" in one_line(system.refunds(*words, "--dry-run", expect=1).stderr)


@pytest.mark.parametrize("reason", ["", "  ", "\t\n", "\u200b"])
def test_reason_that_says_nothing_is_refused_everywhere(system: System, reason: str) -> None:
    said = set()
    for words in (
        "requeue job_1", "dead discard dead_1", "dead requeue --all-of not_json", "review approve job_1", "review withdraw job_1",
        "review name job_1 ord_1", "money stop", "money release", "restore lift", "operator add ana",
        "policy activate 2027-01-01",
    ):  # fmt: skip
        done = system.refunds(*words.split(), "--reason", reason, stdin="correct horse battery", expect=2)
        assert done.stdout == ""
        said.add(one_line(done.stderr))
    assert said == {"refunds: --reason: expected why, in words; it stays on record, and this one is empty\n"}


def test_files_that_are_not_there_and_commands_that_do_not_exist_are_usage(system: System) -> None:
    assert "No such file" in one_line(system.refunds("import", "nowhere.jsonl", expect=2).stderr)
    assert system.refunds("refund", expect=2).stdout == ""
    assert system.refunds("cases", "--state", "happy", expect=2).stdout == ""
    assert system.refunds("requeue", "job_1", expect=2).stdout == "", "a reason is required"


def test_unknown_names_are_refused_in_one_line(system: System) -> None:
    for words in (["show", "job_404"], ["why", "job_404"], ["account", "acc_404"], ["dead", "show", "dead_404"]):
        assert "404" in one_line(system.refunds(*words, expect=1).stderr)


@pytest.mark.parametrize(
    "words",
    [
        ("show", NO_TEXT), ("why", NO_TEXT), ("account", NO_TEXT), ("dead", "show", NO_TEXT), ("review", "show", NO_TEXT),
        ("requeue", NO_TEXT, "--reason", "late", "--yes"), ("cases", "--account", NO_TEXT),
        ("review", "decline", "job_1", "--reason", NO_TEXT, "--yes"), ("requeue", "job_1", "--reason", NO_TEXT, "--yes"),
        ("money", "stop", "--reason", NO_TEXT), ("shov", NO_TEXT),
    ],
)  # fmt: skip
def test_words_that_are_no_text_are_usage(system: System, words: tuple[str, ...]) -> None:
    done = system.refunds(*words, expect=2)
    if words[0] != "shov":
        assert "UTF-8" in one_line(done.stderr)
        assert "b'bad\\xff'" in done.stderr
    assert done.stdout == ""


def test_file_may_be_named_with_any_bytes(system: System) -> None:
    name = os.fsencode(system.folder) + b"/bad\xff.jsonl"
    Path(os.fsdecode(name)).write_text(json.dumps(an_account()))
    assert system.refunds("import", os.fsdecode(name)).stdout.startswith("Imported 1 account;")


def test_login_name_that_is_no_text_goes_on_record_written_out(system: System) -> None:
    environ = {name: value for name, value in system.environ.items() if name != "REFUNDS_ACTOR"} | {"LOGNAME": NO_TEXT}
    done = in_new_interpreter(["money", "stop", "--reason", "late"], b"", environ, system.folder)
    assert done.returncode == 0
    assert "stopped by bad\\xff: late" in system.refunds("status").stdout


def test_emit_passes_everything_on_and_says_what_will_not_be_readable(system: System) -> None:
    done = system.refunds("emit", "-", stdin="\n".join([submitted("job_1"), "not json", failed("job_1")]))
    assert "line 2: goes to the dead letters" in done.stderr
    assert "3 events on layer-jobs:events" in done.stdout


def test_hostile_text_never_reaches_the_terminal_as_it_is(system: System) -> None:
    system.refunds("emit", "-", stdin=b'{"specversion": "\x1b[2J\xe2\x80\xae evil", "id": "x"}\n\x1b]0;owned\x07\n')
    sweep(system)
    for item in system.json("dead", "list")["items"]:
        shown = system.refunds("dead", "show", item["dead_id"]).stdout
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert "\x1b" not in system.refunds("dead", "list").stdout


def test_release_is_said(system: System) -> None:
    assert system.refunds("--version").stdout == f"refunds {version('layer-refunds')}\n"


def test_doctor_tells_good_from_bad(system: System) -> None:
    found = {item["check"]: item for item in system.json("doctor", expect=None)["findings"]}
    assert all(found[name]["ok"] for name in ("configuration", "terms", "database", "redis", "redis AOF", "redis eviction"))
    assert (found["celery"]["ok"], found["celery"]["severity"]) == (False, "warning")
    assert "no task process answers" in found["celery"]["finding"]
    system.redis_url = NOBODY
    assert system.json("doctor", expect=1)["ok"] is False


@pytest.mark.parametrize(("minutes", "way"), [(-61, "ahead of"), (61, "behind"), (0, None)])
def test_doctor_warns_of_a_host_whose_time_is_not_that_of_creem(system: System, minutes: int, way: str | None) -> None:
    system.refunds("db", "upgrade")
    body = b'{"trace_id": "t_1", "status": 404, "error": "Not Found", "message": ["no such transaction"]}'
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    head = f"HTTP/1.1 404 Not Found\r\ndate: {date}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with server(head.encode() + body) as creem:
        system.extra = {**system.extra, "REFUNDS_CREEM_API_KEY": "creem_test_doctor", "REFUNDS_CREEM_BASE_URL": creem.url}
        found = system.json("doctor", expect=None)["findings"]
    assert [one["ok"] for one in found if one["check"] == "creem"] == [True]
    told = [one["finding"] for one in found if one["check"] == "clock" and "Creem's" in one["finding"]]
    assert [one["severity"] for one in found if one["check"] == "clock" and not one["ok"]] == (["warning"] if way else [])
    assert len(told) == (1 if way else 0)
    assert all(re.match(f"the clock of this host is 36[0-9]{{2}} s {way} Creem's: ", one) for one in told)


def test_dead_letters_keep_their_dates_and_causes_whole_on_a_narrow_terminal(system: System) -> None:
    system.refunds("db", "upgrade")
    system.emit(["{"])
    sweep(system)
    [letter] = system.json("dead", "list")["items"]
    said = in_new_interpreter(["dead", "list"], b"", system.environ | {"COLUMNS": "40"}, system.folder).stdout
    for whole in (letter["dead_id"], letter["reason"], letter["received_at"][:19]):
        assert whole in said
    assert letter["detail"] in " ".join(said.split())


def test_what_is_to_be_typed_next_stays_whole_on_a_terminal_of_eighty_columns(system: System) -> None:
    def said(*words: str) -> str:
        return in_new_interpreter(words, b"", system.environ | {"COLUMNS": "80"}, system.folder).stdout

    system.load([an_account(), a_purchase()])
    system.emit([submitted("job_1"), failed("job_1"), "{"])
    system.one_turn()
    [letter] = system.json("dead", "list")["items"]
    by_reason = said("dead", "list", "--by-reason")
    assert letter["dead_id"] in by_reason
    assert f"{letter['received_at'][:19]} to {letter['received_at'][:19]}" in by_reason
    with closing(sqlite3.connect(system.database_url.removeprefix("sqlite:///"))) as books, books:
        books.execute("update cases set credits_reversed = 3")
    breaches = system.json("audit", expect=1)["breaches"]
    shown = said("audit")
    assert breaches
    assert all(breach["row"] in shown and breach["problem"] in " ".join(shown.split()) for breach in breaches)


def test_doctor_warns_of_a_pipeline_that_hears_no_order_and_the_case_says_so(system: System) -> None:
    system.refunds("db", "upgrade")

    def reruns() -> dict[str, Any]:
        [told] = [item for item in system.json("doctor")["findings"] if item["check"] == "re-runs"]
        return dict(told)

    assert reruns()["ok"] is True
    with closing(MoneyWorld(Store(system.database_url))) as world:
        world.load(an_account(), a_purchase(credits=50))
        world.pipeline.answer = lambda order: Answer.NOT_HEARD
        for number in range(5):
            world.happen(world.submitted(f"job_{number}"), world.failed(f"job_{number}", code="job_timeout"))
        world.store.close()
    told = reruns()
    assert (told["ok"], told["severity"]) == (False, "warning")
    assert told["finding"].startswith("5 calls in a row were not heard, the last: as told")
    stands = system.json("show", "job_0")["rerun_stands"]
    assert stands.startswith("the pipeline has not taken the order in 1 turn: as told; next turn ")
    assert system.json("cases")["items"][-1]["stands"] == stands
    assert f"1; {stands}" in system.refunds("show", "job_0").stdout
    narrow = in_new_interpreter(["show", "job_0"], b"", system.environ | {"COLUMNS": "40"}, system.folder).stdout
    assert all(row["at"][:23] in narrow and row["event"] in narrow for row in system.json("show", "job_0")["history"])


@pytest.mark.parametrize("name", ["never ends", "never begins", "leads nowhere"])
def test_doctor_comes_to_an_end_whatever_the_pipeline_answers_and_shows_nothing_of_the_sign_in(system: System, name: str) -> None:
    def without_end(wire: Wire) -> None:
        wire.hear()
        wire.say(b"HTTP/1.1 200 OK\r\n\r\n")
        while not wire.over.is_set():
            wire.say(b" " * 65_536)

    def without_beginning(wire: Wire) -> None:
        wire.hear()
        wire.drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 100, 0.1)

    answers: dict[str, tuple[Behaviour | bytes, str]] = {
        "never ends": (without_end, "answers 200"),
        "never begins": (without_beginning, "does not answer (timed out)"),
        "leads nowhere": (http("302 Found", b"", "Location: javascript:void(0)"), "answers 302"),
    }
    behaviour, said = answers[name]
    system.refunds("db", "upgrade")
    with server(behaviour) as pipeline:
        system.extra = {"REFUNDS_PIPELINE_URL": pipeline.url.replace("//", "//s3cret-token@")}
        [told] = [item for item in system.json("doctor")["findings"] if item["check"] == "pipeline"]
    assert f"{pipeline.url} {said}" in told["finding"]


def test_doctor_and_status_find_a_redis_that_takes_nothing_more(system: System, tmp_path: Path) -> None:
    def redis_findings(*, refuses: bool = True) -> list[str]:
        told = system.json("doctor", expect=1)["findings"]
        [answer] = [item for item in told if item["check"] == "redis"]
        assert answer["ok"] is not refuses
        said = system.refunds("status").stdout
        assert said.startswith("no events come in and no tasks go out: see the stream") is refuses
        assert ("Redis takes no writes: " in said) is refuses
        assert "0 not yet read, 0 read and not yet stored" in said
        takes_writes = {"redis role", "redis disk", "redis memory"}
        return [item["finding"].partition(":")[0] for item in told if item["check"] in takes_writes and not item["ok"]]

    with start_redis(tmp_path / "redis") as server, redis_py.Redis.from_url(server.url) as client:
        system.redis_url = server.url
        client.config_set("maxmemory", 1)
        refused = one_line(system.refunds("emit", "-", stdin="{}\n" * 3, expect=2).stderr)
        assert "0 lines went out for certain" in refused
        [full] = redis_findings()
        assert full.endswith("of 0.0 MiB are used")
        client.config_set("maxmemory", 0)
        client.replicaof("127.0.0.1", "1")
        assert redis_findings() == ["a replica, which only reads"]
        client.replicaof("NO", "ONE")
        shutil.rmtree(tmp_path / "redis")
        client.bgsave()
        assert eventually(lambda: client.info("persistence")["rdb_bgsave_in_progress"] == 0)
        assert redis_findings(refuses=False) == ["rdb_last_bgsave_status is err"], (
            "writes are taken: nothing is to be saved there"
        )


@pytest.mark.parametrize("takes_mail", [False, True])
def test_doctor_finds_a_folder_that_takes_no_files_of_customers(system: System, tmp_path: Path, takes_mail: bool) -> None:
    (tmp_path / "a-file").touch(0o600)
    mail = {"REFUNDS_MAIL_DIR": str(tmp_path / "mail")} if takes_mail else {}
    for name in ("new", "cur", "tmp"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    for folder, fine in (
        (tmp_path / "not-yet" / "evidence", True),
        (tmp_path / "a-file", False),
        (Path("/proc/evidence"), False),
        (Path(__file__), False),
    ):
        system.extra = {**mail, "REFUNDS_EVIDENCE_DIR": str(folder)}
        found = system.json("doctor", expect=None)["findings"]
        [told] = [item for item in found if item["check"] == "evidence"]
        assert (told["ok"], told["severity"]) == (fine, "fault" if takes_mail else "warning"), told
        assert fine or "takes no files" in told["finding"]
    assert not (tmp_path / "not-yet").exists()


def test_doctor_warns_of_a_mail_server_that_takes_no_letters(system: System, tmp_path: Path) -> None:
    with rude_server({}) as welcome, rude_server({"CONNECT": "554 go away"}) as rude:
        for url, why in (
            (f"smtp://127.0.0.1:{welcome.port}", None),
            (f"file://{tmp_path}/outbox", None),
            (f"smtp://127.0.0.1:{rude.port}", f"127.0.0.1:{rude.port} answered 554 to the connection: go away"),
            ("smtp://127.0.0.1:1", "127.0.0.1:1, at the connection: "),
            ("file:///proc/outbox", "/proc/outbox: "),
        ):
            system.extra = {"REFUNDS_NOTICES_URL": url}
            [told] = [item for item in system.json("doctor")["findings"] if item["check"] == "notices"]
            assert (told["ok"], told["severity"]) == (why is None, "warning"), told
            assert told["finding"].startswith(why or "customers are written to from ")


def test_doctor_warns_of_letters_that_are_refused_one_after_the_other(system: System, tmp_path: Path) -> None:
    system.extra = {"REFUNDS_NOTICES_URL": f"file://{tmp_path}/outbox"}
    with closing(Store(system.database_url)) as store:
        for number, fine in ((4, True), (5, False)):
            while (store.read(lambda tx: not_heard(tx, MAIL)) or (0,))[0] < number:
                store.write(lambda tx: in_vain(tx, MAIL, "554 Relay access denied"))
            [told] = [item for item in system.json("doctor")["findings"] if item["check"] == "notices"]
            assert (told["ok"], told["severity"]) == (fine, "warning")
    assert told["finding"].startswith(
        "5 letters in a row were refused or may not have arrived, the last: 554 Relay access denied;"
    )


INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

# whoever runs these tests in the background may have it ignored, and so would the command
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupting())
"""


def test_interrupted_before_it_has_begun_a_command_ends_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli", "status"], env=environ, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


def test_upgrade_of_a_newer_schema_names_the_one_that_is_there(system: System) -> None:
    with closing(sqlite3.connect(system.database_url.removeprefix("sqlite:///"))) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert system.json("db", "upgrade") == {"applied": [], "head": "9999"}
    assert "the schema is at 9999" in system.refunds("db", "upgrade").stdout


def test_doctor_warns_of_a_redis_that_leaves_the_flushing_to_the_system(system: System, tmp_path: Path) -> None:
    with start_redis(tmp_path / "redis") as server, redis_py.Redis.from_url(server.url) as client:
        system.redis_url = server.url
        for when, fine in (("no", False), ("everysec", True), ("always", True)):
            client.config_set("appendfsync", when)
            [told] = [item for item in system.json("doctor")["findings"] if item["check"] == "redis appendfsync"]
            assert (told["ok"], told["severity"]) == (fine, "warning")


def test_doctor_warns_of_entries_as_large_as_memory(system: System, tmp_path: Path) -> None:
    with start_redis(tmp_path / "redis") as server, redis_py.Redis.from_url(server.url) as client:
        system.redis_url = server.url
        for most, fine in (("512mb", False), ("1mb", True)):
            client.config_set("proto-max-bulk-len", most)
            [told] = [item for item in system.json("doctor")["findings"] if item["check"] == "redis entries"]
            assert (told["ok"], told["severity"]) == (fine, "warning")


def test_doctor_and_status_survive_an_id_in_the_future_and_name_it(system: System, redis: redis_py.Redis) -> None:
    redis.xadd("layer-jobs:events", {"event": "{}"}, id="99999999999999999-0")
    assert system.json("status")["stream"]["undelivered"] == 1
    [told] = [item for item in system.json("doctor", expect=1)["findings"] if item["check"] == "stream ids"]
    assert (told["ok"], "RENAME layer-jobs:events layer-jobs:events:old" in told["finding"]) == (False, True)


def test_doctor_names_each_key_of_ours_and_of_celerys_that_holds_something_else(system: System, redis: redis_py.Redis) -> None:
    """Task processes connected anew for ever, and status, readiness and doctor found nothing, or a WRONGTYPE of no key."""

    def told() -> dict[str, Any]:
        [found] = [item for item in system.json("doctor", expect=None)["findings"] if item["check"] == "redis keys"]
        return dict(found)

    intake = system.start("worker.cli", "intake")
    system.emit([submitted("job_1"), failed("job_1")])
    assert eventually(lambda: redis.exists("refunds:assess", "refunds:databases", "refunds:redis") == 3, within=60), system.logs()
    intake.terminate()
    intake.wait(40)
    redis.zadd("refunds:epoch:layer-jobs:events", {"mark": 1})
    assert told()["ok"]
    left: Any = redis.keys("*")
    # what is bound to an exchange that nothing of ours goes through harms nobody
    ours = {name.decode() for name in left if b"_kombu." not in name or name.endswith(b".assess")}
    ours |= {"refunds:unacked", "refunds:unacked_index", "refunds:unacked_mutex", "layer-jobs:commands", "refunds:events"}
    redis.flushdb()
    for name in ours:
        redis.setbit(name, 7, 1) if name in {"refunds:unacked", "refunds:databases"} else redis.hset(name, "not", "ours")
    found = told()
    assert (found["ok"], found["severity"]) == (False, "fault")
    assert sorted(re.findall(r"(\S+) is a (?:string|hash) and no ", found["finding"])) == sorted(ours)
    assert "refunds:unacked is a string and no hash: " in found["finding"]
    assert "redis-cli RENAME refunds:unacked refunds:unacked:old, and ours goes on by itself" in found["finding"]
    said = system.json("status")["stream"]["error"]
    assert said.startswith("Redis refuses: WRONGTYPE")


def test_doctor_says_what_it_may_not_ask_and_nothing_of_what_it_could_not_see(
    system: System, redis: redis_py.Redis, redis_server: str
) -> None:
    with a_user(redis, redis_server, "info", "type") as url:
        system.redis_url = url
        told = {item["check"]: item["finding"] for item in system.json("doctor", expect=None)["findings"]}
    assert "INFO is not answered: this user has no permissions to run the 'info' command" in told["redis version"]
    assert "redis keys" not in told


def test_doctor_names_whom_commands_and_outcomes_are_kept_for_once_an_intake_has_trimmed_them(
    system: System, redis: redis_py.Redis
) -> None:
    def told() -> list[str]:
        return [item["finding"] for item in system.json("doctor", expect=None)["findings"] if item["check"] == "sent"]

    assert told() == []
    for stream in ("layer-jobs:commands", "refunds:events"):
        redis.xadd(stream, {"event": "old"}, id="1-0")
    redis.xgroup_create("layer-jobs:commands", "gone", id="0")
    kept, untrimmed = told()
    assert "is `refunds intake` running?" in untrimmed
    system.start("worker.cli", "intake")
    assert eventually(lambda: redis.xlen("refunds:events") == 0, within=60), system.logs()
    assert redis.xlen("layer-jobs:commands") == 1
    assert told() == [kept]
    assert "redis-cli XGROUP DESTROY layer-jobs:commands gone" in kept


def test_doctor_finds_a_redis_whose_events_another_database_takes(
    system: System, redis: redis_py.Redis, redis_server: str, tmp_path: Path
) -> None:
    def databases(of: System) -> dict[str, Any]:
        [told] = [item for item in of.json("doctor", expect=None)["findings"] if item["check"] == "databases"]
        return dict(told)

    def known() -> list[str]:
        return sorted(name.decode() if isinstance(name, bytes) else name for name in redis.hkeys("refunds:databases"))

    system.start("worker.cli", "intake")
    with a_system(f"sqlite:///{tmp_path / 'another.db'}", redis_server) as another:
        assert eventually(lambda: len(known()) == 1, within=60), system.logs()
        assert databases(system)["ok"]
        assert not databases(another)["ok"], "told before it takes anything"
        another.start("worker.cli", "intake")
        assert eventually(lambda: len(known()) == 2, within=60), another.logs()
        # marks at once, as the first will within a minute
        system.start("worker.cli", "intake")
        assert eventually(lambda: "intake.shared_with_another_database" in system.logs(), within=60), system.logs()
        ours, theirs = known()
        told = databases(another)
    assert (told["ok"], told["severity"]) == (False, "fault")
    assert f"read into {ours} (by " in told["finding"]
    assert f"this one ({another.database_url}, {theirs}) is another" in told["finding"]
    assert "name another database number in REFUNDS_REDIS_URL for one of them, then run `refunds reconcile`" in told["finding"]


def test_doctor_finds_a_database_that_another_redis_feeds(
    database_url: str, redis_server: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """Each installation orders re-runs and announces outcomes where it reads, and half of them came to nobody, without a word."""

    def feeders(of: System) -> dict[str, Any]:
        [told] = [item for item in of.json("doctor", expect=None)["findings"] if item["check"] == "feeders"]
        return dict(told)

    with (
        a_system(database_url, redis_server) as system,
        start_redis(tmp_path / "another") as server,
        a_system(database_url, server.url) as another,
    ):
        system.start("worker.cli", "intake")
        assert eventually(lambda: not feeders(another)["ok"], within=60), system.logs()
        assert feeders(system)["ok"]
        another.start("worker.cli", "intake")
        assert eventually(lambda: redis_py.Redis.from_url(server.url).exists("refunds:redis"), within=60), another.logs()
        # marks at once, as the first will within a minute
        system.start("worker.cli", "intake")
        said = "intake.database_shared_with_another_redis"
        assert eventually(lambda: said in system.logs(), within=60), system.logs()
        told = feeders(another)
    assert (told["ok"], told["severity"]) == (False, "fault")
    assert f"this one ({server.url}, redis_" in told["finding"]
    assert f", {redis_server}, " in told["finding"]


@ON_POSTGRES
def test_doctor_finds_a_server_that_forgets_at_a_crash(database_url: str, redis_server: str, redis: redis_py.Redis) -> None:
    # the servers of these tests run without fsync
    with a_system(database_url, redis_server) as system:
        found = {item["check"]: item for item in system.json("doctor", expect=1)["findings"]}
    assert not found["fsync"]["ok"]
    assert found["fsync"]["finding"] == "off: a commit may be lost at a crash; set fsync = on"


def test_actor_and_reason_of_a_requeue_are_on_record(system: System) -> None:
    system.load([an_account(), a_purchase(credits=50)])
    system.emit([submitted("job_1"), failed("job_1", code="job_timeout")])
    system.extra = {"REFUNDS_PIPELINE_URL": "http://127.0.0.1:1"}
    sweep(system)
    dry = system.json("requeue", "job_1", "--dry-run", "--reason", "a look")["items"][0]
    assert dry["effects"] == ["rerun (rerun:job_1)"]
    system.refunds("requeue", "job_1", "--reason", "pipeline is back", "--yes")
    row = next(row for row in system.json("show", "job_1")["history"] if row["event"] == "case.requeued")
    assert (row["by"], row["detail"]) == ("tester", {"reason": "pipeline is back"})


def test_heads_that_a_restore_lost_are_named_and_forgiven_by_a_person(system: System, tmp_path: Path) -> None:
    system.extra = {**system.extra, "REFUNDS_JOURNAL_DIR": str(tmp_path / "journal")}
    Heads(tmp_path / "journal").add([Head("postings", 7, 90, "ab" * 32)], datetime(2026, 3, 2, 10, tzinfo=UTC))
    [told] = system.json("audit", expect=1)["breaches"]
    missing = "ended the chain at 2026-03-02T10:00:00Z, with rows up to 90, and is missing: was the database set back?"
    assert told == {"check": "nothing_altered", "row": "postings link 7", "problem": missing}
    assert system.refunds("restore", "chain", "--yes", expect=2).stdout == "", "a reason is required"
    assert "1 head lost" in system.refunds("restore", "chain", "--reason", "back to Monday", "--yes").stdout
    assert system.json("audit")["ok"]
    again = system.refunds("restore", "chain", "--reason", "again", "--yes", expect=1)
    assert "there is nothing to forgive" in one_line(again.stderr)


def test_restore_check_says_that_nobody_could_be_asked_and_exits_one(system: System, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "refunds.db") as books:
        books.execute("insert into epochs (name, mark, risen_at) values ('money', 5, '2026-03-02 10:00:00.000000')")
    system.extra = {**system.extra, "REFUNDS_REDIS_URL": NOBODY}
    shown = system.refunds("restore", "check", expect=1).stdout
    assert "no witness can be asked" in shown
    assert "refunds doctor" in shown
    found = system.json("restore", "check", expect=1)
    assert (found["ok"], "no witness can be asked" in found["wrong"]) == (False, True)
    done = system.refunds("restore", "recover", "--books-only", "--yes", "--reason", "disk lost", expect=1).stdout
    assert "Recover once more" in done
    assert "lift" not in done


def test_worker_started_before_its_schema_says_so_waits_and_goes_on(system: System, tmp_path: Path) -> None:
    system.database_url = f"sqlite:///{tmp_path / 'later.db'}"
    worker = system.worker(concurrency=1)
    assert eventually(lambda: "run `refunds db upgrade`" in system.logs(), within=90)
    assert worker.poll() is None
    system.refunds("db", "upgrade")
    system.load([an_account(), a_purchase(credits=50)])
    system.emit([submitted("job_1"), failed("job_1")])
    system.settles(cases=1)
    assert system.credits("acc_1") == 50
    assert "Traceback" not in system.logs()


@pytest.mark.parametrize(
    ("extra", "event", "why"),
    [
        ({}, "worker.credits_only", "no REFUNDS_CREEM_API_KEY: no money is sent back"),
        pytest.param(
            *({"REFUNDS_MODE": "credits_only"}, "worker.credits_only", "REFUNDS_MODE=credits_only: no money is sent back"),
            marks=pytest.mark.nightly,
        ),
        ({"REFUNDS_MODE": "observe"}, "worker.observes", "REFUNDS_MODE=observe: it decides and records"),
    ],
)
def test_worker_that_sends_no_money_back_says_so_once(system: System, extra: dict[str, str], event: str, why: str) -> None:
    system.extra = {**extra, "REFUNDS_LOG_FORMAT": "json"}
    system.start("celery", "-A", "worker", "worker", "--concurrency", "1")
    assert eventually(lambda: " ready." in system.logs(), within=90), system.logs()
    [said] = [line for line in system.logs().splitlines() if '"event": "worker.' in line]
    told = json.loads(said)
    assert (told["event"], told["level"]) == (event, "warning")
    assert told["why"].startswith(why)


@pytest.mark.nightly
def test_drained_worker_takes_nothing_more_until_it_is_told_to(system: System) -> None:
    assert "No worker answered" in system.refunds("drain").stdout
    system.load([an_account(), a_purchase()])
    for _ in range(2):
        system.worker(1)
    assert eventually(lambda: len(system.json("drain", expect=None)["workers"]) == 2, within=60), "each has a name of its own"
    assert system.json("drain")["running"] == []
    system.emit([submitted("job_1"), failed("job_1")])
    assert eventually(lambda: system.json("status")["backlog"] == 2, within=30), system.logs()
    assert system.case("job_1") is None
    assert "Taking tasks again" in system.refunds("drain", "--undo").stdout
    system.comes_to("refunded", within=30)


def said_of_queues(system: System, workers: int, within: float = 20.0) -> list[tuple[str, set[str]]]:
    """What each worker says that it takes from, as soon as so many have answered."""
    with celery_of(Settings(redis_url=system.redis_url)) as app:
        said = answers(app, "active_queues", within, limit=workers)
    return [(name.partition("@")[0], {queue["name"] for queue in queues}) for name, queues in said]


def taken_from(system: System, within: float = 20.0) -> dict[str, set[str]]:
    """The queues that each of two workers takes from."""
    return dict(said_of_queues(system, 2, within))


def a_worker_of(system: System, name: str, *queues: str) -> subprocess.Popen[bytes]:
    return system.start(
        "celery", "--quiet", "-A", "worker", "worker", "-Q", ",".join(queues), "-n", f"{name}@%h", "--concurrency", "1"
    )


def test_drain_touches_no_queue_where_two_processes_have_one_name(system: System) -> None:
    had = [("celery", {"assess", "remedies", "sweep"}), ("celery", {"money"})]
    for name, queues in had:
        a_worker_of(system, name, *queues)
    assert eventually(lambda: len(said_of_queues(system, 2, 1.0)) == 2, within=120), system.logs()
    for words in (["drain"], ["drain", "--undo"]):
        said = one_line(system.refunds(*words, expect=1).stderr)
        assert "two processes are called celery@" in said
        assert "start each with its own -n" in said
    found = said_of_queues(system, 2)
    assert all(queues in found for queues in had), found
    [told] = [item for item in system.json("doctor")["findings"] if item["check"] == "celery"]
    assert (told["ok"], told["severity"]) == (False, "warning")
    assert "two processes are called celery@" in told["finding"]


def test_undone_drain_gives_each_worker_the_queues_that_it_had_and_no_other(system: System) -> None:
    had = {"credits": {"assess", "remedies", "sweep"}, "payer": {"money"}}
    first, _ = (a_worker_of(system, name, *queues) for name, queues in had.items())
    assert eventually(lambda: taken_from(system, 1.0) == had, within=120), system.logs()
    for _ in range(2):
        assert len(system.json("drain")["workers"]) == 2
    assert taken_from(system) == {"credits": set(), "payer": set()}
    first.terminate()
    assert first.wait(60) == 0
    had["credits"] = {"assess"}
    a_worker_of(system, "credits", "assess")
    assert eventually(lambda: taken_from(system, 1.0) == had | {"payer": set()}, within=120), system.logs()
    [told] = [item for item in system.json("doctor")["findings"] if item["check"] == "celery"]
    assert (told["ok"], told["severity"]) == (False, "warning")
    assert "2 task processes answer, and none takes from remedies, money, sweep" in told["finding"]
    assert len(system.json("drain", "--undo")["workers"]) == 2
    assert taken_from(system) == had, "what its predecessor had is nothing to the one started since"
    assert len(system.json("drain")["workers"]) == 2
    assert len(system.json("drain", "--undo")["workers"]) == 2
    assert taken_from(system) == had


@pytest.mark.parametrize(
    ("process", "told", "heard"), [(False, {}, False), (False, {"REFUNDS_LOG_LEVEL": "info"}, True), (True, {}, True)]
)
def test_command_at_a_terminal_logs_only_what_is_wrong_unless_told_to(process: bool, told: dict[str, str], heard: bool) -> None:
    setting = f"from worker.cli import output; from worker.observe import log; output.settings(process={process})"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("REFUNDS_")} | told
    near, far = pty.openpty()
    line = [sys.executable, "-c", f"{setting}; log.info('mere news'); log.warning('a fault')"]
    subprocess.run(line, stderr=far, env=environ, cwd=ROOT, check=True)
    said = os.read(near, 10_000).decode()
    os.close(near)
    os.close(far)
    assert ("mere news" in said, "a fault" in said) == (heard, True)

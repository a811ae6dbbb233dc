"""A request from file to answer through real processes, and the commands of the human queue, driven only through the contract."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
import redis as redis_py

from tests.requests.world import OUR_HOST, PNG, a_mail
from tests.scenarios.system import System, a_purchase, a_system, an_account
from tests.servers import ON_POSTGRES, eventually
from worker.clock import written
from worker.sandbox.servers import RunningRedis

pytestmark = pytest.mark.landing


@pytest.fixture
def system(database_url: str, own_redis: RunningRedis, tmp_path: Path) -> Iterator[System]:
    with a_system(database_url, own_redis.url) as made:
        yield with_people(made, tmp_path)


@pytest.fixture
def small(tmp_path: Path, redis_server: str, redis: redis_py.Redis) -> Iterator[System]:
    """Commands only: one engine will do."""
    with a_system(f"sqlite:///{tmp_path / 'refunds.db'}", redis_server) as made:
        yield with_people(made, tmp_path)


def with_people(made: System, tmp_path: Path) -> System:
    for name in ("new", "cur", "tmp"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    made.extra = {
        **made.extra,
        "REFUNDS_PEOPLE_SECONDS": "0.5",
        "REFUNDS_MAIL_DIR": str(tmp_path / "mail"),
        "REFUNDS_MAIL_HOSTS": OUR_HOST,
        "REFUNDS_EVIDENCE_DIR": str(tmp_path / "evidence"),
        "REFUNDS_NOTICES_URL": f"file://{tmp_path / 'outbox'}",
        "REFUNDS_NOTICES_GATHER_SECONDS": "0",
    }
    now = datetime.now(UTC)
    first = [an_account(), a_purchase(paid_at=written(now - timedelta(days=1)))]
    made.load([*first, an_account("acc_2"), a_purchase("ord_2", "acc_2", paid_at=written(now - timedelta(days=10)))])
    return made


def deliver(tmp_path: Path, name: str, raw: bytes) -> None:
    (tmp_path / "mail" / "new" / name).write_bytes(raw)


def letters(tmp_path: Path) -> list[EmailMessage]:
    return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in (tmp_path / "outbox").glob("*.eml")]


@ON_POSTGRES
def test_request_goes_from_file_to_answer(system: System, tmp_path: Path) -> None:
    system.worker()
    deliver(tmp_path, "1", a_mail("Please refund order ord_2.", sender="acc_2@example.org"))
    deliver(tmp_path, "2", a_mail("Please refund order ord_1.", message_id="<2@example.org>", files={"a.png": PNG}))
    deliver(tmp_path, "3", b"\xff\xfe no mail")
    assert eventually(lambda: len(system.json("cases", "--kind", "request")["items"]) == 3, within=90), system.logs()
    assert eventually(lambda: not list((tmp_path / "mail" / "new").iterdir()), within=30)
    [declined] = system.json("cases", "--kind", "request", "--state", "declined")["items"]
    assert (declined["account_id"], declined["decision"]["clause"]) == ("acc_2", "window-passed")
    told = {"acc_2@example.org": "Your refund request was declined", "acc_1@example.org": "A person will look at your case"}
    assert eventually(lambda: {str(mail["To"]): str(mail["Subject"]) for mail in letters(tmp_path)} == told, within=60)
    assert len(system.json("review", "list")["items"]) == 2
    system.audit()


def test_queue_is_worked_through_with_commands(small: System, tmp_path: Path) -> None:
    path = tmp_path / "one.eml"
    path.write_bytes(a_mail(files={"picture.png": PNG}))
    added = small.json("request", "add", str(path))
    assert (added["outcome"], added["state"], added["account_id"]) == ("opened", "review", "acc_1")
    again = small.json("request", "add", str(path))
    assert (again["outcome"], again["case_id"]) == ("known", added["case_id"])
    case_id = added["case_id"]

    [item] = small.json("review", "list")["items"]
    assert (item["case_id"], item["order_id"], item["overdue"]) == (case_id, "ord_1", False)
    seen = small.json("review", "show", case_id)
    choices = {choice["choice"]: choice for choice in seen["choices"]}
    assert choices["money"]["refused"] == "no Creem key is configured, so no money can leave"
    shown = small.refunds("review", "show", case_id).stdout
    assert "What each choice would do" in shown
    assert "picture.png" in shown
    for said in (shown, small.refunds("review", "list").stdout):
        assert "tester: 0.00 of 500.00 and 0 of 1000 credits approved alone in 24 hours" in said
    refused = small.refunds("review", "approve", case_id, "--reason", "as asked", "--json", expect=1)
    assert "no remedy at hand" in refused.stderr
    assert "Traceback" not in refused.stderr

    small.refunds("review", "take", case_id)
    small.extra = {**small.extra, "REFUNDS_ACTOR": "somebody-else"}
    assert "`refunds review show CASE`" in small.refunds("review", "list").stdout
    shown = small.refunds("review", "show", case_id).stdout.splitlines()[-1]
    assert shown.startswith(f"`refunds review approve {case_id} --choice CHOICE --reason WHY`, or `refunds review decline")
    assert "sender confirmed  yes" in small.refunds("why", case_id).stdout
    held = small.refunds("review", "decline", case_id, "--reason", "no", expect=1)
    assert "is with tester until" in held.stderr
    small.extra = {**small.extra, "REFUNDS_ACTOR": "tester"}

    receipt = next(file for file in seen["evidence"] if file["kind"] == "png")
    fetched = tmp_path / "fetched"
    small.refunds("request", "file", receipt["evidence_id"], "--reason", "is it blank", "--to", str(fetched))
    assert (fetched.read_bytes(), fetched.stat().st_mode & 0o777) == (PNG, 0o600)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for there in ("fetched", "link"):
        again = ("request", "file", receipt["evidence_id"], "--reason", "again", "--to", str(tmp_path / there))
        assert "is there already" in small.refunds(*again, expect=1).stderr
    assert small.refunds("request", "file", "ev_none", "--reason", "x", "--to", str(tmp_path / "x"), expect=1).stderr.startswith(
        "refunds: ev_none: no file of that name"
    )

    status = small.json("status")
    assert (status["review"]["waiting"], status["deadlines"][0]["case_id"], status["approved"]) == (1, case_id, [])
    assert case_id in small.refunds("status", "--deadlines").stdout
    before = small.json("review", "show", case_id)
    why = ("--reason", "the key is not there yet")
    plan = small.json("review", "decline", case_id, *why, "--dry-run")
    assert (plan["dry_run"], plan["choice"], plan["does"]) == (True, "decline", choices["decline"]["does"])
    assert plan["needs_second"] is False
    shown = small.refunds("review", "decline", case_id, *why, "--dry-run").stdout
    assert f"decline: {plan['does']}." in shown
    assert "Nothing was changed" in shown
    assert "no remedy at hand" in small.refunds("review", "approve", case_id, *why, "--dry-run", expect=1).stderr
    for more in ([], ["--json"]):
        assert (
            small.refunds("review", "decline", case_id, *why, *more, stdin="n\n", expect=1).stderr == "refunds: left as it is\n"
        )
    assert small.json("review", "show", case_id) == before
    told = small.json("review", "decline", case_id, *why)
    assert told["done"]
    assert small.json("review", "list")["items"] == []
    assert "A person decided that: the key is not there yet" in small.refunds("why", case_id).stdout
    assert json.loads(small.refunds("why", case_id, "--json").stdout)["same_again"]
    assert "picture.png" in small.refunds("show", case_id).stdout
    assert small.refunds("status", "--deadlines").stdout == "No promise is running.\n"
    gone = small.refunds("review", "decline", case_id, "--reason", "again", expect=1)
    assert "does not wait for a person: it is declined" in gone.stderr

    job = {"id": "ord_1", "account_id": "acc_2", "credits": 5, "paid_with": "credits", "layers_expected": 6}
    small.load([{"record": "layer_job", "status": "failed", "submitted_at": written(datetime.now(UTC)), **job}])
    for command in ("show", "why"):
        assert f"and an order, of {case_id}" in small.refunds(command, "ord_1", "--json").stderr
        assert small.refunds(command, case_id).stderr == ""
    assert f"an order, of {case_id}: name the case" in small.refunds("requeue", "ord_1", *why, "--yes", expect=1).stderr


def test_dry_run_says_that_a_second_person_has_to_agree(small: System, tmp_path: Path) -> None:
    small.extra = {**small.extra, "REFUNDS_CREEM_API_KEY": "creem_test_nobody_is_asked"}
    bought = a_purchase("ord_9", paid_at=written(datetime.now(UTC) - timedelta(days=1)))
    small.load([{**bought, "amount": 60_000}])
    path = tmp_path / "one.eml"
    path.write_bytes(a_mail("Please refund order ord_9."))
    words = ("review", "approve", small.json("request", "add", str(path))["case_id"], "--reason", "a look", "--dry-run")
    shown = small.refunds(*words).stdout
    assert "money: 600.00 USD goes back" in shown
    assert "A second person has to agree" in shown
    plan = small.json(*words)
    assert (plan["dry_run"], plan["choice"], plan["needs_second"]) == (True, "money", True)


def test_refund_that_would_be_taken_back_is_not_said_to_be(small: System, tmp_path: Path) -> None:
    """Once the dry run said `payment.closed` and `review.withdrawn` above "Nothing was changed"."""
    small.extra = {**small.extra, "REFUNDS_CREEM_API_KEY": "creem_test_nobody_is_asked"}
    bought = a_purchase("ord_9", paid_at=written(datetime.now(UTC) - timedelta(days=1)))
    small.load([{**bought, "amount": 1300}])
    path = tmp_path / "one.eml"
    path.write_bytes(a_mail("Please refund order ord_9."))
    case_id = small.json("request", "add", str(path))["case_id"]
    small.refunds("review", "approve", case_id, "--choice", "money", "--reason", "unused", "--yes")
    words = ("review", "withdraw", case_id, "--reason", "the wrong order")
    dry = small.refunds(*words, "--dry-run")
    assert ("Nothing was changed" in dry.stdout, dry.stderr) == (True, "")
    assert small.refunds(*words, "--yes").stderr.count("payment.closed") == 1


def test_order_that_a_mail_means_is_named_with_a_command(small: System, tmp_path: Path) -> None:
    path = tmp_path / "one.eml"
    path.write_bytes(a_mail("I want my money back."))
    case_id = small.json("request", "add", str(path))["case_id"]
    assert "may mean" in (shown := small.refunds("review", "show", case_id).stdout)
    assert "ord_1" in shown
    words = ("review", "name", case_id, "ord_1", "--reason", "the only one")
    dry = small.json(*words, "--dry-run")
    assert (dry["dry_run"], dry["purchase_id"], dry["state"]) == (True, "ord_1", "review")
    assert small.refunds(*words, "--dry-run").stderr == "", "no line of the log says that it happened"
    assert "left as it is" in small.refunds(*words, stdin="n\n", expect=1).stderr
    assert small.json("show", case_id)["state"] == "waiting"
    done = small.refunds(*words, "--yes")
    assert "the mail is about ord_1" in done.stdout
    assert done.stderr.count("review.order_named") == 1
    assert small.json("show", case_id)["state"] == "review"
    assert "the mail is about ord_1" in small.refunds(*words, "--yes", expect=1).stderr


def test_request_of_a_file_that_is_not_there_is_one_clear_line(small: System) -> None:
    said = small.refunds("request", "add", "nothing.eml", expect=2).stderr
    assert said.strip() == "refunds: nothing.eml: No such file or directory"


def test_wrong_mail_settings_are_said_at_start(small: System, tmp_path: Path) -> None:
    small.extra = {**small.extra, "REFUNDS_MAIL_DIR": str(tmp_path / "nowhere"), "REFUNDS_NOTICES_FROM": "Us <us@example.org>"}
    done = small.start("celery", "-A", "worker", "worker", "--pool", "solo")
    assert done.wait(60) != 0
    assert "REFUNDS_NOTICES_FROM: expected a plain mail address" in small.logs()
    assert "Traceback" not in small.logs()


def test_worker_says_at_its_start_that_a_folder_is_no_maildir(small: System, tmp_path: Path) -> None:
    small.extra = {**small.extra, "REFUNDS_MAIL_DIR": str(tmp_path / "nowhere")}
    done = small.start("celery", "-A", "worker", "worker", "--pool", "solo")
    assert done.wait(60) != 0
    assert f"refunds: REFUNDS_MAIL_DIR: {tmp_path / 'nowhere'} has no folder `new`; expected a Maildir" in small.logs()
    assert "Traceback" not in small.logs()

"""A new engineer's path: deployed, broken, found, mended and put back with the commands of the papers, copied out of them."""

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copy
from subprocess import CompletedProcess

import pytest
import redis as redis_py

from tests.requests.world import OUR_HOST, PNG, a_mail
from tests.scenarios.system import ROOT, System, a_purchase, an_account, failed, submitted
from tests.scenarios.terminal import in_terminal
from tests.servers import eventually
from worker.clock import SystemClock, written
from worker.sandbox.creem import CreemDouble
from worker.sandbox.creem.deliveries import post_to
from worker.sandbox.creem.server import CreemServer
from worker.sandbox.pipeline import PipelineDouble, RerunPlan
from worker.sandbox.servers import RunningRedis, free_port

pytestmark = pytest.mark.landing
SHIPPED = (ROOT / "policy" / "terms" / "2025-12-03.toml").read_text()
EDITION = "2027-01-01"
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
STAYS = ("worker", "web", "intake")
NAMED = ("show", "why", "operator add", "db move")
"""What a sentence only names: a whole line with it stands elsewhere in the papers."""
REFUSED = {
    'dead requeue --all-of REASON --reason "…"': "",
    'money release --dry-run --reason "…"': "money is not stopped; there is nothing to release",
    'restore lift --reason "…"': "money is not stopped for a restore; there is nothing to lift",
    'restore chain --reason "…"': "every head that is kept is in the database; there is nothing to forgive",
}
"""What exits with 1 in an installation that is well, and says why; of letters, that some cannot be put back."""
MENDS = (
    'dead requeue ID --reason "…"',
    'dead requeue --all-of REASON --reason "…"',
    'dead discard --all-of REASON --reason "…"',
    'dead discard ID --reason "…"',
    'requeue job_42 --reason "…"',
    'review approve CASE --reason "…"',
    'review decline CASE --reason "…"',
    'operator disable NAME --reason "…"',
)
"""What changes a thing that is broken, and so comes in its place in the story."""
NEW_HOUSE = "postgresql+psycopg://owner@host/refunds"
MOVES = (
    f'db move --to {NEW_HOUSE} --reason "…" --dry-run',
    f'db move --to {NEW_HOUSE} --reason "…"',
    'restore reopen --reason "…"',
)
"""What comes last, for the database is closed then, or open once more."""


def commands(paper: str, section: str = "") -> list[str]:
    """Every `refunds …` of the paper, or of its section, inline or on a line of its own: in order, each once."""
    text = (ROOT / paper).read_text().partition("<!-- drill -->")[0]
    if section:
        text = re.split(r"^## ", text.partition(f"\n## {section}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"`refunds ([^`\n]+)`|^(?: {4})?refunds ([^#\n]+)", text, re.MULTILINE)
    return list(dict.fromkeys((inline or line).strip() for inline, line in found))


READ = [
    ("README.md", "Running it"),
    ("README.md", "At three in the morning"),
    ("docs/settings.md", ""),
    ("docs/runbook.md", ""),
    ("docs/operating.md", ""),
]
PAPERS = list(dict.fromkeys(line for paper, section in READ for line in commands(paper, section)))


class Engineer:
    """Somebody with the papers and a terminal: copies a command, puts the names at hand in, and types it."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.names = {
            "NEW.toml": f"{EDITION}.toml",
            "EDITION": EDITION,
            "NAME": "ben",
            "PATH": "fetched",
            "URL": system.database_url,
        }
        self.typed: set[str] = set()

    def types(self, line: str, **names: str) -> CompletedProcess[str]:
        """Runs the line as the papers have it, which has to exit as they say and print no stack."""
        assert line in PAPERS, f"the papers do not say `refunds {line}`"
        self.typed.add(line)
        at_hand = self.names | names
        words = [at_hand.get(word, word) for word in shlex.split(line)]
        done = self.system.refunds(*words, stdin="correct horse battery\n", expect=1 if line in REFUSED else 0)
        assert REFUSED.get(line, "") in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done

    def starts(self, line: str) -> None:
        """The process of that line, which stays."""
        assert line in PAPERS
        self.typed.add(line)
        self.system.start("worker.cli", *shlex.split(line))

    def state(self, name: str) -> str:
        return str((self.system.case(name) or {}).get("state"))


@pytest.fixture
def creem() -> Iterator[tuple[CreemDouble, dict[str, str]]]:
    """A Creem, and the settings with which it is reached and tells us."""
    port = free_port()
    double = CreemDouble(SystemClock(), deliver=post_to(f"http://127.0.0.1:{port}/webhooks/creem"))
    with CreemServer(double) as server:
        yield (
            double,
            {
                "REFUNDS_CREEM_API_KEY": double.api_key,
                "REFUNDS_CREEM_BASE_URL": server.url,
                "REFUNDS_CREEM_WEBHOOK_SECRET": double.webhook_secret,
                "REFUNDS_WEB_PORT": str(port),
            },
        )


def furnish(folder: Path) -> dict[str, str]:
    """The folders and files that the papers take for granted; returns the settings that name them."""
    for name in ("mail/new", "mail/cur", "mail/tmp", "terms", "journal"):
        (folder / name).mkdir(parents=True)
    limit = "activation_second_person_above_credits = 1000\nduplicate_w"
    (folder / "terms" / "2025-12-03.toml").write_text(SHIPPED.replace("duplicate_w", limit, 1))
    return {
        "REFUNDS_PEOPLE_SECONDS": "0.5",
        "REFUNDS_MAIL_DIR": str(folder / "mail"),
        "REFUNDS_MAIL_HOSTS": OUR_HOST,
        "REFUNDS_EVIDENCE_DIR": str(folder / "evidence"),
        "REFUNDS_NOTICES_URL": f"file://{folder / 'outbox'}",
        "REFUNDS_TERMS_DIR": str(folder / "terms"),
        "REFUNDS_JOURNAL_DIR": str(folder / "journal"),
    }


def history(*accounts: str) -> str:
    """What the product knows of these customers: an account and a purchase each."""
    paid_at = written(YESTERDAY)
    records = [record for one in accounts for record in (an_account(one), a_purchase(f"ord_{one}", one, 50, paid_at))]
    return "".join(json.dumps(record) + "\n" for record in records)


def charge(double: CreemDouble, account: str, *, announce: bool = False) -> None:
    """The same purchase as Creem knows it."""
    double.pay(
        f"tran_ord_{account}",
        customer_id=f"cust_{account}",
        email=f"{account}@example.org",
        product_id="prod_pack",
        amount=900,
        order_id=f"ord_{account}",
        paid_at=YESTERDAY,
        announce=announce,
    )


def test_what_is_broken_is_found_mended_and_put_back_by_commands_copied_from_the_papers(
    tmp_path: Path, own_redis: RunningRedis, creem: tuple[CreemDouble, dict[str, str]]
) -> None:
    double, settings = creem
    port = free_port()
    settings |= furnish(tmp_path) | {"REFUNDS_PIPELINE_URL": f"http://127.0.0.1:{port}"}
    system = System(tmp_path, f"sqlite:///{tmp_path / 'refunds.db'}", own_redis.url, settings, in_terminal)
    try:
        (system.folder / "history.jsonl").write_text(history("acc_7", "acc_8"))
        (system.folder / f"{EDITION}.toml").write_text(SHIPPED.replace("2025-12-03", EDITION))
        engineer = Engineer(system)
        deploy(engineer)
        broken = break_things(engineer, double)
        find(engineer)
        mend(engineer, broken, port)
        assert "Nobody waits beyond the promise" in engineer.types("status").stdout
        engineer.types("audit")
        assert all(process.poll() is None for process in system.processes), system.logs()
        move(engineer, tmp_path)
        assert set(PAPERS) - set(NAMED) <= engineer.typed
        assert all(any(line.startswith(f"{name} ") for line in engineer.typed) for name in NAMED)
        assert "Traceback" not in system.logs()
    finally:
        system.stop()


def deploy(engineer: Engineer) -> None:
    """From nothing to processes that run, in the order of the README."""
    for line in commands("README.md", "Running it"):
        if line in STAYS:
            engineer.starts(line)
        else:
            engineer.types(line)


def break_things(engineer: Engineer, double: CreemDouble) -> dict[str, str]:
    """A declined job, a re-run nobody hears, two requests, a charge of somebody unknown and rubbish; returns their names."""
    system = engineer.system
    for account in ("acc_7", "acc_8"):
        charge(double, account)
    # of the customer whose request is declined: what is used, or runs, has no refund at hand
    system.emit([submitted("job_42", "acc_8"), failed("job_42", "acc_8", code="invalid_image")])
    system.emit([submitted("job_44", "acc_8"), failed("job_44", "acc_8", code="job_timeout"), "not json"])
    mail = a_mail("Please refund my order ord_acc_7.", sender="acc_7@example.org", files={"a.png": PNG})
    (system.folder / "FILE.eml").write_bytes(mail)
    other = a_mail("Please refund my order ord_acc_8.", sender="acc_8@example.org", message_id="<mail-2@example.org>")
    (system.folder / "OTHER.eml").write_bytes(other)
    request = system.json("request", "add", "FILE.eml")["case_id"]
    second = system.json("request", "add", "OTHER.eml")["case_id"]
    assert eventually(lambda: engineer.state("job_42") == "declined", within=60), system.logs()
    assert eventually(lambda: engineer.state("job_44") == "rerunning", within=60), system.logs()
    charge(double, "acc_9", announce=True)
    assert eventually(lambda: len(system.json("dead", "list")["items"]) == 2, within=60), system.logs()
    dead = {item["reason"]: item["dead_id"] for item in system.json("dead", "list")["items"]}
    (file,) = [item for item in system.json("review", "show", request)["evidence"] if item["kind"] == "png"]
    engineer.names |= {
        "CASE": request,
        "ORDER": "ord_acc_7",
        "TRANSACTION": "tran_ord_acc_7",
        "ID": dead["unknown_customer"],
        "ev_…": file["evidence_id"],
    }
    return {"request": request, "second": second, **dead}


def find(engineer: Engineer) -> None:
    """Every other line of the papers, while it is broken; those that matter say what is wrong."""
    said = {}
    for line in PAPERS:
        if line in (*engineer.typed - {"status"}, *NAMED, *MENDS, *MOVES):
            continue
        if line.startswith("policy activate"):
            terms = Path(engineer.system.environ["REFUNDS_TERMS_DIR"])
            engineer.names["NEW.toml"] = str(copy(engineer.system.folder / engineer.names["NEW.toml"], terms))
        said[line] = engineer.types(line).stdout
    status = said["status"].splitlines()
    assert len(status) <= 10, said["status"]
    for named in (
        "1 rerun since",
        "tried in vain: no answer",
        "1 unknown_customer",
        "`refunds dead list --by-reason`",
        "`refunds review list`",
    ):
        assert any(named in line for line in status), said["status"]
    assert "unknown_customer" in said["dead list --by-reason"]
    assert engineer.names["CASE"] in said["review list"]
    assert "job_44" in said["cases --state rerunning"]
    assert "invalid_image" in said["why job_42"]


def mend(engineer: Engineer, broken: dict[str, str], port: int) -> None:
    """The pipeline is back, an account is imported, a person decides, what waited is put back, and a colleague leaves."""
    system = engineer.system
    client = redis_py.Redis.from_url(system.redis_url)
    # before its customer's job ends, for which the request is judged anew and has to be looked at again
    engineer.types('review decline CASE --reason "…"', CASE=broken["second"])
    with PipelineDouble(client, "layer-jobs:events", lambda _: RerunPlan.DELIVERS, SystemClock(), port):
        engineer.types('requeue job_42 --reason "…"', job_42="job_44")
        (system.folder / "history.jsonl").write_text(history("acc_7", "acc_8", "acc_9"))
        engineer.types("import history.jsonl")
        engineer.types('dead requeue ID --reason "…"')
        engineer.types('dead requeue --all-of REASON --reason "…"', REASON="not_json")
        engineer.types('dead discard ID --reason "…"', ID=broken["not_json"])
        engineer.types('dead discard --all-of REASON --reason "…"', REASON="not_json")
        engineer.types('review approve CASE --reason "…"')
        ends = {"job_42": "declined", "job_44": "delivered", broken["request"]: "refunded", broken["second"]: "declined"}
        assert eventually(lambda: {name: engineer.state(name) for name in ends} == ends, within=90), system.logs()
    assert system.json("dead", "list")["items"] == []
    engineer.types('operator disable NAME --reason "…"')
    client.close()


def move(engineer: Engineer, folder: Path) -> None:
    """The book goes into another database; and back, as where that one was lost."""
    system, old = engineer.system, engineer.system.database_url
    engineer.names[NEW_HOUSE] = f"sqlite:///{folder / 'another.db'}"
    engineer.types("drain")
    system.stop()
    system.database_url = engineer.names[NEW_HOUSE]
    engineer.types("db upgrade")
    system.database_url = old
    for line in MOVES[:2]:
        engineer.types(line)
    assert "the book was moved" in system.refunds("status", expect=2).stderr
    system.database_url = engineer.names[NEW_HOUSE]
    assert "Nobody waits beyond the promise" in engineer.types("status").stdout
    engineer.types("audit")
    system.database_url = old
    engineer.types(MOVES[2])
    assert "restore breaker" in engineer.types("status").stdout, "money waits until somebody has looked"

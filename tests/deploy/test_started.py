"""Every process just as docker-compose.yml starts it, with every variable that it sets, the empty ones too: the job is done."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from tests.deploy.shipped import Platform, charged_twice, states, status
from tests.scenarios.system import ROOT, a_purchase, an_account, failed, submitted
from tests.servers import eventually, fresh_database
from worker.clock import SystemClock
from worker.sandbox.creem import CreemDouble
from worker.sandbox.creem.deliveries import post_to
from worker.sandbox.creem.server import CreemServer
from worker.sandbox.servers import RunningRedis, free_port, start_redis

pytestmark = pytest.mark.landing
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "layer-refunds"}
NEEDED = {
    "POSTGRES_PASSWORD": "letters0and0digits",
    "FLOWER_BASIC_AUTH": "ops:a-long-password",
    "REFUNDS_CONSOLE_PASSWORD": "twelve letters",
}
"""What the head of the file asks for, and nothing else."""


def filled_in(text: str, answers: Mapping[str, str]) -> str:
    """A value of the file as Compose gives it to the process. Where nobody answers it is the default, which may be nothing."""

    def value(found: re.Match[str]) -> str:
        name, how, default = found.groups()
        assert how == ":-" or name in answers, f"{name} has to be answered"
        return answers.get(name) or default

    return re.sub(r"\$\{([A-Z_]+)(:-|:\?)([^}]*)\}", value, text)


class Composed:
    """The services of the file, at servers that are here, and the doors of the two that listen."""

    def __init__(self, folder: Path, database_url: str, redis_url: str, answers: Mapping[str, str]) -> None:
        self.platform, self.answers, self.folder = Platform(folder), answers, folder
        at, database = make_url(redis_url), make_url(database_url)
        self.places = {
            "@postgres/refunds": f"@{database.host}:{database.port}/{database.database}",
            "redis://redis:6379/0": f"redis://{at.host}:{at.port}/0",
            "/var/lib/": f"{folder}/",
        }
        ports = {"web": ("REFUNDS_WEB_PORT", free_port()), "flower": ("FLOWER_PORT", free_port())}
        # what Docker does by mapping ports
        self.mapped = {service: {name: str(port)} for service, (name, port) in ports.items()}
        self.doors = {service: f"http://127.0.0.1:{port}" for service, (_, port) in ports.items()}
        for volume in ("refunds", "refunds-journal"):
            (folder / volume).mkdir(mode=0o700)

    def environ(self, service: str) -> dict[str, str]:
        """What the file sets for this service."""
        found = {name: filled_in(str(value), self.answers) for name, value in OURS[service]["environment"].items()}
        for theirs, ours in self.places.items():
            found = {name: value.replace(theirs, ours) for name, value in found.items()}
        return found | self.mapped.get(service, {})

    def up(self) -> None:
        """The migration to its end, then everything else at once."""
        self.refunds(*OURS["migrate"]["command"].split()[1:], service="migrate")
        for service in OURS.keys() - {"migrate"}:
            self.platform.start(service, OURS[service]["command"].split(), self.environ(service))

    def refunds(self, *words: str, service: str = "worker", stdin: str = "") -> str:
        """`docker compose exec SERVICE refunds …`."""
        return self.platform.refunds(*words, given=self.environ(service), stdin=stdin.encode()).stdout

    def states(self) -> dict[str, str]:
        """State of each case."""
        return states(self.refunds("cases", "--json"))


@pytest.fixture
def servers(postgres_server: str, tmp_path: Path) -> Iterator[tuple[str, RunningRedis]]:
    with fresh_database(postgres_server) as url, start_redis(tmp_path / "redis") as redis:
        yield url, redis


@pytest.mark.parametrize("money", [False, pytest.param(True, marks=pytest.mark.nightly)], ids=["bare", "money"])
def test_what_compose_starts_keeps_the_promise(servers: tuple[str, RunningRedis], tmp_path: Path, money: bool) -> None:
    database_url, redis = servers
    with ExitStack() as kept:
        answers = dict(NEEDED)
        composed = Composed(tmp_path, database_url, redis.url, answers)
        kept.callback(composed.platform.end)
        double = CreemDouble(SystemClock(), deliver=post_to(f"{composed.doors['web']}/webhooks/creem"))
        if money:
            creem = kept.enter_context(CreemServer(double))
            answers |= {
                "REFUNDS_CREEM_API_KEY": double.api_key,
                "REFUNDS_CREEM_BASE_URL": creem.url,
                "REFUNDS_CREEM_WEBHOOK_SECRET": double.webhook_secret,
            }
        composed.up()
        web, said = composed.doors["web"], composed.platform.said
        assert eventually(lambda: status(f"{web}/readyz") == 200, within=60), said()
        assert [status(f"{web}{path}") for path in ("/healthz", "/metrics", "/sign-in")] == [200, 200, 200]
        signed_in = ("ops", "a-long-password")
        assert eventually(lambda: status(f"{composed.doors['flower']}/tasks", auth=signed_in) == 200, within=60), said()
        assert status(f"{composed.doors['flower']}/tasks") == 401
        records, wanted = [an_account(), a_purchase()], {"job_1": "refunded"}
        if money:
            records += charged_twice(double)
            wanted["ord_again"] = "refunded"
        composed.refunds("import", "-", stdin="".join(json.dumps(record) + "\n" for record in records))
        composed.refunds("emit", "-", stdin=f"{submitted('job_1')}\n{failed('job_1')}\n")
        assert eventually(lambda: composed.states() == wanted, within=90), f"{composed.states()}\n{said()}"
        assert [movement.kind for movement in double.movements].count("refund") == money
        assert ("webhook.received" in said()) == money
        assert json.loads(composed.refunds("audit", "--json"))["breaches"] == []
        assert composed.platform.stop() == dict.fromkeys(OURS.keys() - {"migrate"}, 0), said()
        assert [*composed.platform.home.iterdir()] == [], "a container has nothing there to write to"

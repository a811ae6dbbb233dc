"""Every pod just as a kubelet starts it from deploy/kubernetes, under the roles and users of deploy/: the job is done."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from psycopg import sql
from sqlalchemy import make_url

from tests.deploy.shipped import Platform, as_user, charged_twice, guarded_redis, states, status
from tests.deploy.test_kubernetes import CONFIG, PODS, SECRETS, container, mounted
from tests.deploy.test_roles import ROLES
from tests.requests.world import OUR_HOST, a_mail
from tests.scenarios.system import a_purchase, an_account, failed, submitted
from tests.servers import conninfo, eventually, fresh_database
from worker.clock import SystemClock
from worker.sandbox.creem import CreemDouble
from worker.sandbox.creem.deliveries import post_to
from worker.sandbox.creem.server import CreemServer
from worker.sandbox.servers import RunningRedis, free_port

pytestmark = pytest.mark.landing
PARTS: dict[str, dict[str, Any]] = {pod["spec"]["template"]["metadata"]["labels"]["part"]: pod for _, pod in PODS}
STAYS = PARTS.keys() - {"migrate"}
SIGNED_IN = ("ops", "a-long-password")


class Cluster:
    """The pods of the manifests on one machine: where a pod mounts a folder it finds it, and where it does not there is none."""

    def __init__(
        self, folder: Path, database_urls: dict[str, str], guarded: RunningRedis, double: CreemDouble, ports: Mapping[str, int]
    ) -> None:
        self.platform, self.folder = Platform(folder), folder
        self.secrets = {
            "owner-url": database_urls["owner"],
            "database-url": database_urls["app"],
            "redis-url": as_user(guarded, "refunds"),
            "web-redis-url": as_user(guarded, "web"),
            "creem-api-key": double.api_key,
            "creem-webhook-secret": double.webhook_secret,
            "console-password": "twelve letters",
            "flower-basic-auth": ":".join(SIGNED_IN),
        }
        assert {name for secret in SECRETS.values() for name in secret["stringData"]} == set(self.secrets)
        self.told: dict[str, str] = {}
        """What the operator adds to the ConfigMap, which every pod is given."""
        self.mapped = {"web": {"REFUNDS_WEB_PORT": str(ports["web"])}, "flower": {"FLOWER_PORT": str(ports["flower"])}}
        for disk in ("people", "journal"):
            (folder / disk).mkdir(mode=0o700)

    def environ(self, part: str) -> dict[str, str]:
        """What its container is told, with paths of this machine for those of the image."""
        found = {**CONFIG["data"], **self.told}
        for variable in container(PARTS[part]).get("env", []):
            asked = variable.get("valueFrom")
            found[variable["name"]] = self.secrets[asked["secretKeyRef"]["key"]] if asked else variable["value"]
        for mount in sorted(container(PARTS[part])["volumeMounts"], key=lambda mount: -len(mount["mountPath"])):
            found = {
                name: value.replace(mount["mountPath"], str(self._here(part, mount["name"]))) for name, value in found.items()
            }
        return found | self.mapped.get(part, {})

    def start(self, part: str) -> None:
        """One pod of it."""
        self.platform.start(part, container(PARTS[part])["command"], self.environ(part))

    def refunds(self, *words: str, part: str = "worker", stdin: str = "") -> str:
        """`kubectl exec POD -- refunds …`."""
        return self.platform.refunds(*words, given=self.environ(part), stdin=stdin.encode()).stdout

    def states(self) -> dict[str, str]:
        """State of each case."""
        return states(self.refunds("cases", "--json"))

    def lives(self, part: str) -> bool:
        """Whether the kubelet's question to it is answered."""
        shell, option, words = container(PARTS[part])["livenessProbe"]["exec"]["command"]
        ours = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOSTNAME": socket.gethostname()}
        given = self.platform.environ(self.environ(part)) | ours
        asked = [shell, option, words.replace("! ", "").replace("grep -q", "cat; true")]
        answer = subprocess.run(asked, env=given, cwd=self.platform.home, capture_output=True, text=True, check=False)
        return "pong" in answer.stdout

    def _here(self, part: str, volume: str) -> Path:
        if volume != "secrets":
            return self.folder / (f"tmp-{part}" if volume == "tmp" else volume)
        folder = self.folder / f"secrets-{part}"
        if not folder.exists():
            folder.mkdir()
            for file in mounted(PARTS[part]):
                (folder / file).write_text(self.secrets[file])
        return folder


@contextmanager
def signing_in(postgres_server: str) -> Iterator[dict[str, str]]:
    """A database of the owner's, and what owner and worker sign in with; the worker's role has what roles.sql gives it."""
    with psycopg.connect(conninfo(postgres_server), autocommit=True) as admin, fresh_database(postgres_server) as url:
        at = make_url(url)
        names = {part: f"{part}_{at.database}" for part in ("owner", "app")}
        for group in ("refunds_worker", "refunds_looks"):
            if not admin.execute("select from pg_roles where rolname = %s", (group,)).fetchone():
                admin.execute(sql.SQL("create role {} nologin").format(sql.Identifier(group)))
        for name in names.values():
            admin.execute(sql.SQL("create role {} login password 'x'").format(sql.Identifier(name)))
        admin.execute(sql.SQL("grant refunds_worker to {}").format(sql.Identifier(names["app"])))
        admin.execute(sql.SQL("alter database {} owner to {}").format(*map(sql.Identifier, (str(at.database), names["owner"]))))
        try:
            yield {
                part: at.set(username=name, password="x").render_as_string(hide_password=False) for part, name in names.items()
            }
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(str(at.database))))
            for name in names.values():
                admin.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def test_what_kubernetes_starts_keeps_the_promise(postgres_server: str, tmp_path: Path) -> None:
    """All at once, before there is a schema, and with requests by mail, of which every pod is told and three have the folder."""
    ports = {part: free_port() for part in ("web", "flower")}
    web, flower = (f"http://127.0.0.1:{port}" for port in ports.values())
    double = CreemDouble(SystemClock(), deliver=post_to(f"{web}/webhooks/creem"))
    with (
        signing_in(postgres_server) as urls,
        guarded_redis(tmp_path / "redis") as guarded,
        CreemServer(double) as creem,
    ):
        cluster = Cluster(tmp_path, urls, guarded, double, ports)
        said = cluster.platform.said
        cluster.told |= {"REFUNDS_MODE": "full", "REFUNDS_CREEM_BASE_URL": creem.url, "REFUNDS_MAIL_HOSTS": OUR_HOST}
        cluster.told |= {"REFUNDS_MAIL_DIR": "/var/lib/refunds/mail", "REFUNDS_PIPELINE_URL": f"http://127.0.0.1:{free_port()}"}
        for part in ("new", "cur", "tmp"):
            (tmp_path / "people/mail" / part).mkdir(parents=True)
        try:
            for part in STAYS:
                cluster.start(part)
            cluster.refunds(*container(PARTS["migrate"])["command"][1:], part="migrate")
            with psycopg.connect(conninfo(urls["owner"]), autocommit=True) as owner:
                owner.execute(ROLES.encode())
            assert eventually(lambda: status(f"{web}/readyz") == 200, within=60), said()
            assert {part: pod.poll() for part, pod in cluster.platform.running.items()} == dict.fromkeys(STAYS), said()
            path = container(PARTS["web"])["readinessProbe"]["httpGet"]["path"]
            assert [status(f"{web}{asked}") for asked in (path, "/metrics", "/sign-in")] == [200, 200, 200]
            assert eventually(lambda: status(f"{flower}/tasks", auth=SIGNED_IN) == 200, within=60), said()
            records = [an_account(), a_purchase(), *charged_twice(double)]
            cluster.refunds("import", "-", stdin="".join(json.dumps(record) + "\n" for record in records))
            pipeline: Any = redis.Redis.from_url(as_user(guarded, "pipeline"))
            for document in (submitted("job_1"), failed("job_1")):
                pipeline.xadd("layer-jobs:events", {"event": document})
            (tmp_path / "people/mail/new/1.host").write_bytes(a_mail("Please refund my order ord_1."))
            wanted = {"job_1": "refunded", "ord_again": "refunded", "ord_1": "declined"}
            assert eventually(lambda: cluster.states() == wanted, within=90), f"{cluster.states()}\n{said()}"
            assert [movement.kind for movement in double.movements].count("refund") == 1
            assert eventually(lambda: "webhook.received" in said(), within=30), said()
            assert [cluster.lives(part) for part in ("worker", "money")] == [True, True]
            assert json.loads(cluster.refunds("audit", "--json", part="money"))["breaches"] == []
            assert "no permissions" not in said()
            assert cluster.platform.stop() == dict.fromkeys(STAYS, 0), said()
            assert [*cluster.platform.home.iterdir()] == [], "a container has nothing there to write to"
        finally:
            cluster.platform.end()

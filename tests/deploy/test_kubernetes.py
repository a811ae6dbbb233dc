"""The Kubernetes manifests: valid against the published schemas, and about processes, settings and figures that exist."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fakeredis
import kubernetes_validate
import pytest
import typer
import yaml
from sqlalchemy import make_url

from policy import load_editions
from tests.cases.world import HandClock
from tests.deploy.promtool import NEEDS_PROMTOOL, promtool
from worker.cli.main import app
from worker.sandbox.servers import free_port
from worker.settings import DEFAULT_TERMS, FILE, GROUP, PLACEHOLDER, Settings, load_settings
from worker.store import inbox
from worker.store.engine import Store
from worker.store.tables import inbox as rows
from worker.web.metrics import Figures

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
DOCUMENTS: list[tuple[str, dict[str, Any]]] = [
    (file.name, document) for file in sorted(FOLDER.glob("*.yml")) for document in yaml.safe_load_all(file.read_text())
]
PODS = [(name, document) for name, document in DOCUMENTS if "template" in document.get("spec", {})]
IDS = [document["metadata"]["name"] for _, document in PODS]
SECRETS = {document["metadata"]["name"]: document for _, document in DOCUMENTS if document["kind"] == "Secret"}
CONFIG = next(document for _, document in DOCUMENTS if document["kind"] == "ConfigMap")
SCALER = next(document["spec"] for _, document in DOCUMENTS if document["kind"] == "HorizontalPodAutoscaler")
SCALED_ON = {metric["external"]["metric"]["name"]: metric["external"]["target"] for metric in SCALER["metrics"]}
IN_INBOX, ON_STREAM = "refunds_inbox_oldest_age_seconds", "refunds_stream_oldest_age_seconds"
SERVICES = [document for _, document in DOCUMENTS if document["kind"] == "Service"]
ADAPTER = yaml.safe_load((FOLDER.parent / "prometheus/adapter.yml").read_text())
ASKS_THE_DATABASE = {"intake", "migrate", "money", "web", "worker"}


def container(document: dict[str, Any]) -> dict[str, Any]:
    (found,) = document["spec"]["template"]["spec"]["containers"]
    return dict(found)


def setting(variable: str) -> str:
    return variable.removesuffix(FILE).removeprefix("REFUNDS_").lower()


@pytest.mark.parametrize(("name", "document"), DOCUMENTS, ids=[f"{d['kind']}-{d['metadata']['name']}" for _, d in DOCUMENTS])
def test_manifest_is_valid(name: str, document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.31", strict=True)


@pytest.mark.parametrize(("name", "document"), PODS, ids=IDS)
def test_pod_selects_itself_and_runs_as_nobody(name: str, document: dict[str, Any]) -> None:
    template = document["spec"]["template"]
    if "selector" in document["spec"]:
        assert document["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container(document)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container(document)["resources"]["limits"]["memory"]


@pytest.mark.parametrize(("name", "document"), PODS, ids=IDS)
def test_pod_runs_a_command_that_exists_with_settings_that_exist(name: str, document: dict[str, Any]) -> None:
    program, *words = container(document)["command"]
    if program == "refunds":
        command: Any = typer.main.get_command(app)
        for word in words:
            command = command.commands[word]
    else:
        assert [program, *words[:2]] == ["celery", "-A", "worker"]
    named = [variable["name"] for variable in container(document).get("env", [])] + list(CONFIG["data"])
    assert {setting(variable) for variable in named if variable.startswith("REFUNDS_")} <= set(Settings.model_fields)


def links(service: dict[str, Any]) -> dict[str, str]:
    """What a kubelet tells each container that starts after this service, as Docker once did, unless the pod wants none."""
    if service["spec"].get("clusterIP") == "None":
        return {}
    name, address = service["metadata"]["name"].upper().replace("-", "_"), "10.96.3.4"
    first = service["spec"]["ports"][0]["port"]
    told = {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(first), f"{name}_PORT": f"tcp://{address}:{first}"}
    for each in service["spec"]["ports"]:
        port = f"{name}_PORT_{each['port']}_TCP"
        told |= {f"{name}_SERVICE_PORT_{each['name'].upper()}": str(each["port"]), port: f"tcp://{address}:{each['port']}"}
        told |= {f"{port}_PROTO": "tcp", f"{port}_PORT": str(each["port"]), f"{port}_ADDR": address}
    return told


@pytest.mark.parametrize(("name", "document"), PODS, ids=IDS)
def test_pod_starts_where_its_services_are_already(name: str, document: dict[str, Any], tmp_path: Path) -> None:
    assert any("REFUNDS_WEB_PORT" in links(service) for service in SERVICES), "the name of a setting of ours"
    wanted = document["spec"]["template"]["spec"].get("enableServiceLinks", True)
    told = {key: value for service in SERVICES if wanted for key, value in links(service).items()}
    told |= CONFIG["data"] | {v["name"]: v["value"] for v in container(document).get("env", []) if "value" in v}
    for file, secret in mounted(document).items():
        (tmp_path / file).write_text(SECRETS[secret]["stringData"][file].replace(PLACEHOLDER, "of-our-own"))
    environ = {key: value.replace("/run/secrets/refunds", str(tmp_path)) for key, value in told.items()}
    part, url = document["spec"]["template"]["metadata"]["labels"]["part"], load_settings(environ).database_url
    assert url.startswith("postgresql+psycopg://") is (part in ASKS_THE_DATABASE)


def mounted(document: dict[str, Any]) -> dict[str, str]:
    """The files of secrets that the pod gets, and of which secret each is."""
    volumes = document["spec"]["template"]["spec"]["volumes"]
    secrets = [v["secret"] | {"name": v["secret"]["secretName"]} for v in volumes if "secret" in v]
    secrets += [source["secret"] for v in volumes if "projected" in v for source in v["projected"]["sources"]]
    # without `items` it is all of them
    return {item["path"]: secret["name"] for secret in secrets for item in secret["items"]}


@pytest.mark.parametrize(("name", "document"), PODS, ids=IDS)
def test_pod_gets_the_secrets_that_its_settings_name_and_no_other(name: str, document: dict[str, Any]) -> None:
    settings = CONFIG["data"] | {v["name"]: v["value"] for v in container(document).get("env", []) if "value" in v}
    named = [str(value) for key, value in settings.items() if key.endswith(FILE) and value]
    files = {value.removeprefix("/run/secrets/refunds/") for value in named}
    found = mounted(document)
    assert set(found) == files
    assert all(file in SECRETS[secret]["stringData"] for file, secret in found.items())


def test_who_signs_in_to_the_database_is_who_may_reach_it() -> None:
    """Flower, which many people look at, and the schedule ask it nothing: once they could have signed in all the same."""
    policy = next(d["spec"] for _, d in DOCUMENTS if d["metadata"]["name"] == "refunds-to-postgres")
    [chosen] = policy["podSelector"]["matchExpressions"]
    assert set(chosen["values"]) == ASKS_THE_DATABASE
    signs_in = {
        d["spec"]["template"]["metadata"]["labels"]["part"] for _, d in PODS if {"database-url", "owner-url"} & {*mounted(d)}
    }
    assert signs_in == ASKS_THE_DATABASE


def test_web_goes_on_answering_until_nobody_is_sent_there() -> None:
    """A pod that ends is told so when the others are: for a moment requests still come, and each would be refused."""
    pod = next(document for _, document in PODS if document["metadata"]["name"] == "refunds-web")["spec"]["template"]["spec"]
    word, seconds = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert (word, int(seconds) >= 5) == ("sleep", True)
    assert pod["terminationGracePeriodSeconds"] >= int(seconds) + 20


def test_key_and_owner_are_each_in_one_pod() -> None:
    held = {file: [name for name, document in PODS if file in mounted(document)] for file in ("creem-api-key", "owner-url")}
    assert held == {"creem-api-key": ["money.yml"], "owner-url": ["migrate.yml"]}
    assert "owner-url" not in SECRETS["refunds"]["stringData"]
    assert CONFIG["data"]["REFUNDS_CREEM_ENVIRONMENT"] == "test"


def test_server_of_the_database_is_vouched_for_by_a_file_that_the_image_has() -> None:
    """The driver brings an OpenSSL of its own, whose folder is none of the system's: what `system` names there is nothing."""
    urls = [value for secret in SECRETS.values() for value in secret["stringData"].values() if value.startswith("postgresql")]
    asked = [make_url(url).query for url in urls]
    assert asked == [{"sslmode": "verify-full", "sslrootcert": "/etc/ssl/certs/ca-certificates.crt"}] * 2


def test_migration_is_run_anew_for_each_release_and_waited_for_before_the_rest_is_applied() -> None:
    """A Job that is there cannot be changed, and is waited for by its name."""
    (job,) = (document for _, document in DOCUMENTS if document["kind"] == "Job")
    order = [
        "kubectl replace --force -f deploy/kubernetes/migrate.yml",
        f"kubectl wait --for=condition=complete --timeout=1h job/{job['metadata']['name']}",
        "kubectl apply -f deploy/kubernetes/",
    ]
    assert "".join(f"    {line}\n" for line in order) in (FOLDER.parents[1] / "docs/operating.md").read_text()


def test_disks_that_are_kept_keep_the_modes_of_what_lies_there() -> None:
    """By default a mount gives the pod's group rights to every file of customers."""
    kept = [
        document["spec"]["template"]["spec"]
        for _, document in PODS
        if "volumeClaimTemplates" in document["spec"]
        or any("persistentVolumeClaim" in volume for volume in document["spec"]["template"]["spec"]["volumes"])
    ]
    assert len(kept) == 3
    assert all(pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch" for pod in kept)


def test_every_queue_has_a_worker_and_money_one_with_the_journal() -> None:
    from celeryconfig import task_queues

    queues = {
        d["metadata"]["name"]: set(words[words.index("-Q") + 1].split(","))
        for _, d in PODS
        if "-Q" in (words := container(d)["command"])
    }
    assert set().union(*queues.values()) == {queue.name for queue in task_queues}
    assert queues["refunds-money"] == {"money"}
    money = next(document for _, document in PODS if document["metadata"]["name"] == "refunds-money")
    assert (money["kind"], money["spec"]["replicas"]) == ("StatefulSet", 1)
    assert "REFUNDS_JOURNAL_DIR" in {variable["name"] for variable in container(money)["env"]}


@pytest.mark.parametrize("part", ["worker", "money"])
def test_worker_gets_the_time_a_warm_shutdown_takes(part: str) -> None:
    document = next(document for _, document in PODS if document["metadata"]["name"] == f"refunds-{part}")
    assert document["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= 125


def probe(part: str) -> list[str]:
    """What a kubelet runs in the pod to see whether its process lives."""
    document = next(document for _, document in PODS if document["metadata"]["name"] == f"refunds-{part}")
    return list(container(document)["livenessProbe"]["exec"]["command"])


@pytest.mark.landing
def test_worker_is_restarted_where_it_gives_no_answer_and_not_where_redis_gives_none(redis_server: str, tmp_path: Path) -> None:
    assert probe("worker") == probe("money")
    shell, option, words = probe("worker")
    ours = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "REFUNDS_DATABASE_URL": f"sqlite:///{tmp_path}/none.db",
    }
    away = f"redis://127.0.0.1:{free_port()}/0"
    asked = [
        subprocess.Popen(
            [shell, option, words.replace("--timeout 10", "--timeout 1")],
            env=ours | {"HOSTNAME": "nobody-of-this-name", "REFUNDS_REDIS_URL": url},
            cwd=FOLDER.parents[1],
            stdout=subprocess.DEVNULL,
        )
        for url in (redis_server, away)
    ]
    assert [bool(each.wait(60)) for each in asked] == [True, False]


def test_web_that_waits_for_its_database_is_not_restarted() -> None:
    """It listens once the schema is there (`until_ready`): to be started again and again would only put that off."""
    web = container(next(document for _, document in PODS if document["metadata"]["name"] == "refunds-web"))
    start = web["startupProbe"]
    assert start["httpGet"] == web["livenessProbe"]["httpGet"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 86400


def test_flower_keeps_no_more_tasks_than_its_memory_holds() -> None:
    """Measured: 4 kB each, more where a task names many rows; the process itself has 120 MB."""
    flower = container(next(document for _, document in PODS if document["metadata"]["name"] == "refunds-flower"))
    (most,) = (int(word.partition("=")[2]) for word in flower["command"] if word.startswith("--max-tasks="))
    assert 120 + most * 8 / 1000 < int(flower["resources"]["limits"]["memory"].removesuffix("Mi"))


def test_autoscaler_scales_workers_of_the_queue_that_handles_events() -> None:
    target = SCALER["scaleTargetRef"]
    scaled = next(d for _, d in PODS if (d["kind"], d["metadata"]["name"]) == (target["kind"], target["name"]))
    words = container(scaled)["command"]
    assert "assess" in words[words.index("-Q") + 1].split(",")
    assert SCALER["minReplicas"] == scaled["spec"]["replicas"]


def test_autoscaler_sees_the_age_of_the_backlog_until_it_is_handled(store: Store) -> None:
    clock = HandClock()

    def seen() -> float:
        figures = Figures(store, fakeredis.FakeRedis(), "layer-jobs:events", clock, load_editions(DEFAULT_TERMS))
        value = figures.registry.get_sample_value(IN_INBOX)
        assert value is not None
        return value

    assert seen() == 0
    row = inbox.new_row(
        source="/image-pipeline",
        event_id="evt-1",
        type="layer_job.failed",
        account_id=None,
        job_id="job_1",
        raw="{}",
        sha256="0" * 64,
        received_at=clock.now(),
    )
    store.write(lambda tx: tx.insert(rows, [row]))
    clock.pass_(seconds=42)
    assert seen() == 42 > float(SCALED_ON[IN_INBOX]["value"])
    store.write(lambda tx: tx.connection.execute(rows.update().values(state="handled")))
    assert seen() == 0


def test_autoscaler_sees_what_waits_on_the_stream_and_is_drained_from_there(store: Store) -> None:
    client, clock = fakeredis.FakeRedis(), HandClock()
    figures = Figures(store, client, "layer-jobs:events", clock, load_editions(DEFAULT_TERMS))
    client.xgroup_create("layer-jobs:events", GROUP, "0", mkstream=True)
    client.xadd("layer-jobs:events", {"event": "{}"}, id=f"{int(clock.now().timestamp() * 1000) - 42_000}-0")
    assert figures.registry.get_sample_value(ON_STREAM) == 42 > float(SCALED_ON[ON_STREAM]["value"])


@pytest.mark.parametrize("name", SCALED_ON)
@NEEDS_PROMTOOL
def test_autoscaler_gets_the_age_once_however_many_web_processes_export_it(name: str, tmp_path: Path) -> None:
    (rule,) = (each for each in ADAPTER["externalRules"] if each["seriesQuery"] == name)
    assert rule["name"]["as"] == name
    query = rule["metricsQuery"].replace("<<.Series>>", rule["seriesQuery"]).replace("<<.LabelMatchers>>", 'job="refunds"')
    series = [{"series": f'{rule["seriesQuery"]}{{job="refunds", instance="web-{n}"}}', "values": f"{40 + n}"} for n in range(2)]
    asked = {"expr": query, "eval_time": "0m", "exp_samples": [{"labels": "{}", "value": 41}]}
    case = {"interval": "1m", "input_series": series, "promql_expr_test": [asked]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"tests": [case]}))
    promtool(tmp_path, "test", "rules", "test.yml")

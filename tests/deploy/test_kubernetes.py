"""The Kubernetes manifests: valid against the published schemas, and about processes and settings that exist."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from worker.cli.main import app
from worker.settings import FILE, Settings

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
DOCUMENTS: list[tuple[str, dict[str, Any]]] = [
    (file.name, document) for file in sorted(FOLDER.glob("*.yml")) for document in yaml.safe_load_all(file.read_text())
]
PODS = [(name, document) for name, document in DOCUMENTS if "template" in document.get("spec", {})]
IDS = [document["metadata"]["name"] for _, document in PODS]
SECRET = next(document for _, document in DOCUMENTS if document["kind"] == "Secret")
CONFIG = next(document for _, document in DOCUMENTS if document["kind"] == "ConfigMap")


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
    assert container(document)["securityContext"]["readOnlyRootFilesystem"] is True
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


def test_every_file_that_is_named_is_a_key_of_the_secret() -> None:
    named = {str(value) for key, value in CONFIG["data"].items() if key.endswith(FILE)}
    named |= {v["value"] for _, d in PODS for v in container(d).get("env", []) if v["name"].endswith(FILE)}
    assert {Path(path).name for path in named} | {"flower-basic-auth"} == set(SECRET["stringData"])


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

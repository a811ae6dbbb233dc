"""Image and compose file: what they promise can be read from them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "layer-refunds"}
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def seconds(text: str) -> int:
    """`150s` as a number."""
    return int(text.removesuffix("s"))


def test_services_name_only_settings_that_exist() -> None:
    given = {variable for service in OURS.values() for variable in service.get("environment", {})}
    ours = {variable.removeprefix("REFUNDS_").lower() for variable in given if variable.startswith("REFUNDS_")}
    assert {"database_url", "redis_url"} <= ours <= set(Settings.model_fields)


@pytest.mark.parametrize("name", sorted(set(OURS) - {"migrate"}))
def test_service_starts_after_the_schema_is_there(name: str) -> None:
    assert OURS[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert OURS[name]["depends_on"]["redis"]["condition"] == "service_healthy"


def test_redis_forgets_nothing() -> None:
    command = SERVICES["redis"]["command"]
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert "--proto-max-bulk-len 1mb" in command


@pytest.mark.parametrize("name", ["redis", "postgres"])
def test_server_has_a_health_check_and_keeps_its_data(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["volumes"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_service_fills_no_disk_with_its_log_and_ours_no_memory(name: str) -> None:
    service = SERVICES[name]
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "50m", "max-file": "4"}}
    assert name not in OURS or service["mem_limit"] == "1g"


@pytest.mark.parametrize("name", sorted(OURS))
def test_service_writes_where_it_keeps_things_and_gains_no_rights(name: str) -> None:
    """As in Kubernetes (tests/deploy/test_kubernetes.py)."""
    service = OURS[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - the one of its container
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    if name == "flower":
        # it looks at Redis, and keeps nothing
        assert service["volumes"] == []
        return
    assert service["volumes"] == ["people:/var/lib/refunds", "journal:/var/lib/refunds-journal"]
    assert service["environment"]["REFUNDS_EVIDENCE_DIR"].startswith("/var/lib/refunds/")
    assert service["environment"]["REFUNDS_JOURNAL_DIR"] == "/var/lib/refunds-journal"


def test_worker_gets_the_time_a_warm_shutdown_takes() -> None:
    assert seconds(OURS["worker"]["stop_grace_period"]) >= 125


def test_no_task_process_listens_to_the_others() -> None:
    """Nothing here asks what they tell each other, and where Redis goes away that part of Celery trips over it."""
    manifests = (file.read_text().replace(",", "") for file in (ROOT / "deploy/kubernetes").glob("*.yml"))
    commands = [line for text in [*manifests, (ROOT / "docker-compose.yml").read_text()] for line in text.splitlines()]
    workers = [line for line in commands if "command:" in line and "celery -A worker worker" in line]
    assert len(workers) == 3
    assert all("--without-gossip" in line for line in workers)


def test_flower_is_on_loopback_behind_a_password() -> None:
    flower = OURS["flower"]
    assert all(port.startswith("127.0.0.1:") for port in flower["ports"])
    assert re.search(r"\$\{FLOWER_BASIC_AUTH:\?", str(flower["environment"])), "compose must refuse to start without one"


def test_no_secret_stands_in_the_file() -> None:
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|KEY|SECRET|AUTH|DATABASE_URL", variable):
                assert "${" in value, f"{variable} should come from the environment"


def test_published_ports_are_on_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_image_installs_by_hash_and_runs_as_nobody_special() -> None:
    assert "--require-hashes" in DOCKERFILE
    assert "-r requirements.lock" in DOCKERFILE
    assert re.search(r"(?m)^USER (?!root)", DOCKERFILE)
    assert "STOPSIGNAL SIGTERM" in DOCKERFILE


def test_image_is_made_from_files_that_exist() -> None:
    last = DOCKERFILE.split("FROM ")[1]
    for line in re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", last):
        for source in line.split():
            assert (ROOT / source).exists(), source

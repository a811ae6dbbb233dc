"""A real Prometheus with the alert rules of `deploy/prometheus`, their patience made short enough to be waited for."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from tests.scenarios.system import ROOT
from tests.servers import eventually
from worker.sandbox.servers import free_port

RULES = ROOT / "deploy/prometheus/alerts.yml"
LOAD = "RefundsJobsFailing"
BINARY = shutil.which("prometheus")
SHORTER = 10
"""An age that an alert asks for is divided by this; how long it has to last is `LASTS` for all."""
LASTS = "2s"
AGE = re.compile(r"(_age_seconds > )(\d+)")


def short_rules() -> dict[str, Any]:
    """The alert rules as they are, but for their patience."""
    rules: dict[str, Any] = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["for"] = LASTS
            rule["expr"] = AGE.sub(lambda found: f"{found[1]}{int(found[2]) / SHORTER:g}", rule["expr"])
    return rules


class Prometheus:
    """Scrapes one address every second and judges the rules as often; a context manager."""

    def __init__(self, folder: Path, target: str) -> None:
        folder.mkdir()
        self._url = f"http://127.0.0.1:{free_port()}"
        (folder / "rules.yml").write_text(yaml.safe_dump(short_rules()))
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "refunds", "static_configs": [{"targets": [target]}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        assert BINARY is not None, "needs prometheus (Debian: apt install prometheus)"
        options = {
            "config.file": self._folder / "prometheus.yml",
            "storage.tsdb.path": self._folder / "data",
            "web.listen-address": self._url.removeprefix("http://"),
            # an alert that no longer holds is gone with the next look, also where the target has gone away
            "query.lookback-delta": "5s",
        }
        command = [BINARY, *(f"--{name}={value}" for name, value in options.items())]
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        assert eventually(self._answers, within=30), (self._folder / "prometheus.log").read_text()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self._url}/-/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def firing(self) -> set[str]:
        """The alerts that would have somebody called now, but for the one about the load itself: jobs that fail."""
        said = httpx.get(f"{self._url}/api/v1/alerts", timeout=5).raise_for_status().json()
        return {alert["labels"]["alertname"] for alert in said["data"]["alerts"] if alert["state"] == "firing"} - {LOAD}

"""What an operator sees in Flower: a real one, over a real run, behind its sign-in, in a real browser."""

import os
import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import sync_playwright
from prometheus_client.parser import text_string_to_metric_families

from tests.scenarios.system import ROOT, System, a_purchase, an_account, failed, kill_group, submitted
from tests.servers import ON_POSTGRES, eventually
from tests.web.console.live import NEEDS_CHROMIUM, a_browser
from worker.sandbox.servers import free_port

pytestmark = [pytest.mark.landing, ON_POSTGRES]
USER, PASSWORD = "ops", "a password of ten words would be better"
RULES, DASHBOARD = ROOT / "deploy/prometheus/alerts.yml", ROOT / "deploy/grafana/dashboards/refunds.json"
PICTURE = os.environ.get("REFUNDS_TEST_FLOWER_PICTURE")
"""Where to keep what the browser showed (`docs/pictures/flower.png`), if anywhere."""


def status(address: str, *, signed_in: bool) -> int:
    """What a plain GET of the task list answers; 0 while nobody listens."""
    try:
        return httpx.get(f"{address}/tasks", auth=(USER, PASSWORD) if signed_in else None, timeout=5).status_code
    except httpx.TransportError:
        return 0


@NEEDS_CHROMIUM
def test_task_list_says_job_and_outcome_and_can_be_searched(system: System, tmp_path: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    system.load([an_account(), a_purchase(credits=100)])
    system.worker(1)
    system.extra = {**system.extra, "FLOWER_BASIC_AUTH": f"{USER}:{PASSWORD}"}
    system.start("celery", "-A", "worker", "flower", "--address=127.0.0.1", f"--port={port}", "--read-only")
    assert eventually(lambda: status(address, signed_in=True) == 200, within=60), system.logs()
    assert status(address, signed_in=False) == 401
    told = {"job_lion": "internal_error", "job_whale": "content_rejected", "job_heron": "model_error"}
    for job, code in told.items():
        # one at a time: each is then a task of its own
        system.emit([submitted(job), failed(job, code=code)])
        assert eventually(lambda job=job: (system.case(job) or {}).get("state") in {"refunded", "declined"}, within=60)  # type: ignore[misc]
    case = str((system.case("job_lion") or {})["case_id"])
    with sync_playwright() as playwright:
        browser = a_browser(playwright)
        page = browser.new_context(
            base_url=address, http_credentials={"username": USER, "password": PASSWORD}, viewport={"width": 1600, "height": 700}
        ).new_page()
        page.goto("/tasks")
        # the schedule's own tasks stand between them
        box = page.locator("input[type=search]").first
        box.fill("name:refunds.assess")
        page.locator("tbody tr", has_text="refunds.sweep").first.wait_for(state="detached", timeout=20_000)
        page.locator("tbody tr", has_text=f"refunded {case} job_lion").first.wait_for(timeout=20_000)
        assert page.locator("tbody tr", has_text="declined").filter(has_text="job_whale").count() >= 1
        if PICTURE:
            page.screenshot(path=PICTURE)
        box.fill("kwargs:job_heron")
        page.locator("tbody tr", has_text="job_lion").first.wait_for(state="detached", timeout=20_000)
        assert page.locator("tbody tr", has_text="job_heron").count() >= 1
        box.fill("result:declined")
        page.locator("tbody tr", has_text="job_heron").first.wait_for(state="detached", timeout=20_000)
        assert page.locator("tbody tr", has_text="job_whale").count() >= 1
        browser.close()


def figures(address: str) -> dict[str, float]:
    """What a process tells Prometheus, unsigned, each figure summed over its labels; nothing while it does not answer."""
    try:
        answer = httpx.get(f"{address}/metrics", timeout=5)
    except httpx.TransportError:
        return {}
    families = text_string_to_metric_families(answer.raise_for_status().text)
    summed: dict[str, float] = {}
    for sample in (sample for family in families for sample in family.samples):
        kind = sample.labels.get("type") or sample.labels.get("queue")
        for name in (sample.name, f"{sample.name} {kind}") if kind else (sample.name,):
            summed[name] = summed.get(name, 0) + sample.value
    return summed


def test_prometheus_is_told_of_workers_and_tasks_of_a_worker_that_was_killed_and_of_what_waits_for_it(system: System) -> None:
    port, ours = free_port(), free_port()
    address = f"http://127.0.0.1:{port}"
    worker = system.start("celery", "-A", "worker", "worker", "--concurrency", "1")
    system.start("celery", "-A", "worker", "beat", "--schedule", str(system.folder / "beat"))
    system.extra = {
        **system.extra,
        "FLOWER_BASIC_AUTH": f"{USER}:{PASSWORD}",
        "FLOWER_PURGE_OFFLINE_WORKERS": "6",
        "REFUNDS_WEB_PORT": str(ours),
    }
    system.start("worker.cli", "web")
    system.start("celery", "-A", "worker", "flower", "--address=127.0.0.1", f"--port={port}", "--read-only")
    told: dict[str, float] = {}

    def seen() -> bool:
        # a worker that was there before Flower is known by its next heartbeat
        told.update(figures(address))
        return told.get("flower_events_total task-succeeded", 0) >= 1 and told.get("flower_worker_online") == 1

    assert eventually(seen, within=60), system.logs()
    expressions = RULES.read_text() + DASHBOARD.read_text()
    assert set(re.findall(r"flower_[a-z_]+", expressions)) <= set(told)
    kill_group(worker)

    def forgotten() -> bool:
        seen = figures(address)
        return bool(seen) and not seen.get("flower_worker_online")

    assert eventually(forgotten, within=60), figures(address)
    # nobody takes the schedule's messages now, and the web process counts them
    assert eventually(lambda: figures(f"http://127.0.0.1:{ours}").get("refunds_tasks_queued sweep", 0) > 0, within=60), (
        system.logs()
    )

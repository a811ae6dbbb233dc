"""The host is somebody else's: what another program has there, in a folder or in the environment, is not taken for ours."""

import os
import subprocess
import sys

import pytest
import redis as redis_py

from tests.scenarios.system import System, a_purchase, an_account, failed, submitted
from tests.servers import ON_SQLITE, eventually
from worker.sandbox.servers import RunningRedis, free_port

pytestmark = [pytest.mark.landing, ON_SQLITE]


def worker_as_installed(system: System) -> None:
    """`refunds worker` as the installed command starts it, which does not look into the current folder for modules."""
    command = [sys.executable, "-P", "-m", "worker.cli", "worker", "--concurrency", "1"]
    with (system.folder / "worker.log").open("wb") as log:
        one = subprocess.Popen(command, env=system.environ, cwd=system.folder, stdout=log, stderr=log, start_new_session=True)
    system.processes.append(one)


def test_worker_started_in_the_folder_of_another_program_runs_its_own_modules(system: System) -> None:
    """Once its processes took `worker`, `policy` and `redis` from there: a product's, or those of another release."""
    for name in ("worker", "policy"):
        (system.folder / name).mkdir()
        (system.folder / name / "__init__.py").write_text("raise SystemExit('the product')")
    for name in ("redis.py", "celeryconfig.py", "structlog.py"):
        (system.folder / name).write_text("raise SystemExit('the product')")
    system.load([an_account(), a_purchase()])
    worker_as_installed(system)
    system.emit([submitted("job_1"), failed("job_1", code="internal_error")])

    def has_ended() -> bool:
        return "the product" in system.logs() or (system.case("job_1") or {}).get("state") == "refunded"

    assert eventually(has_ended, within=60), system.logs()
    assert "the product" not in system.logs()


def test_what_another_celery_of_the_host_goes_by_leads_no_task_elsewhere(system: System, own_redis: RunningRedis) -> None:
    """Once what the intake sent lay where nobody took it: the task processes alone had gone to the other program's broker."""
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    system.extra = {
        "BROKER_URL": nowhere,
        "CELERY_BROKER_READ_URL": nowhere,
        "RESULT_BACKEND": nowhere,
        "LOADER": "the_product",
        "CELERY_WORKER_QUEUES": "the_product",
        "CELERY_BEAT_SCHEDULER": "the_product:Schedule",
    }
    system.load([an_account(), a_purchase()])
    worker_as_installed(system)
    system.emit([submitted("job_1"), failed("job_1", code="internal_error")])
    system.comes_to("refunded")
    system.settles(cases=1)
    with redis_py.Redis.from_url(own_redis.url) as client:
        assert eventually(lambda: client.llen("refunds:assess") == 0)
    assert "the_product" not in system.logs()
    doctor = {one["check"]: one["finding"] for one in system.json("doctor", expect=None)["findings"]}
    assert "no task process answers" not in doctor["celery"], doctor["celery"]


@pytest.mark.parametrize("name", ["BROKER_URL", "CELERY_BROKER_URL", "CELERY_BROKER_WRITE_URL"])
def test_command_of_celery_sends_to_our_redis_whatever_broker_its_environment_names(
    system: System, own_redis: RunningRedis, name: str
) -> None:
    elsewhere = f"redis://127.0.0.1:{free_port()}/0"
    command = [sys.executable, "-m", "celery", "-A", "worker", "call", "refunds.sweep"]
    done = subprocess.run(command, env=system.environ | {name: elsewhere}, cwd=os.sep, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    with redis_py.Redis.from_url(own_redis.url) as client:
        assert client.llen("refunds:sweep") == 1

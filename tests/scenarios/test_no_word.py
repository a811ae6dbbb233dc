"""What Celery says of itself goes past our log, and costs no work where nobody can hear it."""

import subprocess
import sys
from typing import IO

import pytest

from tests.scenarios.system import System, a_purchase, an_account, failed, submitted
from tests.servers import ON_SQLITE, eventually

pytestmark = [pytest.mark.landing, ON_SQLITE]


def test_processes_of_celery_start_work_and_end_where_no_word_can_be_written(system: System, nowhere: IO[bytes]) -> None:
    """Once worker and schedule ended as they started, or stood still for ever, deaf to SIGTERM."""
    system.load([an_account(), a_purchase(credits=100)])
    environ = {name: value for name, value in system.environ.items() if name != "PYTHONUNBUFFERED"}
    for words in (["celery", "-A", "worker", "worker", "-c", "1"], ["celery", "-A", "worker", "beat"], ["worker.cli", "intake"]):
        system.processes.append(
            subprocess.Popen([sys.executable, "-m", *words], env=environ, cwd=system.folder, stdout=nowhere, stderr=nowhere)
        )
    system.emit([submitted("job_42"), failed("job_42", code="internal_error")])

    def ended() -> list[int | None]:
        return [process.poll() for process in system.processes]

    eventually(lambda: any(ended()) or (system.case("job_42") or {}).get("state") == "refunded", within=60)
    assert ended() == [None, None, None]
    system.comes_to("refunded", "job_42", within=1)
    for process in system.processes:
        process.terminate()
    assert [process.wait(30) for process in system.processes] == [0, 0, 0]

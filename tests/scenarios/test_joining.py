"""`docs/joining.md` as somebody would follow it: its snippets and commands, copied out of it, against real processes."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.system import ROOT, System
from tests.servers import ON_POSTGRES, eventually
from worker.intake.stream import open_stream_client

pytestmark = [pytest.mark.slow, ON_POSTGRES]
GUIDE = (ROOT / "docs" / "joining.md").read_text()


def snippets(language: str) -> list[str]:
    """The fenced blocks of that language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def run(system: System, snippet: str) -> str:
    """What the Python snippet prints, with this Redis in place of the one that it names."""
    text = snippet.replace("redis://localhost:6379/0", system.redis_url)
    assert system.redis_url in text
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(beginning: str) -> list[str]:
    """The words of the command that the guide shows as inline code and that begins so."""
    (found,) = re.findall(rf"`refunds ({beginning}[^`]*)`", GUIDE)
    return shlex.split(found)


def test_the_guide_leads_from_the_first_event_to_credits_that_came_back(system: System, tmp_path: Path) -> None:
    tell, read = snippets("python")
    system.extra = {**system.extra, "REFUNDS_MODE": "observe"}
    history = tmp_path / "history.jsonl"
    history.write_text(snippets("json")[0])
    system.refunds("import", str(history))
    run(system, tell)
    with open_stream_client(system.redis_url) as client:
        client.execute_command(*shlex.split(snippets("sh")[0])[1:])
    observing = system.worker()
    held = eventually(lambda: (system.case("job_1") or {}).get("state") == "review", within=60)
    assert held, system.logs()
    shown = system.case("job_1")
    assert shown is not None
    assert "effect.held" in {entry["event"] for entry in shown["history"]}
    assert system.credits("acc_1") == 5, "the job's price is gone, and in observe nothing comes back"
    observing.terminate()
    observing.wait(60)
    system.extra = {**system.extra, "REFUNDS_MODE": "credits_only"}
    going_live = command("requeue --kind job")
    assert going_live[-1] == "--dry-run"
    assert "refunded" in system.refunds(*going_live).stdout
    assert (system.case("job_1") or {})["state"] == "review", "a rehearsal changes nothing"
    system.refunds(*going_live[:-1], "--yes")
    system.worker()
    system.settles(cases=1)
    assert system.credits("acc_1") == 10
    assert "refund.credits_reversed" in run(system, read)
    system.audit()

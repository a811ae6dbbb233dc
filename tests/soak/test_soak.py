"""Seconds of the soak at every commit: real processes, a handful of faults. `make soak` commits hundreds."""

import os
import subprocess
import sys

import pytest

from tests.scenarios.system import ROOT
from tests.soak.disk import with_own_mounts

pytestmark = pytest.mark.landing

# with this seed a full disk and a clock that is set wrong are among them
FEW = "--events 600 --faults 9 --seconds 15 --charges 2 --mails 2 --reruns 0 --without-raw --seed 65"


@pytest.mark.nightly
def test_events_under_faults_are_neither_lost_nor_doubled() -> None:
    command = [sys.executable, "-m", "tests.soak.prove", *FEW.split()]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SIGKILL" in done.stdout
    assert ("evidence disk full" in done.stdout) == bool(with_own_mounts())
    assert ("Left out: no clock is set" in done.stdout) != ("clock +" in done.stdout or "clock -" in done.stdout)

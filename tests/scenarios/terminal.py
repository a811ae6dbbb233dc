"""`python -m tests.scenarios.terminal`: command lines one after another, each a process of its own, its imports already there.

A scenario that types seventy of them would otherwise spend most of its time on imports.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from tests.scenarios.system import System
from worker.cli.main import run


@dataclass
class Terminal(System):
    """An installation with a terminal that stays open: its commands see the settings of when the first was typed."""

    shell: subprocess.Popen[bytes] | None = None

    def _typed(self, words: Sequence[str], text: bytes) -> subprocess.CompletedProcess[str]:
        if self.shell is None:
            line = [sys.executable, "-m", "tests.scenarios.terminal"]
            self.shell = subprocess.Popen(line, env=self.environ, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(json.dumps({"words": words, "stdin": text.decode()}).encode() + b"\n")
        self.shell.stdin.flush()
        answer = json.loads(self.shell.stdout.readline())
        return subprocess.CompletedProcess(["refunds", *words], answer["code"], answer["out"], answer["err"])

    def stop(self) -> None:
        """Ends the processes, then the terminal."""
        super().stop()
        if self.shell is not None:
            self.shell.communicate()
            self.shell = None


def main() -> None:
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(asked["stdin"].encode())
            child = os.fork()
            if child == 0:
                _command(asked["words"], given, out, err)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            answer = {"code": code, "out": _text(out), "err": _text(err)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _command(words: list[str], given: BinaryIO, out: BinaryIO, err: BinaryIO) -> None:
    """Becomes the command; does not return."""
    given.seek(0)
    for number, file in enumerate((given, out, err)):
        os.dup2(file.fileno(), number)
    sys.stdin, sys.argv = open(0, closefd=False), ["refunds", *words]  # noqa: SIM115
    code: object = 0
    try:
        run()
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode()


if __name__ == "__main__":
    main()

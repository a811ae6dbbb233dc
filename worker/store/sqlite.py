"""A database of SQLite: which file it is, and how that is opened so that nothing is lost and nobody else reads it."""

import os
import re
import sqlite3
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from worker.errors import Misconfigured

WAL_FROM = (3, 51, 3)
"""Below this, two connections that checkpoint at once can corrupt a WAL database (failure-modes.md, finding 11)."""
NETWORKED = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ncpfs",
    "afs",
    "ceph",
    "lustre",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.s3fs",
}
"""File systems whose locks do not keep two hosts out of one file, and ruin it (failure-modes.md, X10)."""
MOUNTS = Path("/proc/self/mountinfo")
BUSY_SECONDS = 20


def opened(url: URL, mounts: Path) -> Engine:
    """The database of this URL. Raises `Misconfigured` for a file that another host may lock, by what is listed as mounted."""
    file = file_of(url)
    if file is not None:
        _refuse_network(file, mounts)
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False, "cached_statements": 1000}
    )
    if file is not None:
        event.listen(engine, "do_connect", lambda *_: _make_private(file))
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def file_of(url: URL) -> Path | None:
    """The file of SQLite that the URL names; None for a database in memory and for a server."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def in_memory(url: URL) -> bool:
    """Whether a URL of SQLite names no file, so that each process has books of its own and takes them along when it ends."""
    name = url.database or ":memory:"
    return name == ":memory:" or name.startswith("file::memory:") or url.query.get("mode") == "memory"


def takes_no_writes(url: URL) -> str | None:
    """Why nothing can be written into the file of SQLite that the URL names; None where it can, or where there is no file."""
    file, ours = file_of(url), os.access in os.supports_effective_ids
    # beside it SQLite makes its journal
    if file is None or all(os.access(place, os.W_OK, effective_ids=ours) for place in (file, file.parent)):
        return None
    return "the SQLite file takes no writes from us: is it or its folder another user's, or the disk mounted read-only?"


def _refuse_network(file: Path, mounts: Path) -> None:
    try:
        listed = os.fsdecode(mounts.read_bytes())
    except OSError:
        return  # a system that tells nothing of its mounts
    file, found, deepest = file.resolve(), "", 0
    for line in listed.splitlines():
        about, _, kind = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), about.split(" ")[4]))
        # of two at one point the later lies on top
        if file.is_relative_to(point) and len(point.parts) >= deepest:
            found, deepest = kind.split(" ")[0], len(point.parts)
    if found in NETWORKED:
        raise Misconfigured(f"the SQLite file lies on {found}, where locks do not hold: put it on a local disk, or use Postgres")


def _make_private(file: Path) -> None:
    """Makes the file, where it is not there, readable by us alone: SQLite would make it as the umask has it."""
    with suppress(OSError):  # there already, or not to be made, which SQLite says itself
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _prepare(connection: Any, _: Any) -> None:
    # the driver must not begin transactions by itself: it would only do so before the first write
    connection.isolation_level = None
    connection.create_function("from_hex", 1, _from_hex, deterministic=True)
    connection.create_function("sha256", 1, _sha256, deterministic=True)
    connection.create_function("convert_to", 2, _convert_to, deterministic=True)
    connection.create_function("encode", 2, _encode, deterministic=True)
    mode = "wal" if sqlite3.sqlite_version_info >= WAL_FROM else "delete"
    for pragma in (f"journal_mode={mode}", "synchronous=full", "foreign_keys=on"):
        connection.execute(f"pragma {pragma}")


def _from_hex(text: str | None) -> bytes | None:
    # SQLite has `unhex` only from 3.41 on
    return None if text is None else bytes.fromhex(text)


# SQLite has none of these, Postgres does


def _sha256(said: str | bytes) -> bytes:
    return sha256(said.encode() if isinstance(said, str) else said).digest()


def _convert_to(text: str, _: str) -> bytes:
    return text.encode()


def _encode(data: bytes, _: str) -> str:
    return data.hex()


def _begin(connection: Connection) -> None:
    # a write lock taken up front: "select, decide, insert" is one transaction, and two writers queue instead of failing
    writing = connection.get_execution_options().get("writing", True)
    connection.exec_driver_sql("begin immediate" if writing else "begin")

"""The ground below the processes: what runs at every start of Python, known faults of the servers, where backups reach."""

import grp
import os
import site
import stat
import sys
import tomllib
from collections.abc import Collection, Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

FLAWS = Path(__file__).with_name("server_flaws.toml")
AT_EVERY_START = ("*.pth", "sitecustomize.py", "usercustomize.py")
Version = tuple[int, ...]


def packages() -> list[Path]:
    """The folders that Python looks into for what it runs at every start."""
    named = [*site.getsitepackages(), site.getusersitepackages()] if sys.flags.no_user_site == 0 else site.getsitepackages()
    # one that we may not even look for, as in the home of another user, Python passes over as well
    return [Path(folder) for folder in dict.fromkeys(named) if os.path.isdir(folder)]


def planted(folders: Iterable[Path], installed: Iterable[Distribution] | None = None) -> list[Path]:
    """Files that run at every start of Python and that no installed package lists as its own (failure-modes.md, TM35)."""
    found = {file.resolve() for folder in folders for pattern in AT_EVERY_START for file in folder.glob(pattern)}
    for package in distributions() if installed is None else installed:
        own = [name for name in package.files or () if name.suffix == ".pth" or name.name in AT_EVERY_START]
        found -= {Path(str(package.locate_file(name))).resolve() for name in own}
    return sorted(found)


def version_of(text: str) -> Version:
    """The numbers of a version; what is not a number ends it."""
    numbers: list[int] = []
    for word in text.split("."):
        if not word.isdecimal():
            break
        numbers.append(int(word))
    return tuple(numbers)


def flaws(server: str, version: str, listed: str | None = None) -> list[str]:
    """The known faults of a server at this version, each in words; a distribution may have mended one under the old number."""
    at, known = version_of(version), tomllib.loads(FLAWS.read_text() if listed is None else listed)["flaw"]
    return [
        f"{flaw['id']}: {flaw['what']}; fixed in {', '.join(flaw['mended'])}"
        for flaw in known
        if flaw["server"] == server and _affected(at, version_of(flaw.get("since", "0")), [*map(version_of, flaw["mended"])])
    ]


def _affected(at: Version, since: Version, mended: list[Version]) -> bool:
    branch = [sound for sound in mended if sound[:2] == at[:2]]
    return since <= at < (branch[0] if branch else max(mended))


def open_to_others(folder: Path) -> bool:
    """True where somebody besides us may look into the folder, by its mode."""
    found = folder.stat()
    return lets_others(found.st_mode, found.st_gid, os.getgroups())


def lets_others(mode: int, group: int, ours: Collection[int]) -> bool:
    """True where this mode gives rights to others than us. A group of ours that has no name is nobody's but ours: Kubernetes
    gives one to a pod and to the volumes that it mounts (`fsGroup`).
    """
    return bool(mode & stat.S_IRWXO or (mode & stat.S_IRWXG and (group not in ours or _named(group))))


def _named(group: int) -> bool:
    try:
        grp.getgrgid(group)
    except KeyError:
        return False
    return True

"""Files that a power cut leaves: their bytes, their names and the folders they lie in are on disk before anybody goes by them.

A file whose name is not on disk is no file after a power cut, and neither is one in a folder whose name is not.
"""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from worker.patience import ANSWERS_WITHIN, Patience

NO_ANSWER = "the disk does not answer: is it that of another machine, and that one away?"


def patience(seconds: float = ANSWERS_WITHIN) -> Patience:
    """For looks at one folder: a network file system whose server is away takes for ever."""
    return Patience(seconds, NO_ANSWER)


def append(file: Path, lines: bytes) -> None:
    """Adds whole lines to the file, made where it is not there; those of several processes never mix. Raises `OSError`."""
    have_folder(file.parent)
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, lines) != len(lines):
            raise OSError("only a part of the line could be written: is the disk full?")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    # also where the file was there: whoever made it may have died before this
    sync_folder(file.parent)


def put(file: Path, content: bytes) -> None:
    """The file is there with these bytes, or, whatever happens, as it was before. Raises `OSError`; what a process that dies
    leaves is a file beside it that ends in `.part`.
    """
    have_folder(file.parent)
    beside = file.with_name(f"{file.name}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(beside, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise
    sync_folder(file.parent)


def have_folder(folder: Path) -> None:
    """The folder is there, readable by its owner alone where it is made. Raises `OSError`."""
    if folder.is_dir():
        return
    have_folder(folder.parent)
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    sync_folder(folder.parent)


def nested(one: Path, other: Path) -> bool:
    """True where one of the two is or holds the other."""
    one, other = Path(os.path.realpath(one)), Path(os.path.realpath(other))
    return one.is_relative_to(other) or other.is_relative_to(one)


def refusal(folder: Path) -> str | None:
    """Why no file can be kept in the folder, or in the nearest one above that is there; None where one can. Leaves nothing."""
    try:
        there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
        with tempfile.TemporaryFile(dir=there, buffering=0) as made:
            # a full disk often has room for a name
            made.write(b"\0")
            return None
    except OSError as error:
        return error.strerror or type(error).__name__


def sync_folder(folder: Path) -> None:
    """The names in the folder are on disk. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

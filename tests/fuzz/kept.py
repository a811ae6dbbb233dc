"""What a fuzzer once found: bytes in files, fed to their parser by the tests for ever."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"


def keep(target: str, raw: bytes, folder: Path = FOLDER) -> Path:
    """The file that holds these bytes for this target from now on."""
    path = folder / target / f"{sha256(raw).hexdigest()[:16]}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path


def kept(folder: Path = FOLDER) -> Iterator[tuple[str, Path]]:
    """Every target with a file of its."""
    for path in sorted(folder.glob("*/*.bin")):
        yield path.parent.name, path

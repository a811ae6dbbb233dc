"""The same targets under atheris, guided by coverage. Optional: it is not in the lock file."""

import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.fuzz.kept import FOLDER, keep
from tests.fuzz.parser import Parser, feed


def guide(parser: Parser) -> int:
    """Runs until stopped or until something is found, which is kept like any other find."""
    atheris: Any = __import__("atheris")
    folder = Path(mkdtemp(prefix="refunds-guided-"))
    for number, raw in enumerate(parser.seeds()):
        (folder / f"seed-{number}").write_bytes(raw)
    with parser.opened(folder / "work") as check:

        def one(raw: bytes) -> None:
            faults, _ = feed(parser, check, raw)
            if faults:
                keep(parser.name, raw, FOLDER)
                raise AssertionError("; ".join(faults))

        atheris.instrument_all()
        atheris.Setup([sys.argv[0], str(folder)], one)
        atheris.Fuzz()
    return 0

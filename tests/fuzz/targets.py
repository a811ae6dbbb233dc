"""All targets, documents first."""

from tests.fuzz.documents import PARSERS
from tests.fuzz.doors import DOORS
from tests.fuzz.hands import HANDS
from tests.fuzz.parser import Parser
from worker.observe import configure_logging
from worker.settings import Settings

TARGETS: tuple[Parser, ...] = (*PARSERS, *DOORS, *HANDS)


def quiet() -> None:
    """Logs of errors only: what is refused on purpose is checked, not printed."""
    configure_logging(Settings(log_level="error", log_format="json"))


def named(name: str) -> Parser:
    """The target of this name."""
    return next(parser for parser in TARGETS if parser.name == name)

"""Quiet logs: what goes wrong on purpose in these tests is asserted, not printed."""

import pytest

from worker.observe import configure_logging
from worker.settings import Settings


@pytest.fixture(autouse=True, scope="session")
def _quiet() -> None:
    configure_logging(Settings(log_level="error", log_format="json"))

"""`python -m worker.cli` is `refunds`."""

from worker.cli.main import run

run()

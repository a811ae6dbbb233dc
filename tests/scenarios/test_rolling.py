"""A rolling deployment: this release beside a newer one on the newer one's schema, there and back, with kills on the way."""

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from celery import Celery

from tests.scenarios.system import ROOT, System, a_purchase, a_system, an_account, failed, kill_group, submitted
from tests.servers import ON_POSTGRES, eventually
from worker.sandbox.servers import RunningRedis

pytestmark = [pytest.mark.landing, ON_POSTGRES]
MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "9000"
down_revision = "{head}"


def upgrade():
    op.add_column("cases", sa.Column("priority", sa.Integer(), nullable=True))
    op.drop_constraint("ck_cases_state", "cases")
    op.create_check_constraint("state", "cases", "state <> ''")
    op.execute("update installation set value = '{head}' where name = 'oldest_release'")
"""


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The tree of the release after this one: a migration that expands, and one thing more in what it tells the product."""
    tree = tmp_path / "newer"
    for part in ("policy", "worker"):
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    versions = tree / "worker" / "store" / "migrations" / "versions"
    head = max(file.name for file in versions.glob("[0-9]*.py")).partition("_")[0]
    (versions / "9000_next.py").write_text(MIGRATION.format(head=head))
    casework = tree / "worker" / "cases" / "book" / "casework.py"
    text = casework.read_text()
    assert text.count('"case_kind": case.kind.value,') == 1
    casework.write_text(text.replace('"case_kind": case.kind.value,', '"case_kind": case.kind.value, "priority": None,'))
    return tree


@pytest.fixture
def both(database_url: str, own_redis: RunningRedis, newer: Path) -> Iterator[tuple[System, System]]:
    """The same installation as each of the two releases sees it."""
    with a_system(database_url, own_redis.url) as ours:
        theirs = System(ours.folder, ours.database_url, ours.redis_url, {"PYTHONPATH": str(newer)})
        try:
            yield ours, theirs
        finally:
            theirs.stop()


def test_both_releases_work_beside_each_other_there_and_back(both: tuple[System, System]) -> None:
    ours, theirs = both
    numbers, sent = count(), list[str]()

    def more() -> None:
        jobs = [f"job_{next(numbers)}" for _ in range(20)]
        ours.emit([line for job in jobs for line in (submitted(job, credits=1), failed(job, code="model_error"))])
        sent.extend(jobs)

    ours.load([an_account(), a_purchase(credits=1000)])
    before = ours.worker(1)
    more()
    assert "9000" in theirs.refunds("db", "upgrade").stdout
    after = theirs.worker(1)
    # a task that this release has never heard of is said and dropped; what it was about is in the database
    with Celery(broker=ours.redis_url) as celery:
        celery.send_task("refunds.of_the_release_after_next", queue="assess")
    more()
    kill_group(before)
    more()
    # a process of the release before that starts now finds a schema it has never heard of
    before = ours.worker(1)
    kill_group(after)
    more()
    assert "of a newer release that this one may run beside" in ours.refunds("doctor", expect=None).stdout
    after = theirs.worker(1)
    more()
    assert eventually(lambda: sum(ours.states().values()) >= len(sent), within=90), ours.logs()
    # and back again
    after.terminate()
    after.wait(60)
    more()
    ours.settles(cases=len(sent))
    assert ours.states() == {"refunded": len(sent)}
    assert ours.credits("acc_1") == 1000
    ours.audit()
    assert before.poll() is None

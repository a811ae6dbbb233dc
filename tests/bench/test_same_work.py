"""The benchmark measures the same work: ours and the hand-written loop leave the same end state, and a wrong one is found."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import books, kills, measure
from bench.contestants import HAND_LOOP, OURS, Contestant
from bench.servers import Servers, servers

pytestmark = pytest.mark.landing


@pytest.fixture(scope="module")
def at() -> Iterator[Servers]:
    """Postgres and Redis of the benchmark."""
    # not below pytest's own folder, which a Postgres that may not run as root cannot enter
    with tempfile.TemporaryDirectory(prefix="refunds-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with servers(folder) as started:
            yield started


def test_ours_and_the_hand_written_loop_give_back_the_credits_of_every_job_once(
    at: Servers, record_property: Callable[[str, object], None]
) -> None:
    loop = measure.drain(at, HAND_LOOP, "n", 200)
    ours = measure.drain(at, OURS, "n", 200)
    assert loop.events == ours.events == 200
    record_property("ours over the loop", round(ours.rate / loop.rate, 3))


@pytest.mark.parametrize("who", [HAND_LOOP, pytest.param(OURS, marks=pytest.mark.nightly)], ids=lambda who: str(who.name))
def test_backlog_under_kills_is_done_once_its_processes_are_back(at: Servers, who: Contestant) -> None:
    told: list[int] = []
    survived = kills.survive(at, who, 5000, 2, 1, told.append)
    assert (survived.undone, survived.wrong) == (0, [])
    assert told == list(range(1, survived.kills + 1))
    assert survived.cells[0] == "5,000"
    assert survived.cells[-1] != "never"


def test_what_nobody_came_back_to_is_told_as_never_done() -> None:
    assert kills.Survived(5000, 2, 8, 8, None, []).cells == ("5,000", "2", "8", "8", "never")


def test_old_cases_are_made_as_the_product_leaves_them(at: Servers) -> None:
    place = at.fresh("bench_audited")
    with place.connect() as db:
        told: list[int] = []
        books.fill_old(db, 300, told.append)
        assert sum(told) == 300
        assert books.done(db, "old") == 300
        assert books.differences(db, "old", 300) == []
    assert measure.audit(place) == []


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        ("delete from postings where kind = 'reversal' and job_id = 'old_7'", "exactly once"),
        (
            "insert into postings (key, kind, source, destination, credits, purchase_id, job_id, at)"
            " select key || 'x', kind, source, destination, credits, purchase_id, job_id, at from postings"
            " where kind = 'reversal' and job_id = 'old_7'",
            "exactly once",
        ),
        ("update purchases set remaining = remaining - 5, spent = spent + 5 where purchase_id = 'ord_old_1'", "still spent"),
        ("delete from case_history where event = 'case.decided' and case_id like '%%7'", "history"),
    ],
)
def test_an_end_state_that_is_wrong_is_named(at: Servers, harm: str, named: str) -> None:
    with at.fresh("bench_harmed").connect() as db:
        books.fill_old(db, 20, lambda _: None)
        db.execute(harm.encode(), ())
        assert any(named in line for line in books.differences(db, "old", 20))

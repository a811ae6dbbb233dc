"""An edition that decided anything stays what it was, and a new one may need people (failure-modes.md, V5 and TM36)."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from policy import Editions, load_editions
from tests.cases.world import HandClock, World, a_purchase, an_account
from worker.cases.editions.editions import JUDGED_BY, activate, hold, judged_by_another, refused
from worker.cases.editions.replay import Replay, replay
from worker.errors import Misconfigured, Refused
from worker.settings import DEFAULT_TERMS
from worker.store.engine import Store
from worker.store.tables import actions, cases


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped terms, to be written to."""
    shutil.copytree(DEFAULT_TERMS, tmp_path / "terms")
    return tmp_path / "terms"


def edited(folder: Path) -> Editions:
    """The same edition with another number in it."""
    [file] = folder.glob("*.toml")
    text = file.read_text()
    assert "promise_business_days = 3" in text
    file.write_text(text.replace("promise_business_days = 3", "promise_business_days = 4"))
    return load_editions(folder)


def test_edition_that_decided_something_may_not_change(store: Store, folder: Path) -> None:
    world, shipped = World(store), load_editions(folder)
    store.write(lambda tx: hold(tx, shipped))
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    store.write(lambda tx: hold(tx, shipped))
    other = edited(folder)
    with pytest.raises(Misconfigured, match=f"edition 2025-12-03 has changed .* SHA-256 {shipped.all[-1].digest}"):
        store.write(lambda tx: hold(tx, other))
    assert len(store.read(lambda tx: refused(tx, other))) == 1
    assert store.read(lambda tx: refused(tx, shipped)) == []


def test_edition_that_nothing_was_decided_by_may_still_change(store: Store, folder: Path) -> None:
    store.write(lambda tx: hold(tx, load_editions(folder)))
    other = edited(folder)
    store.write(lambda tx: hold(tx, other))
    assert store.read(lambda tx: refused(tx, other)) == []


def second_edition(folder: Path) -> Editions:
    """The shipped edition, and the same from 2026-03-01 on."""
    [file] = folder.glob("*.toml")
    text = file.read_text().replace('edition = "2025-12-03"', 'edition = "2026-03-01"')
    (folder / "2026-03-01.toml").write_text(text)
    return load_editions(folder)


def test_nobody_decides_without_an_edition_that_decided_something(store: Store, folder: Path) -> None:
    """Another folder than the other processes have: what is the edition's would be judged by the one before it."""
    alone, both = load_editions(folder), second_edition(folder)
    world = World(store, terms_dir=folder)
    store.write(lambda tx: hold(tx, both))
    store.write(lambda tx: hold(tx, alone))
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    assert world.store.read(lambda tx: tx.value(select(cases.c.terms))) == "2026-03-01"
    with pytest.raises(Misconfigured, match=f"edition 2026-03-01 of the terms is not here.* SHA-256 {both.all[-1].digest}"):
        store.write(lambda tx: hold(tx, alone))
    assert store.read(lambda tx: refused(tx, both)) == []


@pytest.mark.parametrize("code", ["model_error", "unheard_of"])
def test_what_another_edition_judged_than_was_in_force_is_named(store: Store, folder: Path, code: str) -> None:
    """A process that goes on without the file of a later edition, or a file that comes after its date."""
    alone = load_editions(folder)
    world = World(store, terms_dir=folder)
    both = second_edition(folder)
    since = world.clock.now() - JUDGED_BY
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.failed("job_1", code=code))
    assert store.read(lambda tx: judged_by_another(tx, alone, since)) == []
    said = "edition 2025-12-03 judged 1 case of days when 2026-03-01 was in force"
    assert store.read(lambda tx: judged_by_another(tx, both, since)) == [said]


def test_what_its_own_edition_judged_is_not_named(store: Store, folder: Path) -> None:
    both = second_edition(folder)
    world = World(store, terms_dir=folder, clock=HandClock(both.all[-1].starts_at - timedelta(hours=1)))
    since = world.clock.now() - JUDGED_BY
    world.load(an_account(), a_purchase(paid_at="2026-02-28T09:00:00Z"))
    for job in ("job_1", "job_2"):
        world.happen(world.submitted(job), world.failed(job))
        world.clock.pass_(hours=1)
    assert [row.terms for row in store.read(lambda tx: tx.all(select(cases.c.terms).order_by(cases.c.subject)))] == [
        "2025-12-03",
        "2026-03-01",
    ]
    assert store.read(lambda tx: judged_by_another(tx, both, since)) == []
    assert store.read(lambda tx: judged_by_another(tx, both, world.clock.now())) == []


LIMIT = "activation_second_person_above_credits = {}\n"


def two_editions(folder: Path, limit: int) -> Editions:
    """The shipped edition with a limit on its follower, and a follower of 2027 under which a code is the customer's own doing."""
    [file] = folder.glob("*.toml")
    text = file.read_text()
    first = text.replace("duplicate_window_hours", LIMIT.format(limit) + "duplicate_window_hours", 1)
    second = text.replace('edition = "2025-12-03"', 'edition = "2027-01-01"')
    assert text.count('"model_error", ') == 1
    second = second.replace('"model_error", ', "").replace("input = [", 'input = ["model_error", ')
    file.write_text(first)
    (folder / "2027-01-01.toml").write_text(second)
    return load_editions(folder)


@pytest.fixture
def decided(store: Store, folder: Path) -> World:
    """Two jobs of five credits made whole under the shipped terms."""
    world = World(store)
    world.load(an_account(), a_purchase())
    for job in ("job_1", "job_2"):
        world.happen(world.submitted(job), world.failed(job))
    return world


def moved(world: World, editions: Editions) -> Replay:
    return replay(world.store, editions, editions.all[-1])


def word(world: World, editions: Editions, by: str) -> str:
    found, now = moved(world, editions), world.clock.now()
    return world.store.write(lambda tx: activate(tx, editions, found, by=by, reason="agreed", now=now)).state


def done(world: World) -> list[tuple[str, str]]:
    return [(row.action, row.by) for row in world.store.read(lambda tx: tx.all(select(actions).order_by(actions.c.id)))]


def test_edition_that_moves_much_takes_effect_with_a_second_person_alone(decided: World, folder: Path) -> None:
    editions = two_editions(folder, limit=9)
    assert moved(decided, editions).moved_credits == 10
    with pytest.raises(Misconfigured, match="2027-01-01 of the terms waits for a person"):
        decided.store.write(lambda tx: hold(tx, editions))
    assert word(decided, editions, "ann") == "proposed"
    with pytest.raises(Refused, match="proposed by ann; another person"):
        word(decided, editions, " Ann")
    with pytest.raises(Misconfigured, match="waits for a person"):
        decided.store.write(lambda tx: hold(tx, editions))
    assert word(decided, editions, "ben") == "activated"
    decided.store.write(lambda tx: hold(tx, editions))
    assert done(decided) == [("policy.propose", "ann"), ("policy.activate", "ben")]
    with pytest.raises(Refused, match="activated already"):
        word(decided, editions, "cid")


def test_edition_that_moves_no_more_than_its_limit_takes_one_person(decided: World, folder: Path) -> None:
    editions = two_editions(folder, limit=10)
    assert word(decided, editions, "ann") == "activated"
    decided.store.write(lambda tx: hold(tx, editions))


def test_who_proposed_an_edition_activates_it_once_it_moves_no_more_than_its_limit(decided: World, folder: Path) -> None:
    """Anybody else could do so alone by then."""
    editions = two_editions(folder, limit=9)
    assert word(decided, editions, "ann") == "proposed"
    decided.clock.pass_(days=JUDGED_BY.days + 1)
    now = decided.clock.now()
    found = replay(decided.store, editions, editions.all[-1], since=now - JUDGED_BY)
    done = decided.store.write(lambda tx: activate(tx, editions, found, by="ann", reason="as before", now=now))
    assert (done.state, done.first, done.credits) == ("activated", None, 0)
    decided.store.write(lambda tx: hold(tx, editions))


def test_file_changed_after_it_was_proposed_or_activated_needs_the_word_again(decided: World, folder: Path) -> None:
    assert word(decided, two_editions(folder, limit=9), "ann") == "proposed"
    file = folder / "2027-01-01.toml"
    file.write_text(file.read_text() + "\n# another thought\n")
    other = load_editions(folder)
    assert word(decided, other, "ben") == "proposed", "ann saw another file"
    assert word(decided, other, "ann") == "activated"
    file.write_text(file.read_text() + "# and one more\n")
    with pytest.raises(Misconfigured, match="waits for a person"):
        decided.store.write(lambda tx: hold(tx, load_editions(folder)))


def test_edition_takes_effect_by_its_file_where_no_limit_is_named_or_nothing_was_decided(store: Store, folder: Path) -> None:
    shipped = load_editions(folder)
    editions = two_editions(folder, limit=0)
    store.write(lambda tx: hold(tx, editions))
    world, found = World(store), replay(store, shipped, shipped.all[-1])
    with pytest.raises(Refused, match="takes effect by its file alone"):
        store.write(lambda tx: activate(tx, shipped, found, by="ann", reason="", now=world.clock.now()))


def test_what_some_get_and_others_lose_does_not_cancel_out() -> None:
    found = Replay("2027-01-01", "", None)
    found.by_clause = {
        ("failed-job", "a", "b"): {"credits": 5, "money": {"USD": 900}},
        ("failed-job", "b", "a"): {"credits": -5, "money": {"USD": -900, "EUR": 100}},
    }
    assert (found.credits, found.moved_credits, found.moved_minor_units) == (0, 10, 1900)

"""What a task does with the entries it was handed: one transaction, and nothing lost where something stands in the way."""

import json

import pytest
import redis as redis_py
from sqlalchemy import event

from tests.cases.test_drain import STREAM, pending, rows
from tests.cases.test_poison import Allergic
from tests.cases.world import World, a_purchase, an_account
from tests.faults import Crash
from tests.logs import heard
from worker.cases.assess.first_hand import FirstHand
from worker.errors import TryLater
from worker.intake.stream import as_text
from worker.settings import GROUP
from worker.store.engine import Store


@pytest.fixture
def world(store: Store) -> World:
    found = World(store)
    found.load(an_account(), a_purchase())
    found.happen(found.submitted("job_1"), found.submitted("job_2"))
    return found


def first_hand(world: World, client: redis_py.Redis) -> FirstHand:
    return FirstHand(client, STREAM, world.desk, world.assessor)


def handed(client: redis_py.Redis, *documents: str) -> list[str]:
    """The entries, read by a consumer that asked a task to handle them."""
    ids = [as_text(client.xadd(STREAM, {"event": document})) for document in documents]
    if not client.exists(STREAM) or not client.xinfo_groups(STREAM):
        client.xgroup_create(STREAM, GROUP, id="0")
    client.xreadgroup(GROUP, "intake", {STREAM: ">"})
    return ids


def test_entry_is_decided_in_one_transaction_and_acknowledged(world: World, redis: redis_py.Redis) -> None:
    ids = handed(redis, world.failed("job_1"))
    commits: list[str] = []
    event.listen(world.store.engine, "commit", lambda _: commits.append("commit"))
    done = first_hand(world, redis).handle(ids)
    assert len(commits) == 1
    assert [move.state for move in done.moves] == ["refunded"]
    assert (rows(world), pending(redis)) == ([("handled", 1)], 0)
    world.performer.announce_claimed(done.effects)
    assert [note["data"]["job_id"] for note in world.announced()] == ["job_1"]
    assert world.sweep().idle


def test_entry_handed_twice_counts_once_and_the_second_takes_along_what_waits(world: World, redis: redis_py.Redis) -> None:
    ids = handed(redis, world.failed("job_1"))
    first_hand(world, redis).handle(ids)
    world.arrive(world.failed("job_2"))
    world.clock.pass_(seconds=2)
    done = first_hand(world, redis).handle(ids)
    assert [move.subject for move in done.moves] == ["job_2"]
    assert [world.state(name) for name in ("job_1", "job_2")] == ["refunded", "refunded"]
    assert world.credits() == 100
    assert world.audit().ok


def test_entry_that_its_consumer_took_in_meanwhile_is_left_to_its_row(world: World, redis: redis_py.Redis) -> None:
    document = world.failed("job_1")
    ids = handed(redis, document)
    world.arrive(document)
    done = first_hand(world, redis).handle(ids)
    assert (done.busy, rows(world)) == (False, [("new", 0)])
    world.sweep()
    assert world.state("job_1") == "refunded"


def test_message_that_was_handed_out_before_goes_the_way_where_attempts_are_counted(world: World, redis: redis_py.Redis) -> None:
    ids = handed(redis, world.failed("job_1"))
    done = first_hand(world, redis).handle(ids, again=True)
    assert [move.state for move in done.moves] == ["refunded"]
    assert (rows(world), pending(redis)) == ([("handled", 1)], 0)


def test_poison_is_counted_and_ends_with_the_dead_letters(store: Store, redis: redis_py.Redis) -> None:
    before = World(store)
    before.load(an_account(), a_purchase())
    before.happen(before.submitted("poison"))
    world = World(store, ledger=Allergic(), clock=before.clock)
    done = first_hand(world, redis).handle(handed(redis, world.failed("poison")))
    assert (done.failed, pending(redis)) == (1, 0)
    assert rows(world) == [("new", 1)]
    for _ in range(8):
        world.clock.pass_(minutes=1)
        world.sweep()
    assert [reason for reason, _ in world.dead()] == ["keeps_failing"]


def test_unreadable_entry_is_a_dead_letter(world: World, redis: redis_py.Redis) -> None:
    first_hand(world, redis).handle(handed(redis, "{no json"))
    assert [reason for reason, _ in world.dead()] == ["not_json"]
    assert pending(redis) == 0


def test_death_leaves_it_pending_and_unwritten(world: World, redis: redis_py.Redis) -> None:
    ids = handed(redis, world.failed("job_1"))

    def dies(_: object) -> None:
        raise Crash

    event.listen(world.store.engine, "commit", dies)
    with pytest.raises(Crash):
        first_hand(world, redis).handle(ids)
    event.remove(world.store.engine, "commit", dies)
    assert (rows(world), pending(redis)) == ([], 1)


def test_entry_that_is_gone_from_the_stream_is_nobodys_loss(world: World, redis: redis_py.Redis) -> None:
    document = world.failed("job_1")
    ids = handed(redis, document)
    world.arrive(document)
    redis.xtrim(STREAM, maxlen=0)
    world.clock.pass_(seconds=2)
    done = first_hand(world, redis).handle(ids)
    assert [move.subject for move in done.moves] == ["job_1"]


def test_entry_that_left_the_stream_unread_is_reported_and_let_go(world: World, redis: redis_py.Redis) -> None:
    ids = handed(redis, world.failed("job_1"), world.failed("job_2"))
    redis.xdel(STREAM, ids[0])
    with heard("error") as said:
        done = first_hand(world, redis).handle(ids)
    (line,) = map(json.loads, said.getvalue().splitlines())
    assert (line["event"], line["entries"], line["first"]) == ("intake.entries_gone", 1, ids[0])
    assert ([move[1] for move in done.moves], pending(redis)) == (["job_2"], 0)


def test_entry_that_was_taken_in_and_then_trimmed_is_not_reported(world: World, redis: redis_py.Redis) -> None:
    document = world.failed("job_1")
    ids = handed(redis, document)
    world.arrive(document)
    redis.xack(STREAM, GROUP, *ids)
    redis.xtrim(STREAM, maxlen=0)
    with heard("error") as said:
        first_hand(world, redis).handle(ids)
    assert said.getvalue() == ""


def test_redis_away_is_said_as_such(world: World) -> None:
    nobody = redis_py.Redis(port=1, socket_connect_timeout=0.2)
    with pytest.raises(TryLater, match="Redis"):
        first_hand(world, nobody).handle(["1-0"])

"""Passwords that are tried at the same moment."""

import pytest

from tests.cases.world import World
from tests.threads import at_once, ends
from worker.operators.credentials import Credentials, TooSoon
from worker.operators.operators import Operators
from worker.store.engine import Store

PASSWORD = "correct horse battery"


@pytest.fixture
def world(store: Store) -> World:
    world = World(store)
    for name in ("ana", "ben"):
        Operators(store, world.clock).add(name, PASSWORD, by="tests")
    return world


def credentials(world: World) -> Credentials:
    return Credentials.of(world.store, world.clock, Operators(world.store, world.clock), None)


def test_right_passwords_at_once_are_right_and_nobody_waits_as_after_a_wrong_one(world: World) -> None:
    """Whoever clicked twice read "too many wrong passwords" over a refund that was on its way; so did the second of two people
    behind one proxy.
    """
    held = credentials(world).hold
    tries = [lambda name=name: held(name, PASSWORD, "10.0.0.1") for name in ("ana", "ana", "ben")]
    assert at_once(*tries) == [True, True, True]


def test_of_wrong_passwords_at_once_one_is_looked_at(world: World) -> None:
    held = credentials(world).hold
    for wait in (2, 4):
        came = ends(*[lambda n=n: held("ana", f"wrong password {n}", f"10.0.0.{n}") for n in range(4)], of=TooSoon)
        assert [one for one in came if not isinstance(one, TooSoon)] == [False]
        assert {one.seconds for one in came if isinstance(one, TooSoon)} == {wait}
        world.clock.pass_(seconds=wait)

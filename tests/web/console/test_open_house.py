"""While nobody can sign in: whoever sits at the machine may, and nobody else."""

import pytest
from sqlalchemy import select

from tests.cases.world import World
from tests.web.console.one_engine import database_url
from tests.web.console.site import PASSWORD, Site, letter, states, words_of
from worker.operators.operators import Operators
from worker.store.engine import Store
from worker.store.tables import dead_letters

__all__ = ["database_url"]


@pytest.fixture
def home(store: Store) -> Site:
    world = World(store)
    world.happen(b"{")
    return Site(world)


def test_without_any_password_this_machine_acts_as_local(home: Site) -> None:
    browser = home.browser()
    answer = browser.get("/")
    assert answer.status_code == 200
    assert "local" in words_of(answer.text)
    assert "Sign out" not in answer.text
    assert browser.get("/sign-in").headers["location"] == "/"
    path = f"/dead/{letter(home)}"
    assert browser.post(f"{path}/discard", {"reason": "forged"}).status_code == 403
    assert home.browser().post(f"{path}/discard", {"reason": "forged"}).status_code == 303
    assert states(home) == ["open"]
    assert browser.send(path, f"{path}/discard", reason="seen").status_code == 303
    resolved = home.store.read(lambda tx: tx.all(select(dead_letters.c.resolved_by)))
    assert [row.resolved_by for row in resolved] == ["local"]


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.5", "2001:db8::1", "::ffff:10.0.0.1", "nonsense"])
def test_without_any_password_nobody_else_is_answered(home: Site, address: str) -> None:
    for path in ("/", "/sign-in", "/dead"):
        answer = home.browser(address=address).get(path)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_has_more_than_one_address(home: Site, address: str) -> None:
    assert home.browser(address=address).get("/").status_code == 200


def test_without_any_password_a_proxy_is_not_taken_for_this_machine(store: Store) -> None:
    home = Site(World(store), console_hosts=("refunds.example.org",))
    assert home.browser().get("/", x_forwarded_for="10.0.0.1").status_code == 403
    assert home.browser().get("/", forwarded="for=10.0.0.1").status_code == 403
    assert home.browser(host="refunds.example.org").get("/").status_code == 403


def test_local_session_ends_where_a_password_is_set_or_an_operator_added(home: Site) -> None:
    browser = home.browser()
    browser.get("/")
    stranger = home.browser(address="10.0.0.1")
    stranger.cookies = browser.cookies
    assert stranger.get("/").status_code == 403
    operators = Operators(home.store, home.clock)
    operators.add("ana", PASSWORD, by="root")
    assert browser.get("/").status_code == 303
    operators.disable("ana", by="root", reason="left")
    # the door does not open again by disabling the last operator
    assert browser.get("/").status_code == 303

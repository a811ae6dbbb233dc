"""Operators: each is one actor, and gone is gone at once."""

import pytest
from sqlalchemy import select

from tests.cases.world import World
from tests.web.console.one_engine import database_url
from tests.web.console.site import PASSWORD, SHARED, Site, words_of
from worker.errors import Refused
from worker.operators.operators import Operators
from worker.store.engine import Store
from worker.store.tables import actions

__all__ = ["database_url"]


@pytest.fixture
def site(store: Store) -> Site:
    return Site(World(store), password=SHARED)


def test_operator_is_one_actor_and_a_disabled_one_is_out_at_once(site: Site) -> None:
    operators = Operators(site.store, site.clock)
    ana, ben = site.browser(), site.browser()
    for browser, name in ((ana, "ana"), (ben, "ben@example.org")):
        operators.add(name, PASSWORD, by="tests")
        assert browser.sign_in(name, PASSWORD).status_code == 303
    assert "ana" in words_of(ana.get("/").text)
    assert operators.disable("ana", by="root", reason="left us") == 1
    assert ana.get("/").status_code == 303
    assert ana.sign_in("ana", PASSWORD).status_code == 403
    assert ben.get("/").status_code == 200
    with pytest.raises(Refused, match="no active operator"):
        operators.disable("ana", by="root", reason="again")
    site.clock.pass_(minutes=1)
    operators.add("ana", "another long password", by="root", reason="back")
    assert ana.sign_in("ana", PASSWORD).status_code == 403
    site.clock.pass_(minutes=1)
    assert ana.sign_in("ana", "another long password").status_code == 303
    recorded = site.store.read(
        lambda tx: tx.all(select(actions.c.action, actions.c.subject, actions.c.by).order_by(actions.c.id))
    )
    assert [tuple(row) for row in recorded] == [
        ("operator.add", "ana", "tests"),
        ("operator.add", "ben@example.org", "tests"),
        ("operator.disable", "ana", "root"),
        ("operator.add", "ana", "root"),
    ]


@pytest.mark.parametrize(
    ("name", "password", "why"),
    [
        ("console", PASSWORD, "a name of ours"),
        ("local", PASSWORD, "a name of ours"),
        ("worker", PASSWORD, "a name of ours"),
        ("Ana", PASSWORD, "a name has"),
        ("-ana", PASSWORD, "a name has"),
        ("a\u202ena", PASSWORD, "a name has"),
        ("", PASSWORD, "a name has"),
        ("ana", "short", "12 to 256"),
    ],
)
def test_operator_with_a_bad_name_or_password_is_refused(site: Site, name: str, password: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        Operators(site.store, site.clock).add(name, password, by="root")


def test_operator_is_not_added_twice(site: Site) -> None:
    operators = Operators(site.store, site.clock)
    operators.add("ana", PASSWORD, by="root")
    with pytest.raises(Refused, match="an operator already"):
        operators.add("ana", "another long password", by="root")

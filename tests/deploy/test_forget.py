"""A customer who asks to be forgotten: the script of `deploy/` takes what they wrote, and leaves what was decided explained."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors, sql

from tests.cases.world import a_purchase, an_account
from tests.requests.world import PNG, PeopleWorld
from tests.servers import ON_POSTGRES, conninfo
from worker.store.engine import Store

SCRIPT = (Path(__file__).parents[2] / "deploy/postgres/forget.sql").read_text()
pytestmark = ON_POSTGRES
ADDRESS = "acc_1@example.org"
WROTE = "My name is Ada Lovelace. Please refund my order ord_1."


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[PeopleWorld]:
    made = PeopleWorld(store, tmp_path)
    made.load(an_account("acc_2"), a_purchase("ord_2", "acc_2"))
    made.bought_once()
    yield made
    made.close()


@pytest.fixture
def owner(store: Store) -> Iterator[psycopg.Connection]:
    with psycopg.connect(conninfo(store.url), autocommit=True) as found:
        yield found


def forget(owner: psycopg.Connection, account: str = "acc_1") -> None:
    owner.execute(sql.SQL("set refunds.forget = {}").format(account))
    with owner.transaction():
        owner.execute(SCRIPT.encode())


def written(owner: psycopg.Connection, words: str, *tables: str) -> set[str]:
    """The tables in which these words stand anywhere."""
    like = sql.SQL("select exists (select from {0} where {0}::text like {1})")
    asked = ((table, like.format(sql.Identifier(table), f"%{words}%")) for table in tables)
    return {table for table, question in asked if (owner.execute(question).fetchone() or (False,))[0]}


def declined(world: PeopleWorld) -> str:
    """A request with a picture, declined and told so; its files are gone."""
    case_id = world.mail(WROTE, files={"ada.png": PNG}).case_id
    world.decide(case_id, "decline")
    for _ in range(3):
        world.clock.pass_(hours=13)
        world.sweep()
        world.notifier.send()
        world.evidence.sweep()
    return case_id


TABLES = ("accounts", "requests", "evidence", "notices", "cases", "case_history", "inbox")


def test_what_a_customer_wrote_goes_and_what_was_decided_stays_explained(world: PeopleWorld, owner: psycopg.Connection) -> None:
    case_id = declined(world)
    before = world.case(case_id)
    assert before is not None
    assert written(owner, ADDRESS, *TABLES) >= {"accounts", "requests", "notices", "inbox"}
    forget(owner)
    # a document as it came in says who the account was
    assert written(owner, ADDRESS, *TABLES) == {"inbox"}
    assert written(owner, "Lovelace", *TABLES) == written(owner, "ada.png", *TABLES) == set()
    after = world.case(case_id)
    assert after is not None
    assert (after["decision"], after["state"], after["history"]) == (before["decision"], before["state"], before["history"])
    assert [file["sha256"] for file in after["evidence"]] == [file["sha256"] for file in before["evidence"]]
    assert world.audit().breaches == []


def test_credits_of_whoever_was_forgotten_still_come_back_and_their_old_address_is_nobodys(
    world: PeopleWorld, owner: psycopg.Connection
) -> None:
    declined(world)
    forget(owner)
    world.happen(world.submitted("job_9", credits=1), world.failed("job_9"))
    assert world.state("job_9") == "refunded"
    world.notifier.send()
    again = world.case(world.mail("Any news?", message_id="<again@example.org>").case_id)
    assert again is not None
    assert again["account_id"] != "acc_1"
    assert world.audit().breaches == []


def test_nobody_is_forgotten_while_something_of_theirs_is_open(world: PeopleWorld, owner: psycopg.Connection) -> None:
    case_id = world.mail(WROTE).case_id
    with pytest.raises(errors.RaiseException, match=f"account acc_1 has {case_id} to be decided first"):
        forget(owner)
    world.decide(case_id, "decline")
    with pytest.raises(errors.RaiseException, match="files of account acc_1 lie there still"):
        forget(owner)
    with pytest.raises(errors.RaiseException, match="no account acc_8"):
        forget(owner, "acc_8")
    assert written(owner, "Lovelace", "requests") == {"requests"}
    assert world.audit().breaches == []

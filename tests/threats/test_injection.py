"""Text from outside stays text: in SQL, in logs, on terminals, in messages of the broker."""

import ast
import io
import json
import logging
import os
import pickle
import re
from collections.abc import Callable
from contextlib import redirect_stderr
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu.exceptions import ContentDisallowed
from sqlalchemy import Float, Numeric, select

import celeryconfig
from tests.cases.world import World, a_purchase, an_account
from tests.logs import heard
from worker.observe import log
from worker.screen import cell, clean
from worker.store.engine import Store
from worker.store.tables import accounts, metadata

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for part in ("worker", "policy") for path in (ROOT / part).rglob("*.py"))
NAMES = ("_", "__", "acc_", ":id", "x--", "a.b", "null", "NULL", "1", "true", "--", "select")
"""Ids are of few characters (see the test of that); these are the ones among them that SQL and LIKE know."""
HOSTILE = ("x' or '1'='1", 'x"; drop table accounts; --', "%", "x%", "a\\", "{}", "$1", "?", "acc'||'_1", "\x00", "_\n_")


def put_together(tree: ast.AST) -> list[int]:
    """The lines where SQL is made of an f-string, a sum or a format with anything but constants of the module."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    # a module that takes `text` from elsewhere than SQLAlchemy has another one
    takes = {
        name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "sqlalchemy"
        for name in node.names
    }
    sql = {"exec_driver_sql"} | ({"text"} & takes)
    named = [node for node in calls if getattr(node.func, "id", getattr(node.func, "attr", "")) in sql]
    return [node.lineno for node in named if not isinstance(node.args[0], ast.Constant | ast.Name | ast.Attribute)]


def test_no_sql_is_put_together_from_text() -> None:
    assert put_together(
        ast.parse('from sqlalchemy import text; text(f"select {x}"); text("a" + b); text("a %s" % b); text("a")')
    ) == [1, 1, 1]
    found = {str(path.relative_to(ROOT)): put_together(ast.parse(path.read_text())) for path in SOURCES}
    # names of settings of the session and of the schema, none of them from outside
    ours = {"worker/store/sqlite.py", "worker/store/session.py"}
    assert not {path for path, lines in found.items() if lines and "migrations" not in path} - ours, found


def test_names_that_are_sql_are_names(store: Store) -> None:
    world = World(store)
    world.load(an_account("acc_1"), a_purchase("ord_1", "acc_1", 50))
    for number, name in enumerate(NAMES):
        world.load(an_account(f"{name}"), a_purchase(f"ord_{name}{number}", name, 10))
        world.happen(world.submitted(f"job{number}{name}", name), world.failed(f"job{number}{name}", name))
    rows = store.read(lambda tx: tx.all(select(accounts.c.account_id)))
    assert {row.account_id for row in rows} == {"acc_1", *NAMES}
    for number, name in enumerate(NAMES):
        case = world.case(f"job{number}{name}")
        assert case is not None
        assert case["job_id"] == f"job{number}{name}"
    assert world.credits("acc_1") == 50
    for hostile in HOSTILE:
        # looked up by people, and sent by producers
        assert "\x00" in hostile or world.case(hostile) is None
        before = len(world.dead())
        world.happen(world.failed(hostile, "acc_1"))
        assert len(world.dead()) == before + 1
    assert world.audit().ok


EVERYTHING = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\n\r\x1b\x85\u2028\u2029\u202e\u2066\ufeff\x00\x7f"), max_size=60
)


@pytest.mark.parametrize("form", ["json", "console"])
def test_log_line_stays_one_line_whatever_is_in_it(form: str) -> None:
    @settings(max_examples=120, deadline=None, derandomize=True, database=None)
    @given(EVERYTHING)
    def hold(text: str) -> None:
        with heard("info", form) as written:
            log.info("event.read", message=text, odd=object(), nested={"a": [text]})
            logging.getLogger("a.library").warning("said %s", text)
        told = written.getvalue()
        # one line each, by every notion of a line, and nothing that a terminal obeys but its colours
        assert len(told.splitlines()) == 2, told
        assert re.sub(r"\x1b\[[0-9]*m", "", told).replace("\n", "").isprintable()
        if form == "json":
            assert json.loads(told.splitlines()[0])["message"] == text

    hold()


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.text(max_size=60) | EVERYTHING)
def test_terminal_is_told_nothing_it_obeys(text: str) -> None:
    assert clean(text).isprintable()
    assert cell(text).plain == clean(text)


def test_nothing_writes_spreadsheets() -> None:
    imports = {
        name.name.partition(".")[0]
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([ast.alias(node.module or "")] if isinstance(node, ast.ImportFrom) else node.names)
    }
    assert "json" in imports
    assert not imports & {"csv", "openpyxl", "xlsxwriter", "pandas", "pickle", "marshal", "shelve"}


def plant() -> None:
    """What an attacker would like to have run."""
    os.environ["REFUNDS_TEST_PLANTED"] = "1"


class Planted:
    """Runs on whoever unpickles it."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return plant, ()


def test_pickled_message_is_refused() -> None:
    # no types come with it
    kombu: Any = import_module("kombu.serialization")
    accepted = kombu.prepare_accept_content(celeryconfig.accept_content)
    body = pickle.dumps(([], {"row_ids": Planted()}, {}))
    for kind in ("application/x-python-serialize", "application/x-pickle", "pickle", "application/x-yaml", "application/json"):
        with pytest.raises((ContentDisallowed, kombu.DecodeError, UnicodeDecodeError)):
            kombu.loads(body, kind, "binary" if "json" not in kind else "utf-8", accept=accepted)
    assert kombu.loads(b"[[], {}, {}]", "application/json", "utf-8", accept=accepted) == [[], {}, {}]
    assert "REFUNDS_TEST_PLANTED" not in os.environ


def test_no_column_holds_a_float() -> None:
    columns = [column for table in metadata.sorted_tables for column in table.columns]
    assert len(columns) > 50
    assert not [str(column) for column in columns if isinstance(column.type, Float | Numeric)]


class Full(io.StringIO):
    """What the log goes to has gone away."""

    def write(self, _: str) -> NoReturn:
        raise ValueError("I/O operation on closed file")


class Unsayable:
    def __repr__(self) -> str:
        raise ZeroDivisionError("no words for this")


@pytest.mark.parametrize("form", ["json", "console"])
def test_log_that_raises_stops_no_step(store: Store, form: str) -> None:
    world = World(store)
    world.load(an_account(), a_purchase())
    with heard(form=form):
        log.warning("odd", value=Unsayable())
        logging.getLogger("of.others").warning("%d of %s", "no number")
        logging.getLogger().handlers[0].setStream(Full())  # type: ignore[attr-defined]
        with redirect_stderr(Full()):
            world.happen(world.submitted("job_1"), world.failed("job_1"))
            log.error("said.to.nobody")
    assert (world.state("job_1"), world.credits()) == ("refunded", 100)

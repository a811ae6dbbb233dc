"""`refunds operator`: who may sign in, from a script."""

import json
import os

import pytest

from tests.scenarios.system import ROOT
from tests.scenarios.terminal import COLUMNS, Done, in_terminal
from tests.web.console.one_engine import database_url
from worker.store.engine import Store

__all__ = ["database_url"]

pytestmark = pytest.mark.landing
PASSWORD = "correct horse battery"


class Refunds:
    """The command on one database."""

    def __init__(self, url: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("REFUNDS_")}
        ours = {"REFUNDS_DATABASE_URL": url, "REFUNDS_ACTOR": "root", "REFUNDS_LOG_LEVEL": "error"}
        self.environ = kept | ours | {"PYTHONPATH": str(ROOT), "COLUMNS": COLUMNS}

    def __call__(self, *words: str, stdin: str = "") -> Done:
        return in_terminal(["operator", *words], stdin.encode(), self.environ, ROOT)


@pytest.fixture
def refunds(store: Store) -> Refunds:
    return Refunds(store.url)


def test_operators_are_added_listed_and_disabled(refunds: Refunds) -> None:
    assert "No operators" in refunds("list").stdout
    added = refunds("add", "ana", "--json", stdin=f"{PASSWORD}\n")
    assert (added.returncode, json.loads(added.stdout)) == (0, {"name": "ana", "added": True})
    items = json.loads(refunds("list", "--json").stdout)["items"]
    assert [(item["name"], item["added_by"], item["disabled_at"]) for item in items] == [("ana", "root", None)]
    dry = refunds("disable", "ana", "--reason", "left", "--dry-run", "--json")
    assert json.loads(dry.stdout) == {"dry_run": True, "name": "ana", "would_be": "disabled", "sessions": 0}
    assert "Nothing was changed" in refunds("disable", "ana", "--reason", "left", "--dry-run").stdout
    assert "left as it is" in refunds("disable", "ana", "--reason", "left", stdin="n\n").stderr
    assert json.loads(refunds("list", "--json").stdout)["items"] == items
    gone = refunds("disable", "ana", "--reason", "left", "--json", "--yes")
    assert json.loads(gone.stdout) == {"name": "ana", "disabled": True, "sessions_ended": 0}
    shown = refunds("list").stdout
    assert "disabled" in shown
    assert "scrypt" not in shown


@pytest.mark.parametrize("stdin", ["", "\n", "short\n"])
def test_password_that_is_missing_or_short_is_one_clear_line(refunds: Refunds, stdin: str) -> None:
    result = refunds("add", "ana", stdin=stdin)
    assert result.returncode == 1
    assert result.stderr.startswith("refunds: ")
    assert len(result.stderr.strip().splitlines()) == 1


def test_disabling_needs_a_reason_and_an_operator(refunds: Refunds) -> None:
    assert refunds("disable", "ana").returncode == 2
    assert refunds("disable", "ana", "--reason", "x").returncode == 1

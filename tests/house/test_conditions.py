"""The tool that leaves out conditions: each of a statement can be left out by itself, and nothing else changes."""

import os
import subprocess
import sys
from pathlib import Path

from tests.mutation.conditions import NUMBER, switch_in

SOURCE = '''"""Says a statement."""

from sqlalchemy import (
    and_,
    column,
    select,
)

a, b, c = column("a"), column("b"), column("c")


def said() -> str:
    """An ä, for places are counted in bytes."""

    def inner() -> object:
        return select(a).where(and_(a == 1, b == 2))

    mine = (b == 3, c == 4)
    return f"{inner()} / {select(a).where(a == 5, *mine)}".replace("\\n", "")


print(said())
'''


def test_each_condition_of_a_statement_can_be_left_out_by_itself(tmp_path: Path) -> None:
    module = tmp_path / "says.py"
    module.write_text(SOURCE)

    def says(left_out: int | None = None) -> str:
        environ = {name: value for name, value in os.environ.items() if name != NUMBER}
        if left_out is not None:
            environ[NUMBER] = str(left_out)
        return subprocess.run([sys.executable, str(module)], env=environ, capture_output=True, text=True, check=True).stdout

    before = says()
    conditions = switch_in(tmp_path, ["*"])
    assert [one.text for one in conditions] == ["and_(a == 1, b == 2)", "a == 1", "b == 2", "a == 5", "b == 3", "c == 4"]
    assert conditions[0].place == "says.py:16"
    assert says() == before
    heard = [says(one.number) for one in conditions]
    assert len({before, *heard}) == 7
    assert all(len(one) < len(before) for one in heard)

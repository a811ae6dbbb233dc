"""A table of rules whose last one is silent too is a defect, and says so."""

import pytest

from policy.rules import first_of


def test_table_without_an_answer_is_refused() -> None:
    with pytest.raises(LookupError, match="the last of a table"):
        first_of([lambda facts, terms: None], object(), None)  # type: ignore[arg-type]

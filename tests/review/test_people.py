"""Whatever people, banks and the pipeline do, in whatever order, and whichever process dies at it: nobody is paid twice, and
nobody is forgotten.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.arena import Arena, Stage, quiet, scratch
from tests.drawn import drawn
from tests.faults import Fault, How
from tests.review.people import ACTIONS, play, town
from tests.servers import ON_POSTGRES

Acts = list[tuple[str, Fault | None]]
WRONG = st.builds(Fault, passage=st.integers(0, 25), how=st.sampled_from(How))
ACTS = st.tuples(st.sampled_from(sorted(ACTIONS)), st.none() | WRONG)


@drawn(12, HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)
@given(acts=st.lists(ACTS, min_size=3, max_size=12), minutes_apart=st.sampled_from([5, 30]), key=st.booleans())
def test_no_order_of_what_people_do_pays_twice_or_forgets_anybody(
    arena: Arena, acts: Acts, minutes_apart: int, key: bool
) -> None:
    assert wrong_of(arena, acts, minutes_apart, key=key) == []


@pytest.mark.nightly
@ON_POSTGRES
@drawn(60, HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)
@given(acts=st.lists(ACTS, min_size=3, max_size=12), minutes_apart=st.sampled_from([5, 30]), key=st.booleans())
def test_nor_does_any_on_postgres(stage: Stage, acts: Acts, minutes_apart: int, key: bool) -> None:
    assert wrong_of(stage, acts, minutes_apart, key=key) == []


def wrong_of(stage: Stage, acts: Acts, minutes_apart: int, *, key: bool) -> list[str]:
    quiet()
    with stage.empty() as store, scratch("people") as folder:
        at = town(store, Path(folder), minutes_apart, key=key)
        try:
            return list(play(at, acts))
        finally:
            at.close()

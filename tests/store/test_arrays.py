"""A column written as an array is read by Postgres as exactly the values that went in."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, BigInteger, Boolean, LargeBinary, Text, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import JSONB

from tests.servers import ON_POSTGRES
from worker.store.arrays import ArrayOf, Written, document, literal
from worker.store.columns import Instant
from worker.store.engine import Store

SLOWLY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WRITABLE = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
AWKWARD = st.sampled_from(["", "NULL", "null", '"', "\\", "{}", "{,}", " a ", "\\x41", '","', "\n", "é", "'"])


def read_back(store: Store, values: Sequence[Any], kind: Any) -> list[Any]:
    sent = bindparam(None, literal(values, kind), type_=ArrayOf(kind))
    each = func.unnest(sent).column_valued("each")
    return list(store.read(lambda tx: tx.connection.execute(select(each)).scalars().all()))


@ON_POSTGRES
@given(st.lists(st.one_of(st.none(), WRITABLE, AWKWARD), max_size=8))
@SLOWLY
def test_texts_come_back_as_they_went(store: Store, values: list[str | None]) -> None:
    assert read_back(store, values, Text()) == values


@ON_POSTGRES
@given(st.lists(st.one_of(st.none(), st.binary(max_size=20)), max_size=8))
@SLOWLY
def test_bytes_come_back_as_they_went(store: Store, values: list[bytes | None]) -> None:
    assert [None if one is None else bytes(one) for one in read_back(store, values, LargeBinary())] == values


@ON_POSTGRES
@given(
    st.lists(
        st.one_of(st.none(), st.dictionaries(WRITABLE, st.one_of(WRITABLE, AWKWARD, st.integers())), st.lists(AWKWARD)),
        max_size=5,
    )
)
@SLOWLY
def test_documents_come_back_as_they_went(store: Store, values: list[Any]) -> None:
    each = func.jsonb_array_elements(cast(bindparam(None, literal(values, JSON()), type_=Text()), JSONB), type_=JSONB)
    found = store.read(lambda tx: tx.connection.execute(select(each)).scalars().all())
    assert list(found) == values


@ON_POSTGRES
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.datetimes(
                datetime(1990, 1, 1),  # noqa: DTZ001
                datetime(2100, 1, 1),  # noqa: DTZ001
                timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=11))]),
            ),
        ),
        max_size=8,
    )
)
@SLOWLY
def test_instants_come_back_as_they_went(store: Store, values: list[datetime | None]) -> None:
    assert read_back(store, values, Instant()) == values


@ON_POSTGRES
def test_numbers_and_truth_come_back_as_they_went(store: Store) -> None:
    numbers = [0, -1, 2**62, None]
    assert read_back(store, numbers, BigInteger()) == numbers
    assert read_back(store, [True, None, False], Boolean()) == [True, None, False]


def test_text_that_is_json_already_is_not_written_twice() -> None:
    assert document(Written('{"a":1}')) == '{"a":1}'
    assert document('{"a":1}') == '"{\\"a\\":1}"'
    assert document(None) is None


def test_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        literal([datetime(2026, 3, 1, 10)], Instant())  # noqa: DTZ001

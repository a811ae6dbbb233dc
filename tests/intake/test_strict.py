"""The loader: one object or `Malformed`, whatever comes."""

import json
import pickle
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.strict import MAX_BYTES, MAX_DEPTH, Malformed, Reason, loads, shown


@pytest.mark.parametrize(
    ("raw", "reason", "says"),
    [
        (b"", "not_json", "empty"),
        (b"  \n", "not_json", "empty"),
        (b"hello", "not_json", "character 0"),
        (b'{"a": 1', "not_json", "character 7"),
        (b"{'a': 1}", "not_json", "double quotes"),
        (b'{"a": "\x00"}', "not_json", "Invalid control character"),
        (b"\xef\xbb\xbf{}", "not_json", "byte order mark"),
        (b"{} {}", "not_json", "more than one document"),
        (b'{"a": 1}\n{"a": 2}', "not_json", "more than one document"),
        (b"\x80\x04\x95binary", "not_utf8", "byte 0"),
        ('{"a": 1}'.encode("utf-16"), "not_utf8", "byte 0"),
        (b'{"a": "\xed\xa0\x80"}', "not_utf8", "byte 7"),
        (b'{"a": 1, "a": 2}', "duplicate_key", '"a" stands twice'),
        (b'{"a": {"b": 1, "c": 2, "b": 1}}', "duplicate_key", '"b" stands twice'),
        (b'{"a": 1, "\\u0061": 2}', "duplicate_key", '"a" stands twice'),
        (b'{"a": NaN}', "bad_number", "NaN"),
        (b'{"a": Infinity}', "bad_number", "Infinity"),
        (b'{"a": -Infinity}', "bad_number", "-Infinity"),
        (b'{"a": 1e999}', "bad_number", "1e999"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "bad_number", "thousands of digits"),
        (b"[" * 60_000, "too_deep", "level 65"),
        (b'{"a":' * 10_000, "too_deep", "level 65"),
        (b"[]", "not_an_object", "[]"),
        (b"null", "not_an_object", "null"),
        (b'"text"', "not_an_object", '"text"'),
        (b"[" * 100_000, "too_large", "100,000 bytes"),
        (b'{"a": "' + b"x" * MAX_BYTES + b'"}', "too_large", "65,536"),
    ],
)
def test_loads_refuses_what_is_not_one_honest_object(raw: bytes, reason: str, says: str) -> None:
    with pytest.raises(Malformed) as refused:
        loads(raw)
    assert refused.value.reason == reason
    assert says in refused.value.detail


def test_loads_takes_exactly_the_limit_of_bytes() -> None:
    raw = b'{"a": "' + b"x" * (MAX_BYTES - 9) + b'"}'
    assert len(raw) == MAX_BYTES
    assert len(loads(raw)["a"]) == MAX_BYTES - 9


@pytest.mark.parametrize(("depth", "taken"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
def test_loads_takes_exactly_the_limit_of_levels(depth: int, taken: bool) -> None:
    raw = b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    if taken:
        assert "a" in loads(raw)
    else:
        with pytest.raises(Malformed, match="too_deep"):
            loads(raw)


def test_loads_does_not_count_brackets_inside_strings_or_side_by_side() -> None:
    document = {"text": "[{" * 500 + '\\"[[', "many": [[] for _ in range(500)]}
    assert loads(json.dumps(document).encode()) == document


@pytest.mark.parametrize("raw", [b'{"a":"' + b'\\"' * 32_000, (b"[" * 60 + b'"') * 500, b"[]" * 32_000, b'"' * 65_000])
def test_loads_costs_time_in_proportion_to_the_size(raw: bytes) -> None:
    # quadratic scanning of these would take seconds each; the suite's own time limit is the judge
    with pytest.raises(Malformed):
        loads(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(st.binary(max_size=300))
def test_loads_raises_nothing_but_malformed_on_any_bytes(raw: bytes) -> None:
    _only_malformed(raw)


@given(st.text(alphabet='{}[]":,\\u0d8e1NaI-+.eE \n\ufeff', max_size=120))
def test_loads_raises_nothing_but_malformed_on_what_looks_like_json(text: str) -> None:
    _only_malformed(text.encode())


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_loads_returns_what_any_honest_producer_wrote(document: dict[str, Any]) -> None:
    assert loads(json.dumps(document).encode()) == document
    assert loads(json.dumps(document, ensure_ascii=False).encode("utf-8")) == document


@given(json_values | st.text(alphabet=st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Co"])))
def test_shown_is_one_short_printable_ascii_line(value: object) -> None:
    text = shown(value)
    assert len(text) <= 60
    assert text.isascii()
    assert text.isprintable()


def test_malformed_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(Malformed("not_json", "it is a poem")))
    assert (error.reason, error.detail, str(error)) == ("not_json", "it is a poem", "not_json: it is a poem")


def test_reasons_are_a_closed_list_without_repeats() -> None:
    assert len(set(get_args(Reason))) == len(get_args(Reason)) == 16


def _only_malformed(raw: bytes) -> None:
    try:
        assert isinstance(loads(raw), dict)
    except Malformed as refused:
        assert refused.reason in get_args(Reason)
        assert refused.detail.isprintable()

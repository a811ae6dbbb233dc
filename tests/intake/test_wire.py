"""Events: each type read as the contract says, each fault named with its place."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.codes import failure_code
from policy.facts import Output, PaidWith, ReportKind
from tests.intake.documents import DATA, FAILURE, NOW, Absent, an_event, changed
from worker.intake.wire import AccountOpened, Downloaded, Edited, EventType, Reported, Submitted, event_document, read_event
from worker.strict import Malformed, Reason

AT = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)
OUTPUT = Output(delivered=6, expected=6, corrupted=0)
TOLD = {"code": "gpu_out_of_memory", "stage": "segment", "message": "CUDA out of memory", "output": OUTPUT}


@pytest.mark.parametrize(
    ("type", "data", "job_id"),
    [
        ("account.opened", AccountOpened("a@example.org"), None),
        ("layer_job.submitted", Submitted(5, PaidWith.CREDITS, 6, datetime(2026, 3, 3, 10, 15, tzinfo=UTC)), "job_42"),
        ("layer_job.succeeded", Reported(1, ReportKind.SUCCEEDED, output=OUTPUT), "job_42"),
        ("layer_job.failed", Reported(1, ReportKind.FAILED, **TOLD), "job_42"),  # type: ignore[arg-type]
        ("layer_job.incomplete", Reported(2, ReportKind.INCOMPLETE, **TOLD), "job_42"),  # type: ignore[arg-type]
        ("layer_job.downloaded", Downloaded(AT), "job_42"),
        ("layer_job.edited", Edited(AT), "job_42"),
    ],
)
def test_read_event_reads_every_type_of_the_contract(type: str, data: object, job_id: str | None) -> None:
    raw = an_event(type)
    event = read_event(raw, NOW)
    assert (event.source, event.id, event.type) == ("/image-pipeline", "evt-7f3a", type)
    assert (event.account_id, event.job_id) == ("acc_7", job_id)
    assert event.time == datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
    assert event.data == data
    assert event.raw.encode() == raw


def test_the_types_of_the_contract_are_the_types_we_test() -> None:
    assert set(DATA) == {kind.value for kind in EventType}


@pytest.mark.parametrize(
    ("type", "path"),
    [
        ("layer_job.submitted", "data.layers_expected"),
        ("layer_job.submitted", "data.input_expires_at"),
        ("layer_job.failed", "data.output"),
        ("layer_job.failed", "data.failure.stage"),
        ("layer_job.failed", "data.failure.message"),
        ("layer_job.failed", "data.output.layers_expected"),
        ("layer_job.failed", "data.output.corrupted"),
        ("layer_job.incomplete", "data.failure"),
        ("layer_job.downloaded", "data.at"),
        ("layer_job.edited", "data.at"),
    ],
)
def test_read_event_takes_an_optional_field_absent_or_null_alike(type: str, path: str) -> None:
    absent, null = (read_event(an_event(type, path, value), NOW) for value in (Absent, None))
    assert absent.data == null.data


REQUIRED = [("layer_job.failed", path) for path in ("specversion", "id", "source", "type", "time", "data")] + [
    (type, f"data.{name}")
    for type, names in {
        "account.opened": ["account_id", "email"],
        "layer_job.submitted": ["job_id", "account_id", "credits", "paid_with"],
        "layer_job.succeeded": ["job_id", "account_id", "attempt", "output", "output.layers_delivered"],
        "layer_job.failed": ["job_id", "account_id", "attempt", "failure", "failure.code", "output.layers_delivered"],
        "layer_job.incomplete": ["job_id", "account_id", "attempt", "output", "output.layers_delivered", "failure.code"],
        "layer_job.downloaded": ["job_id", "account_id"],
        "layer_job.edited": ["job_id", "account_id"],
    }.items()
    for name in names
]


@pytest.mark.parametrize(("type", "path"), REQUIRED)
def test_read_event_names_each_missing_field(type: str, path: str) -> None:
    error = refused(an_event(type, path, Absent))
    assert error.reason == "missing_field"
    assert error.detail.startswith(f"{path} is missing; expected ")


@pytest.mark.parametrize(("type", "path"), [(t, p) for t, p in REQUIRED if p not in ("specversion", "type")])
def test_read_event_does_not_take_null_for_a_required_field(type: str, path: str) -> None:
    error = refused(an_event(type, path, None))
    assert error.reason == "bad_value"
    assert error.detail.startswith(f"{path} is null; expected ")


BAD_IDS: list[Any] = [
    "",
    ".",
    "..",
    "../../admin",
    "a/b",
    "a b",
    "a%2fb",
    "job\r\n42",
    "job_42\n",
    "j\u00f6b",
    "a" * 129,
    "@evil",
    42,
    [],
    {},
]
BAD_NAMES: list[Any] = ["", "a\nb", "a\x00b", "a\x1bb", "a\x7fb", "a\u0085b", "a\u2028b", "\ud800", "a" * 257, 7, None]
BAD_TIMES: list[Any] = [
    "2026-03-02T10:15:00",
    "2026-03-02",
    "2026-W10-1T10:15:00Z",
    "20260302T101500Z",
    "2026-13-02T10:15:00Z",
    "2026-03-02T25:15:00Z",
    "2026-03-02T10:15:00+25:00",
    "1999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00",
    "2200-01-01T00:00:00Z",
    "9999-12-31T23:59:59-14:00",
    "",
    "yesterday",
    1772446500,
    True,
]
BAD_CODES: list[Any] = ["", " ", "\n\t", "\u2028\u3000", 5, True, None, [], {}]
BAD_TEXTS: list[Any] = [5, [], {}, True]
BAD_PAYMENTS: list[Any] = ["money", "", "CREDITS", 1, True, [], {}]
BAD_EMAILS: list[Any] = ["", "a", "a@", "@b", "a@b@c", "a b@c", "a@b\n", "\ud800@b", "a" * 250 + "@b.cd", 5]
BAD_OBJECTS: list[Any] = [[], "x", 5, True]
BAD_COUNTS: list[Any] = [-1, 5.0, "5", True, False, None, [], 10**18, 10**400]


@pytest.mark.parametrize(
    ("type", "path", "value"),
    [("layer_job.failed", f"data.{name}", bad) for name in ("job_id", "account_id") for bad in BAD_IDS]
    + [("layer_job.failed", name, bad) for name in ("id", "source") for bad in BAD_NAMES]
    + [("layer_job.failed", "time", bad) for bad in BAD_TIMES]
    + [("layer_job.submitted", "data.input_expires_at", bad) for bad in BAD_TIMES]
    + [("layer_job.downloaded", "data.at", bad) for bad in BAD_TIMES]
    + [("layer_job.submitted", "data.credits", bad) for bad in [*BAD_COUNTS, 1_000_001]]
    + [("layer_job.failed", "data.attempt", bad) for bad in [*BAD_COUNTS, 0, 1_001]]
    + [("layer_job.failed", "data.output.layers_delivered", bad) for bad in [*BAD_COUNTS, 100_001]]
    + [("layer_job.failed", "data.failure.code", bad) for bad in BAD_CODES]
    + [("layer_job.failed", "data.failure.message", bad) for bad in BAD_TEXTS]
    + [("layer_job.submitted", "data.paid_with", bad) for bad in BAD_PAYMENTS]
    + [("account.opened", "data.email", bad) for bad in BAD_EMAILS]
    + [("layer_job.failed", path, bad) for path in ("data", "data.failure", "data.output") for bad in BAD_OBJECTS],
)
def test_read_event_refuses_what_the_field_cannot_hold(type: str, path: str, value: object) -> None:
    error = refused(an_event(type, path, value))
    assert error.reason == "bad_value"
    assert error.detail.startswith(f"{path} is ")
    assert "; expected " in error.detail


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("CUDA OOM", "CUDA OOM"),
        (" CUDA OOM\r\n", "CUDA OOM"),
        ("a.b-c/d:1", "a.b-c/d:1"),
        ("Gr\u00f6\u00dfe \u8d85\u8fc7", "Gr\u00f6\u00dfe \u8d85\u8fc7"),
        ("a\x00b\nc\x1bd\x85e\u2028f\ud800g", "a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf\ufffdg"),
        ("c" * 65, "c" * 64),
        (" " + "c" * 63 + " the rest of it", "c" * 63),
    ],
)
def test_code_that_nobody_used_before_is_kept_as_a_text(said: str, kept: str) -> None:
    """Once only some characters were taken, and a failure with others was refused: the customer's promise did not run."""
    event = read_event(an_event(path="data.failure.code", value=said), NOW)
    assert isinstance(event.data, Reported)
    assert event.data.code == kept == failure_code(kept)


@given(st.text(st.characters() | st.sampled_from(" \n\x00"), max_size=80))
def test_code_that_is_kept_is_its_own_and_can_be_stored(said: str) -> None:
    code = failure_code(said)
    assert failure_code(code) == code == code.strip()
    assert len(code) <= 64
    assert "\x00" not in code
    assert code.encode() or not said.strip()


@pytest.mark.parametrize("path", ["data.credits", "data.layers_expected"])
def test_read_event_takes_a_whole_number_at_both_ends_of_its_range(path: str) -> None:
    most = 1_000_000 if path == "data.credits" else 100_000
    for value in (0, most):
        event = read_event(an_event("layer_job.submitted", path, value), NOW)
        assert getattr(event.data, path.partition(".")[2]) == value
    assert refused(an_event("layer_job.submitted", path, most + 1)).reason == "bad_value"


@pytest.mark.parametrize("version", ["0.3", "1", 1.0, "1.1", None, {}])
def test_read_event_refuses_another_version(version: object) -> None:
    error = refused(an_event(path="specversion", value=version))
    assert error.reason == "wrong_version"
    assert 'expected "1.0"' in error.detail


@pytest.mark.parametrize("type", ["layer_job.exploded", "", "LAYER_JOB.FAILED", 5, None, ["layer_job.failed"]])
def test_read_event_refuses_another_type_and_lists_the_known_ones(type: object) -> None:
    error = refused(an_event(path="type", value=type))
    assert error.reason == "unknown_type"
    assert "account.opened, layer_job.submitted" in error.detail


def test_read_event_takes_a_time_up_to_a_day_ahead_and_no_further() -> None:
    limit = NOW + timedelta(days=1)
    assert read_event(an_event(path="time", value=limit.isoformat()), NOW).time == limit
    error = refused(an_event(path="time", value=(limit + timedelta(seconds=1)).isoformat()))
    assert error.reason == "from_the_future"


@pytest.mark.parametrize(
    "text",
    ["2026-03-02T10:15:00Z", "2026-03-02t10:15:00z", "2026-03-02T11:15:00+01:00", "2026-03-02T10:15:00.000000000000000000Z"],
)
def test_read_event_turns_every_zone_into_utc(text: str) -> None:
    time = read_event(an_event(path="time", value=text), NOW).time
    assert time == datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
    assert time.tzinfo is UTC


def test_read_event_names_every_problem_at_once_the_gravest_first() -> None:
    document = json.loads(an_event())
    for path, value in {"specversion": "0.3", "id": "", "data.attempt": "1", "data.failure.code": Absent}.items():
        document = changed(document, path, value)
    error = refused(json.dumps(document).encode())
    assert error.reason == "wrong_version"
    assert [problem.split(" is ")[0] for problem in error.detail.split("; ")[::2]] == [
        "specversion",
        "data.failure.code",
        "id",
        "data.attempt",
    ]


def test_read_event_tells_five_problems_and_how_many_more() -> None:
    error = refused(b'{"specversion": "1.0", "type": "layer_job.failed", "data": {}}')
    assert error.detail.count(" is missing") == 5
    assert error.detail.endswith("and 2 more")


def test_a_problem_shows_the_value_escaped_and_short() -> None:
    error = refused(an_event(path="data.job_id", value="\x1b[31m\u202e\u2028" + "x" * 5_000))
    assert "\\u001b[31m\\u202e\\u2028" in error.detail
    assert error.detail.isascii()
    assert error.detail.isprintable()
    assert len(error.detail) < 200


def test_the_message_is_kept_storable_and_short() -> None:
    event = read_event(an_event(path="data.failure.message", value="a\x00b\ud800c" + "x" * 5_000), NOW)
    assert isinstance(event.data, Reported)
    assert event.data.message.startswith("a\ufffdb\ufffdc")
    assert len(event.data.message) == 300


@pytest.mark.parametrize("path", ["surprise", "data.surprise", "data.failure.surprise", "data.output.surprise"])
def test_read_event_ignores_what_a_newer_producer_adds(path: str) -> None:
    event = read_event(an_event(path=path, value={"any": ["thing", "\ud800"]}), NOW)
    assert event.data == read_event(an_event(), NOW).data


def test_the_subject_is_not_the_identity() -> None:
    event = read_event(an_event(path="subject", value="job_of_somebody_else"), NOW)
    assert event.job_id == "job_42"


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",) * 2,
        ("not a trace", None),
        (5, None),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", None),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", None),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None),
    ],
)
def test_a_trace_is_kept_when_it_is_one_and_never_a_fault(value: object, trace: str | None) -> None:
    assert read_event(an_event(path="traceparent", value=value), NOW).trace == trace


@pytest.mark.parametrize("names", [("a", "bc"), ("ab", "c"), ("A", "bc"), ("\u0430", "bc"), ("e\u0301", "x"), ("\u00e9", "x")])
def test_source_and_id_are_kept_apart_and_byte_for_byte(names: tuple[str, str]) -> None:
    document = changed(changed(json.loads(an_event()), "source", names[0]), "id", names[1])
    event = read_event(json.dumps(document, ensure_ascii=False).encode(), NOW)
    assert (event.source, event.id) == names


def test_event_document_is_read_back_as_what_was_written() -> None:
    zone = timezone(timedelta(hours=2))
    text = event_document(
        EventType.FAILED,
        {"job_id": "job_1", "account_id": "acc_1", "attempt": 1, "failure": FAILURE},
        id="evt-1",
        source="/demo",
        time=datetime(2026, 3, 2, 12, 15, tzinfo=zone),
        subject="job_1",
    )
    event = read_event(text.encode(), NOW)
    assert (event.id, event.source, event.type, event.job_id) == ("evt-1", "/demo", "layer_job.failed", "job_1")
    assert event.time == datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
    assert json.loads(text)["time"] == "2026-03-02T10:15:00Z"


def test_the_same_bytes_give_the_same_event_when_read_again_from_the_kept_text() -> None:
    first = read_event(an_event(), NOW)
    assert read_event(first.raw.encode(), NOW) == first


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
PATHS = ["id", "source", "time", "type", "specversion", "data", "data.job_id", "data.account_id", "data.attempt", "traceparent"]
PATHS += [
    "data.failure",
    "data.failure.code",
    "data.failure.stage",
    "data.failure.message",
    "data.output",
    "data.output.corrupted",
]


@given(st.sampled_from(PATHS), values)
def test_read_event_raises_nothing_but_malformed_whatever_a_field_holds(path: str, value: Any) -> None:
    raw = an_event(path=path, value=value)
    try:
        event = read_event(raw, NOW)
    except Malformed as error:
        assert error.reason in get_args(Reason)
        assert error.detail.isprintable()
    else:
        # what is taken can be stored: every text of it is valid UTF-8 without NUL
        for text in _texts(asdict(event)):
            assert "\x00" not in text
            assert text.encode()


@given(st.sampled_from(sorted(DATA)), st.dictionaries(st.text(st.characters()), values, max_size=4), st.binary(max_size=40))
def test_read_event_raises_nothing_but_malformed_on_any_object(type: str, data: dict[str, Any], noise: bytes) -> None:
    document = {**json.loads(an_event(type)), **data, "data": {**DATA[type], **data}}
    for raw in (json.dumps(document).encode(), json.dumps(document).encode() + noise, noise):
        try:
            read_event(raw, NOW)
        except Malformed as error:
            assert error.reason in get_args(Reason)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def refused(raw: bytes) -> Malformed:
    with pytest.raises(Malformed) as caught:
        read_event(raw, NOW)
    return caught.value

"""Import records: the three kinds of the contract, each fault named with its place."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from policy.facts import AccountStatus, Billing, PaidWith, PurchaseKind
from tests.intake.documents import RECORDS, Absent, a_record
from worker.intake.fields import ID
from worker.intake.records import KINDS, AccountRecord, JobRecord, JobStatus, PurchaseRecord, read_line, read_record
from worker.strict import Malformed

OPTIONAL = {
    "purchase": ["customer_id", "product_id", "transaction_id", "request_id"],
    "layer_job": ["layers_expected"],
}
LATER: dict[str, dict[str, object]] = {
    "purchase": dict.fromkeys(("cancelled_at", "period_start", "period_end"), "2026-03-05T00:00:00Z"),
    "layer_job": {
        "edited_at": "2026-03-05T00:00:00Z",
        "finished_at": "2026-03-05T00:00:00Z",
        "layers_delivered": 4,
        "downloads": 2,
    },
}


def test_an_account_record_is_read() -> None:
    said = read_record(a_record("account"))
    assert isinstance(said, AccountRecord)
    assert (said.key, said.email, said.status) == ("account:acc_7", "a@example.org", AccountStatus.ACTIVE)


def test_a_purchase_record_is_read() -> None:
    said = read_record(a_record("purchase"))
    assert isinstance(said, PurchaseRecord)
    assert (said.key, said.account_id, said.customer_id, said.product_id) == ("purchase:ord_1", "acc_7", "cust_1", "prod_pack")
    assert (said.kind, said.billing) == (PurchaseKind.CREDIT_PACK, Billing.FIRST)
    assert (said.transaction_id, said.request_id) == ("tran_1", "chk-1")
    assert (said.amount, said.currency, said.credits) == (900, "USD", 50)
    assert said.paid_at == datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert (said.cancelled_at, said.period_start, said.period_end) == (None, None, None)


def test_a_job_record_is_read() -> None:
    said = read_record(a_record("layer_job"))
    assert isinstance(said, JobRecord)
    assert (said.key, said.account_id, said.credits) == ("layer_job:job_42", "acc_7", 5)
    assert (said.paid_with, said.status) == (PaidWith.CREDITS, JobStatus.RUNNING)
    assert said.submitted_at == datetime(2026, 3, 2, 10, 10, tzinfo=UTC)
    assert (said.layers_expected, said.layers_delivered, said.downloads) == (6, None, None)
    assert (said.edited_at, said.finished_at) == (None, None)


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_keeps_its_text_and_is_read_again_the_same(kind: str) -> None:
    raw = a_record(kind)
    said = read_record(raw)
    assert said.raw.encode() == raw
    assert read_record(said.raw.encode()) == said


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, fields in LATER.items() for name in fields])
def test_an_optional_field_is_read_when_it_is_there(kind: str, name: str) -> None:
    said = read_record(a_record(kind, name, LATER[kind][name]))
    assert getattr(said, name) in (4, 2, datetime(2026, 3, 5, tzinfo=UTC))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, record in RECORDS.items() for name in record])
def test_a_missing_field_is_named_unless_it_is_optional(kind: str, name: str) -> None:
    raw = a_record(kind, name, Absent)
    if name in OPTIONAL.get(kind, []):
        assert getattr(read_record(raw), name) is None
        return
    with pytest.raises(Malformed) as refused:
        read_record(raw)
    assert refused.value.reason == "missing_field"
    assert refused.value.detail.startswith(f"{name} is missing; expected ")


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("account", "status", "sleeping"),
        ("account", "id", "../x"),
        ("account", "email", "nobody"),
        ("purchase", "amount", -1),
        ("purchase", "amount", 9.0),
        ("purchase", "amount", "900"),
        ("purchase", "amount", True),
        ("purchase", "amount", 10**13),
        ("purchase", "credits", -1),
        ("purchase", "currency", "usd"),
        ("purchase", "currency", "USDT"),
        ("purchase", "kind", "gift"),
        ("purchase", "billing", "second"),
        ("purchase", "transaction_id", "../refunds"),
        ("purchase", "paid_at", "2026-03-01 09:00"),
        ("layer_job", "status", "lost"),
        ("layer_job", "paid_with", "cash"),
        ("layer_job", "downloads", -1),
        ("layer_job", "submitted_at", "2026-03-02T10:10:00"),
        ("layer_job", "credits", 5.0),
    ],
)
def test_a_record_refuses_what_the_field_cannot_hold(kind: str, name: str, value: object) -> None:
    with pytest.raises(Malformed) as refused:
        read_record(a_record(kind, name, value))
    assert refused.value.reason == "bad_value"
    assert refused.value.detail.startswith(f"{name} is ")


@pytest.mark.parametrize("value", ["refund", "", None, 5, ["account"]])
def test_another_kind_of_record_is_refused(value: object) -> None:
    with pytest.raises(Malformed, match=r"unknown_type: record is .*; expected one of account, purchase, layer_job"):
        read_record(a_record("account", "record", value))


@pytest.mark.parametrize("raw", [b"", b"[]", b"{} {}", b'{"record": NaN}', b"\xff", b"[" * 70_000])
def test_what_is_not_one_object_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_record(raw)


def test_names_that_mean_nothing_are_ignored_and_told() -> None:
    record, unknown = read_line(a_record("purchase", "transactoin_id", "tran_1"))
    assert (record.key, unknown) == ("purchase:ord_1", frozenset({"transactoin_id"}))
    for kind in RECORDS:
        assert read_line(a_record(kind))[1] == frozenset()


def test_the_guide_has_every_field_with_what_it_may_hold() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "joining.md").read_text()
    said = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (required|optional) \| ([^|]+) \| [^|\n]*\|$", guide, re.MULTILINE)
    assert said == [
        (kind, name, "required" if field.is_required() else "optional", what_is_right(kind, name))
        for kind, (model, _) in KINDS.items()
        for name, field in model.model_fields.items()
    ]


def what_is_right(kind: str, name: str) -> str:
    """What the field may hold, as its fault says it, in the words of the guide."""
    with pytest.raises(Malformed) as refused:
        read_record(a_record(kind, name, {}))
    right = refused.value.detail.partition("; expected ")[2]
    return "an id" if right == ID else "a time" if right.startswith("an RFC 3339 time") else right

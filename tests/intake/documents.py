"""Documents as producers send them, with honest defaults."""

import json
from datetime import UTC, datetime
from typing import Any

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

OUTPUT = {"layers_expected": 6, "layers_delivered": 6, "corrupted": 0}
FAILURE = {"code": "gpu_out_of_memory", "stage": "segment", "message": "CUDA out of memory"}
DATA: dict[str, dict[str, Any]] = {
    "account.opened": {"account_id": "acc_7", "email": "a@example.org"},
    "layer_job.submitted": {
        "job_id": "job_42",
        "account_id": "acc_7",
        "credits": 5,
        "paid_with": "credits",
        "layers_expected": 6,
        "input_expires_at": "2026-03-03T10:15:00Z",
    },
    "layer_job.succeeded": {"job_id": "job_42", "account_id": "acc_7", "attempt": 1, "output": OUTPUT},
    "layer_job.failed": {"job_id": "job_42", "account_id": "acc_7", "attempt": 1, "failure": FAILURE, "output": OUTPUT},
    "layer_job.incomplete": {"job_id": "job_42", "account_id": "acc_7", "attempt": 2, "output": OUTPUT, "failure": FAILURE},
    "layer_job.downloaded": {"job_id": "job_42", "account_id": "acc_7", "at": "2026-03-02T11:00:00Z"},
    "layer_job.edited": {"job_id": "job_42", "account_id": "acc_7", "at": "2026-03-02T11:00:00Z"},
}
RECORDS: dict[str, dict[str, Any]] = {
    "account": {"record": "account", "id": "acc_7", "email": "a@example.org", "status": "active"},
    "purchase": {
        "record": "purchase",
        "id": "ord_1",
        "account_id": "acc_7",
        "customer_id": "cust_1",
        "product_id": "prod_pack",
        "kind": "credit_pack",
        "billing": "first",
        "transaction_id": "tran_1",
        "request_id": "chk-1",
        "amount": 900,
        "currency": "USD",
        "credits": 50,
        "paid_at": "2026-03-01T09:00:00Z",
    },
    "layer_job": {
        "record": "layer_job",
        "id": "job_42",
        "account_id": "acc_7",
        "credits": 5,
        "paid_with": "credits",
        "status": "running",
        "layers_expected": 6,
        "submitted_at": "2026-03-02T10:10:00Z",
    },
}


class Absent:
    """Put in place of a value: the field is left out."""


def changed(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of the document with another value at the dotted path; `Absent` leaves the field out."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    *parents, last = path.split(".")
    inner = copy
    for step in parents:
        inner = inner[step]
    if value is Absent:
        del inner[last]
    else:
        inner[last] = value
    return copy


def an_event(type: str = "layer_job.failed", path: str | None = None, value: object = None) -> bytes:
    """An event of the type as it comes off the stream, with one field changed if a path is given."""
    document = {
        "specversion": "1.0",
        "id": "evt-7f3a",
        "source": "/image-pipeline",
        "type": type,
        "time": "2026-03-02T10:15:00Z",
        "subject": "job_42",
        "data": DATA.get(type, {}),
    }
    return json.dumps(document if path is None else changed(document, path, value)).encode()


def a_record(kind: str, path: str | None = None, value: object = None) -> bytes:
    """A line of an import file, with one field changed if a path is given."""
    document = RECORDS[kind]
    return json.dumps(document if path is None else changed(document, path, value)).encode()
